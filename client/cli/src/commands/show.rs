//! `v6pod show`.

use std::path::Path;

use v6pod_proto::v1::Attachment;

use super::tone;
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
        output.text(&render(&attachment, &Users::load(), &output.view))?;
    }
    Ok(0)
}

fn render(attachment: &Attachment, users: &Users, view: &View) -> String {
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
        ("published", list(&attachment.published).into()),
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
        assert_eq!(render(&web(), &users, &View::of(None, false, 1000)), expected);
        let forbidden = Attachment { forbidden: "you may not attach here (rule: x:3)".to_owned(), ..web() };
        let shown = render(&forbidden, &users, &View::of(None, false, 1000));
        assert_eq!(shown, format!("{expected}forbidden:       you may not attach here (rule: x:3)\n"));
    }

    #[test]
    fn what_is_empty_is_a_dash() {
        let shown = render(&Attachment::default(), &Users::default(), &View::of(None, true, 1000));
        assert!(shown.contains("\x1b[1mpublished:\x1b[0m       -\n"), "{shown}");
        assert!(shown.contains("\x1b[1mstate:\x1b[0m           \x1b[33munspecified\x1b[0m\n"), "{shown}");
        assert!(shown.ends_with("no: it lives as long as its namespace\n"), "{shown}");
    }
}
