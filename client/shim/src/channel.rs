//! One HTTP/2 connection, as gRPC's clients want it.
//!
//! tonic's own channel can reconnect, balance and buffer, for a tenth of the program's size; a connection that
//! carried descriptors must do none of that.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http2::{SendRequest, handshake},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::{
    Code, Status,
    body::Body,
    codegen::http::uri::{Authority, Scheme, Uri},
};
use tower_service::Service;

/// The connection. Copies share it; it ends with the last one.
#[derive(Clone)]
pub struct Channel(SendRequest<Body>);

impl Channel {
    /// Starts HTTP/2 on a stream. The rest is done by a task of the running runtime.
    pub(crate) async fn new(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Self, hyper::Error> {
        let (requests, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        // Whoever waits for an answer is told of its failure.
        tokio::spawn(async { drop(connection.await) });
        Ok(Self(requests))
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Channel")
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.0.poll_ready(cx).map_err(broken)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // HTTP/2 wants them, and nobody reads them.
        let mut uri = std::mem::take(request.uri_mut()).into_parts();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(Authority::from_static("localhost"));
        match Uri::from_parts(uri) {
            Ok(uri) => *request.uri_mut() = uri,
            Err(error) => return Box::pin(std::future::ready(Err(Status::from_error(error.into())))),
        }
        let answer = self.0.send_request(request);
        Box::pin(async { answer.await.map_err(broken) })
    }
}

/// What a call says when the connection fails it.
fn broken(error: hyper::Error) -> Status {
    let closed = error.is_closed() || error.is_canceled();
    let status = Status::from_error(error.into());
    if !closed && status.code() != Code::Unknown {
        return status;
    }
    let mut unavailable = Status::unavailable("the connection has ended");
    unavailable.set_source(std::sync::Arc::new(status));
    unavailable
}
