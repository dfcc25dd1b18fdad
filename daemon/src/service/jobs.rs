//! Work that changes the kernel, each piece on a thread of its own.
//!
//! The kernel does such work inside the system call, under a lock, for milliseconds; and entering a
//! namespace spoils a thread for anything else. So each job has a fresh thread that ends with it. A job
//! runs to its end whether or not anybody still waits for it. How many run at once is bounded; attaches
//! and detaches have their own bounds, so that neither starves the other. Of one user's jobs only a few run
//! at once and the rest wait for those, so that whoever comes next waits for a few of each user's and not
//! for all that somebody has asked for. If no thread can be made, who waits is told; what nobody waits for is
//! begun later.

use std::{
    collections::HashMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::sleep,
};

use super::Error;
use crate::backoff;

/// Attaches at once. The kernel's RTNL lock lets one work at a time; more only overlap the rest.
const ATTACHES: AtOnce = AtOnce { all: 8, user: 1 };
/// Detaches at once. Most of a deletion is waiting for RCU, outside the lock.
const DETACHES: AtOnce = AtOnce { all: 8, user: 2 };
/// Jobs of one user that may wait, if somebody asked for them: as many as a user may have calls. A caller
/// that gives its call up leaves the job behind.
const WAITING: usize = 128;
/// A job's stack in octets.
const STACK: usize = 256 << 10;

/// How many jobs of a kind run at once.
#[derive(Clone, Copy)]
struct AtOnce {
    /// Of everybody's.
    all: u32,
    /// Of one user's.
    user: usize,
}

/// Runs jobs. A cheap handle.
#[derive(Clone)]
pub struct Jobs {
    attaches: Arc<Queue>,
    detaches: Arc<Queue>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { attaches: Arc::new(Queue::new(ATTACHES)), detaches: Arc::new(Queue::new(DETACHES)) }
    }
}

impl Jobs {
    /// Runs an attach for a user and gives what it gives.
    ///
    /// # Errors
    /// [`Error::Stopping`]; [`Error::TooMuchAtOnce`]; [`Error::Internal`]: no thread could be made, or the job
    /// panicked.
    pub async fn attach<T: Send + 'static>(
        &self,
        user: u32,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.attaches.ask(user, job).await
    }

    /// Runs a detach that somebody waits for.
    ///
    /// # Errors
    /// As above.
    pub async fn detach_waiting<T: Send + 'static>(
        &self,
        user: u32,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.detaches.ask(user, job).await
    }

    /// Runs a detach of something of this user's that nobody asked for, sooner or later.
    pub fn detach(&self, user: u32, job: impl FnOnce() + Send + 'static) {
        drop(Place::take(&self.detaches, user).run(job, Patience::Endless));
    }

    /// Lets running jobs end and starts no more; false: some were still running when time was up.
    pub async fn drain(&self, deadline: Duration) -> bool {
        let all = async {
            self.attaches.drain().await;
            self.detaches.drain().await;
        };
        tokio::time::timeout(deadline, all).await.is_ok()
    }
}

/// What a thread does.
type Work = Box<dyn FnOnce() + Send>;

/// Whether a job waits for a thread if none can be made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    None,
    Endless,
}

/// Jobs of one kind.
struct Queue {
    at_once: AtOnce,
    /// Makes a thread.
    start: fn(Work) -> io::Result<()>,
    running: Arc<Semaphore>,
    users: Mutex<HashMap<u32, User>>,
}

/// A user has an entry as long as it has jobs.
struct User {
    turns: Arc<Semaphore>,
    jobs: usize,
}

impl Queue {
    fn new(at_once: AtOnce) -> Self {
        let running = Arc::new(Semaphore::new(at_once.all as usize));
        Self { at_once, start, running, users: Mutex::default() }
    }

    async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        user: u32,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let place = Place::take(self, user);
        if place.number > WAITING {
            return Err(Error::TooMuchAtOnce);
        }
        Ok(place.run(job, Patience::None).await.map_err(|_| Error::Stopping)??)
    }

    /// Calls this on a thread of its own, when it is its turn; or here, with the error, if no thread can be made
    /// and there is no patience. Not at all if the daemon is stopping.
    async fn begin(
        &self,
        patience: Patience,
        job: impl FnOnce(io::Result<OwnedSemaphorePermit>) + Send + 'static,
    ) {
        // A thread that cannot be made takes along what it was given.
        let job = Arc::new(Mutex::new(Some(job)));
        let take = |job: &Mutex<Option<_>>| job.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut failures = 0;
        loop {
            let Ok(permit) = Arc::clone(&self.running).acquire_owned().await else { return };
            let given = Arc::clone(&job);
            let work = move || {
                if let Some(job) = take(&given) {
                    job(Ok(permit));
                }
            };
            let Err(error) = (self.start)(Box::new(work)) else { return };
            tracing::error!(%error, "no thread for a job: raise TasksMax, or ulimit -u");
            if patience == Patience::None {
                if let Some(job) = take(&job) {
                    job(Err(error));
                }
                return;
            }
            failures += 1;
            sleep(backoff::after(failures)).await;
        }
    }

    async fn drain(&self) {
        let _ = self.running.acquire_many(self.at_once.all).await;
        self.running.close();
    }

    fn users(&self) -> MutexGuard<'_, HashMap<u32, User>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One job's place among its user's.
struct Place {
    queue: Arc<Queue>,
    user: u32,
    turns: Arc<Semaphore>,
    /// How many the user had, this one included.
    number: usize,
}

impl Place {
    fn take(queue: &Arc<Queue>, user: u32) -> Self {
        let mut users = queue.users();
        let new = || User { turns: Arc::new(Semaphore::new(queue.at_once.user)), jobs: 0 };
        let entry = users.entry(user).or_insert_with(new);
        entry.jobs += 1;
        Self { queue: Arc::clone(queue), user, turns: Arc::clone(&entry.turns), number: entry.jobs }
    }

    fn run<T: Send + 'static>(
        self,
        job: impl FnOnce() -> T + Send + 'static,
        patience: Patience,
    ) -> oneshot::Receiver<io::Result<T>> {
        let (done, result) = oneshot::channel();
        tokio::spawn(async move {
            let (turns, queue) = (Arc::clone(&self.turns), Arc::clone(&self.queue));
            let Ok(turn) = turns.acquire_owned().await else { return };
            queue
                .begin(patience, move |thread| {
                    let outcome = thread.and_then(|permit| {
                        // What it was about, `OnPanic` has given up by then.
                        let outcome = catch_unwind(AssertUnwindSafe(job));
                        drop(permit);
                        outcome
                            .map_err(|_| io::Error::other("v6podd failed in an unforeseen way: see its log"))
                    });
                    // Whoever is told shall find the place free.
                    drop((turn, self));
                    let _ = done.send(outcome);
                })
                .await;
        });
        result
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut users = self.queue.users();
        if let Some(user) = users.get_mut(&self.user) {
            user.jobs -= 1;
            if user.jobs == 0 {
                users.remove(&self.user);
            }
        }
    }
}

fn start(work: Work) -> io::Result<()> {
    thread::Builder::new().name("job".to_owned()).stack_size(STACK).spawn(work).map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    use super::*;

    /// A job that runs until it is told to end, and says that it runs.
    fn held(running: &mpsc::Sender<()>) -> (impl FnOnce() + Send + use<>, mpsc::Sender<()>) {
        let (end, ended) = mpsc::channel();
        let running = running.clone();
        let job = move || {
            running.send(()).unwrap();
            let _ = ended.recv();
        };
        (job, end)
    }

    #[tokio::test]
    async fn one_users_jobs_do_not_keep_another_waiting() {
        let jobs = Jobs::default();
        let (running, seen) = mpsc::channel();
        let mut ends = Vec::new();
        let mut asked = Vec::new();
        for _ in 0..WAITING {
            let (job, end) = held(&running);
            ends.push(end);
            let jobs = jobs.clone();
            asked.push(tokio::spawn(async move { jobs.attach(1, job).await }));
        }
        let mut others = 0;
        while others < ATTACHES.user {
            tokio::task::yield_now().await;
            others += seen.try_iter().count();
        }
        assert_eq!(jobs.attach(2, || "served").await.unwrap(), "served");
        assert!(matches!(jobs.attach(1, || ()).await, Err(Error::TooMuchAtOnce)));
        drop(ends);
        for job in asked {
            job.await.unwrap().unwrap();
        }
        assert_eq!(others + seen.try_iter().count(), WAITING);
        jobs.attach(1, || ()).await.unwrap();
        assert!(jobs.attaches.users().is_empty());
    }

    #[tokio::test]
    async fn what_runs_is_waited_for_and_what_waits_is_not_begun() {
        let jobs = Jobs::default();
        let (running, seen) = mpsc::channel();
        let (job, end) = held(&running);
        jobs.detach(1, job);
        while seen.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        assert!(!jobs.drain(Duration::from_millis(50)).await);
        drop(end);
        assert!(jobs.drain(Duration::from_secs(10)).await);
        assert!(matches!(jobs.detach_waiting(1, || ()).await, Err(Error::Stopping)));
    }

    #[tokio::test]
    async fn without_a_thread_who_waits_is_told_and_the_rest_is_done_later() {
        static REFUSALS: AtomicUsize = AtomicUsize::new(2);
        let scarce: fn(Work) -> io::Result<()> = |work| {
            let refuse =
                REFUSALS.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if refuse.is_ok() { Err(io::ErrorKind::WouldBlock.into()) } else { start(work) }
        };
        let queue = || Arc::new(Queue { start: scarce, ..Queue::new(DETACHES) });
        let jobs = Jobs { attaches: queue(), detaches: queue() };
        let outcome = jobs.attach(1, || ()).await;
        assert!(matches!(&outcome, Err(Error::Internal(error)) if error.kind() == io::ErrorKind::WouldBlock));
        let (done, is_done) = oneshot::channel();
        jobs.detach(1, || done.send(()).unwrap());
        is_done.await.expect("it was begun after all");
        assert_eq!(REFUSALS.load(Ordering::SeqCst), 0);
        assert!(jobs.attaches.users().is_empty());
    }

    #[tokio::test]
    async fn a_panic_is_not_taken_for_the_daemons_end() {
        let jobs = Jobs::default();
        let outcome = jobs.detach_waiting(1, || panic!("a test asked for it")).await;
        assert!(matches!(outcome, Err(Error::Internal(_))), "{outcome:?}");
        jobs.detach_waiting(1, || ()).await.unwrap();
    }
}
