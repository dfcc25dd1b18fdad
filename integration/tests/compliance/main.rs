//! The wrapper beside the real slirp4netns: the same command lines, in hosts of the same kind, compared in
//! everything that an engine could see.
//!
//! Each topic has a table in a file of its own. An entry is one command line ([`case::Case`]): what it is,
//! what is done while it runs, and what has to be seen of the real one, so that an entry shows something. To
//! add one, add a line; `engine.py` plays the engine and writes down everything it sees, whatever the entry is
//! about. Each entry runs three times: as Debian's slirp4netns, as the wrapper with v6podd running, and as
//! the wrapper without it. The three records have to be the same but for what [`allowed`] lists.

mod allowed;
mod case;
mod descriptors;
mod ends;
mod network;
mod ports;
mod site;
mod spellings;
mod words;
