//! Brings the programs' tables to what they have to be. No moment of it lets through more than what was
//! there before and what is to come both do: rules are put in before those are taken out whose place they take.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    program::{self, Listed, Program},
    rules::{Ruleset, Table},
};
use crate::guard::Error;

/// How closely rules are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Whether there are as many as there should be. It is what is asked every few seconds, and versions of
    /// ebtables write the same rule in different ways.
    Count,
    /// Whether each is as it should be, where rules are read as they were written: not those of ports, which
    /// are the most, and the same in all configurations.
    Text,
}

/// Makes the tables hold these rules, whatever is there; whether anything had to be changed.
///
/// # Errors
/// A program's. What was done until then stays.
pub fn agree(ruleset: &Ruleset, look: Look) -> Result<bool, Error> {
    let mut changed = false;
    for (program, table) in ruleset {
        changed |= agree_on(*program, table, look)?;
    }
    Ok(changed)
}

fn agree_on(program: Program, table: &Table, look: Look) -> Result<bool, Error> {
    let present = program.list()?;
    let wanted: BTreeSet<_> = table.chains.iter().map(|(name, _)| name).collect();
    let stray: Vec<_> =
        present.keys().filter(|name| program::is_ours(name) && !wanted.contains(name)).collect();
    // Somebody stopped half-way; a chain cannot go while a rule leads to it.
    let leads_astray = |rule: &String| stray.iter().any(|name| rule.ends_with(&format!("-j {name}")));
    let mut changed = false;
    for (name, rules) in &table.chains {
        let there = present.get(name);
        let is_right = there.is_some_and(|there| match look {
            Look::Text if program != program::BRIDGE_NAT => there == rules,
            _ => there.len() == rules.len() && !there.iter().any(leads_astray),
        });
        if !is_right {
            if there.is_none() {
                program.run(&format!("-N {name}"))?;
            }
            fill(program, name, rules, there.map_or(0, Vec::len))?;
            changed = true;
        }
    }
    changed |= hook(program, table, &present)?;
    remove_chains(program, &stray)?;
    Ok(changed || !stray.is_empty())
}

/// Writes rules into a chain, and then takes out as many as were there.
fn fill(program: Program, chain: &str, rules: &[String], before: usize) -> Result<(), Error> {
    for (rule, number) in rules.iter().zip(1..) {
        program.run(&format!("-I {chain} {number} {rule}"))?;
    }
    (0..before).try_for_each(|_| program.run(&format!("-D {chain} {}", rules.len() + 1)))
}

/// Makes the hooks the first rules of their chains, and the only ones that lead to ours.
fn hook(program: Program, table: &Table, present: &Listed) -> Result<bool, Error> {
    let mut changed = false;
    for (chain, there) in present.iter().filter(|(name, _)| !program::is_ours(name)) {
        let wanted: Vec<_> =
            table.hooks.iter().filter(|(from, _)| from == chain).map(|(_, rule)| rule).collect();
        let is_hook = |rule: &&String| program::leads_to_ours(rule);
        let is_right = there.iter().take(wanted.len()).eq(wanted.iter().copied())
            && there.iter().filter(is_hook).count() == wanted.len();
        if is_right {
            continue;
        }
        for (rule, number) in wanted.iter().zip(1..) {
            program.run(&format!("-I {chain} {number} {rule}"))?;
        }
        unhook(program, chain, there, wanted.len())?;
        changed = true;
    }
    Ok(changed)
}

/// Takes out the rules that lead to ours, of those that were there before so many were put in front.
fn unhook(program: Program, chain: &str, there: &[String], in_front: usize) -> Result<(), Error> {
    // From the last on, so that the numbers of the others stay.
    for (number, rule) in there.iter().enumerate().rev() {
        if program::leads_to_ours(rule) {
            program.run(&format!("-D {chain} {}", in_front + number + 1))?;
        }
    }
    Ok(())
}

fn remove_chains(program: Program, names: &[&String]) -> Result<(), Error> {
    // Some may lead to others.
    names.iter().try_for_each(|name| program.run(&format!("-F {name}")))?;
    names.iter().try_for_each(|name| program.run(&format!("-X {name}")))
}

/// Takes everything of ours out of a table.
///
/// # Errors
/// The program's.
pub fn clear(program: Program) -> Result<(), Error> {
    agree_on(program, &Table::default(), Look::Count).map(drop)
}

/// Goes from one ruleset that is in force to another.
///
/// # Errors
/// A program's. What was done until then stays.
pub fn change(old: &Ruleset, new: &Ruleset) -> Result<(), Error> {
    for (program, table) in new {
        let nothing = Table::default();
        change_table(*program, old.get(program).unwrap_or(&nothing), table)?;
    }
    Ok(())
}

fn change_table(program: Program, old: &Table, new: &Table) -> Result<(), Error> {
    let had: BTreeMap<_, _> = old.chains.iter().map(|(name, rules)| (name, rules)).collect();
    for (name, rules) in &new.chains {
        match had.get(name) {
            None => {
                program.run(&format!("-N {name}"))?;
                fill(program, name, rules, 0)?;
            }
            Some(before) => steps(before, rules).iter().try_for_each(|step| match step {
                Step::Insert(number, rule) => program.run(&format!("-I {name} {number} {rule}")),
                Step::Delete(number) => program.run(&format!("-D {name} {number}")),
            })?,
        }
    }
    if old.hooks != new.hooks {
        hook(program, new, &program.list()?)?;
    }
    let has: BTreeSet<_> = new.chains.iter().map(|(name, _)| name).collect();
    let gone: Vec<_> = had.into_keys().filter(|name| !has.contains(name)).collect();
    remove_chains(program, &gone)
}

/// One change of a chain; rules are counted from 1.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    Insert(usize, &'a str),
    Delete(usize),
}

/// How to make one list of rules another, of which no rule stands twice: first what comes, then what goes.
fn steps<'a>(old: &[String], new: &'a [String]) -> Vec<Step<'a>> {
    let kept: BTreeSet<_> = old.iter().collect();
    let stays: BTreeSet<_> = new.iter().collect();
    let mut now: Vec<&String> = old.iter().collect();
    let mut steps = Vec::new();
    let mut at = 0;
    for rule in new {
        if kept.contains(rule) {
            while now.get(at).is_some_and(|there| *there != rule) {
                at += 1;
            }
        } else {
            now.insert(at, rule);
            steps.push(Step::Insert(at + 1, rule));
        }
        at += 1;
    }
    for (number, rule) in now.iter().enumerate().rev() {
        if !stays.contains(*rule) {
            steps.push(Step::Delete(number + 1));
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn made(old: &str, new: &str) -> Vec<String> {
        let mut now = list(old);
        for step in steps(&list(old), &list(new)) {
            match step {
                Step::Insert(number, rule) => now.insert(number - 1, rule.to_owned()),
                Step::Delete(number) => drop(now.remove(number - 1)),
            }
        }
        now
    }

    #[test]
    fn one_list_becomes_the_other() {
        for (old, new) in [
            ("", "a b"),
            ("a b", ""),
            ("a c drop", "a b c drop"),
            ("a b c drop", "a c drop"),
            ("a b drop", "a x drop"),
            ("a b drop", "x y a drop"),
            ("p q drop", "drop"),
        ] {
            assert_eq!(made(old, new), list(new), "{old} to {new}");
        }
    }

    #[test]
    fn what_stays_is_not_touched_and_what_goes_goes_last() {
        let (old, new) = (list("a b drop"), list("a x drop"));
        assert_eq!(steps(&old, &new), [Step::Insert(2, "x"), Step::Delete(3)]);
        assert_eq!(steps(&old, &old), []);
    }
}
