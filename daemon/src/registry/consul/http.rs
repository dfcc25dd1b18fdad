//! One HTTP/1.1 request on a connection of its own: TCP, TLS or a unix socket.
//!
//! Nothing is kept between requests, so nothing can go stale: an agent that was restarted, or a proxy that
//! dropped idle connections, is not noticed. Time and size are bounded, whatever the other side sends.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::config::Endpoint;
use super::tls::{Tls, TlsError};

/// Bounds of one request.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// From the connection to the answer's last byte.
    pub time: Duration,
    /// The answer's body, in octets.
    pub body: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { time: Duration::from_secs(5), body: 16 * 1024 * 1024 }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Nobody listens.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// TLS.
    #[error(transparent)]
    Tls(TlsError),
    /// The protocol.
    #[error("HTTP: {0}")]
    Http(hyper::Error),
    /// The request could not be written down.
    #[error("HTTP request: {0}")]
    Request(hyper::http::Error),
    /// The body's end was not reached.
    #[error("the answer broke off: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// The body is beyond the bound.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// The time is over.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body, in full.
    pub body: Bytes,
}

/// Makes requests to one endpoint.
#[derive(Debug)]
pub struct Http {
    endpoint: Endpoint,
    tls: Tls,
    bounds: Bounds,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Http {
    /// Requests to this endpoint.
    pub fn new(endpoint: Endpoint, ca_file: Option<PathBuf>, bounds: Bounds) -> Self {
        Self { endpoint, tls: Tls::new(ca_file), bounds }
    }

    /// Makes a request. The body is JSON, or empty.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<HeaderValue>,
        body: Vec<u8>,
    ) -> Result<Answer, HttpError> {
        let host = match &self.endpoint {
            Endpoint::Http { authority } | Endpoint::Https { authority, .. } => authority.as_str(),
            Endpoint::Unix(_) => "localhost",
        };
        let mut request =
            Request::builder().method(method).uri(path).header(HOST, host).header(CONNECTION, "close");
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(token) = token {
            request = request.header("X-Consul-Token", token);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(HttpError::Request)?;
        let answer = tokio::time::timeout(self.bounds.time, self.exchange(request)).await;
        answer.unwrap_or(Err(HttpError::Timeout(self.bounds.time)))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, HttpError> {
        let stream = self.connect().await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(HttpError::Http)?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(HttpError::Http)?;
            self.collect(response).await
        };
        tokio::pin!(answer, connection);
        tokio::select! {
            answer = &mut answer => answer,
            // The connection's end is not the answer's: what was received is still to be read.
            _ = &mut connection => answer.await,
        }
    }

    async fn collect(&self, response: Response<Incoming>) -> Result<Answer, HttpError> {
        let (head, body) = response.into_parts();
        let collected = Limited::new(body, self.bounds.body).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                HttpError::TooLong(self.bounds.body)
            } else {
                HttpError::Body(error)
            }
        })?;
        Ok(Answer { status: head.status, body: collected.to_bytes() })
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, HttpError> {
        match &self.endpoint {
            Endpoint::Http { authority } => Ok(Box::new(tcp(authority).await?)),
            Endpoint::Https { host, authority } => {
                let stream = self.tls.wrap(host, tcp(authority).await?).await.map_err(HttpError::Tls)?;
                Ok(Box::new(stream))
            }
            Endpoint::Unix(path) => {
                Ok(Box::new(UnixStream::connect(path).await.map_err(HttpError::Connect)?))
            }
        }
    }
}

async fn tcp(authority: &str) -> Result<TcpStream, HttpError> {
    let stream = TcpStream::connect(authority).await.map_err(HttpError::Connect)?;
    stream.set_nodelay(true).map_err(HttpError::Connect)?;
    Ok(stream)
}
