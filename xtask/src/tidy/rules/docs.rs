//! Rules about Markdown: links, tables, names of tests, and the names of decision notes.

mod markdown;
mod tables;
mod tests_named;

use std::collections::BTreeMap;

use crate::tidy::Finding;
use crate::tidy::tree::Tree;

use markdown::{Link, anchors};

pub(super) use tables::equal_cells;
pub(super) use tests_named::exist as tests_exist;

pub(super) fn links(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.markdown() {
        for Link { target, line } in markdown::links(&file.text) {
            if let Some((what, remedy)) = broken(tree, &file.path, &target) {
                findings.push(Finding::new(&file.path, line, what, remedy));
            }
        }
    }
    findings
}

/// What is wrong with a link in the file `from`, and what to do; nothing for links to elsewhere.
fn broken(tree: &Tree, from: &str, target: &str) -> Option<(String, &'static str)> {
    let scheme = target.split_once(':').map_or("", |(scheme, _)| scheme);
    if !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let Some(path) = resolve(from, path) else {
        return Some((
            format!("`{target}` leads out of the repository"),
            "link to a file inside it",
        ));
    };
    if !tree.exists(&path) {
        return Some((
            format!("`{target}` does not exist"),
            "correct the path, relative to this file",
        ));
    }
    let linked = tree.get(&path).filter(|file| file.is_markdown())?;
    if anchor.is_empty() || anchors(&linked.text).iter().any(|known| known == anchor) {
        return None;
    }
    Some((
        format!("`{path}` has no heading `#{anchor}`"),
        "correct the anchor",
    ))
}

/// The path that `target` means in the file `from`; none if it is above the root.
fn resolve(from: &str, target: &str) -> Option<String> {
    if target.is_empty() {
        return Some(from.to_owned());
    }
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

pub(super) fn decisions(tree: &Tree) -> Vec<Finding> {
    const FOLDER: &str = "docs/decisions";
    let mut findings = Vec::new();
    let mut numbers: BTreeMap<&str, &str> = BTreeMap::new();
    for path in tree.paths_in(FOLDER) {
        let name = &path[FOLDER.len() + 1..];
        if name == "README.md" {
            continue;
        }
        let Some(number) = note_number(name) else {
            let what = "not the name of a decision note";
            let remedy = "name it NNNN-slug.md, in small letters";
            findings.push(Finding::new(path, 0, what, remedy));
            continue;
        };
        if let Some(first) = numbers.insert(number, path) {
            let what = format!("number {number} is taken by {first}");
            findings.push(Finding::new(path, 0, what, "take the next free number"));
        }
    }
    findings
}

fn note_number(name: &str) -> Option<&str> {
    let (number, slug) = name.strip_suffix(".md")?.split_once('-')?;
    let is_number = number.len() == 4 && number.chars().all(|c| c.is_ascii_digit());
    let in_slug = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (is_number && !slug.is_empty() && slug.chars().all(in_slug)).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_nothing_is_found() {
        let tree = Tree::of(&[
            (
                "README.md",
                "[a](docs/a.md)\n[b](docs/b.md)\n[c](docs)\n[d](https://e.org/x)\n",
            ),
            (
                "docs/a.md",
                "[r](../README.md) [x](../../x.md) [y](/README.md)\n",
            ),
        ]);
        let found: Vec<(String, usize)> = links(&tree)
            .into_iter()
            .map(|found| (found.path, found.line))
            .collect();
        let of = |path: &str, line| (path.to_owned(), line);
        assert_eq!(
            found,
            [of("README.md", 2), of("docs/a.md", 1), of("docs/a.md", 1)]
        );
    }

    #[test]
    fn a_link_to_a_missing_heading_is_found() {
        let tree = Tree::of(&[
            (
                "a.md",
                "# One thing\n[b](b.md#two-things) [c](#one-thing) [d](b.md#three)\n",
            ),
            ("b.md", "## Two *things*\n"),
        ]);
        let found = links(&tree);
        assert_eq!(found.len(), 1);
        assert!(found[0].what.contains("#three"), "{found:?}");
    }

    #[test]
    fn a_misnamed_decision_note_is_found() {
        let tree = Tree::of(&[
            ("docs/decisions/README.md", ""),
            ("docs/decisions/0001-one-file.md", ""),
            ("docs/decisions/0001-again.md", ""),
            ("docs/decisions/2-two.md", ""),
            ("docs/decisions/0003-Three.md", ""),
            ("docs/decisions/0004-four.txt", ""),
        ]);
        assert_eq!(decisions(&tree).len(), 4);
    }
}
