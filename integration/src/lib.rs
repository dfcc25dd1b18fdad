//! The harness of the integration tests: whole hosts, cheap enough to make one for each test.
//!
//! A [`Host`] has its own network, mount, PID, UTS, IPC and cgroup namespaces, its own users with
//! subordinate ids, and its own `/etc`, `/usr`, `/var`, `/run`, `/tmp` and `/home`: the machine's, with every
//! change kept on a tmpfs. Unchanged programs run in it: podman, Consul, the daemon itself. Nothing of the
//! machine is altered, and when the host is dropped, or its test process dies in whatever way, the kernel
//! removes everything that ran or was mounted there.
//!
//! Making hosts needs root and what `integration/prepare` installs; without either, a test fails and says so.
//!
//! ```no_run
//! use v6pod_integration::{Host, Net};
//!
//! let net = Net::new();
//! let host = Host::new("one", &["alice"]);
//! let link = net.join(&host);
//! let daemon = host.daemon(&format!("prefix = \"{}\"\n", link.prefix));
//! let alice = host.user("alice");
//! alice.podman(["run", "-d", "--name", "web", "busybox", "httpd", "-f"]);
//! assert!(daemon.log().contains("web"));
//! ```

#![forbid(unsafe_code)]

mod background;
mod command;
mod consul;
mod daemon;
mod engine;
mod host;
mod namespaces;
mod net;
mod output;
mod paths;
mod slot;
mod snapshot;
mod user;
mod wait;

pub use background::Background;
pub use command::Command;
pub use consul::Consul;
pub use daemon::{Daemon, OLD_KERNEL, UNLIMITED};
pub use host::{Builder, Host};
pub use namespaces::{Attached, Namespaces, attached, test_client};
pub use net::{Link, Net};
pub use output::Output;
pub use paths::{PYTHON, cache, program};
pub use rustix::process::Signal;
pub use snapshot::Snapshot;
pub use user::User;
pub use wait::{LATER, SOON, eventually};
