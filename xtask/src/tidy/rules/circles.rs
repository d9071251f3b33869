//! Files of a crate, and folders of it, that import from each other, directly or through others.
//!
//! A folder and the file of its name are one module. If `log` imports from `recovery`, then nothing in `recovery` imports from
//! `log`: the modules at the top of a crate are its layers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::tidy::Finding;
use crate::tidy::imports::{self, Import};
use crate::tidy::tree::Tree;

/// Files and modules that are in a circle still. This list only becomes shorter.
const KNOWN: &[&str] = &[];

pub(super) fn circles(tree: &Tree) -> Vec<Finding> {
    check(tree, KNOWN)
}

fn check(tree: &Tree, known: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut circular = BTreeSet::new();
    for src in tree.sources() {
        let imports = imports::of(tree, &src);
        for (circle, what) in described(&imports, &src) {
            if let Some(one) = circle.iter().find(|one| !known.contains(one)) {
                let remedy = "move what both ends of an import need to a file below them";
                findings.push(Finding::new(one, 1, what, remedy));
            }
            circular.extend(circle.into_iter().map(str::to_owned));
        }
    }
    for one in known.iter().filter(|one| !circular.contains(**one)) {
        let remedy = "remove it from KNOWN in xtask/src/tidy/rules/circles.rs";
        findings.push(Finding::new(one, 1, "no longer in a circle", remedy));
    }
    findings
}

/// Files or modules of which each imports from each other one, directly or not.
type Circle<'a> = BTreeSet<&'a str>;

/// The circles of files, and those of modules that do not follow from them, each with its imports.
fn described<'a>(imports: &[Import<'a>], src: &str) -> Vec<(Circle<'a>, String)> {
    let module = |file: &'a str| module(src, file);
    let of_files = circles_of(imports, &|file| file);
    let same: BTreeSet<Circle<'a>> = of_files
        .iter()
        .map(|circle| circle.iter().map(|file| module(file)).collect())
        .collect();
    let mut all = Vec::new();
    for circle in of_files {
        let what = describe(&circle, imports, &|file| file);
        all.push((circle, what));
    }
    for circle in circles_of(imports, &module) {
        if !same.contains(&circle) {
            let what = describe(&circle, imports, &module);
            all.push((circle, what));
        }
    }
    all
}

/// `a/src/b` for `a/src/b.rs` and all files in the folder of that name.
fn module<'a>(src: &str, file: &'a str) -> &'a str {
    let inside = &file[src.len() + 1..];
    let len = inside.find('/').unwrap_or(inside.len() - ".rs".len());
    &file[..src.len() + 1 + len]
}

/// `end` is the file or the module of a file.
fn circles_of<'a>(
    imports: &[Import<'a>],
    end: &dyn Fn(&'a str) -> &'a str,
) -> BTreeSet<Circle<'a>> {
    let mut direct: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for import in imports {
        let (from, to) = (end(import.from), end(import.to));
        if from != to {
            direct.entry(from).or_default().insert(to);
        }
    }
    let reached_from = |from: &&'a str| {
        let mut reached = BTreeSet::new();
        let mut next = vec![*from];
        while let Some(one) = next.pop() {
            let to = direct.get(one).into_iter().flatten().copied();
            next.extend(to.filter(|to| reached.insert(*to)));
        }
        (*from, reached)
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> = direct.keys().map(reached_from).collect();
    let circle = |(from, all): (&&str, &BTreeSet<&'a str>)| {
        let back = |to: &&str| reached.get(to).is_some_and(|all| all.contains(from));
        all.iter().copied().filter(back).collect()
    };
    let circles = reached.iter().map(circle);
    circles
        .filter(|circle: &BTreeSet<_>| !circle.is_empty())
        .collect()
}

/// The imports within a circle: `a.rs uses B of c.rs`.
fn describe<'a>(
    circle: &BTreeSet<&str>,
    imports: &[Import<'a>],
    end: &dyn Fn(&'a str) -> &'a str,
) -> String {
    let mut items: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for import in imports {
        let (from, to) = (end(import.from), end(import.to));
        if from != to && circle.contains(from) && circle.contains(to) {
            let pair = (import.from, import.to);
            items.entry(pair).or_default().push(&import.item);
        }
    }
    let circle: Vec<&str> = circle.iter().copied().collect();
    let mut text = format!("a circle of {}", circle.join(", "));
    for ((from, to), items) in items {
        let _ = write!(text, "\n  {from} uses {} of {to}", items.join(", "));
    }
    text + "\n "
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: (&str, &str) = (
        "a/src/log/commit.rs",
        "use super::Engine;\nuse crate::{State, Unused as _};\nfn write(engine: &Engine) {}\n",
    );
    const STATE: (&str, &str) = ("a/src/log/state.rs", "pub(crate) struct State;\n");
    const ROOT: (&str, &str) = (
        "a/src/lib.rs",
        "mod log;\npub(crate) use log::{Engine, State};\n",
    );

    fn with_log(log: &str) -> Vec<Finding> {
        check(
            &Tree::of(&[COMMIT, STATE, ROOT, ("a/src/log.rs", log)]),
            &[],
        )
    }

    #[test]
    fn a_circle_is_found_and_named() {
        for log in [
            "mod commit;\nmod state;\npub(crate) use state::State;\nstruct Engine;\n\
             impl Engine { fn go(&self) { commit::write(self); } }\n",
            "mod commit;\nmod state;\npub(crate) use state::State;\nuse crate::log::commit as step;\n\
             struct Engine;\nimpl Engine { fn go(&self) { assert!(step::write(self)); } }\n",
        ] {
            let found = with_log(log);
            assert_eq!(found.len(), 1, "{found:#?}");
            assert_eq!(found[0].path, "a/src/log.rs");
            let expected = "a circle of a/src/log.rs, a/src/log/commit.rs\n  \
                            a/src/log.rs uses write of a/src/log/commit.rs\n  \
                            a/src/log/commit.rs uses Engine of a/src/log.rs\n ";
            assert_eq!(found[0].what, expected);
        }
    }

    #[test]
    fn a_file_that_passes_a_name_on_does_not_use_it() {
        let log = "mod commit;\nmod state;\npub(crate) use commit::write;\npub(crate) use state::State;\n\
                   struct Engine;\n#[cfg(test)]\nmod tests { use super::commit::write; }\n";
        assert_eq!(with_log(log), []);
    }

    #[test]
    fn a_name_for_the_modules_below_is_passed_on() {
        let log =
            "mod commit;\nmod state;\nuse commit::write;\nuse state::State;\nstruct Engine;\n";
        assert_eq!(with_log(log), []);
    }

    #[test]
    fn a_trait_is_used_by_its_methods() {
        let found = check(
            &Tree::of(&[
                ("a/src/lib.rs", "mod b;\nmod c;\n"),
                ("a/src/b.rs", "use crate::c::Write;\nstruct B;\n"),
                (
                    "a/src/c.rs",
                    "pub trait Write {}\nimpl Write for crate::b::B {}\n",
                ),
            ]),
            &[],
        );
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_circle_through_a_third_file_is_found() {
        let found = check(
            &Tree::of(&[
                ("a/src/main.rs", "mod b;\nmod c;\nmod d;\n"),
                ("a/src/b.rs", "use crate::c::C;\npub struct B(C);\n"),
                ("a/src/c.rs", "use crate::d::D;\npub struct C(D);\n"),
                ("a/src/d.rs", "use crate::b;\npub struct D(b::B);\n"),
            ]),
            &[],
        );
        assert_eq!(found.len(), 1);
        assert!(found[0].what.contains("a/src/d.rs uses B of a/src/b.rs"));
    }

    #[test]
    fn a_known_circle_must_exist() {
        let log = "mod commit;\nstruct Engine;\nfn go() { commit::write(); }\n";
        let tree = Tree::of(&[COMMIT, ("a/src/log.rs", log), ("a/src/lib.rs", "mod log;")]);
        assert_eq!(check(&tree, &[COMMIT.0, "a/src/log.rs"]), []);
        assert_eq!(check(&tree, &[COMMIT.0]).len(), 1);
        let gone = check(&tree, &[COMMIT.0, STATE.0, "a/src/log.rs"]);
        assert_eq!(gone.len(), 1);
        assert_eq!(
            (gone[0].path.as_str(), gone[0].what.as_str()),
            (STATE.0, "no longer in a circle")
        );
    }

    #[test]
    fn a_circle_of_folders_is_found() {
        let tree = Tree::of(&[
            ("a/src/lib.rs", "mod b;\nmod c;\n"),
            ("a/src/b.rs", "mod d;\npub struct B;\n"),
            ("a/src/b/d.rs", "use crate::c::C;\nfn d(_: C) {}\n"),
            ("a/src/c.rs", "use crate::b::B;\npub struct C(B);\n"),
        ]);
        let found = check(&tree, &[]);
        assert_eq!(found.len(), 1);
        let expected = "a circle of a/src/b, a/src/c\n  a/src/b/d.rs uses C of a/src/c.rs\n  \
                        a/src/c.rs uses B of a/src/b.rs\n ";
        assert_eq!(found[0].what, expected);
        assert_eq!(check(&tree, &["a/src/b", "a/src/c"]), []);
    }
}
