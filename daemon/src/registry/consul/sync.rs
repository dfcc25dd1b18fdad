//! The task that brings the agent to what is desired.
//!
//! A *comparison* lists the agent's services and makes the differences due; a *push* carries one out. Pushes
//! run only while the agent is known to be there: the first request without an answer stops them, and the
//! comparison after the back-off, once it succeeds, lets them go on. A refusal (an HTTP status) of one
//! service does not stop the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::agent::{Agent, AgentError, Listed, Service};
use super::desired::{Desired, Outcome, Push, State};
use crate::backoff;
use crate::model::AttachmentId;

/// Pushes in flight at most.
const PUSHES: usize = 8;

/// Durations.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long after the start unknown entries are left alone.
    pub probation: Duration,
    /// Between comparisons when all is well.
    pub sync: Duration,
}

/// What callers and the task share.
#[derive(Debug)]
pub struct Shared {
    state: Mutex<Known>,
    wake: Notify,
}

#[derive(Debug)]
struct Known {
    desired: Desired,
    /// Why the agent is thought to be away.
    away: Option<String>,
    /// Whether withdrawals may be forgotten.
    forgetful: bool,
}

impl Default for Shared {
    fn default() -> Self {
        let away = Some("not asked yet".to_owned());
        let known = Known { desired: Desired::default(), away, forgetful: false };
        Self { state: Mutex::new(known), wake: Notify::new() }
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wants a service.
    pub fn publish(&self, id: AttachmentId, service: Service) {
        self.known().desired.publish(id, service);
        self.wake.notify_one();
    }

    /// Wants it no longer.
    pub fn withdraw(&self, id: AttachmentId) {
        let mut known = self.known();
        known.desired.withdraw(id);
        if known.forgetful {
            known.desired.forget_withdrawn();
        }
        drop(known);
        self.wake.notify_one();
    }

    /// How many services are wanted, and what is amiss in general.
    pub fn health(&self) -> (usize, Option<String>) {
        let known = self.known();
        let refusal = || known.desired.refusal().map(str::to_owned);
        (known.desired.wanted(), known.away.clone().or_else(refusal))
    }

    /// What is amiss with one service.
    pub fn amiss(&self, id: AttachmentId, service: &Service) -> Option<String> {
        let known = self.known();
        match known.desired.state(id, service) {
            State::Unwanted => Some("not published".to_owned()),
            State::Pending(Some(refusal)) => Some(refusal.to_owned()),
            State::Pending(None) => Some(known.away.clone().unwrap_or_else(|| "on its way".to_owned())),
            // What was registered may be lost with the agent's memory, but nothing says so.
            State::Registered => known.away.clone(),
        }
    }
}

/// Something that came to its end.
enum Done {
    Pushed(Push, Result<(), AgentError>),
    Listed { since: u64, started: Instant, list: Result<HashMap<AttachmentId, Listed>, AgentError> },
}

type Work = FuturesUnordered<BoxFuture<'static, Done>>;

/// The task's own state.
pub struct Worker {
    agent: Arc<Agent>,
    shared: Arc<Shared>,
    timing: Timing,
    probation_ends: Instant,
    next_listing: Instant,
    listing: bool,
    pushing: usize,
    /// Rounds, that is times between comparisons, that had a failure, in a row.
    failures: u32,
    failed: bool,
}

impl Worker {
    /// A worker that begins with a comparison.
    pub fn new(agent: Agent, shared: Arc<Shared>, timing: Timing) -> Self {
        let now = Instant::now();
        Self {
            agent: Arc::new(agent),
            shared,
            timing,
            probation_ends: now + timing.probation,
            next_listing: now,
            listing: false,
            pushing: 0,
            failures: 0,
            failed: false,
        }
    }

    /// Works until dropped.
    pub async fn run(mut self) {
        let mut work = Work::new();
        loop {
            self.push(&work);
            tokio::select! {
                Some(done) = work.next() => self.finish(done),
                () = self.shared.wake.notified() => {}
                () = sleep_until(self.next_listing), if !self.listing => self.list(&work),
            }
        }
    }

    /// Starts as many pushes as may run.
    fn push(&mut self, work: &Work) {
        let mut known = self.shared.known();
        while known.away.is_none() && self.pushing < PUSHES {
            let Some(push) = known.desired.next() else {
                return;
            };
            self.pushing += 1;
            let agent = Arc::clone(&self.agent);
            work.push(Box::pin(async move {
                let result = match &push.service {
                    Some(service) => agent.register(service).await,
                    None => agent.deregister(push.id).await,
                };
                Done::Pushed(push, result)
            }));
        }
    }

    /// Starts a comparison.
    fn list(&mut self, work: &Work) {
        self.listing = true;
        if !std::mem::take(&mut self.failed) {
            self.failures = 0;
        }
        let (agent, started, since) =
            (Arc::clone(&self.agent), Instant::now(), self.shared.known().desired.now());
        self.next_listing = started + self.timing.sync;
        work.push(Box::pin(async move {
            let list = agent.list().await;
            Done::Listed { since, started, list }
        }));
    }

    fn finish(&mut self, done: Done) {
        match done {
            Done::Pushed(push, result) => {
                self.pushing -= 1;
                self.pushed(&push, result);
            }
            Done::Listed { since, started, list } => {
                self.listing = false;
                match list {
                    Ok(list) => self.listed(since, &list),
                    Err(error) => self.lose(started, &error),
                }
            }
        }
    }

    fn pushed(&mut self, push: &Push, result: Result<(), AgentError>) {
        let outcome = match &result {
            Ok(()) => Outcome::Done,
            Err(error @ AgentError::Status { .. }) => Outcome::Refused(error.to_string()),
            Err(_) => Outcome::Lost,
        };
        self.shared.known().desired.pushed(push, outcome);
        match result {
            Ok(()) => {}
            Err(error @ AgentError::Status { .. }) => {
                tracing::warn!(id = %push.id, %error, "Consul refused a service");
                self.retry(Instant::now());
            }
            Err(error) => self.lose(Instant::now(), &error),
        }
    }

    fn listed(&mut self, since: u64, list: &HashMap<AttachmentId, Listed>) {
        let mut known = self.shared.known();
        known.desired.compare(since, list, Instant::now() >= self.probation_ends);
        known.forgetful = false;
        if known.away.take().is_some() {
            tracing::info!(services = list.len(), "Consul is there");
        }
    }

    /// The agent is away, as of an attempt that was `started` then.
    fn lose(&mut self, started: Instant, error: &AgentError) {
        let mut known = self.shared.known();
        if known.away.is_none() || self.failures == 0 {
            tracing::warn!(%error, "Consul is away");
        }
        known.away = Some(error.to_string());
        known.forgetful = Instant::now() >= self.probation_ends;
        if known.forgetful {
            known.desired.forget_withdrawn();
        }
        drop(known);
        self.retry(started);
    }

    /// Compares earlier than planned. Counted from the attempt's start, so that one that hung until its
    /// timeout does not add to the wait.
    fn retry(&mut self, started: Instant) {
        if !self.failed {
            self.failed = true;
            self.failures = self.failures.saturating_add(1);
        }
        let soon = Instant::now() + backoff::after(1);
        let next = (started + backoff::after(self.failures)).max(soon);
        self.next_listing = self.next_listing.min(next);
    }
}
