//! `v6pod detach`.

use std::path::Path;

use super::label;
use crate::{daemon::Daemon, error::Error, json, output::Output, resolve::resolve, text};

/// Ends one attachment.
pub async fn run(socket: &Path, which: &str, output: &mut Output) -> Result<u8, Error> {
    let daemon = Daemon::connect(socket, Vec::new()).await?;
    let attachment = resolve(daemon.list().await?.attachments, which)?;
    let was = daemon.deactivate(&attachment.id).await?;
    if output.json {
        output.document(&json::One::from(&was))?;
    } else {
        output.text(&format!("{}: detached from {}\n", label(&was), text::escape(&was.address)))?;
    }
    Ok(0)
}
