//! The audit's answers as messages.

use v6pod_proto::v1::{self, history_entry};

use super::timestamp;
use crate::audit::{Audit, History, Life, Reason};

/// The answer to History.
pub fn response(found: History) -> v1::HistoryResponse {
    v1::HistoryResponse {
        entries: found.lives.into_iter().map(entry).collect(),
        more: found.more,
        since: found.since.and_then(timestamp),
    }
}

/// How the audit is.
pub fn status(audit: &Audit) -> v1::AuditStatus {
    let status = audit.status();
    v1::AuditStatus {
        file: status.file,
        healthy: status.error.is_none(),
        error: status.error.unwrap_or_default(),
        lost: status.lost,
    }
}

fn entry(life: Life) -> v1::HistoryEntry {
    v1::HistoryEntry {
        id: life.id.to_string(),
        uid: life.uid,
        container_id: life.container_id.map(String::from).unwrap_or_default(),
        name: life.name.map(String::from).unwrap_or_default(),
        address: life.address.to_string(),
        mac: life.mac.to_string(),
        network: life.network.into(),
        start: timestamp(life.start),
        end: life.end.and_then(|end| timestamp(end.time)),
        reason: life.end.map_or(history_entry::Reason::Unspecified, |end| reason(end.reason)).into(),
        approximate: life.end.is_some_and(|end| end.approximate),
        clock_stepped: life.clock_stepped,
    }
}

fn reason(reason: Reason) -> history_entry::Reason {
    match reason {
        Reason::Detach => history_entry::Reason::Detach,
        Reason::Administrator => history_entry::Reason::Administrator,
        Reason::Replaced => history_entry::Reason::Replaced,
        Reason::Lease => history_entry::Reason::Lease,
        Reason::Namespace => history_entry::Reason::Namespace,
        Reason::Network => history_entry::Reason::Network,
        Reason::Gone => history_entry::Reason::Gone,
        Reason::Reboot => history_entry::Reason::Reboot,
    }
}
