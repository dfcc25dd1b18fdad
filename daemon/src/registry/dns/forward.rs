//! Names that are not ours: the request is passed on as it came, the reply as it came back (RFC 5625).
//!
//! Each query upstream has a random id and a socket of its own, hence a random port (RFC 5452), and only a
//! reply from that server with that id and question counts. UDP first, TCP when the client came by TCP or
//! the reply is truncated. Servers are asked in turn.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout, timeout_at};

use super::upstream::Upstreams;
use super::wire::{self, Request, Transport};

/// The longest UDP reply read, in octets: as much as resolvers commonly offer to take.
const LONGEST_DATAGRAM: usize = 4096;

/// How long servers are asked.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// One server, by one transport.
    pub each: Duration,
    /// All of them together: less than the 5 s after which resolvers ask again.
    pub all: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { each: Duration::from_secs(2), all: Duration::from_millis(4500) }
    }
}

/// Why there is no answer from upstream.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// There is nobody to ask.
    #[error("no server to forward to")]
    NoUpstream,
    /// All were asked.
    #[error("no server answered within {0:?}")]
    Silence(Duration),
}

/// Asks upstream.
#[derive(Debug)]
pub struct Forwarder {
    upstreams: Upstreams,
    patience: Patience,
}

impl Forwarder {
    /// Asks these servers with this patience.
    pub fn new(upstreams: Upstreams, patience: Patience) -> Self {
        Self { upstreams, patience }
    }

    /// The reply to a request, ready for the client.
    pub async fn ask(&self, request: &Request) -> Result<Vec<u8>, ForwardError> {
        let deadline = Instant::now() + self.patience.all;
        let servers = self.upstreams.in_turn();
        if servers.is_empty() {
            return Err(ForwardError::NoUpstream);
        }
        let mut unhelpful = None;
        for (number, server) in servers {
            match timeout_at(deadline, self.ask_one(server, request)).await {
                Ok(Some(reply)) if reply.helpful => {
                    self.upstreams.answered(number);
                    return Ok(reply.bytes);
                }
                Ok(reply) => unhelpful = reply.or(unhelpful),
                Err(_) => break,
            }
        }
        unhelpful.map(|reply| reply.bytes).ok_or(ForwardError::Silence(self.patience.all))
    }

    async fn ask_one(&self, server: SocketAddr, request: &Request) -> Option<Reply> {
        let by_tcp = async || timeout(self.patience.each, by_tcp(server, request)).await.ok()?.ok();
        if request.transport() == Transport::Tcp {
            return by_tcp().await;
        }
        let reply = timeout(self.patience.each, by_udp(server, request)).await.ok()?.ok()?;
        if !reply.truncated {
            return Some(reply.fit(request));
        }
        // The client may be able to take more than this server sends by UDP. If not, it is told to come
        // back by TCP itself.
        let whole = by_tcp().await.filter(|whole| whole.bytes.len() <= request.limit());
        Some(whole.unwrap_or(reply).fit(request))
    }
}

/// A reply with the client's id.
struct Reply {
    bytes: Vec<u8>,
    truncated: bool,
    /// Whether the server did its work; if not, the next one may.
    helpful: bool,
}

impl Reply {
    fn read(mut bytes: Vec<u8>, id: u16, request: &Request) -> Option<Self> {
        let metadata = wire::read_response(&bytes, id, request.query())?.metadata;
        wire::set_id(&mut bytes, wire::id(request.bytes()));
        let unhelpful = [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::NotImp];
        let helpful = !unhelpful.contains(&metadata.response_code);
        Some(Self { bytes, truncated: metadata.truncation, helpful })
    }

    /// A server that sends more than the client can take gets its reply cut.
    fn fit(mut self, request: &Request) -> Self {
        if self.bytes.len() > request.limit() {
            self.bytes = request.truncated();
        }
        self
    }
}

/// The request with a new random id.
fn disguised(request: &Request) -> (Vec<u8>, u16) {
    let id = rand::random();
    let mut bytes = request.bytes().to_vec();
    wire::set_id(&mut bytes, id);
    (bytes, id)
}

async fn by_udp(server: SocketAddr, request: &Request) -> io::Result<Reply> {
    let any = match server.ip() {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    // Connected: the kernel drops what does not come from the server.
    socket.connect(server).await?;
    let (bytes, id) = disguised(request);
    socket.send(&bytes).await?;
    let mut buffer = vec![0; LONGEST_DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // Anything else is forged or late: the real reply may still come.
        if let Some(reply) = Reply::read(buffer[..length].to_vec(), id, request) {
            return Ok(reply);
        }
    }
}

async fn by_tcp(server: SocketAddr, request: &Request) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(server).await?;
    let (bytes, id) = disguised(request);
    write_message(&mut stream, &bytes).await?;
    let length = stream.read_u16().await?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    Reply::read(bytes, id, request).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Writes a message after its length (RFC 1035, 4.2.2), in one segment if possible (RFC 7766, section 8).
pub async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut framed = Vec::with_capacity(message.len() + 2);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}
