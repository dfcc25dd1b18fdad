//! Sets, maps, and what is in them.

use super::{
    field::{DATA_VALUE, Field, LIST_ELEM},
    rule::{Name, Verdict},
    table::Place,
    wire::{Attributes, Batch, attributes},
};

const SET_TABLE: i32 = 1;
const SET_NAME: i32 = 2;
const SET_FLAGS: i32 = 3;
const SET_KEY_TYPE: i32 = 4;
const SET_KEY_LEN: i32 = 5;
const SET_DATA_TYPE: i32 = 6;
const SET_DATA_LEN: i32 = 7;
const SET_DESC: i32 = 9;
const SET_ID: i32 = 10;
const SET_USERDATA: i32 = 13;
const DESC_SIZE: i32 = 1;
const ELEM_KEY: i32 = 1;
const ELEM_DATA: i32 = 2;
const ELEM_TIMEOUT: i32 = 4;
const ELEM_EXPIRATION: i32 = 5;
const ELEM_LIST_TABLE: i32 = 1;
const ELEM_LIST_SET: i32 = 2;
const ELEM_LIST_ELEMENTS: i32 = 3;

/// A list has to fit an attribute's 16-bit length: a message takes elements up to this many octets.
const LIST: usize = 32 << 10;

/// What a set holds, and who puts it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Elements that we add and remove.
    Elements,
    /// These, for good.
    Constant(Vec<Key>),
    /// At most so many, which rules put there and time takes away.
    Remembered(u32),
    /// For each element a verdict.
    Verdicts,
    /// For each element a mark.
    Marks,
}

/// A set, or a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name, unique in its table.
    pub name: Name,
    /// What it holds, one behind the other.
    pub key: Vec<Field>,
    /// What that is.
    pub holds: Holds,
}

impl Set {
    /// Has it made. `id` is any number that no other set of the batch has.
    pub fn write(&self, batch: &mut Batch, table: Place, id: u32) {
        const VERDICTS: u32 = 0xffff_ff00; // NFT_DATA_VERDICT
        let kind = self.key.iter().fold(0, |kind, field| kind << 6 | field.kind());
        // One field alone stands in the set with its own length.
        let length = match self.key[..] {
            [field] => field.length(),
            _ => self.key.iter().map(|field| field.padded()).sum(),
        };
        batch.add(libc::NFT_MSG_NEWSET, table.family, libc::NLM_F_CREATE, |set| {
            set.text(SET_TABLE, table.name);
            set.text(SET_NAME, &self.name);
            set.number(SET_FLAGS, self.flags());
            set.number(SET_KEY_TYPE, kind);
            set.number(SET_KEY_LEN, length);
            match self.holds {
                Holds::Verdicts => set.number(SET_DATA_TYPE, VERDICTS),
                Holds::Marks => {
                    set.number(SET_DATA_TYPE, Field::Mark.kind());
                    set.number(SET_DATA_LEN, Field::Mark.length());
                }
                Holds::Remembered(most) => set.nest(SET_DESC, |desc| desc.number(DESC_SIZE, most)),
                Holds::Elements | Holds::Constant(_) => {}
            }
            set.number(SET_ID, id);
            set.octets(SET_USERDATA, &self.orders());
        });
        if let Holds::Constant(keys) = &self.holds {
            let elements: Vec<_> =
                keys.iter().map(|key| Element::new(self.name.clone(), key.clone())).collect();
            Element::write_all(&elements, Change::Add, batch, table);
        }
    }

    /// Has it removed. Nothing may refer to it any more.
    pub fn remove(name: &str, batch: &mut Batch, table: Place) {
        batch.add(libc::NFT_MSG_DELSET, table.family, 0, |set| {
            set.text(SET_TABLE, table.name);
            set.text(SET_NAME, name);
        });
    }

    fn flags(&self) -> u32 {
        const CONSTANT: u32 = 0x2;
        const MAP: u32 = 0x8;
        const TIMEOUT: u32 = 0x10;
        const EVAL: u32 = 0x20;
        match self.holds {
            Holds::Elements => 0,
            Holds::Constant(_) => CONSTANT,
            Holds::Remembered(_) => TIMEOUT | EVAL,
            Holds::Verdicts | Holds::Marks => MAP,
        }
    }

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
        if self.holds == Holds::Marks {
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

/// What an element has beside its key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Given {
    Nothing,
    Verdict(Verdict),
    Mark(u32),
    /// How much of its time is left, in milliseconds.
    Left(u64),
}

/// An element of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The set.
    pub set: Name,
    key: Key,
    given: Given,
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
    pub fn new(set: impl Into<Name>, key: Key) -> Self {
        Self { set: set.into(), key, given: Given::Nothing }
    }

    /// Of a map of verdicts.
    pub fn verdict(set: impl Into<Name>, key: Key, verdict: Verdict) -> Self {
        Self { set: set.into(), key, given: Given::Verdict(verdict) }
    }

    /// Of a map of marks.
    pub fn mark(set: impl Into<Name>, key: Key, mark: u32) -> Self {
        Self { set: set.into(), key, given: Given::Mark(mark) }
    }

    /// The elements that the kernel lists of a set that time takes elements from.
    pub fn read_all(set: &Name, list: &[u8]) -> Vec<Self> {
        let of =
            |octets, wanted| attributes(octets).find_map(|(kind, value)| (kind == wanted).then_some(value));
        attributes(list)
            .filter_map(|(_, element)| {
                let key = Key(of(of(element, ELEM_KEY)?, DATA_VALUE)?.to_vec());
                let left = u64::from_be_bytes(of(element, ELEM_EXPIRATION)?.try_into().ok()?);
                Some(Self { set: set.clone(), key, given: Given::Left(left) })
            })
            .collect()
    }

    /// Writes what says which element it is: for `NFT_MSG_GETSETELEM`.
    pub fn name(&self, table: &str, message: &mut Attributes<'_>) {
        of_set(table, &self.set, message);
        message.nest(ELEM_LIST_ELEMENTS, |list| {
            list.nest(LIST_ELEM, |element| self.write_key(element));
        });
    }

    fn write_key(&self, element: &mut Attributes<'_>) {
        element.nest(ELEM_KEY, |data| data.octets(DATA_VALUE, &self.key.0));
    }

    fn write(&self, list: &mut Attributes<'_>) {
        list.nest(LIST_ELEM, |element| {
            self.write_key(element);
            match &self.given {
                Given::Nothing => {}
                Given::Verdict(verdict) => element.nest(ELEM_DATA, |data| verdict.write(data)),
                Given::Mark(mark) => {
                    element.nest(ELEM_DATA, |data| data.octets(DATA_VALUE, &mark.to_ne_bytes()));
                }
                // Its whole time: the kernel refuses one that is less than what is left of it, although it
                // says such things itself (a rule that updates an element changes only what is left).
                Given::Left(left) => element.long(ELEM_TIMEOUT, (*left).max(1)),
            }
        });
    }

    /// Adds or removes elements. Those of one set should stand together.
    pub fn write_all(elements: &[Self], change: Change, batch: &mut Batch, table: Place) {
        let (message, flags) = match change {
            Change::Add => (libc::NFT_MSG_NEWSETELEM, libc::NLM_F_CREATE),
            Change::Remove => (libc::NFT_MSG_DELSETELEM, 0),
        };
        let mut rest = elements.iter().peekable();
        while let Some(set) = rest.peek().map(|first| &first.set) {
            batch.add(message, table.family, flags, |elements| {
                of_set(table.name, set, elements);
                let full = elements.len() + LIST;
                elements.nest(ELEM_LIST_ELEMENTS, |list| {
                    while let Some(element) = rest.next_if(|next| next.set == *set && list.len() < full) {
                        element.write(list);
                    }
                });
            });
        }
    }
}

/// The attribute with the elements in the kernel's answers.
pub const ELEMENTS: i32 = ELEM_LIST_ELEMENTS;

/// Writes which set a message is about: for a question about its elements.
pub fn of_set(table: &str, set: &str, message: &mut Attributes<'_>) {
    message.text(ELEM_LIST_TABLE, table);
    message.text(ELEM_LIST_SET, set);
}
