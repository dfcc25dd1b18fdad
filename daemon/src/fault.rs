//! Fault injection: dies, or fails, at a named step. Compiled only with the feature `fault-injection`,
//! which no package enables; otherwise a step costs nothing.
//!
//! `V6POD_FAULT=attach.link` kills the daemon with SIGKILL right after that step;
//! `V6POD_FAULT=fail:attach.link` makes the step fail, the first time, as if the kernel had refused it;
//! `V6POD_FAULT=stop:attach.link` stops it there, the first time, until it gets SIGCONT;
//! `V6POD_FAULT=hang:attach.link` lets the thread hang there, every time;
//! `V6POD_FAULT=hold:resync.begun` keeps the thread there, the first time, until there is a file [`GO_ON`].

use std::io;

/// What ends a `hold`.
pub const GO_ON: &str = "/run/v6pod-fault-go-on";

/// The steps of an attach and of a detach, in their order, of which tests go through all; and others.
pub const STEPS: &[&str] = &[
    "attach.recorded",
    "attach.admitted",
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
    "detach.dismissed",
    "detach.erased",
    "resync.begun",
    "monitor.heard",
    "guard.heard",
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
        let (how, wanted) = wanted.split_once(':').unwrap_or(("kill", &wanted));
        static DONE: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
        if (how, wanted) == ("hang", step) {
            tracing::info!(step, "a thread hangs");
            loop {
                std::thread::park();
            }
        }
        if wanted != step || DONE.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return Ok(());
        }
        let signal = match how {
            "hold" => {
                tracing::info!(step, "a thread is held");
                while !std::path::Path::new(GO_ON).exists() {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                return Ok(());
            }
            "fail" => return Err(io::Error::other("a test asked for this failure")),
            "stop" => rustix::process::Signal::STOP,
            _ => rustix::process::Signal::KILL,
        };
        let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
        Ok(())
    }
}
