//! Every limit of a connection and of a caller, in one place: nothing that a caller may send or leave open
//! has a default that somebody else chose.
//!
//! A user is whoever [`charged`](super::Shares::charged) says; administrators have the limits of a connection and
//! none of a user's.

use std::time::Duration;

use hyper::{HeaderMap, server::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// From being accepted to the first complete request; less than the 5 s within which silence ends.
pub const HANDSHAKE: Duration = Duration::from_secs(4);
/// Without a call; a client that keeps its connection makes a new one when it has something to say.
pub const IDLE: Duration = Duration::from_secs(60);
/// With calls, none of them a Watch, of which none begins or ends: the caller does not take its answers.
pub const STUCK: Duration = Duration::from_secs(60);
/// From saying that a connection is over to ending it.
pub const FAREWELL: Duration = Duration::from_secs(1);
/// A call's time to begin its answer, unless the caller asks for less: the longest that an attach may take.
/// A Watch goes on for as long as it likes after that. There is no limit to a connection's age, for its sake.
pub const CALL: Duration = Duration::from_secs(30);

/// A request's size in octets: far above what the contract's fields need.
pub const MESSAGE: usize = 64 << 10;

/// Descriptors that one connection may pass: the namespace and the lease.
pub const PASSED: usize = 2;
/// Descriptors of one user that may wait to be closed before further ones are refused, and connections.
pub const CLOSING: usize = 16;

/// How much of something there is to have.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// For one user.
    pub user: usize,
    /// For all users together; one half is for those who have little.
    pub all: usize,
}

/// Connections: one is a container's start; a compose file starts dozens at once. All together: see
/// [`connections`].
const CONNECTIONS: Most = Most { user: 128, all: 2048 };
/// Calls that have not been answered.
pub const CALLS: Most = Most { user: 128, all: 1024 };
/// Watches: each has to be told of every change.
pub const WATCHES: Most = Most { user: 16, all: 256 };

/// What a user may send in octets: so many a second, and so many at once after a pause. A start of a
/// container costs 3600 of them, all told.
pub const ALLOWANCE: u32 = 512 << 10;
/// What a new connection costs, in octets of the allowance.
pub const CONNECTION_COSTS: u32 = 2 << 10;
/// What a call costs, in the same.
pub const CALL_COSTS: u32 = 1 << 10;

/// How many connections there may be, given how many descriptors the process may have and how many of them
/// have other uses: each has its own and those it passes.
pub fn connections(descriptors: usize, reserved: usize) -> Most {
    let fit = descriptors.saturating_sub(reserved) / (1 + PASSED);
    // However few, somebody has to be served.
    Most { all: fit.clamp(8, CONNECTIONS.all), ..CONNECTIONS }
}

/// How HTTP/2 is spoken. What is not set here cannot be: how many streams that the server itself reset are
/// remembered (50, for a second) and how much may be spent on DATA frames that carry next to nothing (h2
/// derives it from the window).
pub fn http() -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        // Calls at once on one connection; a client needs one.
        .max_concurrent_streams(64)
        // What may be on its way to a call that is not read yet: one whole message.
        .initial_stream_window_size(64 << 10)
        // The same of all calls together.
        .initial_connection_window_size(64 << 10)
        // Nor does it grow.
        .adaptive_window(false)
        // The least that the protocol allows (RFC 9113, section 4.2).
        .max_frame_size(16 << 10)
        // A request's headers once unpacked. h2 derives from it how many CONTINUATION frames there may be.
        .max_header_list_size(16 << 10)
        // What the caller may make us remember of headers it sent.
        .header_table_size(4 << 10)
        // What we keep of an answer that the caller does not take.
        .max_send_buf_size(64 << 10)
        // Calls reset before we looked at them, and calls that we had to reset: more end the connection.
        .max_pending_accept_reset_streams(16)
        .max_local_error_reset_streams(16)
        // Who does not answer a ping is gone or stopped: how a Watch that nobody reads ends.
        .keep_alive_interval(Duration::from_secs(60))
        .keep_alive_timeout(Duration::from_secs(20));
    http
}

/// A call's time, which a caller may shorten with `grpc-timeout`: at most 8 digits and a unit
/// (PROTOCOL-HTTP2.md of gRPC).
pub fn time_for(headers: &HeaderMap) -> Duration {
    let asked = headers.get("grpc-timeout").and_then(|value| value.to_str().ok()).and_then(timeout);
    asked.map_or(CALL, |asked| asked.min(CALL))
}

fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let count: u32 = digits.parse().ok()?;
    let unit = match unit {
        "H" => Duration::from_secs(3600),
        "M" => Duration::from_secs(60),
        "S" => Duration::from_secs(1),
        "m" => Duration::from_millis(1),
        "u" => Duration::from_micros(1),
        "n" => Duration::from_nanos(1),
        _ => return None,
    };
    Some(unit * count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_may_ask_for_less_time_and_not_for_more() {
        let time = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            time_for(&headers)
        };
        assert_eq!(time("100m"), Duration::from_millis(100));
        assert_eq!(time("5S"), Duration::from_secs(5));
        assert_eq!(time("0n"), Duration::ZERO);
        for other in ["99999999H", "1H", "100000000m", "-1S", "+1S", "S", "", "1", "1s", "1 S", "ä"] {
            assert_eq!(time(other), CALL, "{other}");
        }
    }

    #[test]
    fn connections_fit_into_the_descriptors() {
        assert_eq!(connections(1 << 20, 1256).all, 2048);
        assert_eq!(connections(4096, 1256).all, 946);
        assert_eq!(connections(1024, 1256).all, 8);
    }
}
