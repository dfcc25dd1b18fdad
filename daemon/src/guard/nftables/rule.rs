//! Tables, sets, chains and rules of nf_tables, as far as the guard needs them, and their form on the wire
//! (linux/netfilter/nf_tables.h).
//!
//! A [`Rule`] is a list of tests that all have to hold, and what then becomes of the packet. Each test
//! loads fields of the packet into registers from the first one on and compares them or looks them up.

use super::wire::{Attributes, Batch, Family};

// Attributes, in the order of the kernel's header.
const EXPR_NAME: i32 = 1;
const EXPR_DATA: i32 = 2;
const LIST_ELEM: i32 = 1;
const DATA_VALUE: i32 = 1;
const DATA_VERDICT: i32 = 2;
const VERDICT_CODE: i32 = 1;
const VERDICT_CHAIN: i32 = 2;
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
const SET_TABLE: i32 = 1;
const SET_NAME: i32 = 2;
const SET_FLAGS: i32 = 3;
const SET_KEY_TYPE: i32 = 4;
const SET_KEY_LEN: i32 = 5;
const SET_DATA_TYPE: i32 = 6;
const SET_DATA_LEN: i32 = 7;
const SET_ID: i32 = 10;
const SET_USERDATA: i32 = 13;
const ELEM_KEY: i32 = 1;
const ELEM_DATA: i32 = 2;
const ELEM_LIST_TABLE: i32 = 1;
const ELEM_LIST_SET: i32 = 2;
const ELEM_LIST_ELEMENTS: i32 = 3;

/// The first of the registers of 32 bits.
const REGISTER: u32 = 8; // NFT_REG32_00
/// The one for verdicts.
const VERDICT_REGISTER: u32 = 0; // NFT_REG_VERDICT
/// NFT_META_MARK.
const MARK: u32 = 3;
/// A list has to fit an attribute's 16-bit length: a message takes elements up to this many octets.
const LIST: usize = 32 << 10;

/// What the kernel does with a packet that a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Drops it.
    Drop,
    /// Lets it pass, as far as this hook goes.
    Accept,
    /// Goes back to where the chain was jumped to from.
    Return,
    /// Goes through another chain and comes back.
    Jump(&'static str),
    /// Goes through another chain.
    Goto(&'static str),
}

impl Verdict {
    fn write(self, data: &mut Attributes<'_>) {
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
}

/// A field of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The name of the link it came in by (at a bridge: the port).
    In,
    /// The name of the link it goes out by (at a bridge: the port).
    Out,
    /// Of the packet itself, IPv4 or IPv6, in the inet family.
    Version,
    /// What is in the frame: the type behind a VLAN's tag.
    Content,
    /// The source MAC.
    EtherSource,
    /// The type of the frame as it stands behind the source MAC, a VLAN's tag too.
    EtherType,
    /// The IPv6 source.
    Source,
    /// The IPv6 destination.
    Destination,
    /// The header that directly follows the IPv6 header.
    NextHeader,
    /// The protocol behind all extension headers.
    Protocol,
    /// The type of an ICMPv6 message.
    IcmpType,
    /// The target of a neighbour solicitation or advertisement.
    Target,
    /// The source port.
    SourcePort,
    /// What follows the fragment header. No fragment header: the test fails.
    FragmentNext,
    /// The fragment's offset and flags. No fragment header: the test fails.
    FragmentOffset,
    /// Whether there is a routing header, 1 or 0.
    Routing,
    /// The packet's mark, which holds a number from one rule to the next.
    Mark,
}

/// Where a field is.
enum Place {
    Meta(u32),
    Payload { base: u32, offset: u32 },
    Header { kind: u8, offset: u32, present: bool },
}

impl Field {
    fn place(self) -> Place {
        const LINK: u32 = 0;
        const NETWORK: u32 = 1;
        const TRANSPORT: u32 = 2;
        match self {
            Self::Mark => Place::Meta(MARK),
            Self::In => Place::Meta(6),
            Self::Out => Place::Meta(7),
            Self::Content => Place::Meta(1),
            Self::Version => Place::Meta(15),
            Self::Protocol => Place::Meta(16),
            Self::EtherSource => Place::Payload { base: LINK, offset: 6 },
            Self::EtherType => Place::Payload { base: LINK, offset: 12 },
            Self::NextHeader => Place::Payload { base: NETWORK, offset: 6 },
            Self::Source => Place::Payload { base: NETWORK, offset: 8 },
            Self::Destination => Place::Payload { base: NETWORK, offset: 24 },
            Self::IcmpType | Self::SourcePort => Place::Payload { base: TRANSPORT, offset: 0 },
            Self::Target => Place::Payload { base: TRANSPORT, offset: 8 },
            Self::FragmentNext => Place::Header { kind: 44, offset: 0, present: false },
            Self::FragmentOffset => Place::Header { kind: 44, offset: 2, present: false },
            Self::Routing => Place::Header { kind: 43, offset: 0, present: true },
        }
    }

    /// Its length in octets.
    fn length(self) -> u32 {
        match self {
            Self::In | Self::Out | Self::Source | Self::Destination | Self::Target => 16,
            Self::EtherSource => 6,
            Self::Mark => 4,
            Self::Content | Self::EtherType | Self::SourcePort | Self::FragmentOffset => 2,
            Self::Version
            | Self::NextHeader
            | Self::Protocol
            | Self::IcmpType
            | Self::FragmentNext
            | Self::Routing => 1,
        }
    }

    /// Its length in registers and in a set's key.
    fn padded(self) -> u32 {
        self.length().next_multiple_of(4)
    }

    /// What nft(8) calls its type; the kernel only keeps the number for it (nft's datatype.h).
    fn kind(self) -> u32 {
        match self {
            Self::Source | Self::Destination | Self::Target => 8,
            Self::EtherSource => 9,
            Self::Content | Self::EtherType => 10,
            Self::NextHeader | Self::Protocol | Self::FragmentNext => 12,
            Self::SourcePort => 13,
            Self::Mark => 19,
            Self::IcmpType => 29,
            Self::In | Self::Out => 41,
            Self::Version => 2,
            Self::FragmentOffset => 4,
            Self::Routing => 39,
        }
    }

    fn load(self, expressions: &mut Attributes<'_>, register: u32) {
        match self.place() {
            Place::Meta(key) => expression(expressions, "meta", |meta| {
                meta.number(1, register);
                meta.number(2, key);
            }),
            Place::Payload { base, offset } => expression(expressions, "payload", |payload| {
                payload.number(1, register);
                payload.number(2, base);
                payload.number(3, offset);
                payload.number(4, self.length());
            }),
            Place::Header { kind, offset, present } => expression(expressions, "exthdr", |header| {
                header.number(1, register);
                header.octets(2, &[kind]);
                header.number(3, offset);
                header.number(4, self.length());
                header.number(5, u32::from(present));
            }),
        }
    }

    fn load_masked(self, expressions: &mut Attributes<'_>, mask: &[u8]) {
        self.load(expressions, REGISTER);
        expression(expressions, "bitwise", |bitwise| {
            bitwise.number(1, REGISTER);
            bitwise.number(2, REGISTER);
            bitwise.number(3, self.length());
            bitwise.nest(4, |data| data.octets(DATA_VALUE, mask));
            bitwise.nest(5, |data| data.octets(DATA_VALUE, &vec![0; mask.len()]));
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
    /// The fields, one behind the other, are in a set.
    In(Vec<Field>, &'static str),
    /// They are not.
    Absent(Vec<Field>, &'static str),
}

impl Test {
    fn write(&self, expressions: &mut Attributes<'_>) {
        const EQUAL: u32 = 0;
        const UNEQUAL: u32 = 1;
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
    let mut register = REGISTER;
    for field in fields {
        field.load(expressions, register);
        register += field.padded() / 4;
    }
    expression(expressions, "lookup", |lookup| {
        lookup.text(1, set);
        lookup.number(2, REGISTER);
        if inverted {
            lookup.number(5, 1);
        }
    });
}

fn expression(list: &mut Attributes<'_>, name: &str, fill: impl FnOnce(&mut Attributes<'_>)) {
    list.nest(LIST_ELEM, |element| {
        element.text(EXPR_NAME, name);
        element.nest(EXPR_DATA, fill);
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
    MarkOf(Field, &'static str),
    /// What a map of verdicts has for a field; nothing for what is not in it.
    Map(Field, &'static str),
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
    fn write(&self, expressions: &mut Attributes<'_>) {
        for test in &self.tests {
            test.write(expressions);
        }
        match self.then {
            Then::Do(verdict) => verdict_now(expressions, verdict),
            Then::Count(verdict) => {
                expression(expressions, "counter", |_| {});
                verdict_now(expressions, verdict);
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
                    verdict_now(expressions, verdict);
                }
            }
            Then::MarkOf(field, map) => {
                field.load(expressions, REGISTER);
                give(expressions, map, REGISTER);
                set_mark(expressions);
            }
        }
    }
}

fn verdict_now(expressions: &mut Attributes<'_>, verdict: Verdict) {
    expression(expressions, "immediate", |immediate| {
        immediate.number(1, VERDICT_REGISTER);
        immediate.nest(2, |data| verdict.write(data));
    });
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

/// What a map gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// A verdict.
    Verdicts,
    /// A mark.
    Marks,
}

/// A set, or a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name, unique in its table.
    pub name: &'static str,
    /// What it holds, one behind the other.
    pub key: Vec<Field>,
    /// What it gives; none: it is a set.
    pub gives: Option<Gives>,
    /// What it holds for good. Nothing: elements come and go.
    pub constant: Vec<Key>,
}

impl Set {
    fn write(&self, batch: &mut Batch, table: &Table, id: u32) {
        const CONSTANT: u32 = 2;
        const MAP: u32 = 8;
        const VERDICTS: u32 = 0xffff_ff00; // NFT_DATA_VERDICT
        let kind = self.key.iter().fold(0, |kind, field| kind << 6 | field.kind());
        // One field alone stands in the set with its own length.
        let length = match self.key[..] {
            [field] => field.length(),
            _ => self.key.iter().map(|field| field.padded()).sum(),
        };
        let constant = if self.constant.is_empty() { 0 } else { CONSTANT };
        batch.add(libc::NFT_MSG_NEWSET, table.family, libc::NLM_F_CREATE, |set| {
            set.text(SET_TABLE, table.name);
            set.text(SET_NAME, self.name);
            set.number(SET_FLAGS, constant | self.gives.map_or(0, |_| MAP));
            set.number(SET_KEY_TYPE, kind);
            set.number(SET_KEY_LEN, length);
            match self.gives {
                Some(Gives::Verdicts) => set.number(SET_DATA_TYPE, VERDICTS),
                Some(Gives::Marks) => {
                    set.number(SET_DATA_TYPE, Field::Mark.kind());
                    set.number(SET_DATA_LEN, Field::Mark.length());
                }
                None => {}
            }
            set.number(SET_ID, id);
            set.octets(SET_USERDATA, &self.orders());
        });
        let constant: Vec<_> = self.constant.iter().map(|key| Element::new(self.name, key.clone())).collect();
        Element::write_all(
            &constant.iter().collect::<Vec<_>>(),
            Change::Add,
            batch,
            table.family,
            table.name,
        );
    }
}

impl Set {
    /// In which order nft(8) shall read numbers and names: for it alone, in its own form, which is a kind,
    /// a length, and a value (libnftnl's udata.h).
    fn orders(&self) -> Vec<u8> {
        const KEY: u8 = 0; // NFTNL_UDATA_SET_KEYBYTEORDER
        const DATA: u8 = 1; // NFTNL_UDATA_SET_DATABYTEORDER
        const HOST: u32 = 1;
        const BIG: u32 = 2;
        let key = if matches!(self.key[..], [Field::In | Field::Out | Field::Mark]) { HOST } else { BIG };
        let mut orders = vec![KEY, 4];
        orders.extend_from_slice(&key.to_ne_bytes());
        if self.gives == Some(Gives::Marks) {
            orders.extend_from_slice(&[DATA, 4]);
            orders.extend_from_slice(&HOST.to_ne_bytes());
        }
        orders
    }
}

/// The key of an element: values one behind the other, each padded to a register's length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// A value in the packet's own order of octets.
    pub fn octets(mut self, value: &[u8]) -> Self {
        let is_first = self.0.is_empty();
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self.0.extend_from_slice(value);
        // One value alone is not padded.
        if !is_first {
            self.0.resize(self.0.len().next_multiple_of(4), 0);
        }
        self
    }

    /// The name of a link.
    pub fn link(self, name: &str) -> Self {
        let mut padded = [0; 16];
        padded.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
        self.octets(&padded)
    }

    /// A number as registers have it.
    pub fn number(self, value: u32) -> Self {
        self.octets(&value.to_ne_bytes())
    }
}

/// What a map's element gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// A verdict.
    Verdict(Verdict),
    /// A mark.
    Mark(u32),
}

/// An element of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The set.
    pub set: &'static str,
    key: Key,
    given: Option<Given>,
}

/// What to do with elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Add them. Those there are stay.
    Add,
    /// Remove them. If one is not there, none are removed.
    Remove,
}

impl Element {
    /// Of a set.
    pub fn new(set: &'static str, key: Key) -> Self {
        Self { set, key, given: None }
    }

    /// Of a map.
    pub fn mapped(set: &'static str, key: Key, given: Given) -> Self {
        Self { set, key, given: Some(given) }
    }

    /// Writes what says which element it is: for `NFT_MSG_GETSETELEM`.
    pub fn name(&self, table: &str, message: &mut Attributes<'_>) {
        message.text(ELEM_LIST_TABLE, table);
        message.text(ELEM_LIST_SET, self.set);
        message.nest(ELEM_LIST_ELEMENTS, |list| self.write(list, false));
    }

    fn write(&self, list: &mut Attributes<'_>, with_data: bool) {
        list.nest(LIST_ELEM, |element| {
            element.nest(ELEM_KEY, |data| {
                let Key(octets) = &self.key;
                data.octets(DATA_VALUE, octets);
            });
            match self.given.filter(|_| with_data) {
                Some(Given::Verdict(verdict)) => element.nest(ELEM_DATA, |data| verdict.write(data)),
                Some(Given::Mark(mark)) => {
                    element.nest(ELEM_DATA, |data| data.octets(DATA_VALUE, &mark.to_ne_bytes()));
                }
                None => {}
            }
        });
    }

    /// Adds or removes elements of one set.
    pub fn write_all(elements: &[&Self], change: Change, batch: &mut Batch, family: Family, table: &str) {
        let (message, flags) = match change {
            Change::Add => (libc::NFT_MSG_NEWSETELEM, libc::NLM_F_CREATE),
            Change::Remove => (libc::NFT_MSG_DELSETELEM, 0),
        };
        let mut rest = elements.iter().peekable();
        while let Some(first) = rest.peek() {
            let set = first.set;
            batch.add(message, family, flags, |elements| {
                elements.text(ELEM_LIST_TABLE, table);
                elements.text(ELEM_LIST_SET, set);
                let full = elements.len() + LIST;
                elements.nest(ELEM_LIST_ELEMENTS, |list| {
                    while let Some(element) = rest.next_if(|next| next.set == set && list.len() < full) {
                        element.write(list, true);
                    }
                });
            });
        }
    }
}

/// A list of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name, unique in its table.
    pub name: &'static str,
    /// Where packets come to it by themselves: the hook's number and the priority. The policy is to accept.
    pub hook: Option<(u32, i32)>,
    /// In their order.
    pub rules: Vec<Rule>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its family.
    pub family: Family,
    /// Its name.
    pub name: &'static str,
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

    /// Has it removed, whether it is there or not.
    pub fn remove(family: Family, name: &str, batch: &mut Batch) {
        let table = |table: &mut Attributes<'_>| {
            table.text(TABLE_NAME, name);
        };
        batch.add(libc::NFT_MSG_NEWTABLE, family, libc::NLM_F_CREATE, |message| {
            table(message);
            message.number(TABLE_FLAGS, 0);
        });
        batch.add(libc::NFT_MSG_DELTABLE, family, 0, table);
    }

    /// Has it made anew, in place of one that may be there.
    pub fn write(&self, batch: &mut Batch) {
        const ACCEPT: u32 = 1;
        Self::remove(self.family, self.name, batch);
        batch.add(libc::NFT_MSG_NEWTABLE, self.family, libc::NLM_F_CREATE, |table| {
            table.text(TABLE_NAME, self.name);
            table.number(TABLE_FLAGS, 0);
        });
        for (chain, hook) in self.chains.iter().map(|chain| (chain, chain.hook)) {
            batch.add(libc::NFT_MSG_NEWCHAIN, self.family, libc::NLM_F_CREATE, |message| {
                message.text(CHAIN_TABLE, self.name);
                message.text(CHAIN_NAME, chain.name);
                if let Some((number, priority)) = hook {
                    message.nest(CHAIN_HOOK, |hook| {
                        hook.number(HOOK_NUMBER, number);
                        hook.octets(HOOK_PRIORITY, &priority.to_be_bytes());
                    });
                    message.text(CHAIN_TYPE, "filter");
                    message.number(CHAIN_POLICY, ACCEPT);
                }
            });
        }
        for (set, id) in self.sets.iter().zip(1..) {
            set.write(batch, self, id);
        }
        for chain in &self.chains {
            for rule in &chain.rules {
                let flags = libc::NLM_F_CREATE | libc::NLM_F_APPEND;
                batch.add(libc::NFT_MSG_NEWRULE, self.family, flags, |message| {
                    message.text(RULE_TABLE, self.name);
                    message.text(RULE_CHAIN, chain.name);
                    message.nest(RULE_EXPRESSIONS, |expressions| rule.write(expressions));
                });
            }
        }
    }
}
