//! What one attachment has in the sets: all that attaching and detaching change.

use super::{
    rule::Verdict,
    ruleset::{
        self, ADDRESSES, GROUP_OF, GROUPS, ISOLATION, SAME_TENANT, SENDERS, TENANT_OF, TENANTS, USER_OF,
        USERS,
    },
    set::{Element, Key},
};
use crate::{
    config,
    guard::{Isolation, NOBODY},
    model::Attachment,
};

/// The elements of an attachment, by table: the bridge's, then the one for what is routed.
pub fn of(attachment: &Attachment, networks: &[config::Network]) -> [Vec<Element>; 2] {
    [at_the_bridge(attachment, networks), routed(attachment, networks)]
}

fn at_the_bridge(attachment: &Attachment, networks: &[config::Network]) -> Vec<Element> {
    let port = attachment.id.host_interface();
    let name = || Key::new().link(&port);
    let sender = || name().octets(&attachment.mac.0);
    let addresses = [attachment.address, attachment.mac.link_local()];
    let mut elements: Vec<_> =
        addresses.map(|address| Element::new(ADDRESSES, sender().octets(&address.octets()))).into();
    elements.push(Element::new(SENDERS, sender()));
    let isolation = networks
        .iter()
        .find(|network| network.name == attachment.network)
        .map_or(Isolation::Isolated, |network| network.isolation);
    let tenant = match isolation {
        Isolation::Open => return elements,
        Isolation::User => attachment.uid,
        Isolation::Group if attachment.gid != NOBODY => attachment.gid,
        Isolation::Group | Isolation::Isolated => {
            elements.push(Element::verdict(ISOLATION, name(), Verdict::Drop));
            return elements;
        }
    };
    elements.push(Element::verdict(ISOLATION, name(), Verdict::Goto(SAME_TENANT.into())));
    elements.push(Element::mark(TENANT_OF, name(), tenant));
    elements.push(Element::new(TENANTS, Key::new().number(tenant).link(&port)));
    elements
}

fn routed(attachment: &Attachment, networks: &[config::Network]) -> Vec<Element> {
    let address = || Key::new().octets(&attachment.address.octets());
    let mut elements = Vec::new();
    for (isolation, tenant, of, all) in [
        (Isolation::User, attachment.uid, USER_OF, USERS),
        (Isolation::Group, attachment.gid, GROUP_OF, GROUPS),
    ] {
        if tenant != NOBODY && ruleset::compares(networks, isolation) {
            elements.push(Element::mark(of, address(), tenant));
            let key = Key::new().number(tenant).octets(&attachment.address.octets());
            elements.push(Element::new(all, key));
        }
    }
    elements
}
