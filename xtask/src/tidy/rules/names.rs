//! Names that must have one meaning in a crate: those of types and of files.

use std::collections::BTreeMap;

use crate::tidy::Finding;
use crate::tidy::paths;
use crate::tidy::tree::Tree;

/// Names that may stand for several things of a crate, because their meaning is the same.
const SAME_MEANING: &[(&str, &[&str])] = &[
    // Bodies of groups, and records; the header of each.
    ("wal-format", &["decode.rs", "encode.rs", "header.rs"]),
    // One in each backend, and its tests.
    (
        "wal-io",
        &[
            "Directory",
            "Node",
            "directory.rs",
            "file.rs",
            "prewrite.rs",
            "storage.rs",
        ],
    ),
    ("wal-sync", &["Condvar", "Mutex", "RwLock"]),
    (
        "wal-core",
        &[
            // The blocking log and the async one.
            "Wal",
            // What the log, its recovery and its segments do about one thing.
            "control.rs",
            "forget.rs",
            "reserve.rs",
            "salvage.rs",
        ],
    ),
    // The blocking store and the async one; the format of a snapshot, and when one is written.
    ("wal-kv", &["KvStore", "snapshot.rs"]),
    // One in each command.
    ("wal-cli", &["Args"]),
    ("xtask", &["Args"]),
    // One in each limit, in each workload, and for each peer.
    ("wal-bench", &["State", "Work"]),
    (
        "wal-bench/peers",
        &["Log", "Map", "Payloads", "fjall.rs", "rocksdb.rs"],
    ),
];

pub(super) fn one_meaning(tree: &Tree) -> Vec<Finding> {
    check(tree, SAME_MEANING)
}

fn check(tree: &Tree, same: &[(&str, &[&str])]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for src in tree.sources() {
        let krate = src.trim_end_matches("/src");
        let allowed = same.iter().find(|(name, _)| *name == krate);
        let allowed = allowed.map_or(&[][..], |(_, names)| names);
        let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (file, rust) in tree.rust_in(&src) {
            let name = file.path.rsplit('/').next().unwrap_or_default();
            let is_named = !["lib.rs", "main.rs", "mod.rs", "tests.rs"].contains(&name);
            let names = paths::types(&rust.shipped);
            for name in names.into_iter().chain(Some(name).filter(|_| is_named)) {
                places.entry(name).or_default().push(&file.path);
            }
        }
        places.retain(|_, files| files.len() > 1);
        for (name, files) in &places {
            if !allowed.contains(name) {
                let what = format!("`{name}` is also in {}", files[1..].join(", "));
                let remedy =
                    "rename one; or add it to SAME_MEANING in xtask/src/tidy/rules/names.rs";
                findings.push(Finding::new(files[0], 0, what, remedy));
            }
        }
        for name in allowed.iter().filter(|name| !places.contains_key(*name)) {
            let what = format!("`{name}` is there only once");
            let remedy = "remove it from SAME_MEANING in xtask/src/tidy/rules/names.rs";
            findings.push(Finding::new(&src, 0, what, remedy));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_type_or_file_of_a_name_is_found() {
        let tree = Tree::of(&[
            ("a/src/lib.rs", "mod b;\nmod c;\n"),
            (
                "a/src/b.rs",
                "struct Slot;\nfn slot() {}\n#[cfg(test)]\nmod tests { struct Step; }\n",
            ),
            ("a/src/c.rs", "enum Slot {}\nstruct Step;\nfn slot() {}\n"),
            ("a/src/c/b.rs", ""),
            ("d/src/lib.rs", "struct Slot;\n"),
        ]);
        let whats = |same| -> Vec<String> {
            let found = check(&tree, same).into_iter();
            found.map(|finding| finding.what).collect()
        };
        let found = [
            "`Slot` is also in a/src/c.rs",
            "`b.rs` is also in a/src/c/b.rs",
        ];
        assert_eq!(whats(&[]), found);
        assert_eq!(whats(&[("a", &["Slot", "b.rs"])]), Vec::<String>::new());
        let once = whats(&[("a", &["Slot", "Step", "b.rs"])]);
        assert_eq!(once, ["`Step` is there only once"]);
    }
}
