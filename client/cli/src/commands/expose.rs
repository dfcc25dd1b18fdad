//! `v6pod expose` and `v6pod close`.

use std::path::Path;

use v6pod_proto::v1::Attachment;

use super::label;
use crate::{
    args::{Close, Expose},
    daemon::Daemon,
    error::Error,
    json,
    output::{Output, note},
    ports,
    resolve::resolve,
    text,
};

/// Opens ports, or everything, or nothing.
pub async fn expose(socket: &Path, expose: &Expose, output: &mut Output) -> Result<u8, Error> {
    set(socket, &expose.which, output, |attachment| {
        Ok(if expose.all {
            "open".to_owned()
        } else if expose.established {
            "established".to_owned()
        } else {
            ports::open(&attachment.inbound, &expose.ports)
        })
    })
    .await
}

/// Closes ports, or everything.
pub async fn close(socket: &Path, close: &Close, output: &mut Output) -> Result<u8, Error> {
    set(socket, &close.which, output, |attachment| match close.ports[..] {
        [] => Ok("established".to_owned()),
        _ if attachment.inbound == "open" => Err(Error::AllOpen(label(attachment))),
        _ => {
            let closed = ports::not_open(&attachment.inbound, &close.ports);
            if !closed.is_empty() {
                let were = if closed.len() == 1 { "was" } else { "were" };
                let closed: Vec<String> = closed.iter().map(ToString::to_string).collect();
                note(&format!("v6pod: {} {were} not open", closed.join(", ")));
            }
            Ok(ports::close(&attachment.inbound, &close.ports))
        }
    })
    .await
}

async fn set(
    socket: &Path,
    which: &str,
    output: &mut Output,
    inbound: impl FnOnce(&Attachment) -> Result<String, Error>,
) -> Result<u8, Error> {
    let daemon = Daemon::connect(socket, Vec::new()).await?;
    let attachment = resolve(daemon.list().await?.attachments, which)?;
    let now = daemon.expose(&attachment.id, &inbound(&attachment)?).await?;
    if output.json {
        output.document(&json::One::from(&now))?;
    } else {
        output.text(&format!("{}: {}\n", label(&now), describe(&now.inbound)))?;
    }
    Ok(0)
}

fn describe(inbound: &str) -> String {
    match inbound {
        "open" => "everything may reach it".to_owned(),
        "established" => "only what belongs to what it began reaches it".to_owned(),
        ports => format!("open for all: {}", text::escape(&ports.replace(',', ", "))),
    }
}
