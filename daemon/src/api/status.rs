//! The one place where errors become gRPC statuses. Callers get the sentence; logs have the cause.

use tonic::{Code, Status};

use crate::{audit, auth, guard, ipam, network, service::Error};

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Self::new(code(&error), error.to_string())
    }
}

fn code(error: &Error) -> Code {
    match error {
        Error::Auth(error) => match error {
            auth::Error::NoDescriptor | auth::Error::NotANamespace | auth::Error::NotALease => {
                Code::InvalidArgument
            }
            auth::Error::HostNamespace | auth::Error::NotYours { .. } => Code::PermissionDenied,
            auth::Error::Unknown(_) => Code::Internal,
        },
        Error::Policy(_) | Error::BadId(_) | Error::Mtu { .. } => Code::InvalidArgument,
        Error::Refused(refusal) if refusal.why.is_exhausted() => Code::ResourceExhausted,
        Error::Refused(_) | Error::NotAnAdministrator => Code::PermissionDenied,
        Error::Users { .. } => Code::Unavailable,
        Error::NoNetwork(_) | Error::NoAttachment(_) => Code::NotFound,
        Error::NameTaken(_) => Code::AlreadyExists,
        Error::AttachedByAnother | Error::NamespaceEnded => Code::FailedPrecondition,
        Error::Address(error) => match error {
            ipam::Error::Full { .. } | ipam::Error::Exhausted(_) => Code::ResourceExhausted,
            ipam::Error::Taken(_) => Code::AlreadyExists,
            ipam::Error::AddressNeeded(_)
            | ipam::Error::StaticForbidden(_)
            | ipam::Error::Outside { .. }
            | ipam::Error::Reserved(..) => Code::InvalidArgument,
        },
        Error::Guard(guard::Error::NoInbound(_) | guard::Error::Unseen(_)) => Code::FailedPrecondition,
        Error::Network(network::Error::InterfaceTaken(_)) => Code::FailedPrecondition,
        Error::Network(network::Error::MacTaken(_)) => Code::AlreadyExists,
        Error::Network(network::Error::NoPort(_)) => Code::ResourceExhausted,
        Error::Network(_) | Error::Guard(_) | Error::Store(_) | Error::Internal(_) => Code::Internal,
        Error::Audit(error) => match error {
            audit::Error::Busy => Code::Unavailable,
            audit::Error::Read(_) => Code::Internal,
            audit::Error::Invalid(_)
            | audit::Error::NotAnAddress(_)
            | audit::Error::TooShort(_)
            | audit::Error::NotATime
            | audit::Error::Backwards
            | audit::Error::TooMany { .. } => Code::InvalidArgument,
        },
        Error::Busy => Code::Aborted,
        Error::TooMuchAtOnce => Code::ResourceExhausted,
        Error::Stopping => Code::Unavailable,
    }
}
