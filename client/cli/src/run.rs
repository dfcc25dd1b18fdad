//! The program from start to end: the command line, the command, the exit code.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::Parser as _;
use v6pod_client::connect;

use crate::{
    args::{Args, Command},
    commands::{attach, can_i, check, cleanup, detach, expose, history, list, setup, show, status, watch},
    error::{Error, USAGE},
    output::{Output, note},
};

/// The whole program.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => {
            // Help goes to standard output, and a reader who has seen enough of it is fine.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match run(args) {
        Ok(code) => ExitCode::from(code),
        Err(error) if error.is_reader_gone() => ExitCode::SUCCESS,
        Err(error) => {
            note(&error.line());
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(args: Args) -> Result<u8, Error> {
    let socket = args.socket.map_or_else(connect::socket, Ok::<PathBuf, _>)?;
    let mut output = Output::new(args.json);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Error::local("cannot start"))?.block_on(async {
        match args.command {
            Command::List => list::run(&socket, &mut output).await,
            Command::Show(which) => show::run(&socket, &which.which, &mut output).await,
            Command::Watch => watch::run(&socket, &mut output).await,
            Command::History(asked) => history::run(&socket, &asked, &mut output).await,
            Command::Status => status::run(&socket, &mut output).await,
            Command::Attach(attach) => attach::run(&socket, *attach, &mut output).await,
            Command::Expose(expose) => expose::expose(&socket, &expose, &mut output).await,
            Command::Close(close) => expose::close(&socket, &close, &mut output).await,
            Command::Detach(which) => detach::run(&socket, &which.which, &mut output).await,
            Command::Setup(setup) => setup::run(&setup, &mut output),
            Command::Cleanup(asked) => cleanup::run(&asked, &mut output),
            Command::CanI(asked) => can_i::run(&socket, asked, &mut output).await,
            Command::Check(which) => check::run(&socket, &which.which, &mut output).await,
        }
    })
}
