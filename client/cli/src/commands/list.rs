//! `v6pod list`.

use std::path::Path;

use v6pod_proto::v1::Attachment;

use super::{container, tone};
use crate::{
    daemon::Daemon,
    error::Error,
    json,
    output::{Output, Tone, View, note},
    table::{Cell, Column, Table},
    text,
    users::Users,
};

const COLUMNS: [Column; 8] = [
    Column::new("NAME").cut_to(6),
    Column::new("ADDRESS"),
    Column::new("NETWORK").cut_to(4).optional(4),
    Column::new("CONTAINER").cut_to(5).optional(5),
    Column::new("USER").optional(3),
    Column::new("STATE").optional(1),
    Column::new("RULES"),
    Column::new("AGE").optional(2),
];

/// Lists the attachments.
pub async fn run(socket: &Path, output: &mut Output) -> Result<u8, Error> {
    let daemon = Daemon::connect(socket, Vec::new()).await?;
    let list = daemon.list().await?;
    if output.json {
        output.document(&json::List::from(&list))?;
    } else if list.attachments.is_empty() {
        note("no attachments");
    } else {
        let admin = daemon.status().await?.caller_is_admin;
        output.text(&render(&list.attachments, admin, &Users::load(), &output.view))?;
    }
    Ok(0)
}

/// What the rules say of it now.
fn rules(attachment: &Attachment) -> Cell {
    match attachment.forbidden.as_str() {
        "" => text::NONE.to_owned().into(),
        _ => Cell::new("forbidden".to_owned(), Tone::Red),
    }
}

/// The table. Whose they are is of interest if they are not all the caller's, their states if not all
/// are active, the rules if they forbid one.
fn render(attachments: &[Attachment], admin: bool, users: &Users, view: &View) -> String {
    let mut table = Table::new(COLUMNS);
    for attachment in attachments {
        table.push([
            text::or_none(&attachment.name).into(),
            text::escape(&attachment.address).into(),
            text::escape(&attachment.network).into(),
            container(attachment).into(),
            users.name(attachment.uid).into(),
            Cell::new(json::state(attachment.state), tone(attachment)),
            rules(attachment),
            text::age(attachment.created.as_ref(), view.now).into(),
        ]);
    }
    let of_one = attachments.iter().all(|attachment| attachment.uid == attachments[0].uid);
    let all_allowed = attachments.iter().all(|attachment| attachment.forbidden.is_empty());
    let at_rest = attachments.iter().all(|attachment| tone(attachment) == Tone::Plain);
    table.render(view, |title| match title {
        "USER" => of_one && !admin,
        "STATE" => at_rest,
        "RULES" => all_allowed,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use v6pod_proto::v1::attachment::State;

    use super::{super::tests::web, *};

    fn attachments() -> Vec<Attachment> {
        let nameless = Attachment { name: String::new(), created: None, ..web() };
        vec![web(), Attachment { address: "2001:db8::242:ac11:3".to_owned(), ..nameless }]
    }

    fn users() -> Users {
        Users::parse("alice:x:1001:1001:::\n")
    }

    #[test]
    fn ones_own_attachments() {
        let expected = "\
NAME  ADDRESS               NETWORK  CONTAINER     AGE
web   2001:db8::242:ac11:2  default  c0ffee012345  3m
-     2001:db8::242:ac11:3  default  c0ffee012345  -
";
        assert_eq!(render(&attachments(), false, &users(), &View::of(None, false, 1000)), expected);
    }

    #[test]
    fn everybodys_attachments() {
        let mut attachments = attachments();
        attachments[1].uid = 4_000_000_000;
        attachments[1].state = State::Detaching.into();
        let expected = "\
NAME  ADDRESS               NETWORK  CONTAINER     USER        STATE      AGE
web   2001:db8::242:ac11:2  default  c0ffee012345  alice       active     3m
-     2001:db8::242:ac11:3  default  c0ffee012345  4000000000  detaching  -
";
        assert_eq!(render(&attachments, false, &users(), &View::of(None, false, 1000)), expected);
        let alone = render(&attachments[..1], true, &users(), &View::of(None, false, 1000));
        assert!(
            alone.starts_with("NAME  ADDRESS               NETWORK  CONTAINER     USER   AGE\n"),
            "{alone}"
        );
        attachments[0].forbidden = "you may not attach here (rule: x:3)".to_owned();
        let table = render(&attachments, false, &users(), &View::of(None, false, 1000));
        assert!(table.contains("  RULES      AGE\n") && table.contains("  forbidden  3m\n"), "{table}");
        attachments[0].forbidden.clear();
        let coloured = render(&attachments, true, &users(), &View::of(None, true, 1000));
        assert!(coloured.contains("\x1b[33mdetaching\x1b[0m  -\n"), "{coloured}");
    }

    #[test]
    fn narrow_terminals_keep_name_and_address() {
        let mut attachments = attachments();
        attachments[0].name = "a-long-name-of-some-container".to_owned();
        let at = |width| render(&attachments, true, &users(), &View::of(Some(width), false, 1000));
        let expected = "\
NAME                   ADDRESS               NETWORK  CONTAINER     USER   AGE
a-long-name-of-some-…  2001:db8::242:ac11:2  default  c0ffee012345  alice  3m
-                      2001:db8::242:ac11:3  default  c0ffee012345  alice  -
";
        assert_eq!(at(78), expected);
        let expected = "\
NAME    ADDRESS               AGE
a-lon…  2001:db8::242:ac11:2  3m
-       2001:db8::242:ac11:3  -
";
        assert_eq!(at(33), expected);
    }

    #[test]
    fn others_texts_reach_no_terminal() {
        let hostile = Attachment {
            name: "\x1b[2J".to_owned(),
            container_id: "\u{202e}x".to_owned(),
            network: "a\nb".to_owned(),
            address: "\x07".to_owned(),
            ..web()
        };
        let table = render(&[hostile], false, &users(), &View::of(None, false, 1000));
        assert_eq!(table.lines().count(), 2);
        assert!(table.lines().all(|line| line.chars().all(text::is_printable)), "{table}");
    }
}
