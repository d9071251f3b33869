//! The table of the variants in `docs/testing.md`, and the row that counts them: this command writes both.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context as _;

use crate::cargo::root;

const DOCUMENT: &str = "docs/testing.md";
pub(super) const HEADER: &str = "| variant | breaks | found by | after |";
pub(super) const RULE: &str = "|---|---|---|---|";
const COUNT: &str = "| deliberate mistakes found |";
/// In the row of a variant that survived.
pub(super) const NOBODY: &str = "**nobody**";

/// Rows of the table by their variants.
pub(super) type Rows = BTreeMap<String, String>;

/// Puts `rows` into the table in the place of those that are there for the same variants, and the count into its row.
///
/// The table has the rows of `variants`, in this order. One that was never run has no row, and does not count as found.
pub(super) fn write(rows: Rows, variants: &[&str]) -> anyhow::Result<()> {
    let path = root().join(DOCUMENT);
    let text = fs::read_to_string(&path).with_context(|| format!("could not read {DOCUMENT}"))?;
    let text = replaced(&text, rows, variants)
        .with_context(|| format!("{DOCUMENT} has lost the table or the row `{COUNT}`"))?;
    fs::write(&path, text).with_context(|| format!("could not write {DOCUMENT}"))
}

fn replaced(text: &str, mut rows: Rows, variants: &[&str]) -> Option<String> {
    let table = |line: &&str| line.starts_with('|');
    let old = text.lines().skip_while(|line| *line != HEADER);
    for row in old.take_while(table).skip(2) {
        let name = row.split('`').nth(1)?;
        rows.entry(name.into()).or_insert_with(|| row.into());
    }
    let rows = variants.iter().filter_map(|name| rows.get(*name));
    let rows: Vec<&str> = rows.map(String::as_str).collect();
    let found = rows.iter().filter(|row| !row.contains(NOBODY)).count();
    let count = format!(
        "{COUNT} {found} of {} | `cargo xtask sabotage` |",
        variants.len()
    );

    let mut out = Vec::new();
    let (mut counted, mut tabled, mut inside) = (false, false, false);
    for line in text.lines() {
        inside = line == HEADER || (inside && line.starts_with('|'));
        if line == HEADER {
            tabled = true;
            out.extend([HEADER, RULE]);
            out.extend(&rows);
        } else if line.starts_with(COUNT) {
            counted = true;
            out.push(&count);
        } else if !inside {
            out.push(line);
        }
    }
    (counted && tabled).then(|| out.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_the_count_are_replaced_and_nothing_else() {
        let text = format!(
            "a\n{COUNT} 7 of 8 | x |\n\n{HEADER}\n{RULE}\n| `gone` | |\n| `kept` | |\n| `new` | old |\n\nb\n"
        );
        let rows = || {
            let lost = ("lost", format!("| `lost` | {NOBODY} |"));
            let rows = [lost, ("new", "| `new` | found |".into())];
            Rows::from(rows.map(|(name, row)| (name.into(), row)))
        };
        let variants = ["new", "lost", "kept", "not-run"];
        let expected = format!(
            "a\n{COUNT} 2 of 4 | `cargo xtask sabotage` |\n\n{HEADER}\n{RULE}\n| `new` | found |\n| `lost` | {NOBODY} |\n\
             | `kept` | |\n\nb\n"
        );
        assert_eq!(replaced(&text, rows(), &variants), Some(expected));
        assert_eq!(replaced("no table\n", rows(), &variants), None);
    }

    #[test]
    fn the_document_has_both() {
        let text = fs::read_to_string(root().join(DOCUMENT)).expect("the document");
        assert!(replaced(&text, Rows::new(), &[]).is_some());
    }
}
