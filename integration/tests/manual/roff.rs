//! man(7), as man-db and mandoc both read it.

/// A text of one or more lines, escaped.
pub fn text(plain: &str) -> String {
    let mut out = String::new();
    for (number, line) in plain.lines().enumerate() {
        if number > 0 {
            out.push('\n');
        }
        let escaped = escape(line.trim());
        // A line that begins so would be a request.
        if escaped.starts_with(['.', '\'']) {
            out.push_str("\\&");
        }
        out.push_str(&escaped);
    }
    out
}

/// Escaped, on one line.
pub fn escape(plain: &str) -> String {
    let mut out = String::new();
    for c in plain.chars() {
        match c {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '…' => out.push_str("..."),
            '~' => out.push_str("\\(ti"),
            '^' => out.push_str("\\(ha"),
            '`' => out.push_str("\\(ga"),
            '\'' => out.push_str("\\(aq"),
            '"' => out.push_str("\\(dq"),
            c => out.push(c),
        }
    }
    out
}

/// Bold.
pub fn bold(plain: &str) -> String {
    format!("\\fB{}\\fR", escape(plain))
}

/// For what stands for something else.
pub fn italic(plain: &str) -> String {
    format!("\\fI{}\\fR", escape(plain))
}

/// A paragraph under a term, both roff already.
pub fn item(term: &str, body: &str) -> String {
    format!(".TP\n{term}\n{body}\n")
}
