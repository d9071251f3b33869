//! Rules about Rust code, whatever its layer.

use crate::tidy::Finding;
use crate::tidy::lexer::lines_with_word;
use crate::tidy::paths;
use crate::tidy::tree::Tree;

const MOST_LINES: usize = 600;

pub(super) fn length(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, _) in tree.rust() {
        let lines = file.text.lines().count();
        if lines > MOST_LINES {
            let what = format!("{lines} lines, {MOST_LINES} are the most");
            let remedy = "split it by what its parts know; tests go to a file of their own";
            findings.push(Finding::new(&file.path, MOST_LINES + 1, what, remedy));
        }
    }
    findings
}

pub(super) fn module_head(tree: &Tree) -> Vec<Finding> {
    // A library may show its README instead.
    const HEADS: [&str; 2] = ["//!", "#![doc = include_str!("];
    let has_head = |text: &str| HEADS.iter().any(|head| text.starts_with(head));
    let headless = tree.rust().filter(|(file, _)| !has_head(&file.text));
    let finding = |path: &str| {
        let remedy = "begin with `//!`: what the module is for, and what is deliberately not in it";
        Finding::new(path, 1, "no module head", remedy)
    };
    headless.map(|(file, _)| finding(&file.path)).collect()
}

pub(super) fn module_files(tree: &Tree) -> Vec<Finding> {
    let inside_src = |path: &str| path.starts_with("src/") || path.contains("/src/");
    let named_mod = tree
        .rust()
        .filter(|(file, _)| file.path.ends_with("/mod.rs") && inside_src(&file.path));
    let finding = |path: &str| {
        let folder = path.trim_end_matches("/mod.rs");
        Finding::new(path, 0, "a `mod.rs`", format!("name it {folder}.rs"))
    };
    named_mod.map(|(file, _)| finding(&file.path)).collect()
}

/// The crate that may hold unsafe code, in one file.
const MAY_ALLOW_UNSAFE: &str = "wal-io";

pub(super) fn unsafe_code(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, rust) in tree.rust().filter(|(file, _)| is_crate_root(&file.path)) {
        let dense: String = rust.code.split_whitespace().collect();
        let denied = file.is_in(MAY_ALLOW_UNSAFE) && dense.contains("#![deny(unsafe_code)]");
        if !denied && !dense.contains("#![forbid(unsafe_code)]") {
            let what = "the crate does not forbid unsafe code";
            let remedy = "add `#![forbid(unsafe_code)]`";
            findings.push(Finding::new(&file.path, 1, what, remedy));
        }
    }
    let allows = tree.rust_in(MAY_ALLOW_UNSAFE).filter_map(|(file, rust)| {
        Some((
            file,
            *lines_with_word(&rust.code, "allow(unsafe_code").first()?,
        ))
    });
    for (file, line) in allows.skip(1) {
        let what = "a second file allows unsafe code";
        let remedy = "keep it all in one file";
        findings.push(Finding::new(&file.path, line, what, remedy));
    }
    findings
}

/// `src/lib.rs`, `src/main.rs`, `src/bin/name.rs`, `src/bin/name/main.rs` of any crate.
fn is_crate_root(path: &str) -> bool {
    let Some((_, inside)) = path.split_once("/src/") else {
        return false;
    };
    let parts: Vec<&str> = inside.split('/').collect();
    matches!(
        parts[..],
        ["lib.rs" | "main.rs"] | ["bin", _] | ["bin", _, "main.rs"]
    )
}

pub(super) fn unfinished(tree: &Tree) -> Vec<Finding> {
    let remedy = "finish it, or file an issue and leave it out";
    let mut findings = Vec::new();
    for (file, rust) in tree.rust() {
        let in_code = ["todo!", "unimplemented!", "dbg!"].map(|word| (word, &rust.code));
        let in_comments = ["TODO", "FIXME", "XXX"].map(|word| (word, &rust.comments));
        for (word, half) in in_code.into_iter().chain(in_comments) {
            for line in lines_with_word(half, word) {
                findings.push(Finding::new(&file.path, line, format!("`{word}`"), remedy));
            }
        }
    }
    findings
}

pub(super) fn ignored_tests(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, rust) in tree.rust() {
        for line in lines_with_word(&rust.code, "#[ignore") {
            let remedy = "make it fast enough to run, or make it an xtask";
            findings.push(Finding::new(&file.path, line, "an ignored test", remedy));
        }
    }
    findings
}

pub(super) fn prints(tree: &Tree) -> Vec<Finding> {
    let words = ["println!", "eprintln!", "print!", "eprint!"];
    let remedy = "return it to the caller, who decides what is shown";
    in_libraries(tree, &words, remedy)
}

pub(super) fn unwraps(tree: &Tree) -> Vec<Finding> {
    let remedy = "return an error; where it cannot happen, `expect` and say why";
    in_libraries(tree, &[".unwrap()", ".unwrap_err()", "panic!"], remedy)
}

/// The crates that other projects link.
const LIBRARIES: [&str; 5] = ["wal-format", "wal-io", "wal-sync", "wal-core", "wal-kv"];

/// A suite that a library ships for others' tests fails as tests do.
const SHIPPED_TESTS: &str = "/src/conformance";

/// Finds words in what the library crates ship: their `src` without tests.
fn in_libraries(tree: &Tree, words: &[&str], remedy: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for library in LIBRARIES {
        let folder = format!("{library}/src");
        let files = tree.rust_in(&folder);
        for (file, rust) in files.filter(|(file, _)| !file.path.contains(SHIPPED_TESTS)) {
            for word in words {
                for line in lines_with_word(&rust.shipped, word) {
                    let what = format!("`{word}` in a library");
                    findings.push(Finding::new(&file.path, line, what, remedy));
                }
            }
        }
    }
    findings
}

/// It hands each call to a thread pool, and a write can be reported done before it was tried.
pub(super) fn tokio_fs(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, rust) in tree.rust() {
        for named in paths::named(&rust.code) {
            if named.is_in("tokio::fs") {
                let what = format!("`{}`", named.path);
                let remedy = "do file operations through wal-io, which blocks";
                findings.push(Finding::new(&file.path, named.line, what, remedy));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests;
