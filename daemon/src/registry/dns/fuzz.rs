//! What a fuzzer feeds: queries of clients, replies of upstreams.

use hickory_proto::op::{Message, ResponseCode};

use super::{
    wire::{self, Incoming, Transport},
    zone::Zone,
};
use crate::model::{AttachmentId, Record};

/// Reads a datagram or a message of a stream, as the first octet says, and answers it from a small zone.
///
/// # Panics
/// A reply is no DNS message, is too long, or has another id.
pub fn message(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else { return };
    let transport = if first % 2 == 0 { Transport::Udp } else { Transport::Tcp };
    let request = match wire::read(bytes, transport) {
        Incoming::Noise => return,
        Incoming::Bad(reply) => return check(&reply, bytes, usize::MAX),
        Incoming::Question(request) => request,
    };
    let upstream = wire::read_response(bytes, wire::id(bytes), request.query());
    assert!(upstream.is_none(), "a query was taken for a reply");
    let limit = request.limit();
    for reply in
        [request.answer(&zone()), Some(request.error(ResponseCode::ServFail)), Some(request.truncated())]
    {
        reply.iter().for_each(|reply| check(reply, bytes, limit));
    }
}

/// Reads the data as an upstream's reply to a question for `a.example`.
pub fn reply(data: &[u8]) {
    // ID 0, one question: a.example AAAA IN.
    const QUESTION: &[u8] = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x1c\0\x01";
    let Incoming::Question(request) = wire::read(QUESTION, Transport::Udp) else { unreachable!() };
    let _ = wire::read_response(data, wire::id(data), request.query());
}

fn check(reply: &[u8], request: &[u8], limit: usize) {
    assert!(reply.len() <= limit, "{} octets, and {limit} are allowed", reply.len());
    let message = Message::from_vec(reply).expect("a reply is a message");
    assert_eq!(message.metadata.id, wire::id(request));
}

fn zone() -> Zone {
    let prefix = "2001:db8:1::/80".parse().expect("a prefix");
    let mut zone = Zone::new("v6pod.".parse().expect("a name"), 0, vec![prefix], vec![]);
    for number in 0..40 {
        zone.insert(&Record {
            id: AttachmentId::from_bits(number),
            name: format!("web{number}").parse().expect("a name"),
            aliases: vec!["store".parse().expect("a name")],
            tags: Vec::new(),
            address: (prefix.network().to_bits() + u128::from(number) + 2).into(),
            uid: 1000,
            container_id: String::new(),
            network: "default".to_owned(),
        });
    }
    zone
}
