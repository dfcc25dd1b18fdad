//! The daemon as a service of systemd's, from version 219 on, or of anything that does likewise. Without it, in a
//! plain foreground run, all of this is silent.
//!
//! - [`passed`]: what systemd passes at the start: the listening socket, in which connections wait while the daemon
//!   is restarted, and the leases that it kept for us.
//! - [`notify`]: what systemd is told: ready, reloading, stopping, in words, and the leases to keep.
//! - [`pulse`]: the watchdog, fed only while the daemon does what it is for.
//! - [`journal`]: whether the log goes to the journal.
//!
//! Descriptors are known by what they are, not by a name: systemd 219 passes names of none (`LISTEN_FDNAMES` is
//! of 227, `FDNAME=` of 233).

pub mod journal;
pub mod notify;
pub mod passed;
pub mod pulse;

pub use notify::Notifier;
pub use passed::Passed;
