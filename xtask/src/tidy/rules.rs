//! All rules. A new one is a function in the file of its kind, a line here, and a test that shows
//! a file which breaks it.

mod circles;
mod docs;
mod faces;
mod layers;
mod manifests;
mod names;
mod patches;
mod rust;
mod text;

use super::tree::Tree;
use super::{Finding, Rule};

#[rustfmt::skip] // One line for each rule.
pub(super) const RULES: &[Rule] = &[
    rule("final-newline", text::final_newline, "every text file ends with one newline"),
    rule("trailing-space", text::trailing_space, "no line ends with a space or a tab"),
    rule("tabs", text::tabs, "no tab in Rust files"),
    rule("machine-path", text::machine_paths, "no absolute path of one machine"),
    rule("length", rust::length, "Rust files have at most 600 lines"),
    rule("module-head", rust::module_head, "every Rust file begins with a `//!` comment (or its README)"),
    rule("module-file", rust::module_files, "a module is in `x.rs` and `x/` (in tests, `x/mod.rs` keeps a helper from being a test)"),
    rule("unsafe", rust::unsafe_code, "every crate root forbids unsafe code (wal-io may deny it and allow it in one file)"),
    rule("unfinished", rust::unfinished, "no mark of unfinished work"),
    rule("ignored-test", rust::ignored_tests, "no test is ignored"),
    rule("print", rust::prints, "libraries do not print"),
    rule("unwrap", rust::unwraps, "libraries return errors: no unwrap, no panic (expect with a reason is allowed)"),
    rule("tokio-fs", rust::tokio_fs, "never the file API of tokio"),
    rule("faces", faces::same_documentation, "a call that both faces write has the same documentation in both, except \"Cancel safety\""),
    rule("seam", layers::seams, "locks and threads come from wal-sync, time and randomness of wal-core from one file each"),
    rule("layer", layers::unknown_to, "a crate does not name what its layer must not know"),
    rule("circle", circles::circles, "no circle of files, nor of folders, that import from each other"),
    rule("name", names::one_meaning, "two types or two files of a crate have the same name only if they mean the same"),
    rule("dependency", manifests::dependencies, "a crate depends on the crates of the layers below it only"),
    rule("manifest", manifests::inherited, "edition, MSRV, licence and lints come from the workspace"),
    rule("msrv", manifests::msrv_in_documents, "documents name the MSRV of the workspace"),
    rule("link", docs::links, "relative links in Markdown lead to a file and a heading that exist"),
    rule("table", docs::equal_cells, "each row of a table has as many cells as the header"),
    rule("named-test", docs::tests_exist, "tests that documents name exist where they are said to be"),
    rule("sabotage", patches::apply, "every patch of `cargo xtask sabotage` applies to the sources"),
    rule("decision", docs::decisions, "decision notes are named NNNN-slug.md, each number once"),
];

const fn rule(name: &'static str, check: fn(&Tree) -> Vec<Finding>, asks: &'static str) -> Rule {
    Rule { name, asks, check }
}

#[cfg(test)]
mod tests {
    use super::RULES;
    use crate::cargo::root;
    use crate::tidy::tree::Tree;

    #[test]
    fn each_rule_has_a_name_of_its_own() {
        let mut names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
    }

    #[test]
    fn this_crate_keeps_the_rules() {
        let tree = Tree::read(&root()).expect("git lists the files");
        let findings = RULES.iter().flat_map(|rule| (rule.check)(&tree));
        let own: Vec<_> = findings
            .filter(|found| found.path.starts_with("xtask/"))
            .collect();
        assert!(own.is_empty(), "{own:#?}");
    }
}
