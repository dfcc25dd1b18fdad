//! What may reach a container from outside of it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Invalid;

/// The most ranges of ports.
const MOST: usize = 32;
/// The longest text that is looked at: 32 ranges such as `10000-20000/sctp`.
const LENGTH: usize = 1024;

/// What may reach a container from anywhere: other hosts, other containers, this host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Inbound {
    /// Everything.
    #[default]
    Open,
    /// Only what belongs to what the container itself began.
    Established,
    /// That, and what is for these ports. Never empty.
    Ports(Vec<Ports>),
}

/// A range of ports of one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ports {
    /// The protocol.
    pub protocol: Protocol,
    /// The first port, at least 1.
    pub first: u16,
    /// The last port, not below the first.
    pub last: u16,
}

/// A protocol that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// RFC 9260.
    Sctp,
    /// RFC 4340.
    Dccp,
}

impl Protocol {
    const ALL: [Self; 4] = [Self::Tcp, Self::Udp, Self::Sctp, Self::Dccp];

    /// Its number: <https://www.iana.org/assignments/protocol-numbers>.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
            Self::Dccp => 33,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
            Self::Dccp => "dccp",
        }
    }
}

impl fmt::Display for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Established => f.write_str("established"),
            Self::Ports(ports) => {
                let list: Vec<_> = ports.iter().map(ToString::to_string).collect();
                f.write_str(&list.join(","))
            }
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, first, last } = self;
        if first == last {
            write!(f, "{first}/{}", protocol.name())
        } else {
            write!(f, "{first}-{last}/{}", protocol.name())
        }
    }
}

impl FromStr for Inbound {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        const RULE: &str = "it has to be \"open\", \"established\", or 1 to 32 of PORT/PROTOCOL and FIRST-LAST/PROTOCOL with commas in between, the protocol one of tcp, udp, sctp, dccp";
        let refuse = || Invalid::new("the inbound traffic", text, RULE);
        match text {
            "open" => return Ok(Self::Open),
            "established" => return Ok(Self::Established),
            _ if text.len() > LENGTH => return Err(refuse()),
            _ => {}
        }
        let mut ports = text
            .split(',')
            .map(|part| Ports::parse(part.trim()))
            .collect::<Option<Vec<_>>>()
            .filter(|ports| ports.len() <= MOST)
            .ok_or_else(refuse)?;
        ports.sort_unstable();
        ports.dedup();
        Ok(Self::Ports(ports))
    }
}

impl Ports {
    /// `80/tcp`, `5000-5010/udp`; without a protocol it is TCP.
    fn parse(text: &str) -> Option<Self> {
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = Protocol::ALL.into_iter().find(|known| known.name() == protocol)?;
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
            is_number.then(|| text.parse().ok())?
        };
        let (first, last) = (number(first)?, number(last)?);
        (first > 0 && first <= last).then_some(Self { protocol, first, last })
    }
}

impl TryFrom<String> for Inbound {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Inbound> for String {
    fn from(inbound: Inbound) -> Self {
        inbound.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (text, shown) in [
            ("open", "open"),
            ("established", "established"),
            ("80", "80/tcp"),
            ("80/tcp", "80/tcp"),
            ("443/tcp, 80/tcp,80/tcp", "80/tcp,443/tcp"),
            ("5000-5010/udp,1/dccp,9/sctp", "5000-5010/udp,9/sctp,1/dccp"),
            ("1-65535/udp", "1-65535/udp"),
        ] {
            assert_eq!(text.parse::<Inbound>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let many = vec!["1/tcp"; 33].join(",");
        for text in [
            "",
            "Open",
            "none",
            "0/tcp",
            "65536/tcp",
            "9-8/tcp",
            "80/http",
            "80/",
            "/tcp",
            "80-/tcp",
            "-1/tcp",
            "+80/tcp",
            "80/tcp,",
            "80/TCP",
            "1-2-3/tcp",
            "80/tcp/udp",
            &many,
            &"1,".repeat(5000),
        ] {
            let error = text.parse::<Inbound>().unwrap_err().to_string();
            assert!(error.len() < 500, "{error}");
        }
        let most = vec!["1/tcp"; 32].join(",");
        assert!(most.parse::<Inbound>().is_ok());
    }

    proptest! {
        #[test]
        fn reading_what_is_shown_gives_the_same(text in "[0-9a-z,/-]{0,40}") {
            if let Ok(inbound) = text.parse::<Inbound>() {
                prop_assert_eq!(inbound.to_string().parse::<Inbound>(), Ok(inbound));
            }
        }
    }
}
