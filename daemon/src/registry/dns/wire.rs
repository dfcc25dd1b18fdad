//! DNS messages: what a request asks, and the bytes of a reply (RFC 1035, RFC 6891).

use hickory_proto::op::{Edns, Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use super::zone::{Found, Zone};

/// The longest request read, in octets. Queries are far shorter; only updates and transfers grow.
pub const LONGEST_REQUEST: usize = 4096;

/// The longest UDP message of ours, in octets: fits every IPv6 path unfragmented (DNS flag day 2020).
const OWN_PAYLOAD: u16 = 1232;

/// The longest UDP message without EDNS, in octets (RFC 1035, 4.2.1).
const PLAIN_PAYLOAD: u16 = 512;

/// The size of a header, in octets.
const HEADER: usize = 12;

/// How a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One datagram.
    Udp,
    /// A stream, each message after its length.
    Tcp,
}

/// What came in.
#[derive(Debug)]
pub enum Incoming {
    /// Nothing that deserves a reply.
    Noise,
    /// Something that is refused with this reply.
    Bad(Vec<u8>),
    /// One question.
    Question(Request),
}

/// A query with exactly one question.
#[derive(Debug)]
pub struct Request {
    metadata: Metadata,
    query: Query,
    edns: Option<Edns>,
    transport: Transport,
    bytes: Vec<u8>,
}

/// Reads a request.
pub fn read(bytes: &[u8], transport: Transport) -> Incoming {
    let Ok(header) = Header::read(&mut BinDecoder::new(bytes)) else {
        return Incoming::Noise;
    };
    // A response is never answered: two servers would keep each other busy.
    if header.metadata.message_type == MessageType::Response {
        return Incoming::Noise;
    }
    if header.metadata.op_code != OpCode::Query {
        return bad(&header.metadata, ResponseCode::NotImp);
    }
    match Message::from_vec(bytes) {
        Ok(mut message) if message.queries.len() == 1 => Incoming::Question(Request {
            metadata: message.metadata,
            query: message.queries.remove(0),
            edns: message.edns,
            transport,
            bytes: bytes.to_vec(),
        }),
        _ => bad(&header.metadata, ResponseCode::FormErr),
    }
}

fn bad(metadata: &Metadata, code: ResponseCode) -> Incoming {
    let mut reply = Message::response(metadata.id, metadata.op_code);
    reply.metadata = Metadata::response_from_request(metadata);
    reply.metadata.response_code = code;
    reply.to_vec().map_or(Incoming::Noise, Incoming::Bad)
}

impl Request {
    /// The question.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// The request as it came.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How it came.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// How long a reply may be, in octets.
    pub fn limit(&self) -> usize {
        match (self.transport, &self.edns) {
            (Transport::Tcp, _) => usize::from(u16::MAX),
            (Transport::Udp, None) => usize::from(PLAIN_PAYLOAD),
            (Transport::Udp, Some(edns)) => usize::from(edns.max_payload().max(PLAIN_PAYLOAD)),
        }
    }

    /// The reply from our own zones; `None` if the name is not in them.
    pub fn answer(&self, zone: &Zone) -> Option<Vec<u8>> {
        if self.edns.as_ref().is_some_and(|edns| edns.version() != 0) {
            return Some(self.error(ResponseCode::BADVERS));
        }
        if self.query.query_class() != DNSClass::IN {
            return Some(self.error(ResponseCode::Refused));
        }
        let (code, apex, data) = match zone.find(self.query.name(), self.query.query_type()) {
            Found::Elsewhere => return None,
            Found::Absent { apex } => (ResponseCode::NXDomain, apex, Vec::new()),
            Found::Exists { apex, data } => (ResponseCode::NoError, apex, data),
        };
        if matches!(self.query.query_type(), RecordType::AXFR | RecordType::IXFR) {
            return Some(self.error(ResponseCode::Refused));
        }
        let mut reply = self.reply(code);
        reply.metadata.authoritative = true;
        if data.is_empty() {
            // RFC 2308: the SOA tells how long the absence may be remembered.
            reply.add_authority(Record::from_rdata(apex, zone.ttl(), RData::SOA(zone.soa())));
        }
        for data in data {
            reply.add_answer(Record::from_rdata(self.query.name().clone(), zone.ttl(), data));
        }
        Some(self.encode(reply))
    }

    /// A reply that says no more than this.
    pub fn error(&self, code: ResponseCode) -> Vec<u8> {
        self.encode(self.reply(code))
    }

    /// The reply for when the real one is too long: none of it, and the flag to ask again by TCP.
    pub fn truncated(&self) -> Vec<u8> {
        let mut reply = self.reply(ResponseCode::NoError);
        reply.metadata.truncation = true;
        self.encode(reply)
    }

    fn reply(&self, code: ResponseCode) -> Message {
        let mut reply = Message::response(self.metadata.id, self.metadata.op_code);
        reply.metadata = Metadata::response_from_request(&self.metadata);
        reply.metadata.recursion_available = true;
        reply.metadata.response_code = code;
        reply.add_query(self.query.clone());
        if let Some(asked) = &self.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(OWN_PAYLOAD).set_dnssec_ok(asked.flags().dnssec_ok);
            reply.set_edns(edns);
        }
        reply
    }

    /// The bytes, with as many answers as fit and the truncation flag if not all do (RFC 2181, section 9).
    fn encode(&self, mut reply: Message) -> Vec<u8> {
        let limit = match self.transport {
            Transport::Udp => self.limit().min(usize::from(OWN_PAYLOAD)),
            Transport::Tcp => self.limit(),
        };
        loop {
            let bytes = reply.to_vec().unwrap_or_default();
            let kept = reply.answers.len();
            if bytes.len() <= limit || kept == 0 {
                return bytes;
            }
            // In proportion. Not exact, because only the first names of a message are compressed.
            reply.answers.truncate((kept * limit / bytes.len()).min(kept - 1));
            reply.metadata.truncation = true;
        }
    }
}

/// What of an upstream's reply is looked at; the rest is passed on as it is (RFC 5625).
#[derive(Debug)]
pub struct Response {
    /// Its id, flags and response code (the low four bits).
    pub metadata: Metadata,
}

/// Reads an upstream's reply; `None` unless it is one to this id and question.
pub fn read_response(bytes: &[u8], id: u16, query: &Query) -> Option<Response> {
    let mut decoder = BinDecoder::new(bytes);
    let header = Header::read(&mut decoder).ok()?;
    let metadata = header.metadata;
    if metadata.id != id || metadata.message_type != MessageType::Response {
        return None;
    }
    // Some servers leave the question out of a mere error.
    if header.counts.queries == 0 && metadata.response_code != ResponseCode::NoError {
        return Some(Response { metadata });
    }
    let answered = Query::read(&mut decoder).ok()?;
    let same = answered.name() == query.name()
        && answered.query_type() == query.query_type()
        && answered.query_class() == query.query_class();
    (header.counts.queries == 1 && same).then_some(Response { metadata })
}

/// Writes an id into a message.
pub fn set_id(message: &mut [u8], id: u16) {
    if message.len() >= HEADER {
        message[..2].copy_from_slice(&id.to_be_bytes());
    }
}

/// The id of a message.
pub fn id(message: &[u8]) -> u16 {
    message.first_chunk().map_or(0, |bytes| u16::from_be_bytes(*bytes))
}
