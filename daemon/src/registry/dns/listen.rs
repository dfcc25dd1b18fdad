//! The sockets: bound, served, and bound again when that fails.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::forward::write_message;
use super::server::{Action, Server};
use super::wire::{LONGEST_REQUEST, Transport};
use crate::backoff;

/// How long a TCP client may say nothing, and how long it may take over one message (RFC 7766, 6.2.3).
const IDLE: Duration = Duration::from_secs(10);

/// The wait after a failure to receive or accept, such as a lack of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// After so many failures in a row the socket is given up and bound again.
const FAILURES: u32 = 50;

/// Why an address is not listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The UDP socket.
    #[error("cannot bind UDP {address}: {source}")]
    BindUdp {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The TCP socket.
    #[error("cannot bind TCP {address}: {source}")]
    BindTcp {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The UDP socket, later.
    #[error("cannot receive by UDP: {0}")]
    Receive(io::Error),
    /// The TCP socket, later.
    #[error("cannot accept by TCP: {0}")]
    Accept(io::Error),
    /// A defect.
    #[error("the DNS task ended: {0}")]
    Task(JoinError),
}

/// One address to listen on, and how that goes.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    state: Mutex<Result<SocketAddr, String>>,
}

impl Listener {
    /// Not yet bound.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, state: Mutex::new(Err(format!("{address} is not bound yet"))) }
    }

    /// The address asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address bound, or what is wrong.
    pub fn state(&self) -> Result<SocketAddr, String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, state: Result<SocketAddr, String>) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Listens for ever, with back-off between attempts.
    pub async fn run(self: Arc<Self>, server: Arc<Server>) {
        let mut failures = 0;
        loop {
            let error = match bind(self.address).await {
                Ok((udp, tcp)) => {
                    failures = 0;
                    self.set(udp.local_addr().map_err(|error| error.to_string()));
                    tracing::info!(address = %self.address, "DNS listens");
                    serve(udp, tcp, &server).await
                }
                Err(error) => error,
            };
            failures += 1;
            tracing::warn!(address = %self.address, %error, failures, "DNS does not listen");
            self.set(Err(error.to_string()));
            sleep(backoff::after(failures)).await;
        }
    }
}

async fn bind(address: SocketAddr) -> Result<(UdpSocket, TcpListener), ListenError> {
    let tcp = TcpListener::bind(address).await.map_err(|source| ListenError::BindTcp { address, source })?;
    // With port 0 (tests) both get the same one.
    let address = tcp.local_addr().map_err(|source| ListenError::BindTcp { address, source })?;
    let udp = UdpSocket::bind(address).await.map_err(|source| ListenError::BindUdp { address, source })?;
    Ok((udp, tcp))
}

/// Serves both sockets until one fails. They have tasks of their own so that even a panic, which would be a
/// defect, ends in binding again rather than in silence.
async fn serve(udp: UdpSocket, tcp: TcpListener, server: &Arc<Server>) -> ListenError {
    let mut serving = JoinSet::new();
    serving.spawn(serve_udp(udp, Arc::clone(server)));
    serving.spawn(serve_tcp(tcp, Arc::clone(server)));
    match serving.join_next().await {
        Some(Ok(error)) => error,
        Some(Err(error)) => ListenError::Task(error),
        None => ListenError::Receive(io::ErrorKind::NotConnected.into()),
    }
}

async fn serve_udp(socket: UdpSocket, server: Arc<Server>) -> ListenError {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; LONGEST_REQUEST];
    let mut forwards = JoinSet::new();
    let mut failures = 0;
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            Some(_) = forwards.join_next() => continue,
        };
        match received {
            Ok((length, client)) => {
                failures = 0;
                let action = server.receive(&buffer[..length], client.ip(), Transport::Udp);
                act(action, client, &socket, &server, &mut forwards).await;
            }
            Err(error) if failures >= FAILURES => return ListenError::Receive(error),
            Err(_) => {
                failures += 1;
                sleep(PAUSE).await;
            }
        }
    }
}

async fn act(
    action: Action,
    client: SocketAddr,
    socket: &Arc<UdpSocket>,
    server: &Arc<Server>,
    forwards: &mut JoinSet<()>,
) {
    match action {
        Action::Ignore => {}
        // A reply that cannot be sent is a lost datagram: the client asks again.
        Action::Reply(reply) => drop(socket.send_to(&reply, client).await),
        Action::Forward(request, pass) => {
            let (socket, server) = (Arc::clone(socket), Arc::clone(server));
            forwards.spawn(async move {
                let reply = server.forward(&request, pass).await;
                drop(socket.send_to(&reply, client).await);
            });
        }
    }
}

async fn serve_tcp(listener: TcpListener, server: Arc<Server>) -> ListenError {
    let mut connections = JoinSet::new();
    let mut failures = 0;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, client)) => {
                failures = 0;
                // Whoever may not, or holds too many, is hung up on.
                if let Some(pass) = server.connect(client.ip()) {
                    let server = Arc::clone(&server);
                    connections.spawn(async move {
                        converse(stream, client, &server).await;
                        drop(pass);
                    });
                }
            }
            Err(error) if failures >= FAILURES => return ListenError::Accept(error),
            Err(_) => {
                failures += 1;
                sleep(PAUSE).await;
            }
        }
    }
}

/// Answers one client's messages in their order until it ends, breaks or is idle.
async fn converse(mut stream: TcpStream, client: SocketAddr, server: &Server) {
    while let Ok(Ok(message)) = timeout(IDLE, read_message(&mut stream)).await {
        let reply = match server.receive(&message, client.ip(), Transport::Tcp) {
            Action::Ignore => return,
            Action::Reply(reply) => reply,
            Action::Forward(request, pass) => server.forward(&request, pass).await,
        };
        if !matches!(timeout(IDLE, write_message(&mut stream, &reply)).await, Ok(Ok(()))) {
            return;
        }
    }
}

async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > LONGEST_REQUEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message)
}
