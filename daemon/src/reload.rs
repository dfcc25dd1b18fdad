//! SIGHUP: the configuration is read again, and put in force as a whole or not at all.
//!
//! What is wrong with it, or cannot change before a restart, is logged, and what was in force stays so. What
//! the new rules forbid of what is attached is logged and listed; with `[policy] evict = true` it is ended.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    config::Config,
    model::AttachmentId,
    service::{Service, jobs::Jobs},
    systemd::{Notifier, pulse},
};

/// What a reload needs to know.
pub struct Reload {
    /// The file.
    pub path: PathBuf,
    /// What was read from it at the start, before anything was filled in.
    pub started_with: Config,
    /// Whose rules they are.
    pub service: Arc<Service>,
    /// What ends attachments.
    pub jobs: Jobs,
    /// Who is told that it goes on.
    pub notifier: Notifier,
}

/// Catches SIGHUP from here on: a daemon that is just starting is not ended by it.
///
/// # Errors
/// sigaction(2) fails.
pub fn catch() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Whose work an eviction is.
const ADMINISTRATOR: u32 = 0;

impl Reload {
    /// Looks at what the daemon found attached; then reloads at every signal, as long as it runs.
    pub async fn follow(self, mut asked: Signal) {
        let this = Arc::new(self);
        this.apart(|this| this.service.review()).await;
        while asked.recv().await.is_some() {
            this.notifier.reloading();
            this.apart(Self::once).await;
            this.notifier.ready(&pulse::status(&this.service, true));
        }
    }

    /// On a thread apart: it reads files, and may ask a directory service. Then ends what is to be ended.
    async fn apart(self: &Arc<Self>, work: fn(&Self) -> Vec<AttachmentId>) {
        let this = Arc::clone(self);
        for id in tokio::task::spawn_blocking(move || work(&this)).await.unwrap_or_default() {
            let service = Arc::clone(&self.service);
            self.jobs.detach(ADMINISTRATOR, move || service.evict(id));
        }
    }

    /// One reload. Gives what is to be ended.
    fn once(&self) -> Vec<AttachmentId> {
        match self.read() {
            Ok(config) => {
                self.service.adopt(&config);
                let forbidden = self.service.review();
                tracing::info!(path = %self.path.display(), "reloaded");
                forbidden
            }
            Err(reason) => {
                tracing::error!(path = %self.path.display(), reason = reason.replace('\n', "; "),
                    "not reloaded: what was in force stays so");
                Vec::new()
            }
        }
    }

    fn read(&self) -> Result<Config, String> {
        let config = read(&self.path)?;
        let changed = self.started_with.needs_restart(&config);
        if changed.is_empty() {
            return Ok(config);
        }
        Err(format!("this needs a restart: {}", changed.join(", ")))
    }
}

fn read(path: &Path) -> Result<Config, String> {
    Config::load(path).map_err(|error| error.to_string())
}
