//! Other podmans than the machine's, by each way that they have: 3.0.1 (Debian 11) and 5.4.2 (Debian 13),
//! with v6pod's wrapper for slirp4netns, and with its plugin for netavark.

mod input;
mod lifecycle;
mod plugin;
mod site;
