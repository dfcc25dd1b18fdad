//! `v6pod check`.

use std::path::Path;

use super::label;
use crate::{
    daemon::Daemon,
    error::{Error, FAILED},
    json,
    output::{Output, Tone, View},
    resolve::resolve,
    text,
};

/// Checks one attachment.
pub async fn run(socket: &Path, which: &str, output: &mut Output) -> Result<u8, Error> {
    let daemon = Daemon::connect(socket, Vec::new()).await?;
    let attachment = resolve(daemon.list().await?.attachments, which)?;
    let answer = daemon.check(&attachment.id).await?;
    if output.json {
        output.document(&json::Check::from(&answer))?;
    } else {
        output.text(&render(&label(&attachment), &answer.problems, &output.view))?;
    }
    Ok(if answer.problems.is_empty() { 0 } else { FAILED })
}

fn render(label: &str, problems: &[String], view: &View) -> String {
    if problems.is_empty() {
        return format!("{label}: all is well\n");
    }
    let line = |problem: &String| format!("  {}\n", view.paint(Tone::Red, &text::escape(problem)));
    let lines: String = problems.iter().map(line).collect();
    format!("{label}: {}\n{lines}", text::count(problems.len(), "problem"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_listed() {
        let view = View::of(None, true, 0);
        assert_eq!(render("web", &[], &view), "web: all is well\n");
        let problems = ["the link is\ndown".to_owned(), "b".to_owned()];
        let expected = "web: 2 problems\n  \x1b[31mthe link is\\ndown\x1b[0m\n  \x1b[31mb\x1b[0m\n";
        assert_eq!(render("web", &problems, &view), expected);
    }
}
