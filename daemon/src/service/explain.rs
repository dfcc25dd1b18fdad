//! What Activate would say, and why; nothing is changed, and nothing counted.

use std::{net::Ipv6Addr, time::Instant};

use ipnet::Ipv6Net;

use super::{
    Error, Service,
    naming::{Namer, Naming},
    table::Table,
};
use crate::{
    ipam::{Applicant, Space, own_prefix},
    model::{Mac, Name, NetworkName},
    policy::{Denial, Left, Origin, Refusal, Ruling, Subject, Why, Wish},
};

/// What would come of it.
#[derive(Debug)]
pub struct Explanation {
    /// Who was asked about.
    pub subject: Subject,
    /// The network.
    pub network: NetworkName,
    /// Why not; none: it would be allowed.
    pub reason: Option<String>,
    /// The line that decides; none: there is no such network.
    pub origin: Option<Origin>,
    /// What is left under the rule, if there is one that allows anything.
    pub left: Option<Left>,
    /// The name it would have.
    pub name: Option<Name>,
    /// The address that is reserved for user and name.
    pub reservation: Option<Ipv6Addr>,
    /// The prefix that all of the user's addresses there lie in.
    pub own_prefix: Option<Ipv6Net>,
    /// How many of the user's attachments the rules in force forbid.
    pub forbidden: usize,
}

impl Service {
    /// Tells.
    ///
    /// # Errors
    /// The network has gone from under us.
    pub fn explain(&self, subject: Subject, wish: &Wish) -> Result<Explanation, Error> {
        let policy = self.policy();
        let asked = wish.asked(&self.parts.default_network);
        let table = self.table();
        let mut told = Explanation {
            network: asked.network.clone(),
            reason: None,
            origin: None,
            left: None,
            name: wish.name.clone(),
            reservation: None,
            own_prefix: None,
            forbidden: forbidden(&table, &subject),
            subject,
        };
        let rule = policy.rule(&told.subject, asked.network);
        let usage = table.usage(told.subject.account, asked.network);
        let left = self.left(&told.subject, rule, usage);
        let ruling = match policy.judge(&told.subject, &asked) {
            Ok(ruling) => ruling,
            Err(Denial::NoNetwork(name)) => {
                told.reason = Some(Error::NoNetwork(name).to_string());
                return Ok(told);
            }
            Err(Denial::Refused(refusal)) => {
                told.reason = Some(refusal.why.to_string());
                told.origin = Some(refusal.origin);
                told.left = rule.allow.then_some(left);
                return Ok(told);
            }
        };
        told.origin = Some(ruling.rule.origin.clone());
        told.reservation = ruling.reservation;
        told.left = Some(left);
        let prefix = self.net(&ruling.network)?.config.prefix;
        if let Space::Own(uid) = ruling.space {
            told.own_prefix = Some(own_prefix(uid, prefix));
        }
        let namer = Namer { table: &table, policy: &policy, subject: &told.subject, ruling: &ruling };
        let outcome = namer.choose(wish.name.as_ref(), &wish.aliases).and_then(|naming| {
            if let Naming::Free(name) = naming {
                told.name = name;
            }
            self.would_attach(&table, &told.subject, &ruling, wish, told.name == wish.name)
        });
        told.reason = outcome.err().map(|error| match error {
            Error::Refused(refusal) => refusal.why.to_string(),
            error => error.to_string(),
        });
        Ok(told)
    }

    fn would_attach(
        &self,
        table: &Table,
        subject: &Subject,
        ruling: &Ruling,
        wish: &Wish,
        named_so: bool,
    ) -> Result<(), Error> {
        let wait = self.rates().wait(subject.account, &ruling.rule, Instant::now());
        if let Some((wait, rate)) = wait.zip(ruling.rule.limits.rate) {
            let origin = ruling.rule.origin.clone();
            return Err(Refusal { why: Why::Rate(rate, wait), origin, left: None }.into());
        }
        self.has_room(table, subject, ruling, None)?;
        let net = self.net(&ruling.network)?;
        let label = wish.name.as_ref().map_or("", Name::as_str);
        let applicant = Applicant {
            uid: subject.uid,
            label,
            address: wish.address.or(wish.mac.map(|mac: Mac| mac.in_prefix(net.config.prefix))),
            random: 0,
            may_choose: ruling.fixed,
            space: ruling.space,
            reservation: ruling.reservation.filter(|_| named_so),
        };
        Ok(net.pool().check(&applicant, Instant::now())?)
    }
}

/// How many of a user's attachments are forbidden.
fn forbidden(table: &Table, subject: &Subject) -> usize {
    let theirs = table.attachments().filter(|attachment| attachment.uid == subject.uid);
    theirs.filter(|attachment| attachment.forbidden.is_some()).count()
}
