//! Columns and spans for people.

use crate::clock::Timestamp;
use std::fmt::Write;

/// Rows as aligned columns, indented by two; the first row is the heading.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "  {}", line.trim_end());
    }
    text
}

/// Names and values as aligned lines, indented by two.
pub fn facts(facts: &[(&str, String)]) -> String {
    let rows: Vec<Vec<String>> =
        facts.iter().map(|(name, value)| vec![(*name).to_owned(), value.clone()]).collect();
    table(&rows)
}

/// A span as its two largest units: `2d3h`, `59m30s`, `8s`.
pub fn span(seconds: u64) -> String {
    let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];
    let first = units.iter().position(|(size, _)| seconds >= *size).unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let mut text = String::new();
    for (size, name) in units.iter().skip(first).take(2) {
        let count = rest / size;
        if count > 0 || text.is_empty() {
            let _ = write!(text, "{count}{name}");
        }
        rest %= size;
    }
    text
}

/// How far `moment` is from `now`, with the moment itself: `in 5m (2026-01-31T12:00:00Z)`.
pub fn distance(moment: Timestamp, now: Timestamp) -> String {
    match moment >= now {
        true => format!("in {} ({moment})", span(moment.seconds_after(now))),
        false => format!("{} ago ({moment})", span(now.seconds_after(moment))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_show_two_units() {
        for (seconds, text) in
            [(0, "0s"), (8, "8s"), (60, "1m"), (3599, "59m59s"), (7205, "2h"), (100_000, "1d3h")]
        {
            assert_eq!(span(seconds), text);
        }
    }
}
