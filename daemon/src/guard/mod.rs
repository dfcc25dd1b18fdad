//! The guard: what keeps containers from claiming what is not theirs, and tenants from each other.
//!
//! One trait for all kinds of backend, one file or folder for each, and [`build`] is the one place that
//! chooses. A guard fails closed: its rules match every port that could ever be ours and drop; admitting an
//! attachment opens them for it, before its link is made.

mod ebtables;
mod nftables;
mod off;

use std::{fs, io, path::Path};

use serde::Deserialize;

use crate::{
    config,
    model::{Attachment, Inbound},
};

/// Which guard the configuration asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// The first that works here.
    #[default]
    Auto,
    /// The kernel's nf_tables.
    Nftables,
    /// The programs ebtables, iptables and ip6tables.
    Ebtables,
    /// None: every container may claim to be any other.
    Off,
}

/// Who may reach whom on a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Everyone.
    #[default]
    Open,
    /// Containers of one user reach each other.
    User,
    /// Containers of users whose primary group is the same reach each other.
    Group,
    /// No container reaches another. The host and the rest of the world reach each.
    Isolated,
}

impl Isolation {
    /// As it is written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::User => "user",
            Self::Group => "group",
            Self::Isolated => "isolated",
        }
    }
}

/// The tenant of what has none: no user and no group has this number.
const NOBODY: u32 = u32::MAX;

/// What went wrong with the guard. Each names the object; `io::Error` says what the kernel answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing here can filter.
    #[error(
        "nothing here keeps containers from forging addresses: {nftables}; {ebtables}. Load the kernel module nf_tables, or install ebtables and iptables, or write guard = \"off\" to do without"
    )]
    None {
        /// Why nftables does not.
        nftables: Box<Error>,
        /// Why ebtables does not.
        ebtables: Box<Error>,
    },
    /// This one cannot keep inbound traffic from a container.
    #[error("inbound traffic cannot be limited here: that needs guard = \"nftables\", and this is {0:?}")]
    NoInbound(&'static str),
    /// What goes over a bridge is not shown to the program that would limit it.
    #[error(
        "inbound traffic cannot be limited here: ip6tables does not see what goes over bridges. Write 1 to {0}, or choose guard = \"nftables\""
    )]
    Unseen(&'static str),
    /// A step failed.
    #[error("{step} failed for {object}: {source}")]
    Step {
        /// What was done.
        step: &'static str,
        /// To what.
        object: String,
        /// The answer.
        source: io::Error,
    },
}

impl Error {
    /// A failed step.
    fn step(step: &'static str, object: &(impl ToString + ?Sized)) -> impl FnOnce(io::Error) -> Self {
        let object = object.to_string();
        move |source| Self::Step { step, object, source }
    }
}

/// A backend.
pub trait Guard: Send + Sync {
    /// What it is called in the configuration.
    fn name(&self) -> &'static str;

    /// Puts the rules in force, at once and with exactly these attachments admitted, whatever an earlier
    /// run left. Traffic of those that were admitted before is not interrupted.
    ///
    /// # Errors
    /// See [`Error`].
    fn begin(&self, attachments: &[Attachment]) -> Result<(), Error>;

    /// Lets an attachment send and receive as what it is. Called before its link is made; idempotent.
    ///
    /// # Errors
    /// See [`Error`]; then it may not.
    fn admit(&self, attachment: &Attachment) -> Result<(), Error>;

    /// Has an attachment that is admitted receive as [`Attachment::inbound`] now says. What is not admitted
    /// stays so.
    ///
    /// # Errors
    /// See [`Error`]; then all is as before.
    fn update(&self, attachment: &Attachment) -> Result<(), Error>;

    /// Takes that back. What is gone already is no error.
    ///
    /// # Errors
    /// See [`Error`].
    fn dismiss(&self, attachment: &Attachment) -> Result<(), Error>;

    /// What is amiss, one sentence each.
    fn check(&self, attachment: &Attachment) -> Vec<String>;
}

/// What guards say that cannot keep inbound traffic from a container.
fn only_open(attachment: &Attachment, name: &'static str) -> Result<(), Error> {
    if attachment.inbound == Inbound::Open { Ok(()) } else { Err(Error::NoInbound(name)) }
}

/// The guard that was chosen, or the best there is. Nothing has been changed yet.
///
/// # Errors
/// [`Error::None`], or the chosen one does not work here.
pub fn build(choice: Choice, networks: &[config::Network]) -> Result<Box<dyn Guard>, Error> {
    match choice {
        Choice::Off => Ok(Box::new(off::Off)),
        Choice::Nftables => Ok(Box::new(nftables::Nftables::new(networks)?)),
        Choice::Ebtables => Ok(Box::new(ebtables::Ebtables::new(networks)?)),
        Choice::Auto => {
            let nftables = match nftables::Nftables::new(networks) {
                Ok(guard) => return Ok(Box::new(guard)),
                Err(error) => Box::new(error),
            };
            match ebtables::Ebtables::new(networks) {
                Ok(guard) => {
                    tracing::warn!(error = %nftables, "nftables cannot be used: using ebtables, which covers less");
                    Ok(Box::new(guard))
                }
                Err(error) => Err(Error::None { nftables, ebtables: Box::new(error) }),
            }
        }
    }
}

/// Removes what another guard of an earlier run left behind, now that this one is in force. `note` is the
/// file that says which it was.
///
/// # Errors
/// The file cannot be written.
pub fn succeed(guard: &dyn Guard, note: &Path) -> io::Result<()> {
    let name = guard.name();
    // The rules of nftables each guard removes itself: that takes no program.
    if fs::read_to_string(note).is_ok_and(|former| former.trim() == "ebtables") && name != "ebtables" {
        ebtables::remove_all();
    }
    crate::store::replace(note, format!("{name}\n").as_bytes())
}

/// The rules that are there, whoever's run they are of, in words. `note` is the file that says which guard it
/// was; programs are only executed if it was theirs, or `search` asks for it.
///
/// # Errors
/// The kernel would not say.
pub fn remains(note: &Path, search: bool) -> io::Result<Vec<String>> {
    let mut found: Vec<String> = match nftables::present() {
        Ok(tables) => tables.iter().map(|table| format!("nftables {table}")).collect(),
        // Where there is no nf_tables there are no rules of it.
        Err(error) if is_absent(&error) => Vec::new(),
        Err(error) => return Err(error),
    };
    let was_ebtables = fs::read_to_string(note).is_ok_and(|former| former.trim() == "ebtables");
    if was_ebtables || (search && found.is_empty()) {
        found.extend(ebtables::present());
    }
    Ok(found)
}

/// Removes all that [`remains`] finds.
///
/// # Errors
/// The kernel would not, or something is still there.
pub fn remove(found: &[String]) -> io::Result<()> {
    if found.iter().any(|rules| rules.starts_with("nftables ")) {
        nftables::remove()?;
    }
    if found.iter().any(|rules| !rules.starts_with("nftables ")) {
        ebtables::remove_all();
        let left = ebtables::present();
        if !left.is_empty() {
            return Err(io::Error::other(format!("still there: {}", left.join(", "))));
        }
    }
    Ok(())
}

/// EOPNOTSUPP and EPROTONOSUPPORT: the kernel has no nfnetlink. EINVAL: it has, but no nf_tables.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EINVAL))
}
