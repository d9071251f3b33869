//! Rules about `Cargo.toml` files, and about what documents say of them.

use crate::tidy::Finding;
use crate::tidy::manifest;
use crate::tidy::tree::{File, Tree};

type Crates = &'static [&'static str];

/// What a crate of the workspace may depend on: the crates of the workspace that it may name (nothing else of ours), and the
/// crates that it must never name. From the bottom up. wal-format and wal-io are siblings. xtask builds without any
/// of them.
fn layer(krate: &str) -> Option<(Crates, Crates)> {
    Some(match krate {
        "wal-format" => (&[], &["tokio", "async-trait", "rustix"]),
        "wal-io" => (&[], &["tokio", "async-trait"]),
        "wal-sync" => (&["wal-io"], &["tokio", "async-trait", "rustix"]),
        "wal-core" => (&["wal-format", "wal-io", "wal-sync"], &["rustix"]),
        "wal-kv" => (
            &["wal-core", "wal-format", "wal-io", "wal-sync"],
            &["rustix"],
        ),
        "wal-cli" | "wal-bench" => (&["wal-core", "wal-format", "wal-io", "wal-kv"], &[]),
        "wal-crash" => (&["wal-core", "wal-io"], &["tokio"]),
        "wal-fuzz" => (&["wal-core", "wal-format", "wal-io"], &["tokio"]),
        "wal-soak" => (&["wal-core", "wal-kv"], &[]),
        "xtask" => (&[], &["tokio"]),
        _ => return None,
    })
}

pub(super) fn dependencies(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.manifests() {
        let name = crate_name(file);
        let Some((may, never)) = layer(&name) else {
            let what = format!("{name} has no layer");
            let remedy = "add it to `layer` in xtask/src/tidy/rules/manifests.rs";
            findings.push(Finding::new(&file.path, 1, what, remedy));
            continue;
        };
        for dependency in manifest::dependencies(&file.text) {
            let ours = layer(dependency.name).is_some();
            // Its tests may have it with more features.
            let refused = ours && dependency.name != name && !may.contains(&dependency.name);
            if refused || never.contains(&dependency.name) {
                let what = format!("{name} depends on {}", dependency.name);
                let remedy =
                    "its layer must not know that crate: move the code to a layer that may";
                findings.push(Finding::new(&file.path, dependency.line, what, remedy));
            }
        }
    }
    findings
}

fn crate_name(file: &File) -> String {
    let entries = manifest::entries(&file.text);
    let name = entries
        .iter()
        .find(|entry| entry.table == "package" && entry.key == "name");
    name.map(|entry| entry.value.trim_matches('"').to_owned())
        .unwrap_or_default()
}

pub(super) fn inherited(tree: &Tree) -> Vec<Finding> {
    const KEYS: [(&str, &str); 4] = [
        ("package", "edition.workspace"),
        ("package", "rust-version.workspace"),
        ("package", "license.workspace"),
        ("lints", "workspace"),
    ];
    let mut findings = Vec::new();
    for file in tree.manifests() {
        let entries = manifest::entries(&file.text);
        for (table, key) in KEYS {
            let found = |entry: &manifest::Entry<'_>| {
                entry.table == table && entry.key == key && entry.value == "true"
            };
            if !entries.iter().any(found) {
                let what = format!("[{table}] has no `{key} = true`");
                let remedy = "add it, and no value of its own";
                findings.push(Finding::new(&file.path, 1, what, remedy));
            }
        }
    }
    findings
}

/// The number stands in the workspace's `Cargo.toml`; whoever repeats it repeats that one.
/// History (the changelog, decision notes) keeps the number of its day.
pub(super) fn msrv_in_documents(tree: &Tree) -> Vec<Finding> {
    let Some(msrv) = tree.get("Cargo.toml").and_then(msrv) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for file in tree.markdown() {
        if file.path == "CHANGELOG.md" || file.is_in("docs/decisions") {
            continue;
        }
        for (index, line) in file.text.lines().enumerate() {
            for named in rust_versions(line).filter(|named| *named != msrv) {
                let what = format!("Rust {named}, but the workspace says {msrv}");
                let remedy = "write the same number";
                findings.push(Finding::new(&file.path, index + 1, what, remedy));
            }
        }
    }
    findings
}

fn msrv(root: &File) -> Option<String> {
    let entries = manifest::entries(&root.text);
    let entry = entries.iter().find(|entry| entry.key == "rust-version")?;
    Some(entry.value.trim_matches('"').to_owned())
}

/// The `1.N` behind each "Rust" or "MSRV" of a line.
fn rust_versions(line: &str) -> impl Iterator<Item = &str> {
    ["Rust 1.", "MSRV 1."]
        .into_iter()
        .flat_map(|prefix| line.match_indices(prefix))
        .map(|(at, found)| {
            let start = at + found.len() - "1.".len();
            let rest = &line[start..];
            let end = rest[2..]
                .find(|c: char| !c.is_ascii_digit())
                .map_or(rest.len(), |end| end + 2);
            &rest[..end]
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nname = \"wal-io\"\nedition.workspace = true\n\
                        rust-version.workspace = true\nlicense.workspace = true\n\
                        [lints]\nworkspace = true\n";

    #[test]
    fn siblings_do_not_depend_on_each_other() {
        for table in [
            "dependencies",
            "dev-dependencies",
            "target.\"cfg(unix)\".dependencies",
        ] {
            let text =
                format!("[package]\nname = \"wal-io\"\n[{table}]\nwal-format.workspace = true\n");
            let found = dependencies(&Tree::of(&[("wal-io/Cargo.toml", &text)]));
            assert_eq!(found.len(), 1, "{table}");
            assert_eq!(found[0].line, 4);
        }
    }

    #[test]
    fn the_core_depends_on_both_and_not_on_the_store() {
        let text = "[package]\nname = \"wal-core\"\n[dependencies]\nwal-io = { path = \"x\" }\n\
                    wal-format.workspace = true\nwal-kv.workspace = true\nrustix = \"1\"\nbytes = \"1\"\n";
        let found = dependencies(&Tree::of(&[("wal-core/Cargo.toml", text)]));
        assert_eq!(
            found.iter().map(|found| found.line).collect::<Vec<_>>(),
            [6, 7]
        );
    }

    #[test]
    fn a_crate_without_a_layer_is_found() {
        let tree = Tree::of(&[("wal-new/Cargo.toml", "[package]\nname = \"wal-new\"\n")]);
        assert_eq!(dependencies(&tree).len(), 1);
    }

    #[test]
    fn a_crate_with_an_msrv_of_its_own_is_found() {
        assert!(inherited(&Tree::of(&[("wal-io/Cargo.toml", GOOD)])).is_empty());
        let own = GOOD.replace("rust-version.workspace = true", "rust-version = \"1.70\"");
        assert_eq!(
            inherited(&Tree::of(&[("wal-io/Cargo.toml", &own)])).len(),
            1
        );
        let unlinted = GOOD.replace("[lints]\nworkspace = true\n", "");
        assert_eq!(
            inherited(&Tree::of(&[("wal-io/Cargo.toml", &unlinted)])).len(),
            1
        );
    }

    #[test]
    fn a_document_with_another_msrv_is_found() {
        let root = (
            "Cargo.toml",
            "[workspace.package]\nrust-version = \"1.89\"\n",
        );
        let text = "Rust 1.89 or later.\nRust 1.9, MSRV 1.88.\n";
        let found = msrv_in_documents(&Tree::of(&[root, ("README.md", text)]));
        assert_eq!(
            found.iter().map(|found| found.line).collect::<Vec<_>>(),
            [2, 2]
        );
        let history = ("docs/decisions/0001-a.md", text);
        assert!(msrv_in_documents(&Tree::of(&[root, history])).is_empty());
    }
}
