//! `v6pod can-i`.

use std::path::Path;

use v6pod_proto::v1::{ExplainRequest, ExplainResponse, Quota};

use crate::{
    args::CanI,
    daemon::Daemon,
    error::{Error, FAILED},
    json,
    output::{Output, Tone, View},
    table::{self, Cell},
    text,
    users::Users,
};

/// Asks.
pub async fn run(socket: &Path, asked: CanI, output: &mut Output) -> Result<u8, Error> {
    let users = Users::load();
    let uid = |user: String| users.uid(&user).ok_or(Error::NoUser(user));
    let request = ExplainRequest {
        network: asked.network.unwrap_or_default(),
        name: asked.name.unwrap_or_default(),
        address: asked.address.map(|address| address.to_string()).unwrap_or_default(),
        uid: asked.user.map(uid).transpose()?,
    };
    let told = Daemon::connect(socket, Vec::new()).await?.explain(request).await?;
    if output.json {
        output.document(&json::Explain::from(&told))?;
    } else {
        output.text(&render(&told, &users, &output.view))?;
    }
    Ok(if told.allowed { 0 } else { FAILED })
}

fn render(told: &ExplainResponse, users: &Users, view: &View) -> String {
    let allowed = if told.allowed {
        Cell::from("yes".to_owned())
    } else {
        Cell::new(format!("no: {}", text::escape(&told.reason)), Tone::Red)
    };
    let mut pairs = vec![("allowed", allowed), ("user", user(told, users).into())];
    let texts = [
        ("rule", &told.rule),
        ("network", &told.network),
        ("name", &told.name),
        ("reserved address", &told.reserved_address),
        ("own prefix", &told.own_prefix),
    ];
    let given = texts.into_iter().filter(|(_, value)| !value.is_empty());
    pairs.extend(given.map(|(key, value)| (key, text::escape(value).into())));
    let quotas = [
        ("attachments", &told.attachments),
        ("addresses", &told.addresses),
        ("activations", &told.activations),
    ];
    let given = quotas.into_iter().filter_map(|(key, quota)| Some((key, quota.as_ref()?)));
    pairs.extend(given.map(|(key, quota)| (key, left(quota))));
    if told.forbidden > 0 {
        let text = format!("{} of what is attached: see v6pod list", told.forbidden);
        pairs.push(("forbidden", Cell::new(text, Tone::Red)));
    }
    table::pairs(view, &pairs)
}

fn user(told: &ExplainResponse, users: &Users) -> String {
    let user = users.describe(told.uid);
    if told.charged_uid == told.uid {
        user
    } else {
        format!("{user}, charged to {}", users.describe(told.charged_uid))
    }
}

fn left(quota: &Quota) -> Cell {
    match quota {
        Quota { unlimited: true, used, .. } => format!("unlimited, {used} used").into(),
        Quota { left: 0, limit, .. } => Cell::new(format!("0 of {limit} left"), Tone::Red),
        Quota { left, limit, .. } => format!("{left} of {limit} left").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> ExplainResponse {
        let quota = |limit, used| Some(Quota { unlimited: false, limit, used, left: limit - used });
        ExplainResponse {
            allowed: true,
            rule: "/etc/v6pod/v6podd.toml:12".to_owned(),
            network: "default".to_owned(),
            name: "web".to_owned(),
            uid: 100_007,
            charged_uid: 1001,
            attachments: quota(64, 3),
            addresses: Some(Quota { unlimited: true, used: 3, ..Quota::default() }),
            activations: quota(120, 120),
            ..ExplainResponse::default()
        }
    }

    #[test]
    fn what_is_allowed() {
        let expected = "\
allowed:      yes
user:         uid 100007, charged to alice (uid 1001)
rule:         /etc/v6pod/v6podd.toml:12
network:      default
name:         web
attachments:  61 of 64 left
addresses:    unlimited, 3 used
activations:  0 of 120 left
";
        let users = Users::parse("alice:x:1001:1001:::\n");
        assert_eq!(render(&told(), &users, &View::of(None, false, 0)), expected);
    }

    #[test]
    fn what_is_not() {
        let told = ExplainResponse {
            allowed: false,
            reason: "there is no network\nx".to_owned(),
            rule: String::new(),
            charged_uid: 100_007,
            attachments: None,
            addresses: None,
            activations: None,
            forbidden: 2,
            own_prefix: "2001:db8::600:1001:0/112".to_owned(),
            ..told()
        };
        let expected = "\
allowed:     no: there is no network\\nx
user:        uid 100007
network:     default
name:        web
own prefix:  2001:db8::600:1001:0/112
forbidden:   2 of what is attached: see v6pod list
";
        assert_eq!(render(&told, &Users::default(), &View::of(None, false, 0)), expected);
        assert!(render(&told, &Users::default(), &View::of(None, true, 0)).contains("\x1b[31mno: "));
    }
}
