//! `v6pod show`.

use std::path::Path;

use v6pod_proto::v1::{Attachment, RegistryStatus};

use super::{registry_error, tone};
use crate::{
    daemon::Daemon,
    error::Error,
    json,
    output::{Output, Tone, View},
    resolve::resolve,
    table::{self, Cell},
    text::{self, NONE},
    users::Users,
};

/// Shows one attachment.
pub async fn run(socket: &Path, which: &str, output: &mut Output) -> Result<u8, Error> {
    let daemon = Daemon::connect(socket, Vec::new()).await?;
    let attachment = resolve(daemon.list().await?.attachments, which)?;
    if output.json {
        output.document(&json::One::from(&attachment))?;
    } else {
        let registries = daemon.status().await?.registries;
        output.text(&render(&attachment, &registries, &Users::load(), &output.view))?;
    }
    Ok(0)
}

/// The names it is published under, and why one cannot be asked for. There is one for each registry, in their order.
fn published(attachment: &Attachment, registries: &[RegistryStatus]) -> Cell {
    let names = &attachment.published;
    let health = |at: usize| registries.get(at).filter(|one| !one.healthy && registries.len() == names.len());
    let name = |(at, name): (usize, &String)| match health(at) {
        Some(registry) => {
            format!("{} (not now: {})", text::escape(name), text::escape(registry_error(registry)))
        }
        None => text::escape(name),
    };
    let tone = if (0..names.len()).any(|at| health(at).is_some()) { Tone::Yellow } else { Tone::Plain };
    match names[..] {
        [] => NONE.to_owned().into(),
        _ => Cell::new(names.iter().enumerate().map(name).collect::<Vec<_>>().join(", "), tone),
    }
}

fn render(attachment: &Attachment, registries: &[RegistryStatus], users: &Users, view: &View) -> String {
    let text = |text: &str| Cell::from(text::or_none(text));
    let list = |texts: &[String]| match texts {
        [] => NONE.to_owned(),
        texts => texts.iter().map(|text| text::escape(text)).collect::<Vec<_>>().join(", "),
    };
    let lease = match attachment.leased {
        true => "yes: it ends with the process that holds it",
        false => "no: it lives as long as its namespace",
    };
    let mut pairs = vec![
        ("id", text(&attachment.id)),
        ("name", text(&attachment.name)),
        ("published", published(attachment, registries)),
        ("aliases", list(&attachment.aliases).into()),
        ("tags", list(&attachment.tags).into()),
        ("address", text(&format!("{}/{}", attachment.address, attachment.prefix_length))),
        ("gateway", text(&attachment.gateway)),
        ("inbound", text(&attachment.inbound)),
        ("network", text(&attachment.network)),
        ("interface", text(&attachment.interface)),
        ("mac", text(&attachment.mac)),
        ("mtu", text(&attachment.mtu.to_string())),
        ("host interface", text(&attachment.host_interface)),
        ("container", text(&attachment.container_id)),
        ("user", users.describe(attachment.uid).into()),
        ("state", Cell::new(json::state(attachment.state), tone(attachment))),
        ("created", text::since(attachment.created.as_ref(), view.now).into()),
        ("lease", text(lease)),
    ];
    if !attachment.forbidden.is_empty() {
        pairs.push(("forbidden", Cell::new(text::escape(&attachment.forbidden), Tone::Red)));
    }
    table::pairs(view, &pairs)
}

#[cfg(test)]
mod tests {
    use super::{super::tests::web, *};

    #[test]
    fn everything_is_shown() {
        let expected = "\
id:              0123456789ab
name:            web
published:       web.v6pod, web.service.consul
aliases:         www
tags:            -
address:         2001:db8::242:ac11:2/80
gateway:         2001:db8::1
inbound:         open
network:         default
interface:       v6pod0
mac:             02:42:ac:11:00:02
mtu:             1500
host interface:  v6p0123456789ab
container:       c0ffee0123456789
user:            alice (uid 1001)
state:           active
created:         1970-01-01T00:13:20Z (3m ago)
lease:           yes: it ends with the process that holds it
";
        let users = Users::parse("alice:x:1001:1001:::\n");
        assert_eq!(render(&web(), &[], &users, &View::of(None, false, 1000)), expected);
        let forbidden = Attachment { forbidden: "you may not attach here (rule: x:3)".to_owned(), ..web() };
        let shown = render(&forbidden, &[], &users, &View::of(None, false, 1000));
        assert_eq!(shown, format!("{expected}forbidden:       you may not attach here (rule: x:3)\n"));
    }

    #[test]
    fn a_name_that_cannot_be_asked_for_says_why() {
        let registry =
            |healthy, error: &str| RegistryStatus { healthy, error: error.to_owned(), ..Default::default() };
        let published = |registries: &[_]| {
            let shown = render(&web(), registries, &Users::default(), &View::of(None, false, 1000));
            shown.lines().nth(2).unwrap().trim_start_matches("published:").trim().to_owned()
        };
        let whole = "web.v6pod, web.service.consul";
        assert_eq!(published(&[registry(true, ""), registry(true, "")]), whole);
        let refused = "connection\nrefused";
        assert_eq!(
            published(&[registry(true, ""), registry(false, refused)]),
            "web.v6pod, web.service.consul (not now: connection\\nrefused)"
        );
        let early = "web.v6pod (not now: no exchange has gone well yet), web.service.consul";
        assert_eq!(published(&[registry(false, ""), registry(true, "")]), early);
        // Which is whose is not known.
        assert_eq!(published(&[registry(false, refused)]), whole);
    }

    #[test]
    fn what_is_empty_is_a_dash() {
        let shown = render(&Attachment::default(), &[], &Users::default(), &View::of(None, true, 1000));
        assert!(shown.contains("\x1b[1mpublished:\x1b[0m       -\n"), "{shown}");
        assert!(shown.contains("\x1b[1mstate:\x1b[0m           \x1b[33munspecified\x1b[0m\n"), "{shown}");
        assert!(shown.ends_with("no: it lives as long as its namespace\n"), "{shown}");
    }
}
