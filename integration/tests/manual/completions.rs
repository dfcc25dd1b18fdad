//! The completions, as clap_complete writes them.

use clap_complete::{Shell, generate};

use crate::{agrees, programs};

/// Each shell's file: what stands before and after the program's name.
const FILES: [(Shell, &str, &str); 3] =
    [(Shell::Bash, "", ".bash"), (Shell::Zsh, "_", ""), (Shell::Fish, "", ".fish")];

#[test]
fn completions_are_what_the_programs_take() {
    for mut program in programs() {
        let name = program.get_name().to_owned();
        for (shell, before, after) in FILES {
            let mut text = Vec::new();
            generate(shell, &mut program, &name, &mut text);
            let text = String::from_utf8(text).expect("UTF-8");
            let text = if shell == Shell::Fish { text + &values_in_fish(&program) } else { text };
            let text: String = text.lines().map(|line| format!("{}\n", line.trim_end())).collect();
            agrees(&format!("packaging/completions/{before}{name}{after}"), &text);
        }
    }
}

/// The values of positional arguments, which clap_complete leaves out for fish.
fn values_in_fish(program: &clap::Command) -> String {
    let name = program.get_name();
    let mut out = String::new();
    for command in program.get_subcommands() {
        for argument in command.get_positionals() {
            let values: Vec<_> =
                argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
            if !values.is_empty() {
                let (seen, values) = (command.get_name(), values.join(" "));
                out += &format!(
                    "complete -c {name} -n \"__fish_{name}_using_subcommand {seen}\" -f -a \"{values}\"\n"
                );
            }
        }
    }
    out
}
