//! What an entry of a table says.

use serde::Serialize;

/// The name of an ordinary user's place in a namespace of podman's kind: root there, and nowhere else.
pub const AS_ROOT_INSIDE: &str = "nsenter --user=/proc/{PID}/ns/user --preserve-credentials --";

/// One command line, and what is done with it.
///
/// Its texts may contain `{PID}`, a process of the user's in a user and a network namespace of its own;
/// `{NETNS}`, that network namespace as a file; `{DIR}`, a folder of the user's; `{HOST}` and `{OTHER}`, the
/// host's two addresses.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Case {
    /// The arguments, as one types them into a shell.
    pub line: &'static str,
    /// What executes slirp4netns: `env --ignore-signal=TERM`, say.
    pub under: &'static str,
    /// What is done, one after the other, before its end is waited for.
    pub steps: &'static [Step],
    /// What the record of the real one has to contain, as `KIND: TEXT`.
    #[serde(skip)]
    pub shows: &'static [&'static str],
    /// Whether it asks for networking in a namespace that is there: then v6podd is asked for IPv6.
    #[serde(skip)]
    pub asks: bool,
    /// The line that the wrapper makes of it when v6podd answers, if another.
    #[serde(skip)]
    pub answered: Option<&'static str>,
    /// What v6podd says, if it refuses.
    #[serde(skip)]
    pub refused: Option<&'static str>,
}

/// What is done while slirp4netns runs, and written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Step {
    /// Waits until the ready descriptor is written to; what comes, and what is in the namespace right then.
    Ready,
    /// Waits until `tap0` is there, where nothing tells that it is ready.
    Tap,
    /// The process itself: its program, arguments, descriptors, environment, rights, limits, namespaces.
    Process,
    /// Whether it still runs.
    StillRuns,
    /// Runs a command of the shell in the namespace: status and standard output.
    Inside(&'static str),
    /// Runs a command of the shell in the host: status and standard output.
    Outside(&'static str),
    /// Leaves a server running in the namespace.
    Serve(&'static str),
    /// Sends a request to the socket `{DIR}/api`: the reply.
    Api(&'static str),
    /// Sends it a signal.
    Signal(&'static str),
    /// Closes the write end of the exit pipe.
    CloseExit,
    /// Writes an octet into the exit pipe.
    WriteExit,
    /// Closes the read end of the ready pipe.
    CloseReady,
    /// Ends what the kernel takes for its parent.
    EndParent,
}

impl Case {
    /// A line that asks for networking.
    pub const fn network(line: &'static str) -> Self {
        Self { asks: true, ..Self::words(line) }
    }

    /// A line to which slirp4netns only has something to say; v6podd is not asked.
    pub const fn words(line: &'static str) -> Self {
        Self { line, under: "", steps: &[], shows: &[], asks: false, answered: None, refused: None }
    }

    /// What executes it.
    pub const fn under(self, under: &'static str) -> Self {
        Self { under, ..self }
    }

    /// What is done.
    pub const fn does(self, steps: &'static [Step]) -> Self {
        Self { steps, ..self }
    }

    /// What has to be seen of the real one.
    pub const fn shows(self, shows: &'static [&'static str]) -> Self {
        Self { shows, ..self }
    }

    /// What the wrapper makes of the line when v6podd answers.
    pub const fn answered(self, line: &'static str) -> Self {
        Self { answered: Some(line), ..self }
    }

    /// What v6podd says to it.
    pub const fn refused(self, why: &'static str) -> Self {
        Self { refused: Some(why), ..self }
    }
}
