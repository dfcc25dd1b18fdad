//! The form of a request to nf_tables: netlink(7) messages in a batch that the kernel carries out as a
//! whole or not at all (net/netfilter/nfnetlink.c, `nfnetlink_rcv_batch`).
//!
//! Numbers in attributes are big-endian, but the headers are the host's (linux/netfilter/nfnetlink.h).

const REQUEST: u16 = 1; // NLM_F_REQUEST
const ACK: u16 = 4; // NLM_F_ACK
/// `NLA_F_NESTED`, and the mask of the kind beside it.
const NESTED: u16 = 0x8000;
const KIND: u16 = 0x3fff;

/// The address family that a table belongs to: linux/netfilter.h, `NFPROTO_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Family {
    /// All, in questions.
    Any = 0,
    /// IPv4 and IPv6.
    Inet = 1,
    /// What a bridge forwards, gets and sends.
    Bridge = 7,
}

/// The kind of a message about nf_tables, `NFT_MSG_*`.
pub fn kind(message: i32) -> u16 {
    let low = u16::try_from(message).unwrap_or(u16::MAX) & 0xff;
    u16::try_from(libc::NFNL_SUBSYS_NFTABLES).unwrap_or(u16::MAX) << 8 | low
}

/// Messages that are carried out together.
pub struct Batch {
    octets: Vec<u8>,
    /// Of the message that begins it.
    first: u32,
    last: u32,
    /// Where the last message starts.
    start: usize,
}

impl Batch {
    /// An empty one, whose messages are numbered from here.
    pub fn new(first: u32) -> Self {
        let mut batch = Self { octets: Vec::with_capacity(4096), first, last: first, start: 0 };
        batch.frame(u16::try_from(libc::NFNL_MSG_BATCH_BEGIN).unwrap_or(u16::MAX), REQUEST);
        batch
    }

    /// The number of the message that begins it; what is wrong with the whole is answered to this one.
    pub fn first(&self) -> u32 {
        self.first
    }

    /// The number of the last message so far.
    pub fn last(&self) -> u32 {
        self.last
    }

    /// Adds a message. `flags` stand beside `NLM_F_REQUEST`.
    pub fn add(&mut self, message: i32, family: Family, flags: i32, fill: impl FnOnce(&mut Attributes<'_>)) {
        let flags = u16::try_from(flags).unwrap_or_default() | REQUEST;
        self.start = self.octets.len();
        self.last = self.last.wrapping_add(1);
        single(&mut self.octets, kind(message), flags, self.last, family, fill);
    }

    /// The octets to send. An acknowledgement of the last message is asked for. Without `commit` the kernel
    /// checks everything and then does nothing, because the batch has no end.
    pub fn finish(mut self, commit: bool) -> Vec<u8> {
        let flags = self.start + 6;
        let asked = u16::from_ne_bytes([self.octets[flags], self.octets[flags + 1]]) | ACK;
        self.octets[flags..flags + 2].copy_from_slice(&asked.to_ne_bytes());
        if commit {
            self.last = self.last.wrapping_add(1);
            self.frame(u16::try_from(libc::NFNL_MSG_BATCH_END).unwrap_or(u16::MAX), REQUEST);
        }
        self.octets
    }

    /// The first or the last message, which says which subsystem the rest is for.
    fn frame(&mut self, kind: u16, flags: u16) {
        let start = self.octets.len();
        single(&mut self.octets, kind, flags, self.last, Family::Any, |_| {});
        let subsystem = u16::try_from(libc::NFNL_SUBSYS_NFTABLES).unwrap_or(u16::MAX);
        self.octets[start + 18..start + 20].copy_from_slice(&subsystem.to_be_bytes());
    }
}

/// Appends one message.
pub fn single(
    octets: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    sequence: u32,
    family: Family,
    fill: impl FnOnce(&mut Attributes<'_>),
) {
    let start = octets.len();
    octets.extend_from_slice(&[0; 4]);
    octets.extend_from_slice(&kind.to_ne_bytes());
    octets.extend_from_slice(&flags.to_ne_bytes());
    octets.extend_from_slice(&sequence.to_ne_bytes());
    octets.extend_from_slice(&[0; 4]);
    octets.extend_from_slice(&[family as u8, 0, 0, 0]);
    fill(&mut Attributes(octets));
    let length = u32::try_from(octets.len() - start).unwrap_or(u32::MAX);
    octets[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}

/// Where a message's attributes are written.
pub struct Attributes<'a>(&'a mut Vec<u8>);

impl Attributes<'_> {
    /// Octets as they are.
    pub fn octets(&mut self, kind: i32, value: &[u8]) {
        self.attribute(kind, 0, |octets| octets.extend_from_slice(value));
    }

    /// Text, which the kernel wants with a NUL.
    pub fn text(&mut self, kind: i32, value: &str) {
        self.attribute(kind, 0, |octets| {
            octets.extend_from_slice(value.as_bytes());
            octets.push(0);
        });
    }

    /// A number of 32 bits.
    pub fn number(&mut self, kind: i32, value: u32) {
        self.octets(kind, &value.to_be_bytes());
    }

    /// A number of 64 bits.
    pub fn long(&mut self, kind: i32, value: u64) {
        self.octets(kind, &value.to_be_bytes());
    }

    /// Attributes within an attribute.
    pub fn nest(&mut self, kind: i32, fill: impl FnOnce(&mut Attributes<'_>)) {
        self.attribute(kind, NESTED, |octets| fill(&mut Attributes(octets)));
    }

    /// How many octets the message, and those before it, have so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    fn attribute(&mut self, kind: i32, flags: u16, fill: impl FnOnce(&mut Vec<u8>)) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 4]);
        fill(self.0);
        // What does not fit cannot be sent right; the kernel refuses it. Callers split long lists.
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        let kind = u16::try_from(kind).unwrap_or(KIND) | flags;
        self.0[start + 2..start + 4].copy_from_slice(&kind.to_ne_bytes());
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

/// One message of the kernel's.
#[derive(Debug)]
pub struct Answer<'a> {
    /// What it is about: `NFT_MSG_*` behind the subsystem, or one of netlink's own kinds.
    pub kind: u16,
    /// The number of the request it answers.
    pub sequence: u32,
    /// The socket whose request it answers, or whose doing it tells of.
    pub port: u32,
    /// What follows the netlink header.
    pub body: &'a [u8],
}

impl<'a> Answer<'a> {
    /// The family of what it is about.
    pub fn family(&self) -> u8 {
        self.body.first().copied().unwrap_or_default()
    }

    /// The value of the first attribute of a kind.
    pub fn attribute(&self, wanted: i32) -> Option<&'a [u8]> {
        attributes(self.body.get(4..)?).find_map(|(kind, value)| (kind == wanted).then_some(value))
    }

    /// An attribute that is text.
    pub fn text(&self, wanted: i32) -> Option<String> {
        let value = self.attribute(wanted)?;
        let value = value.strip_suffix(&[0]).unwrap_or(value);
        Some(String::from_utf8_lossy(value).into_owned())
    }

    /// An attribute that is a number.
    pub fn number(&self, wanted: i32) -> Option<u32> {
        Some(u32::from_be_bytes(self.attribute(wanted)?.try_into().ok()?))
    }

    /// What netlink's own error message says: 0 is success, else the error's number, negative.
    pub fn code(&self) -> Option<i32> {
        Some(i32::from_ne_bytes(self.body.get(..4)?.try_into().ok()?))
    }
}

/// The kind and the value of each attribute in a list.
pub fn attributes(octets: &[u8]) -> impl Iterator<Item = (i32, &[u8])> {
    let mut rest = octets;
    std::iter::from_fn(move || {
        let [a, b, c, d, ..] = *rest else { return None };
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((i32::from(u16::from_ne_bytes([c, d]) & KIND), value))
    })
}

/// The messages of one datagram.
pub fn answers(octets: &[u8]) -> impl Iterator<Item = Answer<'_>> {
    let mut rest = octets;
    std::iter::from_fn(move || {
        let header = rest.get(..16)?;
        let word =
            |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let length = usize::try_from(word(0)).ok()?;
        let answer = Answer {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            sequence: word(8),
            port: word(12),
            body: rest.get(16..length)?,
        };
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(answer)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `struct nlmsghdr` and `struct nfgenmsg` in octets.
    const HEADER: usize = 16 + 4;

    #[test]
    fn a_batch_is_framed_and_asks_for_one_answer() {
        let mut batch = Batch::new(7);
        batch.add(libc::NFT_MSG_NEWTABLE, Family::Bridge, libc::NLM_F_CREATE, |table| table.text(1, "t"));
        assert_eq!((batch.first(), batch.last()), (7, 8));
        let octets = batch.finish(true);
        let seen: Vec<_> = answers(&octets).map(|answer| (answer.kind, answer.sequence)).collect();
        assert_eq!(seen, [(0x10, 7), (0xa00, 8), (0x11, 9)]);
        let table = answers(&octets).nth(1).unwrap();
        assert_eq!((table.family(), table.text(1).as_deref()), (7, Some("t")));
        let flags = u16::from_ne_bytes([octets[HEADER + 6], octets[HEADER + 7]]);
        assert_eq!(flags, 0x400 | ACK | REQUEST);
    }

    #[test]
    fn nested_attributes_are_padded() {
        let mut octets = Vec::new();
        single(&mut octets, 1, 0, 1, Family::Inet, |outer| {
            outer.nest(3, |inner| inner.text(1, "abc"));
            outer.number(2, 9);
        });
        assert_eq!(octets.len() % 4, 0);
        let answer = answers(&octets).next().unwrap();
        assert_eq!(answer.attribute(3), Some(&[8, 0, 1, 0, b'a', b'b', b'c', 0][..]));
        assert_eq!(answer.number(2), Some(9));
        assert_eq!(answer.attribute(4), None);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_without_a_panic(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            for answer in answers(&octets) {
                let _ = (answer.attribute(1), answer.text(2), answer.number(3), answer.code(), answer.family());
            }
        }
    }
}
