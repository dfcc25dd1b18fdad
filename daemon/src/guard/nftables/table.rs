//! Tables and chains.

use super::{
    rule::{Name, Rule},
    set::Set,
    wire::{Attributes, Batch, Family},
};

const TABLE_NAME: i32 = 1;
const TABLE_FLAGS: i32 = 2;
const CHAIN_TABLE: i32 = 1;
const CHAIN_NAME: i32 = 3;
const CHAIN_HOOK: i32 = 4;
const CHAIN_POLICY: i32 = 5;
const CHAIN_TYPE: i32 = 7;
const HOOK_NUMBER: i32 = 1;
const HOOK_PRIORITY: i32 = 2;
const RULE_TABLE: i32 = 1;
const RULE_CHAIN: i32 = 2;
const RULE_EXPRESSIONS: i32 = 4;

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its family.
    pub family: Family,
    /// Its name, unique in its family.
    pub name: &'static str,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let family = match self.family {
            Family::Bridge => "bridge",
            Family::Inet => "inet",
            Family::Any => "any",
        };
        write!(f, "{family} {}", self.name)
    }
}

/// A list of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name, unique in its table.
    pub name: Name,
    /// Where packets come to it by themselves: the hook's number and the priority. The policy is to accept.
    pub hook: Option<(u32, i32)>,
    /// In their order.
    pub rules: Vec<Rule>,
}

impl Chain {
    /// Has it made, without rules.
    pub fn write(&self, batch: &mut Batch, table: Place) {
        const ACCEPT: u32 = 1;
        batch.add(libc::NFT_MSG_NEWCHAIN, table.family, libc::NLM_F_CREATE, |message| {
            message.text(CHAIN_TABLE, table.name);
            message.text(CHAIN_NAME, &self.name);
            if let Some((number, priority)) = self.hook {
                message.nest(CHAIN_HOOK, |hook| {
                    hook.number(HOOK_NUMBER, number);
                    hook.octets(HOOK_PRIORITY, &priority.to_be_bytes());
                });
                message.text(CHAIN_TYPE, "filter");
                message.number(CHAIN_POLICY, ACCEPT);
            }
        });
    }

    /// Has its rules appended to those there are.
    pub fn write_rules(&self, batch: &mut Batch, table: Place) {
        for rule in &self.rules {
            let flags = libc::NLM_F_CREATE | libc::NLM_F_APPEND;
            batch.add(libc::NFT_MSG_NEWRULE, table.family, flags, |message| {
                message.text(RULE_TABLE, table.name);
                message.text(RULE_CHAIN, &self.name);
                message.nest(RULE_EXPRESSIONS, |expressions| rule.write(expressions));
            });
        }
    }

    /// Has all of its rules removed.
    pub fn flush(&self, batch: &mut Batch, table: Place) {
        batch.add(libc::NFT_MSG_DELRULE, table.family, 0, |message| {
            message.text(RULE_TABLE, table.name);
            message.text(RULE_CHAIN, &self.name);
        });
    }

    /// Has it removed, with its rules. Nothing may refer to it any more.
    pub fn remove(&self, batch: &mut Batch, table: Place) {
        self.flush(batch, table);
        batch.add(libc::NFT_MSG_DELCHAIN, table.family, 0, |message| {
            message.text(CHAIN_TABLE, table.name);
            message.text(CHAIN_NAME, &self.name);
        });
    }
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Which.
    pub place: Place,
    /// Its sets and maps.
    pub sets: Vec<Set>,
    /// Its chains.
    pub chains: Vec<Chain>,
}

impl Table {
    /// How many rules it has.
    pub fn rules(&self) -> usize {
        self.chains.iter().map(|chain| chain.rules.len()).sum()
    }

    /// Has a table removed, whether it is there or not.
    pub fn remove(place: Place, batch: &mut Batch) {
        Self::add(place, batch);
        batch.add(libc::NFT_MSG_DELTABLE, place.family, 0, |message| message.text(TABLE_NAME, place.name));
    }

    /// Writes which table a question is about.
    pub fn name(place: Place, message: &mut Attributes<'_>) {
        message.text(TABLE_NAME, place.name);
    }

    fn add(place: Place, batch: &mut Batch) {
        batch.add(libc::NFT_MSG_NEWTABLE, place.family, libc::NLM_F_CREATE, |message| {
            message.text(TABLE_NAME, place.name);
            message.number(TABLE_FLAGS, 0);
        });
    }

    /// Has it made anew, in place of one that may be there.
    pub fn write(&self, batch: &mut Batch) {
        Self::remove(self.place, batch);
        Self::add(self.place, batch);
        self.write_contents(batch, 1);
    }

    /// Has its contents made, in a table that is there. `id` is the first number that no set of the batch has.
    pub fn write_contents(&self, batch: &mut Batch, id: u32) {
        for chain in &self.chains {
            chain.write(batch, self.place);
        }
        for (set, id) in self.sets.iter().zip(id..) {
            set.write(batch, self.place, id);
        }
        for chain in &self.chains {
            chain.write_rules(batch, self.place);
        }
    }
}

/// Writes which table a message is about: for a question about its rules.
pub fn of_table(table: Place, message: &mut Attributes<'_>) {
    message.text(RULE_TABLE, table.name);
}
