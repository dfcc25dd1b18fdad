//! Each podman that Debian has, by each way that it has: 3.0.1 (Debian 11), 4.3.1 (Debian 12, the machine's
//! own) and 5.4.2 (Debian 13); with v6pod's stand-in for slirp4netns, its hook, its plugin for netavark and
//! its plugin for CNI. What comes of it stands in `docs/ways-in.md`, written by [`matrix`].

mod cni;
mod input;
mod lifecycle;
mod matrix;
mod pasta;
mod plugin;
mod site;
mod table;
mod way;
