//! Work that changes the kernel, each piece on a thread of its own.
//!
//! The kernel does such work inside the system call, under a lock, for milliseconds; and entering a
//! namespace spoils a thread for anything else. So each job has a fresh thread that ends with it. A job
//! runs to its end whether or not anybody still waits for it. How many run at once is bounded; attaches
//! and detaches have their own bounds, so that neither starves the other.

use std::{io, sync::Arc, thread, time::Duration};

use tokio::sync::{Semaphore, oneshot};

/// Attaches at once. The kernel's RTNL lock lets one work at a time; more only overlap the rest.
const ATTACHES: u32 = 8;
/// Detaches at once. Most of a deletion is waiting for RCU, outside the lock.
const DETACHES: u32 = 8;
/// A job's stack in octets.
const STACK: usize = 256 << 10;

/// Runs jobs. A cheap handle.
#[derive(Clone)]
pub struct Jobs {
    attaches: Arc<Semaphore>,
    detaches: Arc<Semaphore>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            attaches: Arc::new(Semaphore::new(ATTACHES as usize)),
            detaches: Arc::new(Semaphore::new(DETACHES as usize)),
        }
    }
}

impl Jobs {
    /// Runs an attach and gives what it gives. None: the daemon is stopping, or no thread could be made.
    pub async fn attach<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        run(&self.attaches, job).await.ok()
    }

    /// Runs a detach that somebody waits for. None: as above.
    pub async fn detach_waiting<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        run(&self.detaches, job).await.ok()
    }

    /// Runs a detach that nobody waits for.
    pub fn detach(&self, job: impl FnOnce() + Send + 'static) {
        drop(run(&self.detaches, job));
    }

    /// Lets running jobs end and starts no more; false: some were still running when time was up.
    pub async fn drain(&self, deadline: Duration) -> bool {
        let all = async {
            let _ = self.attaches.acquire_many(ATTACHES).await;
            self.attaches.close();
            let _ = self.detaches.acquire_many(DETACHES).await;
            self.detaches.close();
        };
        tokio::time::timeout(deadline, all).await.is_ok()
    }
}

fn run<T: Send + 'static>(
    permits: &Arc<Semaphore>,
    job: impl FnOnce() -> T + Send + 'static,
) -> oneshot::Receiver<T> {
    let (done, result) = oneshot::channel();
    let permits = Arc::clone(permits);
    tokio::spawn(async move {
        let Ok(permit) = permits.acquire_owned().await else { return };
        if let Err(error) = start(move || {
            let outcome = job();
            drop(permit);
            let _ = done.send(outcome);
        }) {
            tracing::error!(%error, "no thread for a job: raise TasksMax, or ulimit -u");
        }
    });
    result
}

fn start(job: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("job".to_owned()).stack_size(STACK).spawn(job).map(drop)
}
