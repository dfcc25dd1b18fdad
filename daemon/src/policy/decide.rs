//! The decision: who, where, under which name and address. A pure function over the rules.
//!
//! The first rule that fits the user and the network decides; if none does, the network may be used within
//! the default limits. Root is asked nothing. A network that a rule forbids is to the user one that is not
//! there, unless they did not name it: then the rule is told.

use std::{
    collections::{BTreeSet, HashMap},
    net::Ipv6Addr,
    sync::Arc,
};

use super::{Collision, Limits, Origin, Pattern, Refusal, Rule, Why};
use crate::{
    ipam::Space,
    model::{Attachment, Mac, Name, NetworkName},
};

/// A user, as the kernel and the user database tell of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The uid.
    pub uid: u32,
    /// The user it is charged to: see [`crate::auth::subid`].
    pub account: u32,
    /// The groups, those of the process and those of the account.
    pub groups: Vec<u32>,
    /// The account's name, if it was asked for and there is one.
    pub user: Option<String>,
    /// Whether it is an administrator, who is told which networks there are.
    pub admin: bool,
}

impl Subject {
    /// Root itself. What is only charged to root (a container's uid of root's subordinate ones) is not.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// The user whose rules hold beside those for the uid itself. Root's subordinate uids are given to those
    /// whom root does not trust: they are not root.
    pub fn owner(&self) -> Option<u32> {
        (self.account != 0).then_some(self.account)
    }

    /// The user's name as a part of names.
    pub fn label(&self) -> Option<Name> {
        Name::from_container(self.user.as_deref()?).ok()
    }

    fn is(&self, uid: u32) -> bool {
        self.uid == uid || self.owner() == Some(uid)
    }
}

/// What the policy needs to know of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Whether callers may choose their address unless a rule says otherwise.
    pub fixed: bool,
    /// What becomes of a name that is taken.
    pub collision: Collision,
    /// Whether every user's addresses lie in a prefix of the user's own.
    pub sub_prefix: bool,
}

/// A name, and perhaps an address, that one user alone may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Where it stands.
    pub origin: Origin,
    /// The network of the address.
    pub network: NetworkName,
    /// Whose.
    pub user: u32,
    /// The name, on every network.
    pub name: Name,
    /// The address.
    pub address: Ipv6Addr,
}

/// What a user asks for, as far as rules speak about it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The network.
    pub network: &'a NetworkName,
    /// Whether the user named it, or it is the default one.
    pub named: bool,
    /// The name.
    pub name: Option<&'a Name>,
    /// Further names.
    pub aliases: &'a [Name],
    /// The address, if the user chose it.
    pub address: Option<Ipv6Addr>,
    /// The MAC, if the user chose that, and with it the address.
    pub mac: Option<Mac>,
}

impl Asked<'_> {
    /// Whether the user chose an address, and another than this.
    fn chose_other_than(&self, reservation: Option<Ipv6Addr>) -> bool {
        match (self.address, self.mac) {
            (Some(address), _) => Some(address) != reservation,
            (None, Some(mac)) => Some(mac) != reservation.map(Mac::of),
            (None, None) => false,
        }
    }
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// There is no such network, as far as this user goes.
    NoNetwork(NetworkName),
    /// A rule says no.
    Refused(Refusal),
}

/// What a rule grants of what was asked for, before any quota.
#[derive(Clone, Debug)]
#[must_use]
pub struct Ruling {
    /// The rule.
    pub rule: Arc<Rule>,
    /// The network.
    pub network: NetworkName,
    /// What becomes of a name that is taken.
    pub collision: Collision,
    /// Where the address may lie.
    pub space: Space,
    /// Whether the caller may choose it.
    pub fixed: bool,
    /// The address that is reserved for this user and name.
    pub reservation: Option<Ipv6Addr>,
}

/// All rules.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(super) rules: Vec<Arc<Rule>>,
    pub(super) root: Arc<Rule>,
    pub(super) default: Arc<Rule>,
    pub(super) reserved: Vec<(Pattern, Origin)>,
    pub(super) reservations: HashMap<Name, Vec<Reservation>>,
    pub(super) networks: HashMap<NetworkName, Terms>,
    pub(super) evict: bool,
}

impl Policy {
    /// The policy of a site that has written no rules.
    pub fn new(networks: HashMap<NetworkName, Terms>) -> Self {
        Self {
            rules: Vec::new(),
            root: Arc::new(Rule::general(Origin::Root, Limits::none())),
            default: Arc::new(Rule::general(Origin::Default, Limits::default())),
            reserved: Vec::new(),
            reservations: HashMap::new(),
            networks,
            evict: false,
        }
    }

    /// The rule that decides about this user and this network.
    pub fn rule(&self, subject: &Subject, network: &NetworkName) -> &Arc<Rule> {
        if subject.is_root() {
            return &self.root;
        }
        self.rules.iter().find(|rule| rule.fits(subject, network)).unwrap_or(&self.default)
    }

    /// Whether the network is there as far as this user goes.
    pub fn shows(&self, subject: &Subject, network: &NetworkName) -> bool {
        self.networks.contains_key(network) && (subject.admin || self.rule(subject, network).allow)
    }

    /// Decides.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn judge(&self, subject: &Subject, asked: &Asked<'_>) -> Result<Ruling, Denial> {
        let no_network = || Denial::NoNetwork(asked.network.clone());
        let terms = self.networks.get(asked.network).ok_or_else(no_network)?;
        let rule = self.rule(subject, asked.network);
        if !rule.allow {
            if asked.named && !subject.admin {
                return Err(no_network());
            }
            return Err(refused(Why::Forbidden, &rule.origin));
        }
        for name in asked.name.into_iter().chain(asked.aliases) {
            self.may_be_named(subject, rule, name).map_err(Denial::Refused)?;
        }
        let reservation = asked.name.and_then(|name| self.reserved_for(subject, asked.network, name));
        let fixed = rule.limits.fixed.unwrap_or(terms.fixed);
        if rule.limits.fixed == Some(false) && asked.chose_other_than(reservation) {
            return Err(refused(Why::Fixed, &rule.origin));
        }
        Ok(Ruling {
            rule: Arc::clone(rule),
            network: asked.network.clone(),
            collision: terms.collision,
            space: self.space(subject, rule, terms),
            fixed,
            reservation,
        })
    }

    /// Whether a user may have a name, be it taken or not.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn may_be_named(&self, subject: &Subject, rule: &Rule, name: &Name) -> Result<(), Refusal> {
        let refuse = |why, origin: &Origin| Err(Refusal { why, origin: origin.clone(), left: None });
        if subject.is_root() || self.is_reserved_for(subject, name) {
            return Ok(());
        }
        if let Some((_, origin)) = self.reserved.iter().find(|(pattern, _)| pattern.fits(name, subject)) {
            return refuse(Why::ReservedName(name.clone()), origin);
        }
        match &rule.limits.names {
            Some(patterns) if !patterns.iter().any(|pattern| pattern.fits(name, subject)) => {
                let wanted: Vec<_> = patterns.iter().map(|pattern| pattern.shown_to(subject)).collect();
                let wanted = if wanted.is_empty() { "no pattern".to_owned() } else { wanted.join(" or ") };
                refuse(Why::Name(name.clone(), wanted), &rule.origin)
            }
            _ => Ok(()),
        }
    }

    /// Whether a name is kept for somebody else. To the user it is taken.
    pub fn is_anothers(&self, subject: &Subject, name: &Name) -> bool {
        self.reservations.contains_key(name) && !self.is_reserved_for(subject, name)
    }

    /// What becomes of a name that is taken, on one network.
    pub fn collision(&self, network: &NetworkName) -> Collision {
        self.networks.get(network).map_or_else(Collision::default, |terms| terms.collision)
    }

    /// All reservations.
    pub fn reservations(&self) -> impl Iterator<Item = &Reservation> {
        self.reservations.values().flatten()
    }

    /// Those of a user's groups that rules speak of.
    pub fn groups_of(&self, subject: &Subject) -> Vec<u32> {
        let named = self.rules.iter().flat_map(|rule| rule.whom.groups.iter().copied());
        let theirs: BTreeSet<_> = named.filter(|group| subject.groups.contains(group)).collect();
        theirs.into_iter().collect()
    }

    /// Whether the user database has to be asked who somebody is.
    pub fn asks_who(&self) -> bool {
        let by_user = |pattern: &Pattern| pattern.asks_for_user();
        let asks = |rule: &Arc<Rule>| {
            !rule.whom.groups.is_empty() || rule.limits.names.iter().flatten().any(by_user)
        };
        self.rules.iter().any(asks) || self.reserved.iter().any(|(pattern, _)| by_user(pattern))
    }

    /// Decides about what is attached already, as if it were asked for now.
    ///
    /// # Errors
    /// What forbids it.
    pub fn review(&self, subject: &Subject, attachment: &Attachment) -> Result<Ruling, Refusal> {
        let asked = Asked {
            network: &attachment.network,
            named: false,
            name: attachment.name.as_ref(),
            aliases: &attachment.aliases,
            address: attachment.fixed.then_some(attachment.address),
            mac: None,
        };
        let ruling = self.judge(subject, &asked).map_err(|denial| match denial {
            Denial::Refused(refusal) => refusal,
            Denial::NoNetwork(_) => Refusal { why: Why::Forbidden, origin: Origin::Default, left: None },
        })?;
        let kept = self.reservations().find(|kept| {
            let theirs = subject.is(kept.user) && attachment.name.as_ref() == Some(&kept.name);
            let same = kept.network == attachment.network && kept.address == attachment.address;
            let named = attachment.name.iter().chain(&attachment.aliases).any(|name| *name == kept.name);
            same && !theirs || named && self.is_anothers(subject, &kept.name)
        });
        match kept {
            Some(kept) => Err(Refusal { why: Why::Reserved, origin: kept.origin.clone(), left: None }),
            None => Ok(ruling),
        }
    }

    /// Whether attachments that the rules forbid are ended.
    pub fn evicts(&self) -> bool {
        self.evict
    }

    fn is_reserved_for(&self, subject: &Subject, name: &Name) -> bool {
        self.reservations.get(name).is_some_and(|all| all.iter().any(|one| subject.is(one.user)))
    }

    fn reserved_for(&self, subject: &Subject, network: &NetworkName, name: &Name) -> Option<Ipv6Addr> {
        let all = self.reservations.get(name)?;
        all.iter().find(|one| one.network == *network && subject.is(one.user)).map(|one| one.address)
    }

    fn space(&self, subject: &Subject, rule: &Rule, terms: &Terms) -> Space {
        let anybody_has = || self.rules.iter().any(|rule| rule.limits.sub_prefix);
        if subject.is_root() {
            return Space::Whole;
        }
        if terms.sub_prefix || rule.limits.sub_prefix {
            Space::Own(subject.account)
        } else if anybody_has() {
            Space::Common
        } else {
            Space::Whole
        }
    }
}

fn refused(why: Why, origin: &Origin) -> Denial {
    Denial::Refused(Refusal { why, origin: origin.clone(), left: None })
}
