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

use rustix::net::{AddressFamily, SocketType, sockopt};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
};
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
    #[error("another v6podd listens on {0}, or systemd for it: stop that one first")]
    InUse(PathBuf),
    /// The socket cannot be made.
    #[error("cannot listen on {path}: {source}")]
    Bind {
        /// The path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// systemd passed more than one socket.
    #[error(
        "{0} sockets were passed: v6podd.socket may have one ListenStream= and no other socket may start v6podd"
    )]
    Several(usize),
    /// systemd passed another one.
    #[error(
        "the socket that was passed ({found}) is not {path}: make ListenStream= of v6podd.socket and path of [socket] the same"
    )]
    Other {
        /// The configured path.
        path: PathBuf,
        /// What was passed.
        found: String,
    },
}

/// Takes the socket that systemd listens on for us, if it is the configured one: a unix stream socket at that path.
/// Its mode and group become the configured ones.
///
/// # Errors
/// See [`Error`].
pub fn adopt(
    mut passed: Vec<unix::UnixListener>,
    socket: &config::Socket,
) -> Result<Option<unix::UnixListener>, Error> {
    let several = passed.len();
    let Some(listener) = passed.pop() else { return Ok(None) };
    if several > 1 {
        return Err(Error::Several(several));
    }
    let kind = (sockopt::socket_domain(&listener), sockopt::socket_type(&listener));
    let address = listener.local_addr().ok();
    let path = address.as_ref().and_then(|address| address.as_pathname());
    if kind != (Ok(AddressFamily::UNIX), Ok(SocketType::STREAM)) || path != Some(&socket.path) {
        let found =
            path.map_or("not a unix stream socket with a path".to_owned(), |path| path.display().to_string());
        return Err(Error::Other { path: socket.path.clone(), found });
    }
    let fail = |source| Error::Bind { path: socket.path.clone(), source };
    let mode = fs::metadata(&socket.path).map_err(fail)?.permissions().mode() & 0o7777;
    if mode != socket.mode {
        tracing::warn!(
            "the socket's mode was {mode:o} and is now {:o}: write that as SocketMode= into a drop-in of \
             v6podd.socket, for it to be so before v6podd starts",
            socket.mode
        );
    }
    protect(&socket.path, socket).map_err(fail)?;
    Ok(Some(listener))
}

/// Gives a socket's file the configured group and mode.
fn protect(path: &Path, socket: &config::Socket) -> io::Result<()> {
    if let Some(group) = socket.group {
        std::os::unix::fs::chown(path, None, Some(group))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(socket.mode))
}

/// Makes a listening socket one of the runtime's.
///
/// # Errors
/// [`Error::Bind`].
pub fn attend(listener: unix::UnixListener, socket: &config::Socket) -> Result<UnixListener, Error> {
    let attended = listener.set_nonblocking(true).and_then(|()| UnixListener::from_std(listener));
    attended.map_err(|source| Error::Bind { path: socket.path.clone(), source })
}

/// Listens. A socket that a dead daemon left is replaced; a live one's is not.
///
/// # Errors
/// See [`Error`].
pub fn bind(socket: &config::Socket) -> Result<unix::UnixListener, Error> {
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
    protect(&new, socket).map_err(fail)?;
    fs::rename(&new, &socket.path).map_err(fail)?;
    Ok(listener)
}

/// Whether a living process listens there. One that is dead but not yet gone (it may hang in closing a
/// stranger's file) does not count.
pub fn is_served(path: &Path) -> bool {
    let Ok(stream) = unix::UnixStream::connect(path) else { return false };
    let Ok(server) = sys::peer::credentials(&stream) else { return false };
    !sys::process::is_dead(server.pid)
}

/// Serves connections as they come, each on a task of its own. Ends with the daemon.
pub async fn serve(
    listener: UnixListener,
    admin_group: Option<u32>,
    shares: Shares,
    routes: Routes,
    mut questions: Questions,
) {
    let mut acceptor = Acceptor { listener, admin_group, shares, pause: PAUSES.0, told: None };
    loop {
        tokio::select! {
            (stream, caller) = acceptor.next() => {
                tokio::spawn(connection::serve(stream, caller, routes.clone()));
            }
            Some(question) = questions.0.recv() => drop(question.send(())),
        }
    }
}

/// Asks [`serve`] whether it goes on.
pub struct Pulse(mpsc::Sender<oneshot::Sender<()>>);

/// What was asked.
pub struct Questions(mpsc::Receiver<oneshot::Sender<()>>);

impl Pulse {
    /// One that asks, and what it asks.
    pub fn new() -> (Self, Questions) {
        let (asked, questions) = mpsc::channel(1);
        (Self(asked), Questions(questions))
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// Nobody is there to answer.
    pub async fn answers(&self) -> Result<(), String> {
        let (question, answer) = oneshot::channel();
        let gone = || "nobody accepts connections".to_owned();
        self.0.send(question).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
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
