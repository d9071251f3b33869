//! Tables: each row has as many cells as the header.

use super::markdown::prose;
use crate::tidy::Finding;
use crate::tidy::tree::Tree;

/// A row of a table.
#[derive(Debug)]
pub(super) struct Row<'a> {
    /// From 1.
    pub(super) line: usize,
    pub(super) cells: Vec<&'a str>,
    /// The cells of the table's first row; the first row itself has no header.
    pub(super) header: Option<Vec<&'a str>>,
}

/// The rows of all tables outside fenced code: consecutive lines that begin with `|`.
pub(super) fn rows(text: &str) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (line, content) in prose(text) {
        if !content.trim_start().starts_with('|') {
            continue;
        }
        let above = rows.last().filter(|row| row.line + 1 == line);
        let header = above.map(|row| row.header.as_ref().unwrap_or(&row.cells).clone());
        rows.push(Row {
            line,
            cells: cells(content),
            header,
        });
    }
    rows
}

/// What stands between the bars. A bar after a backslash belongs to its cell, also in inline code.
fn cells(row: &str) -> Vec<&str> {
    let row = row.trim();
    let row = row.strip_prefix('|').unwrap_or(row);
    let mut cells = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in row.char_indices() {
        if c == '|' && !escaped {
            cells.push(row[start..at].trim());
            start = at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    if start < row.len() {
        cells.push(row[start..].trim());
    }
    cells
}

pub(in crate::tidy::rules) fn equal_cells(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.markdown() {
        for row in rows(&file.text) {
            let Some(header) = row.header else { continue };
            let (found, expected) = (row.cells.len(), header.len());
            if found != expected {
                let what = format!("a row of {found} cells in a table of {expected}");
                let remedy =
                    "give each row as many cells as the header; write a bar in a cell as \\|";
                findings.push(Finding::new(&file.path, row.line, what, remedy));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        let findings = equal_cells(&Tree::of(&[("a.md", text)]));
        findings.iter().map(|found| found.line).collect()
    }

    #[test]
    fn a_row_with_another_number_of_cells_is_found() {
        let text = "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 |\n| 4 | 5 | 6 |\n| 7 | |\n";
        assert_eq!(lines(text), [4, 5]);
    }

    #[test]
    fn each_table_has_its_own_header() {
        let text = "| a | b |\n|---|---|\n\n| a |\n|---|\n| 1 |\n";
        assert_eq!(lines(text), Vec::<usize>::new());
    }

    #[test]
    fn a_bar_after_a_backslash_and_fenced_code_do_not_count() {
        let text = "| a | b |\n|---|---|\n| `x \\| y` | 2 |\n\n```\n| 1 | 2 |\n| 1 |\n```\n";
        assert_eq!(lines(text), Vec::<usize>::new());
    }
}
