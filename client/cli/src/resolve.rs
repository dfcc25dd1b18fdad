//! Which attachment is meant.
//!
//! The first of these that anything fits decides: the id, the name, the container's id, the address, the name
//! with a registry's domain (`web.v6pod`), what the container's id begins with. The name may be written as the container's engine has it: `Web_1` is
//! published as `web-1`. Only an administrator sees attachments of which several have one name.

use std::net::Ipv6Addr;

use v6pod_proto::v1::Attachment;

use crate::{error::Error, text};

/// Shorter beginnings are too likely to fit by accident.
const SHORTEST: usize = 4;

/// The attachment that `which` means.
pub fn resolve(attachments: Vec<Attachment>, which: &str) -> Result<Attachment, Error> {
    let rules: [fn(&Attachment, &str) -> bool; 6] = [
        |attachment, which| attachment.id == which,
        |attachment, which| attachment.name == label(which),
        |attachment, which| attachment.container_id == which,
        |attachment, which| is_address(which, &attachment.address),
        |attachment, which| attachment.published.iter().any(|full| is_host(which, full)),
        |attachment, which| which.len() >= SHORTEST && attachment.container_id.starts_with(which),
    ];
    let begins = |attachment: &Attachment| attachment.container_id.starts_with(which);
    let none = || match attachments.iter().any(begins) {
        true => Error::TooShort { which: which.to_owned(), least: SHORTEST },
        false => Error::NoAttachment(which.to_owned()),
    };
    if which.is_empty() {
        return Err(Error::NoAttachment(String::new()));
    }
    let fits = |rule: &&fn(&Attachment, &str) -> bool| attachments.iter().any(|one| rule(one, which));
    let rule = *rules.iter().find(fits).ok_or_else(none)?;
    let mut fitting: Vec<_> = attachments.into_iter().filter(|one| rule(one, which)).collect();
    match fitting.pop() {
        Some(only) if fitting.is_empty() => Ok(only),
        last => {
            let candidates = fitting.iter().chain(&last).map(candidate).collect();
            Err(Error::Ambiguous { which: which.to_owned(), candidates })
        }
    }
}

/// Whether both are the same address, however it is written.
fn is_address(which: &str, address: &str) -> bool {
    which.parse::<Ipv6Addr>().is_ok_and(|which| Ok(which) == address.parse())
}

/// Whether both are the same host name; a final dot says only that it is a full one.
fn is_host(which: &str, full: &str) -> bool {
    which.strip_suffix('.').unwrap_or(which).eq_ignore_ascii_case(full)
}

/// The DNS label that a container's name becomes; see `ActivateRequest.name` in the contract.
pub fn label(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// "0123456789ab (web)": the id, and what it goes by.
fn candidate(attachment: &Attachment) -> String {
    let label = [&attachment.name, &attachment.container_id].into_iter().find(|label| !label.is_empty());
    match label {
        Some(label) => format!("{} ({})", attachment.id, text::cut(label, 16)),
        None => attachment.id.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachments() -> Vec<Attachment> {
        let one = |id: &str, name: &str, container: &str| Attachment {
            id: id.to_owned(),
            name: name.to_owned(),
            container_id: container.to_owned(),
            ..Default::default()
        };
        vec![
            one("000000000001", "web", "abcd1111"),
            one("000000000002", "000000000001", "abcd2222"),
            one("000000000003", "abcd", "abcd3333"),
            one("000000000004", "", "beef"),
            one("000000000005", "web", "beef5555"),
            one("000000000006", "web-1", ""),
        ]
    }

    fn ids(which: &str) -> Result<String, String> {
        resolve(attachments(), which).map(|found| found.id).map_err(|error| error.to_string())
    }

    #[test]
    fn the_most_exact_rule_decides() {
        for (which, id) in [
            ("000000000001", "000000000001"),
            ("abcd", "000000000003"),
            ("abcd2222", "000000000002"),
            ("abcd2", "000000000002"),
            ("beef", "000000000004"),
            ("000000000006", "000000000006"),
            ("web-1", "000000000006"),
            ("Web_1", "000000000006"),
        ] {
            assert_eq!(ids(which).as_deref(), Ok(id), "{which}");
        }
    }

    #[test]
    fn addresses_and_host_names_fit_too() {
        let mut attachments = attachments();
        for (number, attachment) in (1..).zip(&mut attachments) {
            attachment.address = format!("2001:db8::{number}");
            attachment.published = ["v6pod", "service.consul"].map(|zone| format!("n{number}.{zone}")).into();
        }
        // A name that looks like another's host name goes first.
        attachments[5].name = "n1-v6pod".to_owned();
        for (which, number) in [
            ("2001:db8::3", 3),
            ("2001:DB8:0:0::3", 3),
            ("n2.v6pod", 2),
            ("N2.Service.Consul.", 2),
            ("n1.v6pod", 6),
        ] {
            let found = resolve(attachments.clone(), which).map(|found| found.id);
            assert_eq!(found.unwrap(), format!("00000000000{number}"), "{which}");
        }
        for which in ["2001:db8::9", "2001:db8::3/80", "n2", "n2.", "v6pod", "n2.v6pod.."] {
            assert!(matches!(resolve(attachments.clone(), which), Err(Error::NoAttachment(_))), "{which}");
        }
    }

    #[test]
    fn too_short_a_beginning_is_said_to_be() {
        let error = ids("abc").unwrap_err();
        assert_eq!(error, "there is no attachment \"abc\": of a container's id give 4 or more characters");
    }

    #[test]
    fn what_fits_nothing_is_not_found() {
        for which in ["nothing", "", "00000000000", "BEEF"] {
            assert!(matches!(resolve(attachments(), which), Err(Error::NoAttachment(_))), "{which}");
        }
    }

    #[test]
    fn what_fits_several_lists_them() {
        assert_eq!(
            ids("web").unwrap_err(),
            "\"web\" fits 2 attachments: give the id of one: 000000000001 (web), 000000000005 (web)"
        );
        let mut attachments = attachments();
        attachments[2].name.clear();
        let error = resolve(attachments, "abcd").unwrap_err().to_string();
        assert_eq!(
            error,
            "\"abcd\" fits 3 attachments: give the id of one: \
             000000000001 (web), 000000000002 (000000000001), 000000000003 (abcd3333)"
        );
    }
}
