//! Serving one connection: its calls, and its end when nothing comes of it.
//!
//! HTTP/2 as hyper speaks it waits for ever: for a preface, for the rest of a header, for a caller to take
//! an answer. So each connection is watched from outside, by what calls it has and since when.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::{
    Request, Response,
    body::{Body, Bytes, Frame, Incoming, SizeHint},
    service::Service,
};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, time};
use tonic::{Status, body::Body as GrpcBody, service::Routes};
use tower_service::Service as _;

use super::{
    Caller, Stream,
    limits::{self, FAREWELL, HANDSHAKE, IDLE, STUCK},
    shares,
};

/// Serves a connection to its end.
pub async fn serve(stream: UnixStream, caller: Caller, routes: Routes) {
    let calls = Calls { caller: caller.clone(), routes };
    let stream = TokioIo::new(Stream::new(stream, caller.clone()));
    let mut connection = pin!(limits::http().serve_connection(stream, calls));
    let outcome = tokio::select! {
        outcome = &mut connection => outcome,
        never_called = overdue(&caller) => {
            if never_called {
                return;
            }
            connection.as_mut().graceful_shutdown();
            time::timeout(FAREWELL, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(uid = caller.peer().uid(), %error, "a connection ended badly");
    }
}

/// Returns when the connection has lasted too long for what it does: true if it never did anything.
async fn overdue(caller: &Caller) -> bool {
    loop {
        let (deadline, never_called) = {
            let activity = caller.activity();
            (activity.deadline(Instant::now()), activity.calls_ever == 0)
        };
        match deadline {
            Some(wait) => time::sleep(wait).await,
            None => return never_called,
        }
    }
}

/// What a connection is used for.
#[derive(Debug)]
pub struct Activity {
    /// Since when it is as it is.
    since: Instant,
    calls: usize,
    watches: usize,
    calls_ever: u64,
}

impl Activity {
    /// A new connection's.
    pub fn new(now: Instant) -> Self {
        Self { since: now, calls: 0, watches: 0, calls_ever: 0 }
    }

    fn began(&mut self, watch: bool) {
        self.since = Instant::now();
        self.calls_ever += 1;
        *self.of(watch) += 1;
    }

    fn ended(&mut self, watch: bool) {
        self.since = Instant::now();
        *self.of(watch) -= 1;
    }

    fn of(&mut self, watch: bool) -> &mut usize {
        if watch { &mut self.watches } else { &mut self.calls }
    }

    /// How long to wait before looking again; nothing if the connection's time is up.
    fn deadline(&self, now: Instant) -> Option<Duration> {
        let time = match self {
            Self { watches: 1.., .. } => return Some(IDLE),
            Self { calls: 1.., .. } => STUCK,
            Self { calls_ever: 0, .. } => HANDSHAKE,
            Self { .. } => IDLE,
        };
        (self.since + time).checked_duration_since(now).filter(|left| !left.is_zero())
    }
}

/// Answers the calls of one connection.
struct Calls {
    caller: Caller,
    routes: Routes,
}

impl Service<Request<Incoming>> for Calls {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let Some(call) = Call::begin(&self.caller, request.uri().path().ends_with("/Watch")) else {
            let status = Status::resource_exhausted("too many calls at once: wait until some have ended");
            let refusal = status.into_http().map(|body| Answer { body, _call: None });
            return Box::pin(std::future::ready(Ok(refusal)));
        };
        let time = limits::time_for(request.headers());
        request.extensions_mut().insert(self.caller.clone());
        let answer = self.routes.clone().call(request);
        Box::pin(async move {
            let response = match time::timeout(time, answer).await {
                Ok(Ok(response)) => response,
                Err(_) => Status::deadline_exceeded("the call took too long").into_http(),
            };
            Ok(response.map(|body| Answer { body, _call: Some(call) }))
        })
    }
}

/// A call, until its answer was taken or given up.
struct Call {
    caller: Caller,
    share: shares::Call,
}

impl Call {
    fn begin(caller: &Caller, watch: bool) -> Option<Self> {
        let share = caller.0.seat.call(watch)?;
        caller.activity().began(watch);
        Some(Self { caller: caller.clone(), share })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.caller.activity().ended(self.share.is_watch());
    }
}

/// An answer's body.
struct Answer {
    body: GrpcBody,
    _call: Option<Call>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_lasts_as_long_as_something_comes_of_it() {
        let start = Instant::now();
        let mut activity = Activity::new(start);
        let ends = |activity: &Activity, after: Duration| {
            activity.deadline(activity.since + after - Duration::from_millis(1)).is_some()
                && activity.deadline(activity.since + after).is_none()
        };
        assert!(ends(&activity, HANDSHAKE));
        activity.began(false);
        assert!(ends(&activity, STUCK));
        activity.began(true);
        assert!(activity.deadline(activity.since + Duration::from_secs(1 << 20)).is_some());
        activity.ended(true);
        activity.ended(false);
        assert!(ends(&activity, IDLE));
    }
}
