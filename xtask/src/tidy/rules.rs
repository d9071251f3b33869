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

use super::Rule;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "final-newline",
        asks: "every text file ends with one newline",
        check: text::final_newline,
    },
    Rule {
        name: "trailing-space",
        asks: "no line ends with a space or a tab",
        check: text::trailing_space,
    },
    Rule {
        name: "tabs",
        asks: "no tab in Rust files",
        check: text::tabs,
    },
    Rule {
        name: "machine-path",
        asks: "no absolute path of one machine",
        check: text::machine_paths,
    },
    Rule {
        name: "length",
        asks: "Rust files have at most 600 lines",
        check: rust::length,
    },
    Rule {
        name: "module-head",
        asks: "every Rust file begins with a `//!` comment (or its README)",
        check: rust::module_head,
    },
    Rule {
        name: "module-file",
        asks: "a module is in `x.rs` and `x/` (in tests, `x/mod.rs` keeps a helper from being a test)",
        check: rust::module_files,
    },
    Rule {
        name: "unsafe",
        asks: "every crate root forbids unsafe code (wal-io may deny it and allow it in one file)",
        check: rust::unsafe_code,
    },
    Rule {
        name: "unfinished",
        asks: "no mark of unfinished work",
        check: rust::unfinished,
    },
    Rule {
        name: "ignored-test",
        asks: "no test is ignored",
        check: rust::ignored_tests,
    },
    Rule {
        name: "print",
        asks: "libraries do not print",
        check: rust::prints,
    },
    Rule {
        name: "unwrap",
        asks: "libraries return errors: no unwrap, no panic (expect with a reason is allowed)",
        check: rust::unwraps,
    },
    Rule {
        name: "tokio-fs",
        asks: "never the file API of tokio",
        check: rust::tokio_fs,
    },
    Rule {
        name: "faces",
        asks: "a call that both faces write has the same documentation in both, except \"Cancel safety\"",
        check: faces::same_documentation,
    },
    Rule {
        name: "seam",
        asks: "locks and threads come from wal-sync, time and randomness of wal-core from one file each",
        check: layers::seams,
    },
    Rule {
        name: "layer",
        asks: "a crate does not name what its layer must not know",
        check: layers::unknown_to,
    },
    Rule {
        name: "circle",
        asks: "no circle of files, nor of folders, that import from each other",
        check: circles::circles,
    },
    Rule {
        name: "name",
        asks: "two types or two files of a crate have the same name only if they mean the same",
        check: names::one_meaning,
    },
    Rule {
        name: "dependency",
        asks: "a crate depends on the crates of the layers below it only",
        check: manifests::dependencies,
    },
    Rule {
        name: "manifest",
        asks: "edition, MSRV, licence and lints come from the workspace",
        check: manifests::inherited,
    },
    Rule {
        name: "msrv",
        asks: "documents name the MSRV of the workspace",
        check: manifests::msrv_in_documents,
    },
    Rule {
        name: "link",
        asks: "relative links in Markdown lead to a file and a heading that exist",
        check: docs::links,
    },
    Rule {
        name: "table",
        asks: "each row of a table has as many cells as the header",
        check: docs::equal_cells,
    },
    Rule {
        name: "named-test",
        asks: "tests that documents name exist where they are said to be",
        check: docs::tests_exist,
    },
    Rule {
        name: "sabotage",
        asks: "every patch of `cargo xtask sabotage` applies to the sources",
        check: patches::apply,
    },
    Rule {
        name: "decision",
        asks: "decision notes are named NNNN-slug.md, each number once",
        check: docs::decisions,
    },
];

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
