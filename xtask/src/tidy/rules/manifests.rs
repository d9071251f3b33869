//! Rules about `Cargo.toml` files, and about what documents say of them.

use crate::tidy::Finding;
use crate::tidy::manifest;
use crate::tidy::tree::{File, Tree};

/// A crate of the workspace, and what it may depend on: crates of the workspace (nothing else of
/// ours), and no crate of `never`.
struct Layer {
    krate: &'static str,
    may: &'static [&'static str],
    never: &'static [&'static str],
}

/// From the bottom up. wal-format and wal-io are siblings, and wal-sync asks wal-io which process it is in. xtask builds without any of them.
const LAYERS: &[Layer] = &[
    Layer {
        krate: "wal-format",
        may: &[],
        never: &["tokio", "async-trait", "rustix"],
    },
    Layer {
        krate: "wal-io",
        may: &[],
        never: &["tokio", "async-trait"],
    },
    Layer {
        krate: "wal-sync",
        may: &["wal-io"],
        never: &["tokio", "async-trait", "rustix"],
    },
    Layer {
        krate: "wal-core",
        may: &["wal-format", "wal-io", "wal-sync"],
        never: &["rustix"],
    },
    Layer {
        krate: "wal-kv",
        may: &["wal-core", "wal-format", "wal-io", "wal-sync"],
        never: &["rustix"],
    },
    Layer {
        krate: "wal-cli",
        may: &["wal-core", "wal-format", "wal-io", "wal-kv"],
        never: &[],
    },
    // The crash suite sees the log only through its public calls.
    Layer {
        krate: "wal-crash",
        may: &["wal-core", "wal-io"],
        never: &["tokio"],
    },
    // Fuzz targets reach every decoder; the command's they take by path.
    Layer {
        krate: "wal-fuzz",
        may: &["wal-core", "wal-format", "wal-io"],
        never: &["tokio"],
    },
    Layer {
        krate: "wal-bench",
        may: &["wal-core", "wal-format", "wal-io", "wal-kv"],
        never: &[],
    },
    Layer {
        krate: "wal-soak",
        may: &["wal-core", "wal-kv"],
        never: &[],
    },
    Layer {
        krate: "xtask",
        may: &[],
        never: &["tokio"],
    },
];

pub(super) fn dependencies(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.manifests() {
        let name = crate_name(file);
        let Some(layer) = LAYERS.iter().find(|layer| layer.krate == name) else {
            let what = format!("{name} has no layer");
            let remedy = "add it to LAYERS in xtask/src/tidy/rules/manifests.rs";
            findings.push(Finding::new(&file.path, 1, what, remedy));
            continue;
        };
        for dependency in manifest::dependencies(&file.text) {
            let ours = LAYERS.iter().any(|layer| layer.krate == dependency.name);
            let refused = ours && !layer.may.contains(&dependency.name);
            if refused || layer.never.contains(&dependency.name) {
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
                findings.push(Finding::new(
                    &file.path,
                    1,
                    what,
                    "add it, and no value of its own",
                ));
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
                findings.push(Finding::new(
                    &file.path,
                    index + 1,
                    what,
                    "write the same number",
                ));
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
