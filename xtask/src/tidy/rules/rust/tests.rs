//! Files that break the rules about Rust code.

use super::*;

type Check = fn(&Tree) -> Vec<Finding>;

/// The lines that `check` finds in a tree of one file.
fn lines(check: Check, path: &str, text: &str) -> Vec<usize> {
    check(&Tree::of(&[(path, text)]))
        .iter()
        .map(|found| found.line)
        .collect()
}

#[test]
fn a_file_of_601_lines_is_too_long() {
    assert_eq!(lines(length, "a/src/b.rs", &"\n".repeat(601)), [601]);
    assert_eq!(
        lines(length, "a/src/b.rs", &"\n".repeat(600)),
        Vec::<usize>::new()
    );
    assert_eq!(
        lines(length, "a.md", &"\n".repeat(601)),
        Vec::<usize>::new()
    );
}

#[test]
fn a_file_needs_a_head() {
    assert_eq!(lines(module_head, "a/tests/b.rs", "// A.\n"), [1]);
    let none = Vec::<usize>::new();
    assert_eq!(lines(module_head, "a/tests/b.rs", "//! A.\n"), none);
    let readme = "#![doc = include_str!(\"../README.md\")]\n";
    assert_eq!(lines(module_head, "a/src/lib.rs", readme), none);
}

#[test]
fn a_module_is_named_after_its_folder() {
    assert_eq!(lines(module_files, "a/src/b/mod.rs", "").len(), 1);
    for path in ["a/src/b.rs", "a/tests/common/mod.rs"] {
        assert!(lines(module_files, path, "").is_empty(), "{path}");
    }
}

#[test]
fn a_crate_root_forbids_unsafe_code() {
    let text = "//! A.\n// #![forbid(unsafe_code)]\n";
    for root in [
        "a/src/lib.rs",
        "a/src/main.rs",
        "a/src/bin/b.rs",
        "a/src/bin/b/main.rs",
    ] {
        assert_eq!(lines(unsafe_code, root, text), [1], "{root}");
        let good = "//! A.\n#![forbid(unsafe_code)]\n";
        assert_eq!(
            lines(unsafe_code, root, good),
            Vec::<usize>::new(),
            "{root}"
        );
    }
    assert_eq!(lines(unsafe_code, "a/src/b.rs", text), Vec::<usize>::new());
}

#[test]
fn wal_io_may_allow_unsafe_code_in_one_file() {
    let root = ("wal-io/src/lib.rs", "#![deny(unsafe_code)]\n");
    let one = ("wal-io/src/a.rs", "#![allow(unsafe_code)]\n");
    let two = ("wal-io/src/b.rs", "\n#[allow(unsafe_code)]\nfn b() {}\n");
    assert!(unsafe_code(&Tree::of(&[root, one])).is_empty());
    let found = unsafe_code(&Tree::of(&[root, one, two]));
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].path.as_str(), found[0].line),
        ("wal-io/src/b.rs", 2)
    );
    assert_eq!(
        lines(
            unsafe_code,
            "wal-core/src/lib.rs",
            "#![deny(unsafe_code)]\n"
        ),
        [1]
    );
}

#[test]
fn unfinished_work_is_found_in_code_and_comments() {
    let text = "fn a() { todo!() }\nfn b() { unimplemented!() }\nfn c() { dbg!(1); }\n\
                // TODO: d\n/// FIXME\nfn e() {} // XXX\n";
    let mut found = lines(unfinished, "a/src/b.rs", text);
    found.sort_unstable();
    assert_eq!(found, [1, 2, 3, 4, 5, 6]);
    let good = "// todo! is a macro\nlet a = \"TODO\";\nlet todos = 1;\n";
    assert_eq!(lines(unfinished, "a/src/b.rs", good), Vec::<usize>::new());
}

#[test]
fn an_ignored_test_is_found() {
    assert_eq!(
        lines(
            ignored_tests,
            "a/tests/b.rs",
            "#[test]\n#[ignore]\nfn c() {}\n"
        ),
        [2]
    );
    assert_eq!(
        lines(
            ignored_tests,
            "a/tests/b.rs",
            "#[test]\n#[ignore = \"slow\"]\n"
        ),
        [2]
    );
    assert_eq!(
        lines(ignored_tests, "a/tests/b.rs", "// #[ignore]\n"),
        Vec::<usize>::new()
    );
}

#[test]
fn a_library_that_prints_is_found() {
    let text = "fn a() { println!(); }\nfn b() { eprint!(); }\n/// println!(\"x\")\nfn c() {}\n";
    assert_eq!(lines(prints, "wal-io/src/a.rs", text), [1, 2]);
    assert_eq!(
        lines(prints, "wal-io/examples/a.rs", text),
        Vec::<usize>::new()
    );
    assert_eq!(lines(prints, "wal-cli/src/a.rs", text), Vec::<usize>::new());
    let tests_only = "#[cfg(test)]\nmod tests {\n    fn a() { println!(); }\n}\n";
    assert_eq!(
        lines(prints, "wal-io/src/a.rs", tests_only),
        Vec::<usize>::new()
    );
}

#[test]
fn a_library_that_panics_is_found() {
    let text = "fn a() { b.unwrap(); }\nfn c() { panic!(\"d\") }\n/// e.unwrap()\n\
                fn f() { g.unwrap_or(h).expect(\"why\"); }\n";
    assert_eq!(lines(unwraps, "wal-core/src/a.rs", text), [1, 2]);
    assert_eq!(
        lines(unwraps, "wal-core/tests/a.rs", text),
        Vec::<usize>::new()
    );
}

#[test]
fn the_file_api_of_tokio_is_found() {
    let text = "use tokio::{sync, fs::File};\nfn a() { tokio::fs::read(b); }\n// tokio::fs\n";
    assert_eq!(lines(tokio_fs, "a/tests/b.rs", text), [1, 2]);
}
