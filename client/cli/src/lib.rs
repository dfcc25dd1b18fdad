//! `v6pod`, the command for people: it shows, watches, attaches and detaches network namespaces.
//!
//! A command asks the daemon (`daemon`), and turns the answer into a text (`commands`, with `table`
//! and `text`) or into JSON (`json`), which `output` alone writes. What it cannot do it says in one
//! line on standard error and in its exit code (`error`).
//!
//! Names and ids are chosen by other users; the daemon checks them, and everything is escaped here once
//! more before a terminal sees it.

#![forbid(unsafe_code)]

pub mod args;
mod commands;
mod daemon;
mod error;
mod json;
mod output;
mod ports;
mod resolve;
mod run;
mod table;
mod text;
mod time;
mod users;
mod values;

pub use run::main;
