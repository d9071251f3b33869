//! Rules about what the code of a layer may name. Tests may name anything.

use crate::tidy::Finding;
use crate::tidy::paths::{self, Named};
use crate::tidy::tree::Tree;

/// Something that tests replace, and the one place that names the real thing.
struct Seam {
    /// A crate, or a file and the files in the folder of its name.
    home: &'static str,
    /// The crates that take it from there.
    krates: &'static [&'static str],
    names: fn(&Named) -> bool,
}

impl Seam {
    fn holds(&self, path: &str) -> bool {
        let folder = self.home.trim_end_matches(".rs");
        path == self.home || path.starts_with(&format!("{folder}/"))
    }
}

const SEAMS: &[Seam] = &[
    Seam {
        home: "wal-sync",
        krates: &["wal-core", "wal-kv"],
        names: is_scheduled,
    },
    Seam {
        home: "wal-core/src/clock.rs",
        krates: &["wal-core"],
        names: is_time,
    },
    Seam {
        home: "wal-core/src/entropy.rs",
        krates: &["wal-core"],
        names: |named| named.is_in("getrandom"),
    },
];

pub(super) fn seams(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for seam in SEAMS {
        let sources = seam.krates.iter().map(|krate| format!("{krate}/src"));
        for source in sources {
            let outside = tree.rust_in(&source);
            for (file, rust) in outside.filter(|(file, _)| !seam.holds(&file.path)) {
                let named = paths::named(&rust.shipped).into_iter();
                for named in named.filter(|named| (seam.names)(named)) {
                    let what = format!("`{}` outside {}", named.path, seam.home);
                    let remedy = format!("take it from {}, which tests can replace", seam.home);
                    findings.push(Finding::new(&file.path, named.line, what, remedy));
                }
            }
        }
    }
    findings
}

/// Locks, atomics and threads: a scheduler under test takes their place. `Arc` and `OnceLock`
/// carry no schedule.
fn is_scheduled(named: &Named) -> bool {
    const ALLOWED: [&str; 3] = ["Arc", "Weak", "OnceLock"];
    let allowed = |library: &str| {
        ALLOWED
            .iter()
            .any(|name| named.is_in(&format!("{library}::sync::{name}")))
    };
    let model = named.is_in("shuttle");
    model
        || ["std", "core", "alloc"].into_iter().any(|library| {
            named.is_in(&format!("{library}::thread"))
                || (named.is_in(&format!("{library}::sync")) && !allowed(library))
        })
}

fn is_time(named: &Named) -> bool {
    named.is_in("std::time::Instant") || named.is_in("std::time::SystemTime")
}

/// What a crate must not name, and why.
struct Unknown {
    krate: &'static str,
    paths: &'static [&'static str],
    why: &'static str,
}

const UNKNOWN: &[Unknown] = &[
    Unknown {
        krate: "wal-format",
        paths: &["std::fs", "std::net", "std::process", "tokio"],
        why: "the format is bytes in, bytes out: take a slice or return one",
    },
    Unknown {
        krate: "wal-format",
        paths: &["std::thread", "std::time::Instant", "std::time::SystemTime"],
        why: "the format has no clock and no threads: take the time as an argument",
    },
    Unknown {
        krate: "wal-io",
        paths: &["wal_format", "wal_core", "std::net", "tokio"],
        why: "the I/O layer does not know what the bytes mean, and it blocks",
    },
    Unknown {
        krate: "wal-core",
        paths: &["std::fs", "std::net"],
        why: "go through the `Storage` of wal-io, so that faults and crashes can be injected",
    },
    Unknown {
        krate: "wal-kv",
        paths: &["std::fs", "std::net"],
        why: "go through the `Storage` of wal-io, so that faults and crashes can be injected",
    },
];

pub(super) fn unknown_to(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in UNKNOWN {
        for (file, rust) in tree.rust_in(&format!("{}/src", rule.krate)) {
            for named in paths::named(&rust.shipped) {
                if rule.paths.iter().any(|path| named.is_in(path)) {
                    let what = format!("`{}` in {}", named.path, rule.krate);
                    findings.push(Finding::new(&file.path, named.line, what, rule.why));
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(check: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
        check(&Tree::of(&[(path, text)]))
            .iter()
            .map(|found| found.line)
            .collect()
    }

    #[test]
    fn a_lock_outside_its_seam_is_found() {
        let text = "use std::sync::{Arc, OnceLock};\nuse std::{sync::Mutex, fmt};\n\
                    use std::thread;\nuse std::sync::atomic::AtomicU64;\nfn a(b: std::sync::Condvar) {}\n";
        assert_eq!(
            lines(seams, "wal-core/src/log/append.rs", text),
            [2, 3, 4, 5]
        );
        assert_eq!(lines(seams, "wal-kv/src/kv.rs", text), [2, 3, 4, 5]);
        assert_eq!(
            lines(seams, "wal-sync/src/system.rs", text),
            Vec::<usize>::new()
        );
        assert_eq!(
            lines(seams, "wal-core/tests/a.rs", text),
            Vec::<usize>::new()
        );
        assert_eq!(lines(seams, "wal-io/src/a.rs", text), Vec::<usize>::new());
    }

    #[test]
    fn the_model_checker_outside_the_seam_of_the_locks_is_found() {
        let text = "use shuttle::thread;\n";
        assert_eq!(lines(seams, "wal-core/src/log/append.rs", text), [1]);
        let home = lines(seams, "wal-sync/src/model.rs", text);
        assert!(home.is_empty());
    }

    #[test]
    fn time_and_randomness_outside_their_seams_are_found() {
        let text = "use std::time::{Duration, Instant};\nfn a() { getrandom::u64(); }\n";
        assert_eq!(lines(seams, "wal-core/src/log.rs", text), [1, 2]);
        assert_eq!(lines(seams, "wal-core/src/clock.rs", text), [2]);
        assert_eq!(lines(seams, "wal-core/src/entropy.rs", text), [1]);
    }

    #[test]
    fn a_test_module_may_use_threads() {
        let text = "#[cfg(test)]\nmod tests {\n    use std::thread;\n}\n";
        assert_eq!(lines(seams, "wal-core/src/a.rs", text), Vec::<usize>::new());
    }

    #[test]
    fn a_layer_that_names_what_it_must_not_know_is_found() {
        for (path, text) in [
            ("wal-format/src/a.rs", "use std::fs::File;\n"),
            (
                "wal-format/src/a.rs",
                "use std::time::{Duration, SystemTime};\n",
            ),
            ("wal-io/src/a.rs", "use wal_format::record;\n"),
            ("wal-core/src/a.rs", "fn a() { std::fs::remove_file(b); }\n"),
            ("wal-kv/src/a.rs", "use std::{fs, fmt};\n"),
        ] {
            assert_eq!(lines(unknown_to, path, text), [1], "{path}: {text}");
        }
        let good = "use std::time::Duration;\nuse crate::segment;\n";
        assert_eq!(
            lines(unknown_to, "wal-format/src/a.rs", good),
            Vec::<usize>::new()
        );
        assert_eq!(
            lines(unknown_to, "wal-format/tests/a.rs", "use std::fs::File;\n"),
            Vec::<usize>::new()
        );
    }
}
