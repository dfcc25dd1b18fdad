//! slirp4netns' command line, read the way its getopt_long reads it.
//!
//! The table is the union of all releases from 0.3 to 1.3, with the two hidden options. Abbreviations,
//! bundles and options after the positional arguments are understood, and that `POSIXLY_CORRECT` forbids these.
//! What this parser does not understand it leaves to slirp4netns and its error messages: the caller then
//! passes everything on as it was.
//!
//! Invariant: [`CommandLine::passed`] is the input without the IPv6 options, otherwise byte for byte.

use std::{
    ffi::{OsStr, OsString},
    os::{
        fd::RawFd,
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    path::PathBuf,
    slice::Iter,
};

/// A command line that asks for networking in a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// The namespace.
    pub target: Target,
    /// The name of the tap device.
    pub tap: OsString,
    /// Where slirp4netns says that it is ready.
    pub ready_fd: Option<RawFd>,
    /// What ends slirp4netns.
    pub exit_fd: Option<RawFd>,
    /// Every descriptor that is named anywhere, superseded ones included.
    pub named: Vec<RawFd>,
    /// The control socket.
    pub api_socket: Option<PathBuf>,
    /// The arguments without `--enable-ipv6` and `--outbound-addr6`.
    pub passed: Vec<OsString>,
}

/// How the namespace is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A process in it.
    Pid(u32),
    /// A file.
    Path(PathBuf),
}

/// Why a command line is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Other {
    /// `--help` or `--version`.
    Information,
    /// Unknown, ambiguous or malformed: slirp4netns has the words for it.
    Malformed,
    /// A namespace or a tap name is missing.
    NoTarget,
    /// Not a network namespace, but an open tap device or a BESS socket.
    NotANamespace,
}

/// Where options may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Anywhere.
    Permuted,
    /// Before the first positional argument: so it is where `POSIXLY_CORRECT` is set (`getopt(3)`).
    Posix,
}

/// What an option means to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    ExitFd,
    ReadyFd,
    ApiSocket,
    NetnsType,
    TargetType,
    Information,
    /// To be dropped.
    Ipv6,
    /// To be passed on.
    Passed,
}

struct Known {
    long: &'static str,
    short: Option<u8>,
    takes_value: bool,
    meaning: Meaning,
}

const fn flag(long: &'static str, short: Option<u8>, meaning: Meaning) -> Known {
    Known { long, short, takes_value: false, meaning }
}

const fn valued(long: &'static str, short: Option<u8>, meaning: Meaning) -> Known {
    Known { long, short, takes_value: true, meaning }
}

const KNOWN: [Known; 21] = [
    flag("configure", Some(b'c'), Meaning::Passed),
    valued("exit-fd", Some(b'e'), Meaning::ExitFd),
    valued("ready-fd", Some(b'r'), Meaning::ReadyFd),
    valued("mtu", Some(b'm'), Meaning::Passed),
    valued("cidr", None, Meaning::Passed),
    flag("disable-host-loopback", None, Meaning::Passed),
    flag("no-host-loopback", None, Meaning::Passed),
    valued("netns-type", None, Meaning::NetnsType),
    valued("userns-path", None, Meaning::Passed),
    valued("api-socket", Some(b'a'), Meaning::ApiSocket),
    flag("enable-ipv6", Some(b'6'), Meaning::Ipv6),
    flag("enable-sandbox", None, Meaning::Passed),
    flag("create-sandbox", None, Meaning::Passed),
    flag("enable-seccomp", None, Meaning::Passed),
    flag("help", Some(b'h'), Meaning::Information),
    flag("version", Some(b'v'), Meaning::Information),
    valued("outbound-addr", None, Meaning::Passed),
    valued("outbound-addr6", None, Meaning::Ipv6),
    flag("disable-dns", None, Meaning::Passed),
    valued("macaddress", None, Meaning::Passed),
    valued("target-type", None, Meaning::TargetType),
];

/// Reads the arguments after the program's name.
pub fn parse(arguments: &[OsString], order: Order) -> Result<CommandLine, Other> {
    let mut scan = Scan::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_bytes() {
            b"--" => {
                scan.passed.push(argument.clone());
                rest.by_ref().for_each(|argument| scan.positional(argument));
            }
            [b'-', b'-', long @ ..] => scan.long(argument, long, &mut rest)?,
            [b'-', bundle @ ..] if !bundle.is_empty() => scan.bundle(bundle, &mut rest)?,
            _ => {
                scan.positional(argument);
                if order == Order::Posix {
                    rest.by_ref().for_each(|argument| scan.positional(argument));
                }
            }
        }
    }
    scan.finish()
}

/// What has been seen so far; a repeated option supersedes the earlier one.
#[derive(Default)]
struct Scan {
    passed: Vec<OsString>,
    positional: Vec<OsString>,
    ready_fd: Option<RawFd>,
    exit_fd: Option<RawFd>,
    named: Vec<RawFd>,
    api_socket: Option<PathBuf>,
    netns_type: Option<OsString>,
    target_type: Option<OsString>,
}

impl Scan {
    fn positional(&mut self, argument: &OsString) {
        self.passed.push(argument.clone());
        self.positional.push(argument.clone());
    }

    /// `--name`, `--name=value` or `--name value`; `text` is what follows the dashes.
    fn long(&mut self, argument: &OsString, text: &[u8], rest: &mut Iter<'_, OsString>) -> Result<(), Other> {
        let (name, attached) = match text.iter().position(|&byte| byte == b'=') {
            Some(at) => (&text[..at], Some(OsStr::from_bytes(&text[at + 1..]))),
            None => (text, None),
        };
        let known = by_name(name)?;
        let separate = match (known.takes_value, attached) {
            (true, None) => Some(rest.next().ok_or(Other::Malformed)?),
            (false, Some(_)) => return Err(Other::Malformed),
            _ => None,
        };
        self.note(known.meaning, attached.or(separate.map(OsString::as_os_str)))?;
        if known.meaning != Meaning::Ipv6 {
            self.passed.push(argument.clone());
            self.passed.extend(separate.cloned());
        }
        Ok(())
    }

    /// `-c6r3`, `-cr 3`: any number of flags, then perhaps an option that takes the rest, or the next
    /// argument, as its value.
    fn bundle(&mut self, bundle: &[u8], rest: &mut Iter<'_, OsString>) -> Result<(), Other> {
        let mut kept = vec![b'-'];
        let mut separate = None;
        for (at, &letter) in bundle.iter().enumerate() {
            let known = KNOWN.iter().find(|known| known.short == Some(letter)).ok_or(Other::Malformed)?;
            if known.takes_value {
                let attached = &bundle[at + 1..];
                if attached.is_empty() {
                    separate = Some(rest.next().ok_or(Other::Malformed)?);
                }
                let value = separate.map_or(OsStr::from_bytes(attached), OsString::as_os_str);
                self.note(known.meaning, Some(value))?;
                kept.extend(&bundle[at..]);
                break;
            }
            self.note(known.meaning, None)?;
            if known.meaning != Meaning::Ipv6 {
                kept.push(letter);
            }
        }
        if kept.len() > 1 {
            self.passed.push(OsString::from_vec(kept));
        }
        self.passed.extend(separate.cloned());
        Ok(())
    }

    fn note(&mut self, meaning: Meaning, value: Option<&OsStr>) -> Result<(), Other> {
        let text = || value.map(OsStr::to_owned);
        match meaning {
            Meaning::ExitFd => self.exit_fd = Some(self.descriptor(value)?),
            Meaning::ReadyFd => self.ready_fd = Some(self.descriptor(value)?),
            Meaning::ApiSocket => self.api_socket = text().map(PathBuf::from),
            Meaning::NetnsType => self.netns_type = text(),
            Meaning::TargetType => self.target_type = text(),
            Meaning::Information => return Err(Other::Information),
            Meaning::Ipv6 | Meaning::Passed => {}
        }
        Ok(())
    }

    fn descriptor(&mut self, value: Option<&OsStr>) -> Result<RawFd, Other> {
        let number = value.and_then(number).and_then(|number| RawFd::try_from(number).ok());
        let number = number.ok_or(Other::Malformed)?;
        self.named.push(number);
        Ok(number)
    }

    /// What slirp4netns decides when it has seen all options; a third argument it only warns about.
    fn finish(self) -> Result<CommandLine, Other> {
        if self.target_type.is_some_and(|kind| kind != "netns") {
            return Err(Other::NotANamespace);
        }
        let mut positional = self.positional.into_iter();
        let target = positional.next().ok_or(Other::NoTarget)?;
        let target = match self.netns_type.as_deref().map_or(b"pid".as_slice(), OsStr::as_bytes) {
            b"pid" => Target::Pid(number(&target).filter(|&pid| pid > 0).ok_or(Other::Malformed)?),
            b"tapfd" => return Err(Other::NotANamespace),
            _ => Target::Path(PathBuf::from(target)),
        };
        Ok(CommandLine {
            target,
            tap: positional.next().ok_or(Other::NoTarget)?,
            ready_fd: self.ready_fd,
            exit_fd: self.exit_fd,
            named: self.named,
            api_socket: self.api_socket,
            passed: self.passed,
        })
    }
}

/// The long option of this name, or the only one it abbreviates.
fn by_name(name: &[u8]) -> Result<&'static Known, Other> {
    if let Some(exact) = KNOWN.iter().find(|known| known.long.as_bytes() == name) {
        return Ok(exact);
    }
    let mut candidates = KNOWN.iter().filter(|known| known.long.as_bytes().starts_with(name));
    match (candidates.next(), candidates.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(Other::Malformed),
    }
}

/// A number in plain digits. strtol would also take white space and a sign; nobody writes those.
fn number(text: &OsStr) -> Option<u32> {
    let text = text.to_str()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests;
