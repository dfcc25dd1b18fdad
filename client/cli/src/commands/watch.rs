//! `v6pod watch`.
//!
//! Ctrl-C ends it as it ends every program, by the signal: a shell sees 130, and a script that was
//! interrupted ends too. Every line is written at once, so nothing is lost.

use std::{path::Path, time::SystemTime};

use tonic::Status;
use v6pod_proto::v1::{Attachment, WatchResponse};

use super::{container, tone};
use crate::{
    daemon::{Daemon, is_from_daemon},
    error::Error,
    json,
    output::{Output, Tone, View},
    text,
};

/// Prints events until there is no daemon, or nobody who reads.
pub async fn run(socket: &Path, output: &mut Output) -> Result<u8, Error> {
    let daemon = Daemon::connect(socket, Vec::new()).await?;
    let mut events = daemon.watch().await?;
    loop {
        let event = events.message().await.map_err(ended)?.ok_or(Error::WatchOver)?;
        print(&event, SystemTime::now(), output)?;
    }
}

fn ended(status: Status) -> Error {
    if is_from_daemon(&status) { Error::WatchEnded(status) } else { Error::WatchOver }
}

fn print(event: &WatchResponse, now: SystemTime, output: &mut Output) -> Result<(), Error> {
    if output.json {
        return output.line(&json::Event::new(event, now));
    }
    // Only the event that says that all has been shown has no attachment: nothing for people.
    match &event.attachment {
        Some(attachment) => output.text(&line(&json::kind(event.kind), attachment, now, &output.view)),
        None => Ok(()),
    }
}

/// "TIME KIND ADDRESS NAME NETWORK CONTAINER", and the state in passing, unless it is past. The line is cut
/// where the terminal ends, but not within the address.
fn line(kind: &str, attachment: &Attachment, now: SystemTime, view: &View) -> String {
    let head = format!("{}  {kind:<8}  {}", text::date(now), text::escape(&attachment.address));
    let name = text::or_none(&attachment.name);
    let mut tail = format!("  {name}  {}  {}", text::escape(&attachment.network), container(attachment));
    let state = match tone(attachment) {
        _ if kind == "removed" => String::new(),
        Tone::Plain => String::new(),
        _ => format!("  {}", json::state(attachment.state)),
    };
    if let Some(width) = view.width {
        let room = width.saturating_sub(head.chars().count() + state.len());
        tail = text::cut(&tail, room);
    }
    format!("{head}{tail}{}\n", view.paint(tone(attachment), &state))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use v6pod_proto::v1::attachment::State;

    use super::{super::tests::web, *};

    fn lines(width: Option<usize>, colour: bool, state: State) -> String {
        lines_of("added", width, colour, state)
    }

    fn lines_of(kind: &str, width: Option<usize>, colour: bool, state: State) -> String {
        let attachment = Attachment { state: state.into(), ..web() };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_259_534);
        line(kind, &attachment, now, &View::of(width, colour, 0))
    }

    #[test]
    fn an_event_is_a_line() {
        let line = "2026-11-21T11:12:14Z  added     2001:db8::242:ac11:2  web  default  c0ffee012345\n";
        assert_eq!(lines(None, false, State::Active), line);
        assert_eq!(lines(Some(80), false, State::Active), line);
        let line = "2026-11-21T11:12:14Z  added     2001:db8::242:ac11:2  web  def…\n";
        assert_eq!(lines(Some(63), false, State::Active), line);
        let line = "2026-11-21T11:12:14Z  added     2001:db8::242:ac11:2\n";
        assert_eq!(lines(Some(20), false, State::Active), line);
    }

    #[test]
    fn a_state_in_passing_is_shown() {
        let line = lines(Some(70), true, State::Detaching);
        assert!(line.ends_with("ac11:2  web …\x1b[33m  detaching\x1b[0m\n"), "{line:?}");
        let line = lines_of("removed", None, false, State::Detaching);
        assert!(line.ends_with("c0ffee012345\n"), "{line:?}");
    }

    #[test]
    fn who_ended_it_is_told_apart() {
        assert!(matches!(ended(Status::resource_exhausted("too slow")), Error::WatchEnded(_)));
        let mut lost = Status::unknown("h2");
        lost.set_source(std::sync::Arc::new(std::io::Error::other("reset")));
        assert!(matches!(ended(lost), Error::WatchOver));
    }
}
