//! No guard. What an earlier run with one left is removed: it would let nobody new in.

use super::{Error, Guard, nftables, only_open};
use crate::model::Attachment;

/// Nothing.
pub struct Off;

impl Guard for Off {
    fn name(&self) -> &'static str {
        "off"
    }

    fn begin(&self, attachments: &[Attachment]) -> Result<(), Error> {
        tracing::warn!("the guard is off: every container may forge the addresses of others");
        for attachment in attachments {
            if let Err(error) = only_open(attachment, self.name()) {
                tracing::error!(id = %attachment.id, %error, "everything reaches it now");
            }
        }
        // Where there is no nf_tables there is nothing to remove.
        if let Err(error) = nftables::remove() {
            tracing::debug!(%error, "removing the rules of an earlier run");
        }
        Ok(())
    }

    fn admit(&self, attachment: &Attachment) -> Result<(), Error> {
        only_open(attachment, self.name())
    }

    fn update(&self, attachment: &Attachment) -> Result<(), Error> {
        only_open(attachment, self.name())
    }

    fn dismiss(&self, _attachment: &Attachment) -> Result<(), Error> {
        Ok(())
    }

    fn check(&self, _attachment: &Attachment) -> Vec<String> {
        Vec::new()
    }
}
