//! The watchdog: sd_watchdog_enabled(3). systemd hears of us only while a caller would be served: the loop that
//! accepts connections answers, and so do the threads that attach and detach, each with a real question to the
//! kernel. When one of them hangs, systemd ends the daemon and starts another.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Notifier;
use crate::{
    network::netlink::Socket,
    service::{Service, jobs::Jobs},
    socket::Pulse,
};

/// How often the status is told where no watchdog asks for more.
const LEISURE: Duration = Duration::from_secs(30);
/// In whose name the probe waits for its turn: nobody's, so that nobody's jobs are in its way but all together.
const NOBODY: u32 = u32::MAX;

/// What is probed.
pub struct Probed {
    /// The accept loop.
    pub accepting: Pulse,
    /// The threads that attach and detach.
    pub jobs: Jobs,
    /// What the status is about.
    pub service: Arc<Service>,
}

/// Probes and tells, for ever. Four times as often as systemd wants to hear of us, with half of that time for the
/// answer: one slow answer is no reason to be ended.
pub async fn beat(notifier: Notifier, watchdog: Option<Duration>, probed: Probed) {
    if notifier.is_silent() {
        return std::future::pending().await;
    }
    let every = watchdog.map_or(LEISURE, |limit| limit / 4);
    let mut ticks = interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut well = true;
    loop {
        ticks.tick().await;
        let answer = timeout(every * 2, probed.answers()).await;
        let outcome = answer.unwrap_or_else(|_| Err("there is no answer".to_owned()));
        match &outcome {
            Ok(()) if watchdog.is_some() => notifier.alive(),
            Ok(()) => {}
            // Once: it may go on for long where there is no watchdog.
            Err(reason) if well => {
                tracing::error!(reason, "attaches do not get on; the watchdog is not told");
            }
            Err(_) => {}
        }
        well = outcome.is_ok();
        notifier.status(&status(&probed.service, well));
    }
}

/// What `systemctl status` shows.
pub fn status(service: &Service, well: bool) -> String {
    let count = service.count();
    let trouble = if well { "" } else { "; attaches do not get on" };
    format!("{count} attached; guard: {}{trouble}", service.guard().name())
}

impl Probed {
    async fn answers(&self) -> Result<(), String> {
        self.accepting.answers().await?;
        let attach = self.jobs.attach(NOBODY, ask_kernel);
        let detach = self.jobs.detach_waiting(NOBODY, ask_kernel);
        let (attach, detach) = tokio::join!(attach, detach);
        attach.and_then(|answer| Ok(answer?)).map_err(|error| format!("attaching: {error}"))?;
        detach.and_then(|answer| Ok(answer?)).map_err(|error| format!("detaching: {error}"))
    }
}

/// The loopback link is in every network namespace.
fn ask_kernel() -> std::io::Result<()> {
    Socket::open()?.link_by_name("lo").map(drop)
}
