//! A rule: whom it fits, and what it says.

use std::{fmt, path::Path, sync::Arc};

use serde::Deserialize;

use super::{Pattern, Subject, Why};
use crate::model::{Inbound, NetworkName, Ports};

/// What a user may have at once unless a rule says otherwise.
pub const ATTACHMENTS: u32 = 64;
/// How often a user may activate, a minute and at once, unless a rule says otherwise. Two ways in may each
/// call once for the same container.
pub const RATE: Rate = Rate { per_minute: 120, burst: 120 };

/// Where a decision comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The caller is root.
    Root,
    /// No rule fits.
    Default,
    /// A line of the configuration.
    Line {
        /// The file.
        path: Arc<Path>,
        /// The line, from 1.
        line: usize,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            Self::Default => f.write_str("default"),
            Self::Line { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// How often: so many a minute, and so many at once after a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// A minute, at least 1.
    pub per_minute: u32,
    /// At once, at least 1.
    pub burst: u32,
}

/// What becomes of a name that is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Collision {
    /// The later container is refused it; clients then ask again without a name.
    #[default]
    Reject,
    /// The later container is called NAME-2.
    Suffix,
    /// Both have it, whoever they belong to: the name has several addresses.
    Share,
}

/// What a rule grants. None: without limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Attachments at once, of one user, on all networks.
    pub attachments: Option<u32>,
    /// Attachments at once, of one user, on one network.
    pub addresses: Option<u32>,
    /// Calls of Activate and Expose.
    pub rate: Option<Rate>,
    /// Names have to fit one of these.
    pub names: Option<Vec<Pattern>>,
    /// Whether callers may choose their address; none: as the network says.
    pub fixed: Option<bool>,
    /// The ports that owners may open, first and last, in order and none next to another; none: all.
    pub ports: Option<Vec<(u16, u16)>>,
    /// Whether the user's addresses all lie in a prefix of the user's own.
    pub sub_prefix: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { attachments: Some(ATTACHMENTS), rate: Some(RATE), ..Self::none() }
    }
}

impl Limits {
    /// No limits.
    pub fn none() -> Self {
        Self {
            attachments: None,
            addresses: None,
            rate: None,
            names: None,
            fixed: None,
            ports: None,
            sub_prefix: false,
        }
    }

    /// What may reach an attachment for which this is asked, or nothing. Where only some ports may be opened,
    /// none is before somebody opens it.
    ///
    /// # Errors
    /// What may not be opened.
    pub fn inbound(&self, asked: Option<&Inbound>) -> Result<Inbound, Why> {
        match asked {
            None if self.ports.is_some() => Ok(Inbound::Established),
            None => Ok(Inbound::Open),
            Some(Inbound::Open) if self.ports.is_some() => Err(Why::Ports(Inbound::Open)),
            Some(Inbound::Ports(ports)) => match ports.iter().find(|ports| !self.may_open(ports)) {
                Some(ports) => Err(Why::Ports(Inbound::Ports(vec![*ports]))),
                None => Ok(Inbound::Ports(ports.clone())),
            },
            Some(asked) => Ok(asked.clone()),
        }
    }

    /// Whether all of these ports may be opened.
    pub(super) fn may_open(&self, asked: &Ports) -> bool {
        let hold = |(first, last): &(u16, u16)| *first <= asked.first && asked.last <= *last;
        self.ports.as_ref().is_none_or(|ranges| ranges.iter().any(hold))
    }
}

/// Whom a rule is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whom {
    /// Uids, first and last.
    pub users: Vec<(u32, u32)>,
    /// Gids.
    pub groups: Vec<u32>,
}

impl Whom {
    /// Whether this is one of them. Nobody named is everybody.
    fn has(&self, subject: &Subject) -> bool {
        if self.users.is_empty() && self.groups.is_empty() {
            return true;
        }
        let listed = |uid: u32| self.users.iter().any(|(first, last)| (*first..=*last).contains(&uid));
        listed(subject.uid)
            || subject.owner().is_some_and(listed)
            || self.groups.iter().any(|group| subject.groups.contains(group))
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where it stands.
    pub origin: Origin,
    /// Whom it is for.
    pub whom: Whom,
    /// For which networks; none: for all.
    pub networks: Vec<NetworkName>,
    /// Whether they may be used.
    pub allow: bool,
    /// And how much.
    pub limits: Limits,
}

impl Rule {
    /// A rule for everybody and everything.
    pub fn general(origin: Origin, limits: Limits) -> Self {
        Self { origin, whom: Whom::default(), networks: Vec::new(), allow: true, limits }
    }

    /// Whether it decides about this user and this network.
    pub fn fits(&self, subject: &Subject, network: &NetworkName) -> bool {
        (self.networks.is_empty() || self.networks.contains(network)) && self.whom.has(subject)
    }
}
