//! The rule about the two faces of a library: a call that is written in both has one documentation.
//!
//! Most calls are written once, in a macro that makes both faces, and need no rule.

use std::collections::BTreeMap;

use crate::tidy::Finding;
use crate::tidy::tree::Tree;

/// Compares each `asynchronous.rs` with the `blocking.rs` beside it.
pub(super) fn same_documentation(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, _) in tree.rust() {
        let folder = file.path.strip_suffix("asynchronous.rs");
        let blocking = folder.and_then(|folder| tree.get(&format!("{folder}blocking.rs")));
        let Some(blocking) = blocking else { continue };
        let others = methods(&file.text);
        for (name, (line, text)) in methods(&blocking.text) {
            if others.get(&name).is_some_and(|(_, other)| *other != text) {
                let what = format!("`{}` has another documentation in the async face", name.1);
                let remedy =
                    "use the same text in both; only \"Cancel safety\" is the async face's own";
                findings.push(Finding::new(&blocking.path, line, what, remedy));
            }
        }
    }
    findings
}

/// The public methods by `impl` and name: their line, and their documentation without "Cancel safety".
fn methods(text: &str) -> BTreeMap<(&str, &str), (usize, Vec<&str>)> {
    let mut methods = BTreeMap::new();
    let (mut block, mut comment, mut skips) = ("", Vec::new(), false);
    for (at, line) in text.lines().map(str::trim).enumerate() {
        if let Some(text) = line.strip_prefix("///") {
            if text.starts_with(" # ") {
                skips = text == " # Cancel safety";
            }
            if !skips {
                comment.push(text);
            }
            continue;
        }
        if line.starts_with("#[") {
            continue;
        }
        if line.starts_with("impl") {
            block = line;
        }
        let method = line
            .strip_prefix("pub ")
            .map(|line| line.trim_start_matches("async "));
        if let Some(method) = method.and_then(|line| line.strip_prefix("fn ")) {
            let name = method.split(['(', '<']).next().unwrap_or(method);
            while comment.last().is_some_and(|line| line.is_empty()) {
                comment.pop();
            }
            methods.insert((block, name), (at + 1, std::mem::take(&mut comment)));
        }
        comment.clear();
        skips = false;
    }
    methods
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASYNC: &str = "impl A {\n    /// Does it.\n    ///\n    /// # Errors\n    /// None.\n    ///\n    \
        /// # Cancel safety\n    /// Nothing is lost.\n    #[inline]\n    pub async fn a<T>(&self) {}\n}\n";

    fn lines(blocking: &str) -> Vec<usize> {
        let files = [
            ("a/src/asynchronous.rs", ASYNC),
            ("a/src/blocking.rs", blocking),
        ];
        let findings = same_documentation(&Tree::of(&files));
        findings.iter().map(|found| found.line).collect()
    }

    #[test]
    fn a_call_is_documented_alike_in_both_faces() {
        let same = "impl A {\n    /// Does it.\n    ///\n    /// # Errors\n    /// None.\n    pub fn a(&self) {}\n}\n";
        assert_eq!(lines(same), Vec::<usize>::new());
        assert_eq!(lines(&same.replace("Does it.", "Does that.")), [6]);
        assert_eq!(lines(&same.replace("    /// None.\n", "")), [5]);
        assert_eq!(
            lines(&same.replace("impl A", "impl B")),
            Vec::<usize>::new()
        );
    }
}
