//! The command line.

use std::{ffi::OsString, net::Ipv6Addr, path::PathBuf};

use clap::{Parser, Subcommand};

use crate::ports::Ports;
use crate::time::{self, Window};
use crate::values;

const EXIT_CODES: &str = "\
Exit codes:
  0  it worked
  1  it failed, something is wrong (check, status), or you may not (can-i)
  2  the command line is wrong
  3  there is no such attachment, network, process, file or user, or nothing was found
  4  v6podd is not running, or went away";

const ATTACH_NOTES: &str = "\
Without a COMMAND the attachment lives as long as the namespace.
With one, v6pod runs COMMAND where it was called (not in the namespace) and the
attachment ends with it, also if the namespace was attached before.

Exit codes:
  those of v6pod (see v6pod --help) while there is no COMMAND running;
  then COMMAND's own, or 128 and the number of the signal that ended it;
  126  COMMAND cannot be executed
  127  COMMAND cannot be found";

const HISTORY_NOTES: &str = "\
NAME may have its domain: web, web.v6pod.

TIME is 2026-11-20T03:14:07Z, \"2026-11-20 03:14\" (UTC) or 2026-11-20, and means all
of that second, minute or day; or -2h (s, m, h, d) for that long ago.
What lasts comes first, then what ended last. An END with \"by\" was at that time or
before: v6podd was not running, or the host was restarted. On a terminal that is too
narrow, times are short (UTC still; without the year if it is this one), and columns are
left out; --json has everything.";

const SETUP_NOTES: &str = "\
Files of somebody else's are not overwritten. Where podman reads no drop-in files
(before 3.3) the lines go into containers.conf, between two marked lines.";

const CLEANUP_NOTES: &str = "\
/etc/v6pod stays, and without --purge the audit. What users set up for themselves
they undo themselves, with v6pod setup --undo.
The exit code is 1 if something could not be removed; then run it again.";

const JSON_NOTES: &str = "\
With --json the output is one JSON document: the answer as v6pod.v1 defines it, in
snake_case; setup and cleanup tell of what they did. watch prints one JSON object a
line. Errors and notes are plain text on standard error all the same.";

/// Routable IPv6 addresses and names for rootless containers
#[derive(Debug, Parser)]
#[command(name = "v6pod", version, arg_required_else_help = true)]
#[command(after_help = format!("{JSON_NOTES}\n\n{EXIT_CODES}"))]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// The daemon's socket [default: $V6POD_SOCKET, or /run/v6pod/v6pod.sock]
    #[arg(long, global = true, value_name = "PATH", value_parser = values::absolute())]
    pub socket: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List your attachments (as an administrator: everyone's)
    #[command(visible_alias = "ls")]
    List,
    /// Show everything about one attachment
    Show(Which),
    /// Print the attachments there are, then every change as it happens
    ///
    /// It ends with Ctrl-C, or, with exit code 4, when the daemon goes away.
    Watch,
    /// Show the daemon, its networks and its registries
    ///
    /// An asterisk marks the default network. The exit code is 1 if a registry or the audit is unhealthy.
    Status,
    /// Show who had which address when (as an administrator: everyone's)
    #[command(after_help = HISTORY_NOTES)]
    History(History),
    /// Attach a network namespace
    #[command(after_help = ATTACH_NOTES)]
    Attach(Box<Attach>),
    /// End an attachment
    Detach(Which),
    /// Open these ports besides those opened before; the first expose closes all others
    ///
    /// What belongs to a conversation that the container began always
    /// gets through.
    Expose(Expose),
    /// Close ports of an attachment, or all of it
    ///
    /// What belongs to a conversation that the container began still gets through.
    Close(Close),
    /// Compare an attachment with the kernel and the registries
    ///
    /// The exit code is 1 if something is amiss.
    Check(Which),
    /// Tell whether you may attach, which rule says so, and what is left of your quota
    ///
    /// The exit code is 1 if you may not. Nothing is attached, and nothing counted.
    #[command(name = "can-i")]
    CanI(CanI),
    /// Write the few lines of configuration that an engine needs to use v6pod
    ///
    /// As root: for every user of this host. As an ordinary user: for yourself.
    #[command(after_help = SETUP_NOTES)]
    Setup(Setup),
    /// Put this host back as it was before v6podd was first started (for root)
    ///
    /// Ends all attachments and removes links, bridges, rules, names, records and what v6pod setup wrote for
    /// every user; puts changed sysctls back. v6podd has to be stopped. Twice does no harm.
    #[command(after_help = CLEANUP_NOTES)]
    Cleanup(Cleanup),
}

/// What to clean up.
#[derive(Debug, clap::Args)]
pub struct Cleanup {
    /// Everything; there is no cleaning up by halves
    #[arg(long, required = true)]
    pub all: bool,
    /// Also remove the audit: who had which address when
    #[arg(long)]
    pub purge: bool,
    /// Say what would be removed or put back, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The daemon's configuration, which tells of its files, its bridges and Consul
    #[arg(long, value_name = "FILE", default_value = "/etc/v6pod/v6podd.toml")]
    pub config: PathBuf,
}

/// What to look for in the audit.
#[derive(Debug, clap::Args)]
pub struct History {
    /// An address, a prefix, a uid, a container's name or (4 or more characters of) its id
    #[arg(value_name = "ADDRESS|NAME|UID|CONTAINER")]
    pub what: Option<String>,
    /// Only who had it at this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = time::parse)]
    pub at: Option<Window>,
    /// The most entries to show
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
}

/// What to set up, and for whom.
#[derive(Debug, clap::Args)]
pub struct Setup {
    /// What is to use v6pod
    #[arg(value_enum)]
    pub target: Target,
    /// Set it up for this user (root may name anyone)
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Remove what setup wrote, and nothing else
    #[arg(long)]
    pub undo: bool,
    /// Say what would be written or removed, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What can be set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Target {
    /// podman 2 to 5 with slirp4netns: every rootless container
    Podman,
    /// podman's OCI hook: containers with the annotation v6pod.network, beside any other networking
    Hook,
    /// Rootless Docker: one address for all its containers
    Docker,
}

impl Target {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Hook => "hook",
            Self::Docker => "docker",
        }
    }
}

/// What one would like to do.
#[derive(Debug, clap::Args)]
pub struct CanI {
    /// The network to join [default: the daemon's default network]
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<String>,
    /// The name to publish
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// A fixed address inside the network's prefix
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<Ipv6Addr>,
    /// Whether this user may (for administrators), by name or uid
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
}

/// Names one attachment.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// Its id, name or address, its container's id, or 4 or more characters the container's id begins with
    #[arg(value_name = "ID|NAME|ADDRESS|CONTAINER")]
    pub which: String,
}

/// What to open.
#[derive(Debug, clap::Args)]
pub struct Expose {
    /// Its id, name or address, its container's id, or 4 or more characters the container's id begins with
    #[arg(value_name = "ID|NAME|ADDRESS|CONTAINER")]
    pub which: String,
    /// 80, 80/tcp, 5000-5010/udp; the protocol is one of tcp, udp, sctp, dccp
    #[arg(value_name = "PORT/PROTOCOL", conflicts_with_all = ["established", "all"])]
    #[arg(required_unless_present_any = ["established", "all"])]
    pub ports: Vec<Ports>,
    /// Nothing: only what belongs to what the container began gets through
    #[arg(long, conflicts_with = "all")]
    pub established: bool,
    /// Everything
    #[arg(long)]
    pub all: bool,
}

/// What to close.
#[derive(Debug, clap::Args)]
pub struct Close {
    /// Its id, name or address, its container's id, or 4 or more characters the container's id begins with
    #[arg(value_name = "ID|NAME|ADDRESS|CONTAINER")]
    pub which: String,
    /// 80, 80/tcp, 5000-5010/udp; none: everything
    #[arg(value_name = "PORT/PROTOCOL")]
    pub ports: Vec<Ports>,
}

/// What to attach, and how.
#[derive(Debug, clap::Args)]
pub struct Attach {
    /// The network to join [default: the daemon's default network]
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<String>,
    /// The name to publish
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The container's id
    #[arg(long, value_name = "ID")]
    pub container_id: Option<String>,
    /// The name of the interface inside [default: v6pod0]
    #[arg(long, value_name = "INTERFACE", value_parser = values::interface)]
    pub interface: Option<String>,
    /// A fixed address inside the network's prefix
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<Ipv6Addr>,
    /// A fixed MAC address, and with it the address, where the network allows fixed ones
    #[arg(long, value_name = "MAC", value_parser = values::mac)]
    pub mac: Option<String>,
    /// The MTU in octets, at most the network's
    #[arg(long, value_name = "OCTETS", value_parser = clap::value_parser!(u32).range(1280..=65535))]
    pub mtu: Option<u32>,
    /// A further name in the built-in DNS; may be given more than once
    #[arg(long, value_name = "NAME")]
    pub alias: Vec<String>,
    /// A tag for Consul; may be given more than once
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// What may reach it: open, established, or ports such as 80/tcp,5000-5010/udp [default: open]
    #[arg(long, value_name = "WHAT", value_parser = values::inbound)]
    pub inbound: Option<String>,
    /// Do not install a default route
    #[arg(long)]
    pub no_default_route: bool,
    /// The number of a process in the namespace, or a path of the namespace (./123 is a path)
    #[arg(value_name = "PID|PATH")]
    pub target: OsString,
    /// Run this, and end the attachment when it ends
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn help_fits_a_terminal() {
        let mut command = Args::command();
        command.build();
        let attach = command.find_subcommand_mut("attach").unwrap().render_long_help().to_string();
        let history = command.find_subcommand_mut("history").unwrap().render_long_help().to_string();
        let whole = command.render_long_help().to_string();
        for line in whole.lines().chain(attach.lines()).chain(history.lines()) {
            assert!(line.chars().count() <= 110, "{line}");
        }
    }

    #[test]
    fn a_commands_own_options_are_left_alone() {
        let line = ["v6pod", "attach", "--name", "a", "--json", "42", "--", "ls", "--json", "-l"];
        let args = Args::try_parse_from(line).unwrap();
        let Command::Attach(attach) = args.command else { panic!() };
        assert_eq!((attach.target, attach.name.as_deref()), ("42".into(), Some("a")));
        assert_eq!(attach.command, ["ls", "--json", "-l"]);
    }

    #[test]
    fn what_to_expose_is_said_in_one_way() {
        let parse = |line: &str| Args::try_parse_from(line.split(' ')).map(drop);
        for line in
            ["expose web 80", "expose web 80/tcp 1-9/udp", "expose web --all", "close web", "close web 80"]
        {
            assert!(parse(&format!("v6pod {line}")).is_ok(), "{line}");
        }
        for line in [
            "expose web",
            "expose",
            "expose web 80 --all",
            "expose web --all --established",
            "close",
            "expose web x",
        ] {
            assert!(parse(&format!("v6pod {line}")).is_err(), "{line}");
        }
    }

    #[test]
    fn addresses_are_checked_at_once() {
        assert!(Args::try_parse_from(["v6pod", "attach", "--address", "10.0.0.1", "1"]).is_err());
        assert!(Args::try_parse_from(["v6pod", "attach", "--address", "2001:db8::7", "1"]).is_ok());
    }
}
