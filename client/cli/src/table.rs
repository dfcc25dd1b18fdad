//! Tables whose rows are lines of the terminal.
//!
//! Where a table is too wide, long cells are cut first, the longest most; if that is not enough, columns
//! are left out, the least important first. A column that is neither cut nor left out (an address) is
//! always whole, and then, on the narrowest of terminals, the line is longer than the terminal.

use crate::{
    output::{Tone, View},
    text,
};

/// What separates columns.
const GAP: &str = "  ";

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    title: &'static str,
    /// The least width it may be cut to; none: it is never cut.
    least: Option<usize>,
    /// Columns of the highest rank are left out first; none: never.
    rank: Option<u8>,
}

impl Column {
    /// A column that is always there and never cut.
    pub const fn new(title: &'static str) -> Self {
        Self { title, least: None, rank: None }
    }

    /// May be cut, but not below `least`.
    pub const fn cut_to(self, least: usize) -> Self {
        Self { least: Some(least), ..self }
    }

    /// May be left out; a higher `rank` goes earlier.
    pub const fn optional(self, rank: u8) -> Self {
        Self { rank: Some(rank), ..self }
    }
}

/// A cell: escaped text, and how it stands out.
#[derive(Debug, Clone)]
pub struct Cell(String, Tone);

impl Cell {
    /// A cell that stands out.
    pub fn new(text: String, tone: Tone) -> Self {
        Self(text, tone)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self(text, Tone::Plain)
    }
}

/// A table.
#[derive(Debug)]
pub struct Table<const N: usize> {
    columns: [Column; N],
    rows: Vec<[Cell; N]>,
}

impl<const N: usize> Table<N> {
    /// A table without rows.
    pub fn new(columns: [Column; N]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, row: [Cell; N]) {
        self.rows.push(row);
    }

    /// Whether the lines fit with every column and every cell whole.
    pub fn fits(&self, view: &View, hidden: impl Fn(&str) -> bool) -> bool {
        let Some(width) = view.width else { return true };
        let whole = self.render(&View { width: None, colour: false, ..*view }, hidden);
        whole.lines().all(|line| line.chars().count() <= width)
    }

    /// The lines, without the columns of which `hidden` says so.
    pub fn render(&self, view: &View, hidden: impl Fn(&str) -> bool) -> String {
        let mut shown: Vec<usize> = (0..N).filter(|&index| !hidden(self.columns[index].title)).collect();
        let widths = loop {
            let (widths, fits) = self.fit(&shown, view.width);
            if fits {
                break widths;
            }
            let leaving = (0..shown.len()).max_by_key(|&at| self.columns[shown[at]].rank);
            match leaving.filter(|&at| self.columns[shown[at]].rank.is_some()) {
                Some(at) => drop(shown.remove(at)),
                None => break widths,
            }
        };
        let title = |index: &usize| Cell::new(self.columns[*index].title.to_owned(), Tone::Bold);
        let mut lines = line(view, shown.iter().map(title), &widths);
        for row in &self.rows {
            lines.push_str(&line(view, shown.iter().map(|&index| row[index].clone()), &widths));
        }
        lines
    }

    /// The widths of these columns, cut as far as needed and possible, and whether that is enough.
    fn fit(&self, shown: &[usize], width: Option<usize>) -> (Vec<usize>, bool) {
        let natural = |&index: &usize| {
            let cells = self.rows.iter().map(|row| row[index].0.chars().count());
            cells.chain([self.columns[index].title.len()]).max().unwrap_or_default()
        };
        let mut widths: Vec<usize> = shown.iter().map(natural).collect();
        let Some(width) = width else { return (widths, true) };
        let gaps = GAP.len() * shown.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > width {
            let cuttable =
                |at: &usize| self.columns[shown[*at]].least.is_some_and(|least| widths[*at] > least);
            match (0..shown.len()).filter(cuttable).max_by_key(|&at| widths[at]) {
                Some(longest) => widths[longest] -= 1,
                None => return (widths, false),
            }
        }
        (widths, true)
    }
}

/// One line; its last cell is not padded.
fn line(view: &View, cells: impl ExactSizeIterator<Item = Cell>, widths: &[usize]) -> String {
    let mut line = String::new();
    let last = cells.len().saturating_sub(1);
    for (at, (Cell(text, tone), &width)) in cells.zip(widths).enumerate() {
        let text = text::cut(&text, width);
        let pad = width - text.chars().count();
        line.push_str(&view.paint(tone, &text));
        if at < last {
            line.push_str(&" ".repeat(pad));
            line.push_str(GAP);
        }
    }
    line.push('\n');
    line
}

/// Aligned "key: value" lines. Values are escaped already and never cut.
pub fn pairs(view: &View, pairs: &[(&str, Cell)]) -> String {
    let width = pairs.iter().map(|(key, _)| key.len() + 1).max().unwrap_or_default();
    let line = |(key, Cell(value, tone)): &(&str, Cell)| {
        let key = format!("{key}:");
        let pad = width - key.len();
        format!("{}{}  {}\n", view.paint(Tone::Bold, &key), " ".repeat(pad), view.paint(*tone, value))
    };
    pairs.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::new("NAME").cut_to(4),
        Column::new("ADDRESS"),
        Column::new("CONTAINER").cut_to(5).optional(2),
        Column::new("AGE").optional(1),
    ];

    fn render(width: Option<usize>, colour: bool) -> String {
        let mut table = Table::new(COLUMNS);
        let row = |cells: [&str; 4]| cells.map(|cell| Cell::from(cell.to_owned()));
        table.push(row(["webserver", "2001:db8::1:2", "0123456789ab", "3m"]));
        let mut amiss = row(["db", "2001:db8::7", "-", "12h"]);
        amiss[3].1 = Tone::Red;
        table.push(amiss);
        table.render(&View::of(width, colour, 0), |_| false)
    }

    const WIDE: &str = "\
NAME       ADDRESS        CONTAINER     AGE
webserver  2001:db8::1:2  0123456789ab  3m
db         2001:db8::7    -             12h
";

    #[test]
    fn without_a_terminal_nothing_is_cut() {
        assert_eq!(render(None, false), WIDE);
        assert_eq!(render(Some(43), false), WIDE);
    }

    #[test]
    fn the_longest_cells_are_cut_first() {
        let expected = "\
NAME       ADDRESS        CONTAINER  AGE
webserver  2001:db8::1:2  01234567…  3m
db         2001:db8::7    -          12h
";
        assert_eq!(render(Some(40), false), expected);
        let expected = "\
NAME  ADDRESS        CONT…  AGE
web…  2001:db8::1:2  0123…  3m
db    2001:db8::7    -      12h
";
        assert_eq!(render(Some(31), false), expected);
    }

    #[test]
    fn then_columns_are_left_out() {
        let expected = "\
NAME      ADDRESS        AGE
webserv…  2001:db8::1:2  3m
db        2001:db8::7    12h
";
        assert_eq!(render(Some(28), false), expected);
        let expected = "\
NAME  ADDRESS
web…  2001:db8::1:2
db    2001:db8::7
";
        assert_eq!(render(Some(19), false), expected);
        assert_eq!(render(Some(5), false), expected);
    }

    #[test]
    fn lines_end_where_the_terminal_does() {
        for width in 19..50 {
            let table = render(Some(width), false);
            assert!(table.lines().all(|line| line.chars().count() <= width), "{width}:\n{table}");
        }
    }

    #[test]
    fn colours_do_not_count() {
        let expected = "\x1b[1mNAME\x1b[0m  \x1b[1mADDRESS\x1b[0m        \x1b[1mAGE\x1b[0m\n\
            web…  2001:db8::1:2  3m\ndb    2001:db8::7    \x1b[31m12h\x1b[0m\n";
        assert_eq!(render(Some(24), true), expected);
    }

    #[test]
    fn columns_can_be_hidden() {
        let table = Table::new(COLUMNS);
        assert_eq!(table.render(&View::of(None, false, 0), |title| title != "AGE"), "AGE\n");
    }

    #[test]
    fn pairs_are_aligned() {
        let cells = [("id", Cell::from("7".to_owned())), ("name", Cell::new("x".to_owned(), Tone::Yellow))];
        assert_eq!(pairs(&View::of(None, false, 0), &cells), "id:    7\nname:  x\n");
        let coloured = "\x1b[1mid:\x1b[0m    7\n\x1b[1mname:\x1b[0m  \x1b[33mx\x1b[0m\n";
        assert_eq!(pairs(&View::of(None, true, 0), &cells), coloured);
    }
}
