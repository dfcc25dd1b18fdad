//! One question to one name server.

use std::fmt;

use v6pod_integration::{Command, Host};

/// What a name server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// `NOERROR`, `NXDOMAIN`, `REFUSED`…; empty when nobody answered.
    pub status: String,
    /// The data of the records, sorted.
    pub records: Vec<String>,
}

impl Answer {
    /// Reads what dig wrote.
    pub fn read(text: &str) -> Self {
        let status = text.split("status: ").nth(1).and_then(|rest| rest.split(',').next());
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with(';'));
        let data = lines.filter_map(|line| line.split_whitespace().nth(4));
        let mut records: Vec<_> = data.map(str::to_owned).collect();
        records.sort();
        Self { status: status.unwrap_or_default().to_owned(), records }
    }

    /// Whether it is exactly this record.
    pub fn is(&self, record: &str) -> bool {
        self.status == "NOERROR" && self.records == [record]
    }

    /// Whether it says that there is no such name.
    pub fn is_absent(&self) -> bool {
        self.status == "NXDOMAIN" && self.records.is_empty()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", if self.status.is_empty() { "silence" } else { &self.status }, self.records)
    }
}

/// The arguments of a question to `server`, which is an address with or without `#PORT`; `question` is what
/// dig takes: a name and a type, or `-x` and an address.
pub fn arguments(server: &str, question: &[&str]) -> Vec<String> {
    let (address, port) = server.split_once('#').unwrap_or((server, "53"));
    let server = format!("@{address}");
    let options = ["dig", &server, "-p", port, "+noall", "+comments", "+answer", "+time=1", "+tries=1"];
    options.iter().chain(question).map(|&word| word.to_owned()).collect()
}

/// Asks as root of a host.
pub fn dig(host: &Host, server: &str, question: &[&str]) -> Answer {
    ask(host.command(arguments(server, question)))
}

/// Asks by a command that is [`arguments`], run wherever.
pub fn ask(command: Command) -> Answer {
    Answer::read(&command.try_run().stdout)
}
