//! The journal's lines: structured fields under the target `v6podd::audit`.
//!
//! What callers chose are checked texts, and are quoted and escaped on top of that.

use super::life::{End, Life};

/// Where they can be filtered: `V6PODD_LOG=warn,v6podd::audit=info` logs them and little else.
pub const TARGET: &str = "v6podd::audit";

/// An attachment was made.
pub fn started(life: &Life) {
    tracing::info!(target: TARGET, id = %life.id, uid = life.uid, address = %life.address, mac = %life.mac,
        network = life.network.as_str(), name = name(life), container = container(life), "start");
}

/// Its name or container became known.
pub fn changed(life: &Life) {
    tracing::info!(target: TARGET, id = %life.id, uid = life.uid, address = %life.address,
        name = name(life), container = container(life), "change");
}

/// It has ended.
pub fn ended(life: &Life, End { time, reason, approximate }: End) {
    let seconds = |time| prost_types::Timestamp { nanos: 0, ..prost_types::Timestamp::from(time) };
    tracing::info!(target: TARGET, id = %life.id, uid = life.uid, address = %life.address, mac = %life.mac,
        network = life.network.as_str(), name = name(life), container = container(life),
        start = %seconds(life.start), end = %seconds(time), %reason, approximate, "end");
}

fn name(life: &Life) -> Option<&str> {
    life.name.as_ref().map(|name| name.as_str())
}

fn container(life: &Life) -> Option<&str> {
    life.container_id.as_ref().map(|id| id.as_str())
}
