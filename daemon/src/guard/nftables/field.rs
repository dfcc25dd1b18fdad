//! Fields of a packet, and how the kernel is told to load them into its registers
//! (linux/netfilter/nf_tables.h).

use super::wire::Attributes;

/// The first of the registers of 32 bits.
pub const REGISTER: u32 = 8; // NFT_REG32_00
/// `NFT_META_MARK`.
pub const MARK: u32 = 3;

const EXPR_NAME: i32 = 1;
const EXPR_DATA: i32 = 2;
/// `NFTA_LIST_ELEM`.
pub const LIST_ELEM: i32 = 1;
/// `NFTA_DATA_VALUE`.
pub const DATA_VALUE: i32 = 1;

/// A field of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The name of the link it came in by (at a bridge: the port).
    In,
    /// The name of the link it goes out by (at a bridge: the port).
    Out,
    /// The packet's mark, which holds a number from one rule to the next.
    Mark,
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
    /// What an echo request and its reply have in common.
    EchoId,
    /// The source port.
    SourcePort,
    /// The destination port.
    DestinationPort,
    /// TCP's flags: FIN 1, SYN 2, RST 4, ACK 16.
    TcpFlags,
    /// The destination of the packet that an ICMPv6 error quotes: RFC 4443, section 2.4 (c).
    QuotedDestination,
    /// Its protocol, if no extension header is in between.
    QuotedProtocol,
    /// Its source port.
    QuotedSourcePort,
    /// Its destination port.
    QuotedDestinationPort,
    /// What it has in common with its reply if it is an echo request.
    QuotedEchoId,
    /// What follows the fragment header. No fragment header: the test fails.
    FragmentNext,
    /// The fragment's offset and flags. No fragment header: the test fails.
    FragmentOffset,
    /// Whether there is a routing header, 1 or 0.
    Routing,
}

/// Where a field is.
enum Place {
    Meta(u32),
    /// So many octets behind the beginning of the frame.
    Frame(u32),
    /// Of the IPv6 header.
    Network(u32),
    /// Of what follows the extension headers.
    Transport(u32),
    /// Of an extension header.
    Header {
        kind: u8,
        offset: u32,
    },
    /// Whether there is an extension header.
    Present(u8),
}

impl Field {
    /// Where it is, its length in octets, and what nft(8) calls its type: the kernel only keeps that number
    /// for it (nft's datatype.h).
    fn description(self) -> (Place, u32, u32) {
        use Place::{Frame, Header, Meta, Network, Present, Transport};
        const FRAGMENT: u8 = 44;
        const ROUTING: u8 = 43;
        /// An ICMPv6 error quotes from here on; an IPv6 header has 40 octets.
        const QUOTED: u32 = 8;
        const NFPROTO: u32 = 2;
        const INTEGER: u32 = 4;
        const ADDRESS: u32 = 8;
        const MAC: u32 = 9;
        const ETHER: u32 = 10;
        const PROTOCOL: u32 = 12;
        const PORT: u32 = 13;
        const FLAGS: u32 = 15;
        const MARKS: u32 = 19;
        const MESSAGE: u32 = 29;
        const BOOLEAN: u32 = 39;
        const NAME: u32 = 41;
        match self {
            Self::In => (Meta(6), 16, NAME),
            Self::Out => (Meta(7), 16, NAME),
            Self::Mark => (Meta(MARK), 4, MARKS),
            Self::Version => (Meta(15), 1, NFPROTO),
            Self::Content => (Meta(1), 2, ETHER),
            Self::EtherSource => (Frame(6), 6, MAC),
            Self::EtherType => (Frame(12), 2, ETHER),
            Self::NextHeader => (Network(6), 1, PROTOCOL),
            Self::Source => (Network(8), 16, ADDRESS),
            Self::Destination => (Network(24), 16, ADDRESS),
            Self::Protocol => (Meta(16), 1, PROTOCOL),
            Self::IcmpType => (Transport(0), 1, MESSAGE),
            Self::Target => (Transport(8), 16, ADDRESS),
            Self::EchoId => (Transport(4), 2, PORT),
            Self::SourcePort => (Transport(0), 2, PORT),
            Self::DestinationPort => (Transport(2), 2, PORT),
            Self::TcpFlags => (Transport(13), 1, FLAGS),
            Self::QuotedProtocol => (Transport(QUOTED + 6), 1, PROTOCOL),
            Self::QuotedDestination => (Transport(QUOTED + 24), 16, ADDRESS),
            Self::QuotedSourcePort => (Transport(QUOTED + 40), 2, PORT),
            Self::QuotedDestinationPort => (Transport(QUOTED + 42), 2, PORT),
            Self::QuotedEchoId => (Transport(QUOTED + 44), 2, PORT),
            Self::FragmentNext => (Header { kind: FRAGMENT, offset: 0 }, 1, PROTOCOL),
            Self::FragmentOffset => (Header { kind: FRAGMENT, offset: 2 }, 2, INTEGER),
            Self::Routing => (Present(ROUTING), 1, BOOLEAN),
        }
    }

    /// Its length in octets.
    pub fn length(self) -> u32 {
        self.description().1
    }

    /// Its length in registers and in a set's key, in octets.
    pub fn padded(self) -> u32 {
        self.length().next_multiple_of(4)
    }

    /// Its type in nft(8).
    pub fn kind(self) -> u32 {
        self.description().2
    }

    /// Loads it into a register and those that follow.
    pub fn load(self, expressions: &mut Attributes<'_>, register: u32) {
        match self.description() {
            (Place::Meta(key), ..) => expression(expressions, "meta", |meta| {
                meta.number(1, register);
                meta.number(2, key);
            }),
            (Place::Frame(offset), length, _) => payload(expressions, register, 0, offset, length),
            (Place::Network(offset), length, _) => payload(expressions, register, 1, offset, length),
            (Place::Transport(offset), length, _) => payload(expressions, register, 2, offset, length),
            (Place::Header { kind, offset }, length, _) => {
                header(expressions, register, kind, offset, length, false);
            }
            (Place::Present(kind), ..) => header(expressions, register, kind, 0, 1, true),
        }
    }

    /// Loads it into the first register and keeps the bits of the mask.
    pub fn load_masked(self, expressions: &mut Attributes<'_>, mask: &[u8]) {
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

/// Loads fields one behind the other, from the first register on.
pub fn load_all(fields: &[Field], expressions: &mut Attributes<'_>) {
    let mut register = REGISTER;
    for field in fields {
        field.load(expressions, register);
        register += field.padded() / 4;
    }
}

fn payload(expressions: &mut Attributes<'_>, register: u32, base: u32, offset: u32, length: u32) {
    expression(expressions, "payload", |payload| {
        payload.number(1, register);
        payload.number(2, base);
        payload.number(3, offset);
        payload.number(4, length);
    });
}

fn header(
    expressions: &mut Attributes<'_>,
    register: u32,
    kind: u8,
    offset: u32,
    length: u32,
    is_question: bool,
) {
    expression(expressions, "exthdr", |header| {
        header.number(1, register);
        header.octets(2, &[kind]);
        header.number(3, offset);
        header.number(4, length);
        header.number(5, u32::from(is_question));
    });
}

/// Appends an expression to a rule's.
pub fn expression(list: &mut Attributes<'_>, name: &str, fill: impl FnOnce(&mut Attributes<'_>)) {
    list.nest(LIST_ELEM, |element| {
        element.text(EXPR_NAME, name);
        element.nest(EXPR_DATA, fill);
    });
}
