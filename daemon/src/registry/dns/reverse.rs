//! Names below `ip6.arpa`: one label per nibble, the last nibble first (RFC 3596, section 2.5).

use std::net::Ipv6Addr;
use std::ops::RangeInclusive;

use ipnet::Ipv6Net;

/// Nibbles in an address.
const NIBBLES: usize = 32;

/// A name below `ip6.arpa`, read as the beginning of an address.
#[derive(Debug, PartialEq, Eq)]
pub struct Reverse {
    /// The nibbles read, in an address's order, at most 32.
    nibbles: Vec<u8>,
    /// Whether further labels follow that are no nibbles, or too many.
    excess: bool,
}

impl Reverse {
    /// How many labels `ip6.arpa` has.
    pub const SUFFIX: usize = 2;

    /// Reads lower-case labels; `None` if they do not end in `ip6.arpa`.
    pub fn parse(labels: &[&[u8]]) -> Option<Self> {
        let digits = labels.strip_suffix(&[b"ip6".as_slice(), b"arpa".as_slice()])?;
        let nibbles: Vec<u8> = digits.iter().rev().map_while(|label| nibble(label)).take(NIBBLES).collect();
        let excess = nibbles.len() < digits.len();
        Some(Self { nibbles, excess })
    }

    /// Where the zone of `prefix` that holds this name begins, in nibbles; `None` if none does.
    pub fn cut(&self, prefix: &Ipv6Net) -> Option<usize> {
        let cut = usize::from(prefix.prefix_len()).div_ceil(4);
        let begin = self.nibbles.get(..cut)?;
        prefix.contains(&address(begin, 0)).then_some(cut)
    }

    /// Whether this is the beginning itself.
    pub fn is_apex(&self, cut: usize) -> bool {
        self.nibbles.len() == cut && !self.excess
    }

    /// The address, if the name is one in full.
    pub fn address(&self) -> Option<Ipv6Addr> {
        (self.nibbles.len() == NIBBLES && !self.excess).then(|| address(&self.nibbles, 0))
    }

    /// The addresses below, `None` if there cannot be any.
    pub fn range(&self) -> Option<RangeInclusive<Ipv6Addr>> {
        (!self.excess).then(|| address(&self.nibbles, 0)..=address(&self.nibbles, 0xf))
    }
}

/// The value of a label that is one hexadecimal digit.
fn nibble(label: &[u8]) -> Option<u8> {
    match *label {
        [digit @ b'0'..=b'9'] => Some(digit - b'0'),
        [digit @ b'a'..=b'f'] => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// The address that begins with these nibbles and goes on with `rest`.
fn address(begin: &[u8], rest: u8) -> Ipv6Addr {
    let all = begin.iter().copied().chain(std::iter::repeat(rest)).take(NIBBLES);
    Ipv6Addr::from_bits(all.fold(0, |bits, nibble| bits << 4 | u128::from(nibble)))
}
