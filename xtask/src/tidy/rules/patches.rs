//! The patches of `cargo xtask sabotage` apply to the sources, all together.

use std::collections::BTreeMap;

use crate::sabotage::{self, Variant, is_patch};
use crate::tidy::Finding;
use crate::tidy::tree::Tree;

pub(super) fn apply(tree: &Tree) -> Vec<Finding> {
    let finding = |path: &str, what: String| {
        Finding::new(
            path,
            0,
            what,
            "adapt the patch (Sabotage in docs/testing.md)",
        )
    };
    let (mut variants, mut findings, mut names) = (Vec::new(), Vec::new(), BTreeMap::new());
    for file in tree.files() {
        if !is_patch(&file.path) {
            continue;
        }
        let name = file.path.rsplit('/').next();
        if let Some(other) = names.insert(name, &file.path) {
            findings.push(finding(&file.path, format!("{other} has this name too")));
        }
        match Variant::parse(&file.path, &file.text) {
            Ok(variant) if variant.is_empty() => {
                findings.push(finding(&file.path, "there is no diff".into()));
            }
            Ok(variant) => variants.push(variant),
            Err(error) => findings.push(finding(&file.path, error.to_string())),
        }
    }
    let read = |path: &str| tree.get(path).map(|file| file.text.clone());
    if let Err(misfits) = sabotage::apply(&variants, read) {
        let misfits = misfits.into_iter();
        findings.extend(misfits.map(|misfit| finding(&misfit.patch, misfit.what)));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_of_code_that_has_changed_is_found() {
        let patch = "Breaks: a rule\nFound by: random programs\n\n--- a/a.rs\n+++ b/a.rs\n@@\n-old();\n\
                     +crate::sabotage::is(\"x\");\n";
        let found = |source: &str| {
            let name = "xtask/sabotage/a/x.patch";
            apply(&Tree::of(&[(name, patch), ("a.rs", source)]))
        };
        assert_eq!(found("old();\n"), []);
        assert_eq!(found("new();\n").len(), 1);
    }

    #[test]
    fn a_patch_has_a_diff_and_a_name_of_its_own() {
        let header = "Breaks: a rule\nFound by: random programs\n";
        let paths = ["xtask/sabotage/a/x.patch", "xtask/sabotage/b/x.patch"];
        let tree = Tree::of(&paths.map(|path| (path, header)));
        let found: Vec<String> = apply(&tree).into_iter().map(|found| found.what).collect();
        let same = format!("{} has this name too", paths[0]);
        assert_eq!(found, ["there is no diff", &same, "there is no diff"]);
    }
}
