//! What is said of a file that cannot be read as v6podd.toml: one line, for terminals and logs alike.

/// What is wrong and where; and how to write it, where the parser's own words lead nowhere.
pub fn reason(error: &toml::de::Error, text: &str) -> String {
    let message = error.message().replace('\n', ", ");
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else { return message };
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let (line, column) = (before.matches('\n').count() + 1, before[start..].chars().count() + 1);
    let written = text[start..].lines().next().unwrap_or_default();
    let advice = advice(written).map(|advice| format!(": {advice}")).unwrap_or_default();
    format!("line {line}, column {column}: {message}{advice}")
}

/// For values that look like what they mean, and are none in TOML: 2001:db8::/80 begins like a time of day, 0600
/// is no number.
fn advice(line: &str) -> Option<&'static str> {
    let (key, value) = line.split_once('=')?;
    let is_quoted = value.trim_start().starts_with(['"', '\'']);
    match (key.rsplit('.').next()?.trim(), is_quoted) {
        ("prefix", false) => Some("write it in quotes, with its length: \"2001:db8:1:2:3::/80\""),
        ("prefix", true) => Some("write an IPv6 prefix with its length: \"2001:db8:1:2:3::/80\""),
        ("mode", false) => Some("write it in quotes: \"0600\""),
        _ => None,
    }
}
