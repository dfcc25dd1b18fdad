//! What a fuzzer feeds: network configurations.

use std::ffi::OsString;

use v6pod_proto::v1;

use super::{
    request::{self, Args, Command, Config, Container},
    result, valid_attachments,
    version::Version,
};
use crate::{activate::Activated, input};

/// Reads the data as a network configuration, after a line that is `CNI_ARGS`, for each command.
///
/// # Panics
/// A result is not an object of the version that was asked for.
pub fn cni(data: &[u8]) {
    let at = data.iter().position(|octet| *octet == b'\n').unwrap_or(0);
    let (args, config) = data.split_at(at);
    let args = String::from_utf8_lossy(args).into_owned();
    let environment = |name: &str| {
        let text = match name {
            "CNI_ARGS" => &args,
            "CNI_CONTAINERID" => "c1",
            "CNI_IFNAME" => "eth0",
            "CNI_NETNS" => "/run/netns/none",
            _ => return None,
        };
        Some(OsString::from(text))
    };
    let Ok(object) = input::read(config) else { return };
    let _ = Version::answer(&object);
    for command in [Command::Add, Command::Check, Command::Del, Command::Gc, Command::Status] {
        let Ok(config) = Config::check(object.clone(), command) else { continue };
        let container = Container::read(&environment, true).expect("all variables are there");
        let _ = (request::socket(&config), valid_attachments(&config));
        if let Ok(args) = Args::read(&environment) {
            let _ = request::wish(&config, &container, &args);
        }
        let attachment =
            v1::Attachment { address: "2001:db8::1".into(), prefix_length: 80, ..Default::default() };
        if let Ok(Some(previous)) = config.previous() {
            let _ = result::differs(previous, &container, &attachment);
        }
        let activated = Activated { attachment, created: true, dns_servers: Vec::new(), unnamed: None };
        if let Ok(made) = result::of(&config, &container, &activated) {
            assert_eq!(made["cniVersion"], config.version.as_str());
        }
    }
}
