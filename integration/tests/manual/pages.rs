//! The pages. Their hand-written parts are in packaging/man/source; a line `@NAME@` there is replaced.

use clap::{Arg, ArgAction, Command};

use crate::{
    agrees, keys, programs, read,
    roff::{bold, escape, italic, item, text},
    stand_in,
};

/// A page and what is put into it.
fn page(name: &str, parts: &[(&str, String)]) -> String {
    let source = read(&format!("packaging/man/source/{name}"));
    let mut out =
        format!(".\\\" Written by make manual from packaging/man/source/{name}: change that one.\n");
    for line in source.lines() {
        match line.strip_prefix('@').and_then(|line| line.strip_suffix('@')) {
            None => out.push_str(&format!("{line}\n")),
            Some(wanted) => {
                let part = parts.iter().find(|(known, _)| *known == wanted);
                out.push_str(&part.unwrap_or_else(|| panic!("{name}: there is no part {wanted}")).1);
            }
        }
    }
    for (part, _) in parts {
        assert!(source.contains(&format!("@{part}@")), "{name} has no place for {part}");
    }
    out.replace("@version@", env!("CARGO_PKG_VERSION"))
}

pub const PAGES: [&str; 4] = ["v6pod.1", "v6podd.8", "v6podd.toml.5", "v6pod-slirp4netns.1"];

/// What is to stand in a page.
pub fn wanted(name: &str) -> String {
    let [v6pod, v6podd] = programs();
    let parts = match name {
        "v6pod.1" => vec![("COMMANDS", commands(&v6pod)), ("OPTIONS", options(&v6pod, true))],
        "v6podd.8" => vec![("OPTIONS", options(&v6podd, true))],
        "v6podd.toml.5" => vec![("KEYS", keys::section())],
        _ => vec![("OPTIONS", stand_in::section())],
    };
    page(name, &parts)
}

fn commands(program: &Command) -> String {
    let of = |command: &Command| {
        let mut out = format!(".SS {}\n", synopsis(command));
        let about = command.get_long_about().or(command.get_about()).map(ToString::to_string);
        out.push_str(&paragraphs(&about.unwrap_or_default()));
        let aliases: Vec<_> = command.get_visible_aliases().map(bold).collect();
        if !aliases.is_empty() {
            out.push_str(&format!(".PP\nAlso called {}.\n", aliases.join(", ")));
        }
        out.push_str(&options(command, false));
        if let Some(notes) = command.get_after_help() {
            out.push_str(&format!(".PP\n.nf\n{}\n.fi\n", text(&notes.to_string())));
        }
        out
    };
    shown(program).map(of).collect()
}

/// The commands that are in --help.
pub fn shown(program: &Command) -> impl Iterator<Item = &Command> {
    program.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

fn synopsis(command: &Command) -> String {
    let mut words = vec![bold(command.get_name())];
    for argument in command.get_arguments().filter(|argument| is_own(argument)) {
        let spelled = spelled(argument);
        let many =
            if argument.get_num_args().is_some_and(|count| count.max_values() > 1) { "..." } else { "" };
        let spelled = if argument.is_last_set() { format!("\\-\\- {spelled}") } else { spelled };
        words.push(if argument.is_required_set() {
            format!("{spelled}{many}")
        } else {
            format!("[{spelled}{many}]")
        });
    }
    words.join(" ")
}

/// An argument as it is typed.
fn spelled(argument: &Arg) -> String {
    let values: Vec<_> =
        argument.get_value_names().unwrap_or_default().iter().map(|name| italic(name)).collect();
    let takes = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    let value = if takes && !values.is_empty() { values.join(" ") } else { String::new() };
    let Some(long) = argument.get_long() else { return value };
    let short =
        argument.get_short().map(|short| format!("{}, ", bold(&format!("-{short}")))).unwrap_or_default();
    let equals = if value.is_empty() { "" } else { " " };
    format!("{short}{}{equals}{value}", bold(&format!("--{long}")))
}

/// Not one that every command takes.
fn is_own(argument: &Arg) -> bool {
    !argument.is_hide_set()
        && !argument.is_global_set()
        && !matches!(argument.get_id().as_str(), "help" | "version")
}

/// What a program or a command takes.
fn options(command: &Command, whole: bool) -> String {
    let arguments =
        command.get_arguments().filter(|argument| !argument.is_hide_set() && (whole || is_own(argument)));
    arguments.map(|argument| item(&spelled(argument), &meaning(argument))).collect()
}

fn meaning(argument: &Arg) -> String {
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut sentences = vec![text(&help.replace("\n\n", "\n"))];
    let defaults: Vec<_> =
        argument.get_default_values().iter().map(|value| escape(&value.to_string_lossy())).collect();
    if !defaults.is_empty() && matches!(argument.get_action(), ArgAction::Set) {
        sentences.push(format!("[default: {}]", defaults.join(" ")));
    }
    if let Some(variable) = argument.get_env() {
        sentences.push(format!("[environment: {}]", bold(&variable.to_string_lossy())));
    }
    let mut out = sentences.join("\n");
    let values = argument.get_possible_values();
    if matches!(argument.get_action(), ArgAction::Set) && values.len() > 1 {
        out.push_str("\n.RS");
        for value in values {
            let help = value.get_help().map(ToString::to_string).unwrap_or_default();
            out.push_str(&format!("\n.TP\n{}\n{}", bold(value.get_name()), text(&help)));
        }
        out.push_str("\n.RE");
    }
    out
}

fn paragraphs(plain: &str) -> String {
    plain.split("\n\n").map(|one| format!("{}\n", text(one))).collect::<Vec<_>>().join(".PP\n")
}

#[test]
fn pages_are_what_the_programs_take() {
    for name in PAGES {
        agrees(&format!("packaging/man/{name}"), &wanted(name));
    }
}

#[test]
fn every_option_and_command_stands_in_its_page() {
    for (program, name) in programs().iter().zip(["v6pod.1", "v6podd.8"]) {
        let page = read(&format!("packaging/man/{name}"));
        let mut commands = vec![program];
        commands.extend(shown(program));
        for command in commands {
            if command.get_name() != program.get_name() {
                assert!(
                    page.contains(&format!(".SS {}", bold(command.get_name()))),
                    "{name}: {}",
                    command.get_name()
                );
            }
            for long in
                command.get_arguments().filter(|argument| !argument.is_hide_set()).filter_map(Arg::get_long)
            {
                assert!(page.contains(&bold(&format!("--{long}"))), "{name}: --{long} is missing");
            }
        }
    }
}

#[test]
fn man_groff_and_mandoc_have_nothing_to_say() {
    for name in PAGES {
        let path = crate::file(&format!("packaging/man/{name}"));
        let path = path.to_str().expect("a path in UTF-8");
        let man = format!(
            "LC_ALL=C.UTF-8 MANROFFSEQ= MANWIDTH=80 man --warnings=w -E UTF-8 -l -Tutf8 -Z '{path}' >/dev/null"
        );
        let groff = format!("groff -ww -b -man -Tutf8 -z '{path}'");
        let mandoc = format!("mandoc -Tlint -Wwarning '{path}'");
        for command in [man, groff, mandoc] {
            let output = std::process::Command::new("sh").args(["-c", &command]).output().expect("sh");
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).trim().to_owned();
            assert!(output.status.success() && said.is_empty(), "{command}: {}\n{said}", output.status);
        }
        // And so that a mistake would be seen.
        let shown = std::process::Command::new("sh")
            .args(["-c", &format!("mandoc -Tutf8 '{path}' | col -bx")])
            .output();
        let shown = String::from_utf8(shown.expect("sh").stdout).expect("UTF-8");
        for part in ["NAME", "SYNOPSIS", "DESCRIPTION", "SEE ALSO"] {
            assert!(shown.lines().any(|line| line == part), "{name} has no {part}");
        }
        assert!(!shown.contains('@') || name != "v6pod.1", "{name}: something was not filled in");
    }
}
