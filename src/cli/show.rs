//! Printing answers: a JSON document, or lines for people.

use std::io::Write;

use serde::Serialize;

use super::Global;
use super::failure::Failure;

/// Prints `value` as JSON where it was asked for, else the lines.
pub fn answer(global: &Global, value: &impl Serialize, lines: impl FnOnce() -> Vec<String>) -> Result<(), Failure> {
    if global.json {
        let text = serde_json::to_string_pretty(value).map_err(|error| Failure::failed(error.to_string()))?;
        print(&[text]);
    } else {
        print(&lines());
    }
    Ok(())
}

/// Prints lines on stdout. A reader that closed the pipe has seen enough.
pub fn print(lines: &[String]) {
    let mut stdout = std::io::stdout().lock();
    for line in lines {
        if writeln!(stdout, "{line}").is_err() {
            return;
        }
    }
    let _ = stdout.flush();
}

/// Rows in columns that are as wide as they need to be.
pub fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = std::iter::zip(row, &widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(table(&[row(["a", "bc"]), row(["ddd", "e"])]), ["a    bc", "ddd  e"]);
    }
}
