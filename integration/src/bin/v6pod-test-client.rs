//! A client of the daemon for tests: many attachments from one process, which is cheaper than a process
//! each, and without what the real ways in add. It is run as an ordinary user of a test host.
//!
//! ```text
//! v6pod-test-client attach PARALLEL [hold|pass]   reads lines "PID [NAME]"
//! v6pod-test-client detach PARALLEL               reads lines "ID"
//! v6pod-test-client cycle COUNT PID               attaches and detaches one namespace
//! ```
//!
//! Each line read is answered with a line of JSON. With `hold` every attachment has a lease, which this
//! process keeps until it is killed; with `pass` a child keeps it and this process ends. It fails if
//! something failed, and with `hold` only if everything did.

#![forbid(unsafe_code)]

use std::{
    env,
    error::Error,
    fs::File,
    io::{self, Write as _},
    os::fd::OwnedFd,
    path::Path,
    process::{Command, ExitCode},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use v6pod_client::{
    activate::{Activation, activate},
    connect::connect,
    lease::Lease,
};
use v6pod_proto::{
    SOCKET,
    v1::{
        ActivateRequest, Attachment, DeactivateRequest, attachments_client::AttachmentsClient,
        deactivate_request::Target,
    },
};

/// How long one attach may take, with 50 of them at once on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

type Failure = Box<dyn Error>;

/// What happens to the lease.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leases {
    None,
    Hold,
    Pass,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["attach", parallel] => attach(parallel, Leases::None),
        ["attach", parallel, "hold"] => attach(parallel, Leases::Hold),
        ["attach", parallel, "pass"] => attach(parallel, Leases::Pass),
        ["detach", parallel] => detach(parallel),
        ["cycle", count, pid] => cycle(count, pid),
        _ => Err("usage: attach PARALLEL [hold|pass] | detach PARALLEL | cycle COUNT PID".into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "v6pod-test-client: {error}");
            ExitCode::from(2)
        }
    }
}

fn attach(parallel: &str, leases: Leases) -> Result<bool, Failure> {
    let kept: Mutex<Vec<OwnedFd>> = Mutex::default();
    let (good, bad) = for_each_line(parallel.parse()?, |line| {
        let (pid, name) = line.split_once(' ').unwrap_or((line, ""));
        let start = Instant::now();
        let (attachment, lease) = attach_one(pid, name, leases)?;
        let micros = start.elapsed().as_micros();
        kept.lock().unwrap_or_else(PoisonError::into_inner).extend(lease);
        let Attachment { id, address, name, .. } = attachment;
        Ok(json!({"pid": pid, "id": id, "address": address, "name": name, "micros": micros}))
    })?;
    match leases {
        Leases::Hold if good > 0 => loop {
            thread::park();
        },
        Leases::Pass => drop(Command::new("sleep").arg("infinity").spawn()?),
        _ => {}
    }
    Ok(bad == 0)
}

fn attach_one(pid: &str, name: &str, leases: Leases) -> Result<(Attachment, Option<OwnedFd>), Failure> {
    let namespace = File::open(format!("/proc/{pid}/ns/net"))?;
    let (read, write) = match leases {
        Leases::None => (None, None),
        Leases::Hold | Leases::Pass => Lease::new(&[]).map(|lease| (Some(lease.read), Some(lease.write)))?,
    };
    let activated = activate(Activation {
        socket: SOCKET.into(),
        namespace: namespace.into(),
        lease: read,
        request: ActivateRequest { name: name.to_owned(), ..Default::default() },
        timeout: LIMIT,
    })?;
    Ok((activated.attachment, write))
}

fn detach(parallel: &str) -> Result<bool, Failure> {
    let (_, bad) = for_each_line(parallel.parse()?, |id| {
        let start = Instant::now();
        detach_one(id)?;
        Ok(json!({"id": id, "micros": start.elapsed().as_micros()}))
    })?;
    Ok(bad == 0)
}

fn detach_one(id: &str) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let channel = connect(Path::new(SOCKET), Vec::new()).await?;
        let target = Some(Target::Id(id.to_owned()));
        AttachmentsClient::new(channel).deactivate(DeactivateRequest { target }).await?;
        Ok(())
    })
}

fn cycle(count: &str, pid: &str) -> Result<bool, Failure> {
    for _ in 0..count.parse::<u32>()? {
        let (attachment, _) = attach_one(pid, "", Leases::None)?;
        detach_one(&attachment.id)?;
    }
    Ok(true)
}

/// Does the work for each line of standard input on so many threads, and counts what succeeded and failed.
fn for_each_line(
    parallel: usize,
    work: impl Fn(&str) -> Result<Value, Failure> + Sync,
) -> Result<(usize, usize), Failure> {
    let text = io::read_to_string(io::stdin())?;
    let lines = Mutex::new(text.lines());
    let counts = Mutex::new((0, 0));
    thread::scope(|scope| {
        for _ in 0..parallel {
            scope.spawn(|| {
                loop {
                    let Some(line) = lines.lock().unwrap_or_else(PoisonError::into_inner).next() else {
                        return;
                    };
                    let outcome = work(line);
                    let good = outcome.is_ok();
                    let answer =
                        outcome.unwrap_or_else(|error| json!({"line": line, "error": error.to_string()}));
                    // One write, so that lines stay whole. Nobody reading is no failure.
                    let _ = io::stdout().write_all(format!("{answer}\n").as_bytes());
                    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                    if good { counts.0 += 1 } else { counts.1 += 1 }
                }
            });
        }
    });
    Ok(counts.into_inner().unwrap_or_else(PoisonError::into_inner))
}
