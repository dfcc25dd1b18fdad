//! The words of the field, checked once and then carried by type.
//!
//! Nothing here does I/O. A value of one of these types has passed its checks: text from a caller
//! becomes a [`Name`], a [`ContainerId`] or an [`InterfaceName`] at the door or is refused there.

mod attachment;
mod inbound;
mod mac;
mod text;

pub use attachment::{Attachment, AttachmentId, LeaseId, NamespaceId, NotAnId, Record, State};
pub use inbound::{Inbound, Ports, Protocol};
pub use mac::Mac;
pub use text::{ContainerId, InterfaceName, Invalid, Name, NetworkName, Tag};
