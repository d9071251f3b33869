//! The table of the variants in `docs/testing.md`, and the row that counts them: this command writes both.

use std::fs;

use anyhow::Context as _;

use crate::cargo::root;

const DOCUMENT: &str = "docs/testing.md";
pub(super) const HEADER: &str = "| variant | breaks | found by | after |";
pub(super) const RULE: &str = "|---|---|---|---|";
const COUNT: &str = "| deliberate mistakes found |";

/// Puts the table in the place of the one that is there, and the count in its row.
pub(super) fn write(table: &[String], found: usize, all: usize) -> anyhow::Result<()> {
    let path = root().join(DOCUMENT);
    let text = fs::read_to_string(&path).with_context(|| format!("could not read {DOCUMENT}"))?;
    let text = replaced(&text, table, found, all)
        .with_context(|| format!("{DOCUMENT} has lost the table or the row `{COUNT}`"))?;
    fs::write(&path, text).with_context(|| format!("could not write {DOCUMENT}"))
}

fn replaced(text: &str, table: &[String], found: usize, all: usize) -> Option<String> {
    let mut out = String::new();
    let (mut counted, mut tabled, mut inside) = (false, false, false);
    for line in text.lines() {
        inside = line == HEADER || (inside && line.starts_with('|'));
        if line == HEADER {
            tabled = true;
            out.extend(table.iter().flat_map(|row| [row, "\n"]));
        }
        if inside {
            continue;
        }
        if line.starts_with(COUNT) {
            counted = true;
            out.extend([
                COUNT,
                &format!(" {found} of {all} | `cargo xtask sabotage` |"),
            ]);
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    (counted && tabled).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_count_are_replaced_and_nothing_else() {
        let text = format!("a\n{COUNT} 7 of 8 | x |\n\n{HEADER}\n{RULE}\n| old | | | |\n\nb\n");
        let table = [HEADER, RULE, "| new | | | |"].map(str::to_owned);
        let expected = format!(
            "a\n{COUNT} 2 of 3 | `cargo xtask sabotage` |\n\n{HEADER}\n{RULE}\n| new | | | |\n\nb\n"
        );
        assert_eq!(replaced(&text, &table, 2, 3), Some(expected));
        assert_eq!(replaced("no table\n", &table, 2, 3), None);
    }

    #[test]
    fn the_document_has_both() {
        let text = fs::read_to_string(root().join(DOCUMENT)).expect("the document");
        assert!(replaced(&text, &[], 0, 0).is_some());
    }
}
