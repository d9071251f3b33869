//! Tests that documents name: each must be a function of that name in the place that is given.

use std::collections::BTreeMap;

use super::markdown::prose;
use super::tables;
use crate::tidy::Finding;
use crate::tidy::tree::Tree;

/// Underscores that only the name of a test has, outside a table's column of tests.
const UNDERSCORES: usize = 4;

/// Headers of columns that name tests.
const COLUMNS: [&str; 3] = ["test", "tests", "found by"];

pub(in crate::tidy::rules) fn exist(tree: &Tree) -> Vec<Finding> {
    let functions = functions(tree);
    let mut findings = Vec::new();
    // A changelog tells what was.
    let documents = tree.markdown().filter(|file| file.path != "CHANGELOG.md");
    for file in documents {
        for (line, name) in named(&file.text) {
            if !is_known(&functions, name) {
                let what = format!("there is no test `{name}`");
                let remedy = "correct the name, or write the test";
                findings.push(Finding::new(&file.path, line, what, remedy));
            }
        }
    }
    findings
}

/// Every name of a function, and the files that have one of that name.
fn functions(tree: &Tree) -> BTreeMap<&str, Vec<&str>> {
    let mut functions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (file, rust) in tree.rust() {
        for (at, _) in rust.code.match_indices("fn ") {
            let name = rust.code[at + 3..].trim_start();
            let end = name.find(|c: char| !is_part(c)).unwrap_or(name.len());
            functions.entry(&name[..end]).or_default().push(&file.path);
        }
    }
    functions
}

/// `name`, or `module::name` with modules that are parts of the path; the module `tests` may be one inside the file.
fn is_known(functions: &BTreeMap<&str, Vec<&str>>, name: &str) -> bool {
    let mut modules: Vec<&str> = name.split("::").collect();
    let name = modules.pop().unwrap_or_default();
    let Some(paths) = functions.get(name) else {
        return false;
    };
    let in_modules = |path: &&str| {
        let parts: Vec<&str> = path.split(['/', '.']).collect();
        let is_there = |module: &&str| *module == "tests" || parts.contains(module);
        modules.iter().all(is_there)
    };
    paths.iter().any(in_modules)
}

/// The names of tests in a document, each with its line.
fn named(text: &str) -> Vec<(usize, &str)> {
    let mut named: Vec<(usize, &str)> = Vec::new();
    for row in tables::rows(text) {
        let header = row.header.iter().flatten();
        for (column, cell) in header.zip(&row.cells) {
            if COLUMNS.contains(column) {
                named.extend(code(cell).map(|name| (row.line, name)));
            }
        }
    }
    for (line, content) in prose(text) {
        let long = |name: &&str| name.matches('_').count() >= UNDERSCORES;
        named.extend(code(content).filter(long).map(|name| (line, name)));
    }
    named.retain(|(_, name)| is_name(name));
    named.sort_unstable();
    named.dedup();
    named
}

/// What stands between backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// A test's name has words in small letters, of which there are two at least.
fn is_name(code: &str) -> bool {
    let parts = || code.split("::");
    parts().all(|part| !part.is_empty() && part.chars().all(is_part))
        && parts().last().is_some_and(|name| name.contains('_'))
}

fn is_part(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    const TESTS: (&str, &str) = (
        "wal-core/tests/promises/order.rs",
        "#[test]\nfn a_name() {}\n#[test]\nfn one_two_three_four_five() {}\n",
    );

    fn found(document: &str) -> Vec<usize> {
        let findings = exist(&Tree::of(&[TESTS, ("docs/a.md", document)]));
        findings.iter().map(|found| found.line).collect()
    }

    #[test]
    fn a_test_that_is_named_and_does_not_exist_is_found() {
        let text = "| promise | test |\n|---|---|\n| `fn_of` x | `a_name`, `no_name` |\n";
        assert_eq!(found(text), [3]);
        assert_eq!(found("`one_two_three_four_six` is a test\n"), [1]);
        assert_eq!(
            found("`one_two_three_four_five` is a test\n"),
            Vec::<usize>::new()
        );
    }

    #[test]
    fn a_test_in_another_place_than_named_is_found() {
        let row = |name: &str| format!("| found by |\n|---|\n| `{name}` |\n");
        assert_eq!(found(&row("promises::order::a_name")), Vec::<usize>::new());
        assert_eq!(found(&row("promises::poison::a_name")), [3]);
        assert_eq!(found(&row("order::tests::a_name")), Vec::<usize>::new());
    }

    #[test]
    fn other_code_is_not_taken_for_the_name_of_a_test() {
        let text = "`max_segment_size`, `Wal::open`, `hostile.rs`, `--only x`\n";
        assert_eq!(found(text), Vec::<usize>::new());
    }
}
