//! Links that come up while forwarding is on, and that would listen to routers if it were not for us, are told
//! to listen all the same: a network card that was plugged in, a VLAN, a bond.

use std::sync::PoisonError;

use super::Service;
use crate::network::host;

impl Service {
    /// Looks at every link: what came before we were told of it.
    pub(super) fn hear_all_routers(&self) {
        match host::uplinks() {
            Ok(names) => names.iter().for_each(|name| self.hear_routers(name)),
            Err(error) => tracing::error!(%error, "not known which links should listen to routers"),
        }
    }

    /// Looks at one.
    pub(super) fn hear_routers(&self, link: &str) {
        let mut changes = self.parts.sysctls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = host::keep_listening(&mut changes, link) {
            tracing::error!(link, %error, "it may be deaf to routers");
        }
    }
}
