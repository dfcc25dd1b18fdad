//! The main job, on real parts: unmodified podman with `network_cmd_path` set, users in no special group,
//! containers that have an address of their own and a name.

mod lifecycle;
mod network;
mod settings;
mod site;
