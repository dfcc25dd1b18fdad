//! The commands, one file or folder each. Each asks the daemon (all but setup and cleanup), writes, and gives
//! the exit code.

pub mod attach;
pub mod can_i;
pub mod check;
pub mod cleanup;
pub mod detach;
pub mod expose;
pub mod history;
pub mod list;
pub mod setup;
pub mod show;
pub mod status;
pub mod watch;

mod child;

use v6pod_proto::v1::{Attachment, RegistryStatus, attachment::State};

use crate::{
    output::Tone,
    text::{self, NONE},
};

/// What people call an attachment: its name, else its container's short id, else its own id.
fn label(attachment: &Attachment) -> String {
    if !attachment.name.is_empty() {
        return text::escape(&attachment.name);
    }
    match container(attachment).as_str() {
        NONE => text::escape(&attachment.id),
        short => short.to_owned(),
    }
}

/// The container's id as engines shorten it.
fn container(attachment: &Attachment) -> String {
    short(&attachment.container_id)
}

/// A container's id as engines shorten it.
fn short(id: &str) -> String {
    let short: String = id.chars().take(12).collect();
    text::or_none(&short)
}

/// What is not in use is on its way in or out.
fn tone(attachment: &Attachment) -> Tone {
    if attachment.state == i32::from(State::Active) { Tone::Plain } else { Tone::Yellow }
}

/// What is wrong with a registry that is unhealthy.
fn registry_error(registry: &RegistryStatus) -> &str {
    if registry.error.is_empty() { "no exchange has gone well yet" } else { &registry.error }
}

#[cfg(test)]
pub(crate) mod tests {
    use prost_types::Timestamp;

    use super::*;

    /// The attachment of the tests, 200 seconds old at 1000.
    pub(crate) fn web() -> Attachment {
        Attachment {
            id: "0123456789ab".to_owned(),
            network: "default".to_owned(),
            uid: 1001,
            container_id: "c0ffee0123456789".to_owned(),
            name: "web".to_owned(),
            interface: "v6pod0".to_owned(),
            address: "2001:db8::242:ac11:2".to_owned(),
            prefix_length: 80,
            gateway: "2001:db8::1".to_owned(),
            mac: "02:42:ac:11:00:02".to_owned(),
            mtu: 1500,
            host_interface: "v6p0123456789ab".to_owned(),
            state: State::Active.into(),
            created: Some(Timestamp { seconds: 800, nanos: 5 }),
            leased: true,
            published: vec!["web.v6pod".to_owned(), "web.service.consul".to_owned()],
            aliases: vec!["www".to_owned()],
            tags: Vec::new(),
            inbound: "open".to_owned(),
            forbidden: String::new(),
        }
    }

    #[test]
    fn labels_are_what_people_know() {
        assert_eq!(label(&web()), "web");
        assert_eq!(label(&Attachment { name: String::new(), ..web() }), "c0ffee012345");
        let bare = Attachment { name: String::new(), container_id: String::new(), ..web() };
        assert_eq!((label(&bare), container(&bare)), ("0123456789ab".to_owned(), "-".to_owned()));
    }
}
