//! Whatever a way in is given, it answers in the form that its caller knows, and never by a panic: descriptors
//! that are closed or full, variables and arguments that are no text, paths that lead elsewhere, half of a state.
//!
//! What only one of them can be given is tried beside its other tests: `cni/errors.rs`, `engines/input.rs`,
//! `compliance`.

mod descriptors;
mod paths;
mod site;
mod states;
mod text;
