//! What the rules say, attacked by those they bind: limits that hold however many try at once and under
//! however many uids, networks and names that are not told of, and a reload that is whole or none.
//!
//! Tests that stand for one of the numbered cases of docs/security.md bear its number.

#[allow(dead_code, reason = "shared with the hostile tests, which use all of it")]
#[path = "../hostile/caller.rs"]
mod caller;
#[allow(dead_code, reason = "shared with the hostile tests, which use all of it")]
#[path = "../hostile/holder.rs"]
mod holder;

mod edge;
mod evasion;
mod explain;
mod hanging;
mod names;
mod podman;
mod quota;
mod reload;
mod secrets;
mod site;
