//! Values on the command line that the daemon would refuse after a call: they are refused before it. The contract,
//! v6pod.v1, has the rules.

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};

use crate::ports::Ports;

/// A path from the root.
pub fn absolute() -> impl TypedValueParser<Value = PathBuf> {
    let is = |path: PathBuf| Some(path).filter(|path| path.is_absolute());
    PathBufValueParser::new().try_map(move |path| is(path).ok_or("it has to be an absolute path"))
}

/// The name of an interface.
pub fn interface(text: &str) -> Result<String, &'static str> {
    let fits = (1..=15).contains(&text.len())
        && !matches!(text, "all" | "default")
        && text.as_bytes()[0].is_ascii_alphanumeric()
        && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'.' | b'-'));
    fits.then(|| text.to_owned()).ok_or(
        "it has to be 1 to 15 of A-Z, a-z, 0-9, \"_\", \".\" and \"-\", the first a letter or a digit, \
         and neither \"all\" nor \"default\"",
    )
}

/// A MAC address.
pub fn mac(text: &str) -> Result<String, &'static str> {
    let octet = |part: &str| part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
    let fits = text.split(':').count() == 6 && text.split(':').all(octet);
    fits.then(|| text.to_owned()).ok_or("write six octets: 02:00:00:00:00:07")
}

/// What may reach a container: `ExposeRequest.inbound` in the contract.
pub fn inbound(text: &str) -> Result<String, String> {
    let is_port = |part: &str| part.parse::<Ports>().map(drop);
    match text {
        "open" | "established" => Ok(text.to_owned()),
        ports => match ports.split(',').try_for_each(is_port) {
            Ok(()) => Ok(text.to_owned()),
            Err(error) => Err(format!("{error}; or open, or established")),
        },
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::args::Args;

    #[test]
    fn what_the_daemon_would_refuse_is_refused_at_once() {
        for (option, right, wrong) in [
            (
                "--interface",
                &["eth0", "a-b_c.d", "fifteen-octets-"][..],
                &["", "a/b", "all", "-x", "sixteen-octets-x", "é"][..],
            ),
            (
                "--mac",
                &["02:00:00:00:00:07", "02:AB:cd:00:00:07"],
                &["", "zz", "02:00:00:00:00", "02:00:00:00:00:0g", "2:0:0:0:0:7", "02:00:00:00:00:+7"],
            ),
            ("--inbound", &["open", "established", "80", "80/tcp,5-6/udp"], &["", "foo", "80,", "80/http"]),
            ("--socket", &["/x"], &["", "x", "./x"]),
        ] {
            let parse = |value: &str| Args::try_parse_from(["v6pod", "attach", option, value, "1"]).map(drop);
            right.iter().for_each(|value| assert!(parse(value).is_ok(), "{option} {value}"));
            wrong.iter().for_each(|value| assert!(parse(value).is_err(), "{option} {value}"));
        }
    }
}
