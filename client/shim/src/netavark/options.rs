//! The options of a network: `podman network create -o KEY=VALUE`, or, for one container,
//! `--network NAME:KEY=VALUE`.

use std::num::NonZeroU32;

use crate::input::{self, Object, Wrong};

/// Why they are refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    Wrong(#[from] Wrong),
    #[error("the option {0} must be a string")]
    NotText(String),
    #[error("there is no option {0:?}; there are network, mtu, inbound, no_default_route and dns")]
    Unknown(String),
    #[error("the option mtu must be a number of octets, not {0:?}")]
    Mtu(String),
    #[error("the option {key} must be true or false, not {value:?}")]
    NotBool { key: String, value: String },
}

/// Checked.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Options {
    /// One of the daemon's networks.
    pub network: Option<String>,
    /// Octets.
    pub mtu: Option<NonZeroU32>,
    /// What may reach the container; empty: everything.
    pub inbound: String,
    /// Whether there is to be no default route.
    pub no_default_route: bool,
    /// Whether containers are to leave the daemon's resolver alone.
    pub no_dns: bool,
}

impl Options {
    /// Adds those that `object` has under "options"; the later ones win.
    pub fn add(mut self, object: &Object) -> Result<Self, Error> {
        for (key, value) in input::object(object, "options")?.into_iter().flatten() {
            let value = value.as_str().ok_or_else(|| Error::NotText(key.clone()))?;
            match key.as_str() {
                "network" => self.network = Some(value.to_owned()).filter(|name| !name.is_empty()),
                "mtu" => self.mtu = Some(value.parse().map_err(|_| Error::Mtu(value.to_owned()))?),
                "inbound" => self.inbound = value.to_owned(),
                "no_default_route" => self.no_default_route = truth(key, value)?,
                "dns" => self.no_dns = !truth(key, value)?,
                _ => return Err(Error::Unknown(key.clone())),
            }
        }
        Ok(self)
    }
}

/// What Go, and so podman, takes for a truth value.
fn truth(key: &str, value: &str) -> Result<bool, Error> {
    match value {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
        _ => Err(Error::NotBool { key: key.to_owned(), value: value.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn add(options: Options, more: &Value) -> Result<Options, Error> {
        options.add(json!({ "options": more }).as_object().unwrap())
    }

    #[test]
    fn options_are_checked() {
        let all = json!({ "network": "blue", "mtu": "1400", "inbound": "80/tcp", "no_default_route": "1", "dns": "False" });
        let expected = Options {
            network: Some("blue".to_owned()),
            mtu: NonZeroU32::new(1400),
            inbound: "80/tcp".to_owned(),
            no_default_route: true,
            no_dns: true,
        };
        assert_eq!(add(Options::default(), &all).unwrap(), expected);
        assert_eq!(add(Options::default(), &Value::Null).unwrap(), Options::default());
        for (key, value) in [
            ("vlan", "5"),
            ("mtu", "0"),
            ("mtu", "-1"),
            ("mtu", "x"),
            ("dns", ""),
            ("no_default_route", "no"),
        ] {
            let error = add(Options::default(), &json!({ key: value })).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
        assert!(add(Options::default(), &json!({ "mtu": 5 })).is_err());
        assert!(add(Options::default(), &json!([])).is_err());
    }

    #[test]
    fn a_containers_own_win() {
        let network = add(Options::default(), &json!({ "mtu": "1400", "dns": "false" })).unwrap();
        let both = add(network, &json!({ "mtu": "1300" })).unwrap();
        assert_eq!((both.mtu, both.no_dns), (NonZeroU32::new(1300), true));
    }
}
