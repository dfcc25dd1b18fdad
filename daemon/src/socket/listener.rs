//! Binding and accepting. The accept loop ends with the daemon and for no other reason: what a caller
//! can bring about (no descriptor left, connections that vanish) makes it wait, not end, and not spin.

use std::{
    fs, io,
    os::unix::{
        fs::{DirBuilderExt as _, PermissionsExt as _},
        net as unix,
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::net::{UnixListener, UnixStream};
use tonic::service::Routes;

use super::{Caller, Shares, connection};
use crate::{
    auth::{Closing, Peer},
    config, sys,
};

/// How long accepting rests after it failed, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How often it is said that accepting rests, at most.
const TELL: Duration = Duration::from_secs(10);

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
    if let Some(folder) = socket.path.parent().filter(|folder| !folder.exists()) {
        // Everybody may go there and nobody but root may put anything there, whatever the umask.
        fs::DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(fail)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).map_err(fail)?;
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
pub fn is_served(path: &Path) -> bool {
    let Ok(stream) = unix::UnixStream::connect(path) else { return false };
    let Ok(server) = sys::peer::credentials(&stream) else { return false };
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.pid)).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    !state.is_empty() && !state.starts_with(['Z', 'X'])
}

/// Serves connections as they come, each on a task of its own. Ends with the daemon.
pub async fn serve(listener: UnixListener, admin_group: Option<u32>, shares: Shares, routes: Routes) {
    let mut acceptor = Acceptor { listener, admin_group, shares, pause: PAUSES.0, told: None };
    loop {
        let (stream, caller) = acceptor.next().await;
        tokio::spawn(connection::serve(stream, caller, routes.clone()));
    }
}

/// Accepting, and how it fares.
struct Acceptor {
    listener: UnixListener,
    admin_group: Option<u32>,
    shares: Shares,
    /// How long it rests when it fails next.
    pause: Duration,
    /// When it last said that it rests.
    told: Option<Instant>,
}

impl Acceptor {
    async fn next(&mut self) -> (UnixStream, Caller) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    self.pause = PAUSES.0;
                    if let Some(caller) = admit(&stream, self.admin_group, &self.shares) {
                        return (stream, caller);
                    }
                }
                Err(error) => self.rest(&error).await,
            }
        }
    }

    async fn rest(&mut self, error: &io::Error) {
        if self.told.is_none_or(|told| told.elapsed() > TELL) {
            self.told = Some(Instant::now());
            tracing::warn!(%error, "accepting rests; so it may for a while");
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
    }
}

/// Lets a connection in, or not.
fn admit(stream: &UnixStream, admin_group: Option<u32>, shares: &Shares) -> Option<Caller> {
    let peer = match Peer::of(stream, admin_group) {
        Ok(peer) => peer,
        Err(error) => {
            // Nobody's, and still not to be had for ever.
            tracing::warn!(uid = u32::MAX, %error, "dropping a connection whose caller the kernel does not know");
            return None;
        }
    };
    let account = shares.charged(peer.uid());
    let Some(seat) = shares.seat((!peer.is_admin()).then_some(account), Closing::of(account)) else {
        tracing::info!(uid = peer.uid(), "dropping a connection of a user who has too many");
        return None;
    };
    Some(Caller::new(peer, account, seat))
}
