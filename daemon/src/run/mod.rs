//! The program from start to end: arguments, configuration, logs, rights given up, and what its end tells.

mod prepare;
mod serve;

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::Parser;
use tracing_subscriber::filter::Targets;

use crate::{
    auth::{self, Subids},
    cleanup,
    config::{self, Config},
    confine, guard, log, network, service, socket, store,
    systemd::Passed,
};

/// sysexits.h: the command line or the configuration is at fault. State of a newer version counts as the
/// latter: starting again does not help.
const EX_USAGE: u8 = 64;
const EX_CONFIG: u8 = 78;

/// Gives rootless containers a routable IPv6 address and a name.
#[derive(Parser)]
#[command(name = "v6podd", version)]
struct Arguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = config::PATH)]
    config: PathBuf,
    /// Check the configuration, say what is wrong with it, and end
    #[arg(long)]
    check_config: bool,
    /// Remove everything that v6podd made on this host, and end: what `v6pod cleanup --all` runs.
    ///
    /// Says what was done, one JSON object a line. Refused while a daemon runs.
    #[arg(long, conflicts_with = "check_config")]
    cleanup: bool,
    /// With --cleanup: say what would be done, and do nothing
    #[arg(long, requires = "cleanup")]
    dry_run: bool,
    /// With --cleanup: also remove the audit
    #[arg(long, requires = "cleanup")]
    purge: bool,
    /// What to log: error, warn, info, debug, trace, or a filter such as "v6podd::network=debug"
    #[arg(long, value_name = "FILTER", env = "V6PODD_LOG", default_value = "info")]
    log: Targets,
}

/// Why the daemon ended, or never began.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Config(#[from] config::Error),
    #[error("{0}")]
    Store(#[from] store::Error),
    #[error("{0}")]
    Guard(#[from] guard::Error),
    #[error("the network {name} cannot be set up: {source}")]
    Network { name: String, source: network::Error },
    #[error("{0}")]
    Service(#[from] service::Error),
    #[error("{0}")]
    Socket(#[from] socket::Error),
    #[error("{step}: {source}")]
    Start { step: &'static str, source: io::Error },
    #[error("{0}")]
    Cleanup(#[from] cleanup::Error),
    #[error("something of v6podd's is left: see above")]
    Left,
}

impl Error {
    fn start(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Start { step, source }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::Store(store::Error::Newer { .. })
            | Self::Cleanup(cleanup::Error::Store(store::Error::Newer { .. })) => EX_CONFIG,
            _ => 1,
        }
    }
}

/// What can be typed, for the manual and for completions.
pub fn command() -> clap::Command {
    <Arguments as clap::CommandFactory>::command()
}

/// The whole program.
pub fn main() -> ExitCode {
    // Before anything is opened, and while there is one thread.
    let passed = Passed::take();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EX_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let to_journal = passed.as_ref().is_ok_and(|passed| passed.journal);
    match act(&arguments, passed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{}", log::last_line(&error, to_journal));
            ExitCode::from(error.exit_code())
        }
    }
}

fn act(arguments: &Arguments, passed: io::Result<Passed>) -> Result<(), Error> {
    if arguments.cleanup {
        let Arguments { config, dry_run, purge, .. } = arguments;
        let options = cleanup::Options { config, dry_run: *dry_run, purge: *purge };
        return if cleanup::run(options)? { Ok(()) } else { Err(Error::Left) };
    }
    let config = Config::load(&arguments.config)?;
    if arguments.check_config { Ok(()) } else { run(arguments, config, passed) }
}

fn run(arguments: &Arguments, config: Config, passed: io::Result<Passed>) -> Result<(), Error> {
    let passed = passed.map_err(Error::start("taking the descriptors that LISTEN_FDS tells of"))?;
    let subids = Arc::new(Subids::new(Path::new(auth::subid::SUBUID)));
    let omitted = log::start(arguments.log.clone(), Arc::clone(&subids), passed.journal);
    // Before there is a second thread.
    confine::confine().map_err(Error::start("giving up what is not needed of root's rights"))?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // For reloads, and for questions to the user database, however many callers wait for an answer.
        .max_blocking_threads(16)
        .thread_name("v6podd")
        .enable_all()
        .build()
        .map_err(Error::start("starting the runtime"))?
        .block_on(async {
            tokio::spawn(omitted.tell());
            serve::serve(&arguments.config, config, subids, passed).await
        })
}
