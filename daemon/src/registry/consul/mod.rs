//! Consul, service mode: each attachment is a service of the local agent, `NAME.service.consul`.
//!
//! ```text
//! publish, withdraw -> desired (what should be, in memory) -> sync (one task) -> agent -> http -> tls
//! ```
//!
//! The agent keeps a service as `v6pod-INSTANCE-ID`, and only ids of exactly this form with our own instance
//! are ever touched: two daemons can share an agent. Checks are not registered at all, scripts in particular:
//! an agent would run them.
//!
//! The task pushes a change at once and compares the agent's whole list every 30 s, and 1 to 30 s after a
//! failure, so whatever happened to the agent or to a request, the names are right at most 35 s after it is
//! back. Entries of ours that nobody wants are left alone for a minute after the start, until the containers
//! that outlived a restart have been published again (as Nomad does). When the daemon ends, its entries stay.

mod agent;
mod config;
mod desired;
#[cfg(fuzzing)]
pub mod fuzz;
mod http;
mod sync;
mod tls;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use tokio::task::JoinSet;

use self::agent::{Agent, Service};
pub use self::config::{Config, Endpoint};
use self::sync::{Shared, Timing, Worker};
use super::{Registry, Status};
use crate::model::{AttachmentId, Name, Record};

/// What tells one daemon's services from another's at the same agent: 32 bits, written as 8 lower-case
/// hexadecimal digits. A daemon must remember its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance(u32);

impl Instance {
    /// The instance of this number.
    pub fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    pub fn number(self) -> u32 {
        self.0
    }

    /// A new one.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// The service id of an attachment.
    fn service_id(self, id: AttachmentId) -> String {
        format!("v6pod-{self}-{id}")
    }

    /// The attachment of a service id; `None` if the service is not ours.
    fn attachment(self, service_id: &str) -> Option<AttachmentId> {
        let rest = service_id.strip_prefix("v6pod-")?.strip_prefix(&self.to_string())?;
        let id: AttachmentId = rest.strip_prefix('-')?.parse().ok()?;
        // Ids are written in one way only; whoever wrote it otherwise was not us.
        (self.service_id(id) == service_id).then_some(id)
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The text is not 8 lower-case hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not 8 lower-case hexadecimal digits")]
pub struct BadInstance(String);

impl FromStr for Instance {
    type Err = BadInstance;

    fn from_str(text: &str) -> Result<Self, BadInstance> {
        let number = u32::from_str_radix(text, 16).map(Self).ok();
        number.filter(|instance| instance.to_string() == text).ok_or_else(|| BadInstance(text.to_owned()))
    }
}

/// Consul.
#[derive(Debug)]
pub struct Consul {
    endpoint: String,
    domain: String,
    tags: Vec<String>,
    caller_tags: bool,
    instance: Instance,
    shared: Arc<Shared>,
    /// Ends the worker with us.
    _task: JoinSet<()>,
}

impl Consul {
    /// Begins to follow. Must be called within a tokio runtime.
    pub fn start(config: Config, instance: Instance) -> Self {
        let timing = Timing { probation: config.probation, sync: config.sync };
        let agent = Agent::new(config.endpoint.clone(), config.ca_file, config.token_file, instance);
        let shared = Arc::new(Shared::default());
        let worker = Worker::new(agent, Arc::clone(&shared), timing);
        let mut task = JoinSet::new();
        task.spawn(worker.run());
        Self {
            endpoint: config.endpoint.to_string(),
            domain: config.domain,
            tags: config.tags,
            caller_tags: config.caller_tags,
            instance,
            shared,
            _task: task,
        }
    }

    fn service(&self, record: &Record) -> Service {
        let mut tags = self.tags.clone();
        if self.caller_tags {
            tags.extend(record.tags.iter().map(ToString::to_string));
        }
        Service::new(self.instance.service_id(record.id), record, tags)
    }
}

impl Registry for Consul {
    fn publish(&self, record: &Record) {
        self.shared.publish(record.id, self.service(record));
    }

    fn withdraw(&self, id: AttachmentId) {
        self.shared.withdraw(id);
    }

    fn status_for(&self, _: &dyn Fn(IpAddr) -> bool) -> Status {
        let (names, error) = self.shared.health();
        Status { kind: "consul", endpoint: self.endpoint.clone(), healthy: error.is_none(), error, names }
    }

    fn full_name(&self, name: &Name) -> String {
        format!("{name}.service.{}", self.domain)
    }

    fn check(&self, record: &Record) -> Option<String> {
        let amiss = self.shared.amiss(record.id, &self.service(record))?;
        Some(format!("{} at Consul {}: {amiss}", self.full_name(&record.name), self.endpoint))
    }
}

/// The services of an instance that no daemon wants any more, for clean-up.
pub struct Remains {
    agent: Agent,
    /// Each with the name that it is asked for by.
    pub names: Vec<(AttachmentId, String)>,
}

impl Remains {
    /// Asks the agent for them.
    ///
    /// # Errors
    /// It is away, or says no; in words.
    pub async fn find(config: &Config, instance: Instance) -> Result<Self, String> {
        let files = (config.ca_file.clone(), config.token_file.clone());
        let agent = Agent::new(config.endpoint.clone(), files.0, files.1, instance);
        let listed = agent.list().await.map_err(|error| format!("{}: {error}", config.endpoint))?;
        let name = |service: &agent::Listed| format!("{}.service.{}", service.name(), config.domain);
        let mut names: Vec<_> = listed.iter().map(|(id, service)| (*id, name(service))).collect();
        names.sort();
        Ok(Self { agent, names })
    }

    /// Has one forgotten.
    ///
    /// # Errors
    /// As above.
    pub async fn forget(&self, id: AttachmentId) -> Result<(), String> {
        self.agent.deregister(id).await.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod real;
#[cfg(test)]
mod real_tests;
#[cfg(test)]
mod tests;
