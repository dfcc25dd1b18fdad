//! A rule: tests that all have to hold, and what then becomes of the packet.
//!
//! Each test loads fields into registers from the first one on, and compares them or looks them up.

use std::borrow::Cow;

use super::{
    field::{DATA_VALUE, Field, MARK, REGISTER, expression, load_all},
    wire::Attributes,
};

/// The name of a chain or a set.
pub type Name = Cow<'static, str>;

/// The register for verdicts.
const VERDICT_REGISTER: u32 = 0; // NFT_REG_VERDICT
const DATA_VERDICT: i32 = 2;
const VERDICT_CODE: i32 = 1;
const VERDICT_CHAIN: i32 = 2;

/// What the kernel does with a packet that a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Drops it.
    Drop,
    /// Lets it pass, as far as this hook goes.
    Accept,
    /// Goes back to where the chain was jumped to from.
    Return,
    /// Goes through another chain and comes back.
    Jump(Name),
    /// Goes through another chain.
    Goto(Name),
}

impl Verdict {
    /// As data of an expression or an element.
    pub fn write(&self, data: &mut Attributes<'_>) {
        let (code, chain) = match self {
            Self::Drop => (0, None),
            Self::Accept => (1, None),
            Self::Jump(chain) => (libc::NFT_JUMP, Some(chain)),
            Self::Goto(chain) => (libc::NFT_GOTO, Some(chain)),
            Self::Return => (libc::NFT_RETURN, None),
        };
        data.nest(DATA_VERDICT, |verdict| {
            verdict.octets(VERDICT_CODE, &code.to_be_bytes());
            if let Some(chain) = chain {
                verdict.text(VERDICT_CHAIN, chain);
            }
        });
    }

    fn append(&self, expressions: &mut Attributes<'_>) {
        expression(expressions, "immediate", |immediate| {
            immediate.number(1, VERDICT_REGISTER);
            immediate.nest(2, |data| self.write(data));
        });
    }
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// The field begins with these octets; with all of its own it is equal.
    Is(Field, Vec<u8>),
    /// It does not.
    Not(Field, Vec<u8>),
    /// The bits of the mask are these.
    Masked(Field, Vec<u8>, Vec<u8>),
    /// They are not.
    NotMasked(Field, Vec<u8>, Vec<u8>),
    /// It is between these two, or one of them.
    Between(Field, Vec<u8>, Vec<u8>),
    /// The fields, one behind the other, are in a set.
    In(Vec<Field>, Name),
    /// They are not.
    Absent(Vec<Field>, Name),
}

impl Test {
    fn write(&self, expressions: &mut Attributes<'_>) {
        const EQUAL: u32 = 0;
        const UNEQUAL: u32 = 1;
        const AT_MOST: u32 = 3;
        const AT_LEAST: u32 = 5;
        match self {
            Self::Is(field, value) => {
                field.load(expressions, REGISTER);
                compare(expressions, EQUAL, value);
            }
            Self::Not(field, value) => {
                field.load(expressions, REGISTER);
                compare(expressions, UNEQUAL, value);
            }
            Self::Masked(field, mask, value) => {
                field.load_masked(expressions, mask);
                compare(expressions, EQUAL, value);
            }
            Self::NotMasked(field, mask, value) => {
                field.load_masked(expressions, mask);
                compare(expressions, UNEQUAL, value);
            }
            Self::Between(field, first, last) => {
                field.load(expressions, REGISTER);
                compare(expressions, AT_LEAST, first);
                compare(expressions, AT_MOST, last);
            }
            Self::In(fields, set) => look_up(expressions, fields, set, false),
            Self::Absent(fields, set) => look_up(expressions, fields, set, true),
        }
    }
}

fn compare(expressions: &mut Attributes<'_>, operation: u32, value: &[u8]) {
    expression(expressions, "cmp", |cmp| {
        cmp.number(1, REGISTER);
        cmp.number(2, operation);
        cmp.nest(3, |data| data.octets(DATA_VALUE, value));
    });
}

fn look_up(expressions: &mut Attributes<'_>, fields: &[Field], set: &str, inverted: bool) {
    load_all(fields, expressions);
    expression(expressions, "lookup", |lookup| {
        lookup.text(1, set);
        lookup.number(2, REGISTER);
        if inverted {
            lookup.number(5, 1);
        }
    });
}

/// What becomes of packets for which all tests hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// This.
    Do(Verdict),
    /// This, and it is counted.
    Count(Verdict),
    /// Its mark is set, and then this.
    Mark(u32, Option<Verdict>),
    /// Its mark is set to what a map has for a field; it stays as it is if the field is not in there.
    MarkOf(Field, Name),
    /// What a map of verdicts has for a field; nothing for what is not in it.
    Map(Field, Name),
    /// The fields are in a set for so many milliseconds from now on, and it is accepted. If the set is full,
    /// nothing.
    Remember(Vec<Field>, Name, u64),
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// All have to hold.
    pub tests: Vec<Test>,
    /// Then this.
    pub then: Then,
}

impl Rule {
    /// As a list of expressions.
    pub fn write(&self, expressions: &mut Attributes<'_>) {
        for test in &self.tests {
            test.write(expressions);
        }
        match &self.then {
            Then::Do(verdict) => verdict.append(expressions),
            Then::Count(verdict) => {
                expression(expressions, "counter", |_| {});
                verdict.append(expressions);
            }
            Then::Map(field, map) => {
                field.load(expressions, REGISTER);
                give(expressions, map, VERDICT_REGISTER);
            }
            Then::Mark(mark, verdict) => {
                expression(expressions, "immediate", |immediate| {
                    immediate.number(1, REGISTER);
                    immediate.nest(2, |data| data.octets(DATA_VALUE, &mark.to_ne_bytes()));
                });
                set_mark(expressions);
                if let Some(verdict) = verdict {
                    verdict.append(expressions);
                }
            }
            Then::MarkOf(field, map) => {
                field.load(expressions, REGISTER);
                give(expressions, map, REGISTER);
                set_mark(expressions);
            }
            Then::Remember(fields, set, milliseconds) => {
                const UPDATE: u32 = 1;
                load_all(fields, expressions);
                expression(expressions, "dynset", |update| {
                    update.text(1, set);
                    update.number(3, UPDATE);
                    update.number(4, REGISTER);
                    update.long(6, *milliseconds);
                });
                Verdict::Accept.append(expressions);
            }
        }
    }
}

fn give(expressions: &mut Attributes<'_>, map: &str, register: u32) {
    expression(expressions, "lookup", |lookup| {
        lookup.text(1, map);
        lookup.number(2, REGISTER);
        lookup.number(3, register);
    });
}

fn set_mark(expressions: &mut Attributes<'_>) {
    expression(expressions, "meta", |meta| {
        meta.number(2, MARK);
        meta.number(3, REGISTER);
    });
}
