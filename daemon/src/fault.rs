//! Fault injection: dies, or fails, at a named step. Compiled only with the feature `fault-injection`,
//! which no package enables; otherwise a step costs nothing.
//!
//! `V6POD_FAULT=attach.link` kills the daemon with SIGKILL right after that step;
//! `V6POD_FAULT=fail:attach.link` makes the step fail, the first time, as if the kernel had refused it.

use std::io;

/// The steps of an attach and of a detach, in their order. Tests go through all of them.
pub const STEPS: &[&str] = &[
    "attach.recorded",
    "attach.link",
    "attach.port",
    "attach.neighbour",
    "attach.up",
    "attach.inside",
    "attach.announced",
    "attach.committed",
    "attach.published",
    "detach.withdrawn",
    "detach.recorded",
    "detach.neighbour",
    "detach.link",
    "detach.erased",
];

/// Marks that a step is done. Passed to drivers so that nothing is global but the environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fault;

impl Fault {
    /// The step is done.
    ///
    /// # Errors
    /// Only when a test asked for one.
    #[cfg(not(feature = "fault-injection"))]
    pub fn after(self, _step: &'static str) -> io::Result<()> {
        Ok(())
    }

    /// The step is done.
    ///
    /// # Errors
    /// Only when a test asked for one.
    #[cfg(feature = "fault-injection")]
    pub fn after(self, step: &'static str) -> io::Result<()> {
        debug_assert!(STEPS.contains(&step), "{step} is not in the list");
        let Ok(wanted) = std::env::var("V6POD_FAULT") else { return Ok(()) };
        static FAILED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
        if wanted.strip_prefix("fail:") == Some(step)
            && !FAILED.swap(true, std::sync::atomic::Ordering::Relaxed)
        {
            return Err(io::Error::other("a test asked for this failure"));
        }
        if wanted == step {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
        Ok(())
    }
}
