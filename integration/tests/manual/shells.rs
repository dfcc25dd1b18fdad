//! The completions in the shells themselves.

use std::process::Command;

use crate::{file, pages::shown, programs};

/// What a shell says of what can follow this line, a word each.
type Ask = fn(program: &str, line: &str) -> String;

#[track_caller]
fn run(program: &str, script: &str) -> String {
    let folder = file("packaging/completions");
    // fish makes folders there.
    let home = tempfile::tempdir().expect("a temporary folder can be made");
    let output = Command::new("timeout")
        .args(["60", program])
        .args(if program == "zsh" { &["-f", "-c"][..] } else { &["-c"] })
        .arg(script)
        .env("COMPLETIONS", folder)
        .env("TERM", "xterm")
        .env("LC_ALL", "C.UTF-8")
        .env("HOME", home.path())
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_DATA_HOME")
        .env_remove("XDG_CACHE_HOME")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; integration/prepare installs it"));
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program}: {}\n{script}\n{said}\n{wrong}", output.status);
    said.into_owned()
}

fn bash(program: &str, line: &str) -> String {
    let script = format!(
        "set -eu
        source \"$COMPLETIONS/{program}.bash\"
        function=$(complete -p {program} | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        COMP_LINE={line:?} COMP_POINT=${{#COMP_LINE}} COMP_CWORD=-1 COMP_WORDS=() COMPREPLY=()
        IFS=' ' read -ra COMP_WORDS <<<\"$COMP_LINE\"
        [[ $COMP_LINE != *' ' ]] || COMP_WORDS+=('')
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        \"$function\" {program} \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\" || :
        printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    run("bash", &script)
}

fn fish(program: &str, line: &str) -> String {
    run("fish", &format!("source $COMPLETIONS/{program}.fish; complete -C {line:?}"))
}

/// zsh completes only where somebody types, so on a terminal that zpty makes.
fn zsh(_: &str, line: &str) -> String {
    let setting_up = [
        "PS2= RPS1= LISTMAX=1000; stty columns 200 rows 100",
        "fpath=($COMPLETIONS $fpath); autoload -U compinit; compinit -u -D",
        "setopt no_auto_menu no_always_last_prompt; zstyle \":completion:*\" verbose no",
        "finish() { zle -I; print END-OF-LIST }; zle -N finish; bindkey \"^T\" finish",
    ];
    // What is typed before there is a prompt is lost.
    let mut script = String::from("zmodload zsh/zpty; zpty shell 'PS1=NEXT-PLEASE zsh -f -i'\n");
    for command in setting_up {
        script += &format!("zpty -r -m shell text '*NEXT-PLEASE*'; zpty -w shell '{command}'\n");
    }
    script += &format!(
        "zpty -r -m shell text '*NEXT-PLEASE*'
        zpty -w -n shell {line:?}$'\\t\\t\\x14'
        zpty -r -m shell text '*END-OF-LIST*'
        print -r -- \"$text\"
        zpty -d shell"
    );
    run("zsh", &script)
}

const SHELLS: [(&str, Ask); 3] = [("bash", bash), ("fish", fish), ("zsh", zsh)];

fn offers(text: &str, word: &str) -> bool {
    // zsh clears the rest of the screen before it lists.
    let text = text.replace("\x1b[J", " ");
    text.split(|c: char| !(c.is_alphanumeric() || "-_".contains(c))).any(|known| known == word)
}

#[test]
fn every_command_is_offered() {
    let [v6pod, _] = programs();
    for (shell, ask) in SHELLS {
        let text = ask("v6pod", "v6pod ");
        for command in shown(&v6pod) {
            assert!(
                offers(&text, command.get_name()),
                "{shell} does not offer {}\n{text}",
                command.get_name()
            );
        }
        assert!(!offers(&text, "no-such-command"), "{text}");
    }
}

#[test]
fn options_and_their_values_are_offered() {
    for (shell, ask) in SHELLS {
        for (program, line, wanted, unwanted) in [
            ("v6pod", "v6pod history --", &["--at", "--limit", "--json"][..], "--purge"),
            ("v6pod", "v6pod cleanup --", &["--all", "--purge", "--dry-run"], "--limit"),
            ("v6pod", "v6pod setup ", &["podman", "hook", "docker"], "history"),
            ("v6pod", "v6pod attach --no", &["--no-default-route"], "--network"),
            ("v6podd", "v6podd --", &["--config", "--check-config", "--cleanup", "--log"], "--at"),
        ] {
            let text = ask(program, line);
            // One that is alone is written to its end, and zsh shows it there.
            let text = text.replace(line, &format!("{line} "));
            for word in wanted {
                let alone = wanted.len() == 1 && text.replace(' ', "").contains("default-route");
                assert!(offers(&text, word) || alone, "{shell} does not offer {word} after {line:?}\n{text}");
            }
            assert!(!offers(&text, unwanted), "{shell} offers {unwanted} after {line:?}\n{text}");
        }
    }
}
