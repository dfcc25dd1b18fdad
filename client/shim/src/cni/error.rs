//! Errors as the CNI specification wants them: a code, a short message, and details.

use serde_json::{Value, json};
use tonic::{Code as Grpc, Status};

use super::version::Version;
use crate::{activate, connect, input, say};

/// The codes. Those below 100 are the specification's, the others are ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Code {
    /// The configuration is of a version we do not know, or that has no such command.
    Version = 1,
    /// A field that we know, and know that we cannot honour.
    Unsupported = 2,
    /// The container's namespace does not exist.
    NoContainer = 3,
    /// `CNI_*` variables.
    Variables = 4,
    /// Standard input, descriptors.
    Io = 5,
    /// The configuration is not JSON.
    Decode = 6,
    /// The configuration is JSON, but wrong.
    Config = 7,
    /// It may go better next time.
    Later = 11,
    /// STATUS: no further container can be attached; those that are go on.
    Unavailable = 50,
    /// STATUS: and those that are may lack something: their names, or everything.
    Limited = 51,
    /// The daemon, or its socket, is not for this caller; or the namespace is not the caller's.
    Refused = 100,
    /// The namespace has an attachment already.
    Attached = 101,
    /// The address is somebody else's.
    Taken = 102,
    /// The network is full.
    Full = 103,
    /// The namespace does not take the interface.
    Interface = 104,
    /// CHECK: something is not as ADD left it.
    Amiss = 105,
    /// Anything else.
    Internal = 199,
}

/// An error.
#[derive(Debug, thiserror::Error)]
#[error("{msg}: {details}")]
pub struct Error {
    /// What kind.
    pub code: Code,
    /// What went wrong, in a few words.
    pub msg: String,
    /// Why, and what to do.
    pub details: String,
}

impl Error {
    /// Joins the parts.
    pub fn new(code: Code, msg: impl Into<String>, details: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), details: details.into() }
    }

    /// The configuration is wrong.
    pub fn config(details: impl Into<String>) -> Self {
        Self::new(Code::Config, "invalid network configuration", details)
    }

    /// As it goes to standard output.
    pub fn to_json(&self, version: Version) -> Value {
        json!({
            "cniVersion": version.as_str(),
            "code": self.code as u32,
            "msg": say::plain(&self.msg),
            "details": say::plain(&self.details),
        })
    }
}

impl From<input::Error> for Error {
    fn from(error: input::Error) -> Self {
        let code = match error {
            input::Error::Read(_) => Code::Io,
            input::Error::NotJson(_) | input::Error::NotAnObject => Code::Decode,
        };
        Self::new(code, "cannot read the network configuration", error.to_string())
    }
}

impl From<input::Wrong> for Error {
    fn from(wrong: input::Wrong) -> Self {
        Self::config(wrong.to_string())
    }
}

impl From<activate::Error> for Error {
    fn from(error: activate::Error) -> Self {
        let (code, msg) = match &error {
            activate::Error::Refused(status) => refused(status),
            activate::Error::Away(connect::Error::Away { .. } | connect::Error::Handshake { .. })
            | activate::Error::HungUp(_)
            | activate::Error::Slow(_) => (Code::Later, "v6podd does not answer"),
            activate::Error::Away(connect::Error::Relative(_)) => {
                (Code::Variables, "V6POD_SOCKET is not valid")
            }
            activate::Error::Away(_) => (Code::Refused, "v6podd cannot be reached"),
            activate::Error::Local(_) => (Code::Io, "v6podd cannot be called"),
        };
        Self::new(code, msg, error.to_string())
    }
}

/// What a refusal of the daemon's means here.
fn refused(status: &Status) -> (Code, &'static str) {
    match status.code() {
        Grpc::InvalidArgument => (Code::Config, "v6podd does not accept the request"),
        Grpc::NotFound => (Code::Config, "v6podd has no such network"),
        Grpc::PermissionDenied | Grpc::Unauthenticated => (Code::Refused, "not allowed"),
        Grpc::AlreadyExists => (Code::Taken, "the address is taken"),
        Grpc::ResourceExhausted => (Code::Full, "the network is full"),
        Grpc::FailedPrecondition => (Code::Interface, "the namespace does not take the interface"),
        Grpc::Aborted | Grpc::Unavailable => (Code::Later, "v6podd is busy"),
        _ => (Code::Internal, "v6podd failed"),
    }
}
