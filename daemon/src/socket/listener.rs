//! Binding and accepting. The accept loop ends with the daemon and for no other reason: what a caller
//! can bring about (no descriptor left, connections that vanish) makes it wait, not end, and not spin.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::{
        fs::{DirBuilderExt as _, PermissionsExt as _},
        net as unix,
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::net::UnixListener;
use tokio_stream::Stream as AsyncStream;

use super::{CLOSING, Caller, Stream};
use crate::{
    auth::{self, Peer},
    config, sys,
};

/// The most connections of one user, administrators aside.
const PER_USER: usize = 128;
/// How long accepting rests after it failed, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Why the daemon cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another daemon listens there.
    #[error("another v6podd listens on {0}: stop that one first")]
    InUse(PathBuf),
    /// The socket cannot be made.
    #[error("cannot listen on {path}: {source}")]
    Bind {
        /// The path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Listens. A socket that a dead daemon left is replaced; a live one's is not.
///
/// # Errors
/// See [`Error`].
pub fn bind(socket: &config::Socket) -> Result<UnixListener, Error> {
    let fail = |source| Error::Bind { path: socket.path.clone(), source };
    if let Some(folder) = socket.path.parent() {
        // Nobody but root may put anything there, whatever the umask.
        fs::DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(fail)?;
    }
    if is_served(&socket.path) {
        return Err(Error::InUse(socket.path.clone()));
    }
    // Made beside its place, so that it is never there with another mode than it shall have.
    let new = socket.path.with_extension("new");
    let _ = fs::remove_file(&new);
    let listener = unix::UnixListener::bind(&new).map_err(fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    if let Some(group) = socket.group {
        std::os::unix::fs::chown(&new, None, Some(group)).map_err(fail)?;
    }
    fs::set_permissions(&new, fs::Permissions::from_mode(socket.mode)).map_err(fail)?;
    fs::rename(&new, &socket.path).map_err(fail)?;
    UnixListener::from_std(listener).map_err(fail)
}

/// Whether a living process listens there. One that is dead but not yet gone (it may hang in closing a
/// stranger's file) does not count.
fn is_served(path: &Path) -> bool {
    let Ok(stream) = unix::UnixStream::connect(path) else { return false };
    let Ok(server) = sys::peer::credentials(&stream) else { return false };
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.pid)).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    !state.is_empty() && !state.starts_with(['Z', 'X'])
}

/// How many connections each user has.
#[derive(Clone, Default)]
struct Seats(Arc<Mutex<HashMap<u32, usize>>>);

/// One connection's place among its user's.
pub struct Seat {
    seats: Seats,
    uid: u32,
}

impl Seats {
    fn take(&self, uid: u32) -> (Seat, usize) {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = seats.entry(uid).or_default();
        *count += 1;
        let taken = *count;
        drop(seats);
        (Seat { seats: self.clone(), uid }, taken)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = seats.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                seats.remove(&self.uid);
            }
        }
    }
}

/// Connections, as they come, each with its caller. Never ends.
pub fn incoming(
    listener: UnixListener,
    admin_group: Option<u32>,
) -> impl AsyncStream<Item = Result<Stream, std::convert::Infallible>> {
    let seats = Seats::default();
    // Polled by the server itself: a task and a channel in between would cost each call two hand-overs.
    futures_util::stream::unfold((listener, seats), move |(listener, seats)| async move {
        let stream = next(&listener, admin_group, &seats).await;
        Some((Ok(stream), (listener, seats)))
    })
}

async fn next(listener: &UnixListener, admin_group: Option<u32>, seats: &Seats) -> Stream {
    let mut pause = PAUSES.0;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                pause = PAUSES.0;
                if let Some(stream) = admit(stream, admin_group, seats) {
                    return stream;
                }
            }
            Err(error) => {
                tracing::warn!(%error, ?pause, "accepting rests");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

/// Lets a connection in, or drops it.
fn admit(stream: tokio::net::UnixStream, admin_group: Option<u32>, seats: &Seats) -> Option<Stream> {
    let peer = match Peer::of(&stream, admin_group) {
        Ok(peer) => peer,
        Err(error) => {
            tracing::warn!(%error, "dropping a connection whose caller the kernel does not know");
            return None;
        }
    };
    let (seat, taken) = seats.take(peer.uid());
    let closing = auth::closing(peer.uid());
    if !peer.is_admin() && (taken > PER_USER || closing > CLOSING) {
        tracing::info!(uid = peer.uid(), taken, closing, "dropping a connection of a user who has too many");
        return None;
    }
    Some(Stream::new(stream, Caller::new(peer, seat)))
}
