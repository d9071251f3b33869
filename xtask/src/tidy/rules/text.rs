//! Rules about any text file.

use crate::tidy::Finding;
use crate::tidy::lexer::is_word;
use crate::tidy::tree::Tree;

pub(super) fn final_newline(tree: &Tree) -> Vec<Finding> {
    let ends_badly =
        |text: &str| !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n"));
    let files = tree.files().into_iter();
    let files = files.filter(|file| ends_badly(&file.text));
    let finding = |path: &str, text: &str| {
        let what = "the file does not end with exactly one newline";
        Finding::new(path, text.lines().count(), what, "end it with one")
    };
    files.map(|file| finding(&file.path, &file.text)).collect()
}

pub(super) fn trailing_space(tree: &Tree) -> Vec<Finding> {
    let bad = |line: &str| line.ends_with([' ', '\t', '\r']);
    let what = "white space at the end of the line";
    lines(tree, "", bad, what, "remove it")
}

pub(super) fn tabs(tree: &Tree) -> Vec<Finding> {
    let remedy = "indent with spaces, write \\t in strings";
    lines(tree, ".rs", |line| line.contains('\t'), "a tab", remedy)
}

/// Paths such as a home directory mean nothing on another machine.
pub(super) fn machine_paths(tree: &Tree) -> Vec<Finding> {
    let what = "an absolute path of one machine";
    let remedy = "write it relative to the repository, or use a variable";
    lines(tree, "", has_machine_path, what, remedy)
}

fn has_machine_path(line: &str) -> bool {
    // Without their slash, so that this file keeps the rule.
    const FOLDERS: [&str; 4] = ["work", "home", "root", "Users"];
    let starts_path = |before: &str| {
        let previous = before.chars().next_back();
        previous.is_none_or(|c| !is_word(c) && !"/.~$}*)>-".contains(c))
    };
    line.match_indices('/').any(|(at, _)| {
        let rest = &line[at + 1..];
        let folder = FOLDERS.iter().find_map(|folder| rest.strip_prefix(folder));
        let ends =
            folder.is_some_and(|rest| !rest.starts_with(|c| is_word(c) || c == '-' || c == '.'));
        ends && starts_path(&line[..at])
    })
}

fn lines(
    tree: &Tree,
    suffix: &str,
    bad: impl Fn(&str) -> bool,
    what: &str,
    remedy: &str,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let files = tree.files().into_iter();
    for file in files.filter(|file| file.path.ends_with(suffix)) {
        // `split` keeps the carriage return that `lines` drops.
        for (index, line) in file.text.split('\n').enumerate() {
            if bad(line) {
                findings.push(Finding::new(&file.path, index + 1, what, remedy));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> usize {
        rule(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn final_newline_is_missing_or_doubled() {
        assert_eq!(count(final_newline, "a.md", "a"), 1);
        assert_eq!(count(final_newline, "a.md", "a\n\n"), 1);
        assert_eq!(count(final_newline, "a.md", "a\n"), 0);
        assert_eq!(count(final_newline, "a.md", ""), 0);
    }

    #[test]
    fn trailing_space_is_found_with_its_line() {
        let found = trailing_space(&Tree::of(&[("a.md", "a\nb \nc\t\nd\r\n")]));
        assert_eq!(
            found.iter().map(|found| found.line).collect::<Vec<_>>(),
            [2, 3, 4]
        );
    }

    #[test]
    fn tabs_are_for_other_files() {
        assert_eq!(count(tabs, "a.rs", "\tfn a() {}\n"), 1);
        assert_eq!(count(tabs, "Makefile", "a:\n\tb\n"), 0);
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        for folder in ["work", "home", "root", "Users"] {
            assert_eq!(
                count(machine_paths, "a.md", &format!("see `/{folder}/me/x`\n")),
                1
            );
            assert_eq!(count(machine_paths, "a.sh", &format!("cd /{folder}\n")), 1);
            assert_eq!(
                count(
                    machine_paths,
                    "a.md",
                    &format!("(../{folder}/x, a/{folder}, /{folder}er)\n")
                ),
                0
            );
        }
    }
}
