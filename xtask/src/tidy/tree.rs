//! The files that the rules look at, read once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::lexer;
use super::scope::TestScope;

/// The text files of the repository. Paths are relative to its root, with `/`.
#[derive(Debug, Default)]
pub(super) struct Tree {
    files: BTreeMap<String, File>,
    /// Every file, those without text too.
    paths: Vec<String>,
}

/// One text file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
    /// For `.rs` files.
    pub(super) rust: Option<Rust>,
}

/// A Rust file, taken apart.
#[derive(Debug)]
pub(super) struct Rust {
    /// Without comments and literals.
    pub(super) code: String,
    /// `code` without what is compiled for tests only.
    pub(super) shipped: String,
    pub(super) comments: String,
}

impl Tree {
    /// Reads the files that git tracks, and those that are new and not ignored.
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        for path in crate::files::list(root)? {
            let bytes =
                fs::read(root.join(&path)).with_context(|| format!("could not read {path}"))?;
            files.push((path, bytes));
        }
        Ok(Self::new(files))
    }

    /// A tree made of these texts, for tests.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        Self::new(
            files
                .iter()
                .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())),
        )
    }

    fn new(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let mut tree = Self::default();
        for (path, bytes) in files {
            tree.paths.push(path.clone());
            if bytes.contains(&0) || !is_text(&path) {
                continue;
            }
            let Ok(text) = String::from_utf8(bytes) else {
                continue;
            };
            let rust = (extension(&path) == "rs").then(|| {
                let lexer::Split { code, comments } = lexer::split(&text);
                Rust {
                    code,
                    shipped: String::new(),
                    comments,
                }
            });
            tree.files.insert(path.clone(), File { path, text, rust });
        }
        tree.separate_tests();
        tree
    }

    /// Fills `shipped`: a module declared under `#[cfg(test)]` is a test in its own file too.
    fn separate_tests(&mut self) {
        let mut test_modules = Vec::new();
        for file in self.files.values_mut() {
            let Some(rust) = &mut file.rust else { continue };
            let scope = TestScope::of(&rust.code);
            rust.shipped = scope.without_tests(&rust.code);
            let folder = module_folder(&file.path);
            test_modules.extend(scope.modules.iter().map(|name| format!("{folder}{name}")));
        }
        for file in self.files.values_mut() {
            let Some(rust) = &mut file.rust else { continue };
            let is_test = |module: &String| {
                let below = file.path.strip_prefix(module.as_str());
                below.is_some_and(|below| below == ".rs" || below.starts_with('/'))
            };
            if test_modules.iter().any(is_test) {
                rust.shipped = rust.code.lines().map(|_| "\n").collect();
            }
        }
    }

    pub(super) fn files(&self) -> Vec<&File> {
        self.files.values().collect()
    }

    pub(super) fn get(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    /// The Rust files, each with its parts.
    pub(super) fn rust(&self) -> impl Iterator<Item = (&File, &Rust)> {
        self.files
            .values()
            .filter_map(|file| Some((file, file.rust.as_ref()?)))
    }

    /// The Rust files below `folder`.
    pub(super) fn rust_in(&self, folder: &str) -> impl Iterator<Item = (&File, &Rust)> {
        self.rust().filter(move |(file, _)| file.is_in(folder))
    }

    /// The `src` folders of all crates, also of other workspaces.
    pub(super) fn sources(&self) -> BTreeSet<String> {
        let roots = self.files.keys().filter_map(|path| {
            let root = ["/lib.rs", "/main.rs"];
            root.iter().find_map(|root| path.strip_suffix(root))
        });
        roots
            .filter(|folder| folder.ends_with("/src"))
            .map(str::to_owned)
            .collect()
    }

    /// The manifests of the crates of this workspace: not its root, and not other workspaces.
    pub(super) fn manifests(&self) -> impl Iterator<Item = &File> {
        self.files.values().filter(|file| {
            file.path.ends_with("/Cargo.toml")
                && !file.text.lines().any(|line| line.trim() == "[workspace]")
        })
    }

    pub(super) fn markdown(&self) -> impl Iterator<Item = &File> {
        self.files.values().filter(|file| file.is_markdown())
    }

    /// Whether there is a file or a folder of this path.
    pub(super) fn exists(&self, path: &str) -> bool {
        let below = |file: &String| {
            file.strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        path.is_empty() || self.paths.iter().any(below)
    }

    /// The paths of all files below `folder`, those without text too.
    pub(super) fn paths_in(&self, folder: &str) -> impl Iterator<Item = &str> {
        self.paths
            .iter()
            .map(String::as_str)
            .filter(move |path| is_in(path, folder))
    }
}

impl File {
    pub(super) fn is_in(&self, folder: &str) -> bool {
        is_in(&self.path, folder)
    }

    pub(super) fn is_markdown(&self) -> bool {
        extension(&self.path) == "md"
    }
}

fn extension(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, extension)| extension)
}

fn is_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// Where the modules that a file declares are found: `a/lib.rs` -> `a/`, `a/b.rs` -> `a/b/`.
fn module_folder(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let folder = if folder.is_empty() {
        String::new()
    } else {
        format!("{folder}/")
    };
    match name {
        "lib.rs" | "main.rs" | "mod.rs" => folder,
        _ => format!("{folder}{}/", name.trim_end_matches(".rs")),
    }
}

/// Files that hold what a program wrote, or somebody else's words, have no rules to keep.
fn is_text(path: &str) -> bool {
    const FOLDERS: [&str; 5] = [
        "golden",
        "corpus",
        "regressions",
        "proptest-regressions",
        "data",
    ];
    const FILES: [&str; 3] = ["Cargo.lock", "LICENSE-APACHE", "LICENSE-MIT"];
    let mut parts = path.split('/');
    let name = parts.next_back().unwrap_or(path);
    let is_data = FILES.contains(&name) || parts.any(|part| FOLDERS.contains(&part));
    extension(path) == "rs" || !is_data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped(tree: &Tree, path: &str) -> String {
        let file = tree.get(path).and_then(|file| file.rust.as_ref());
        file.map(|rust| rust.shipped.trim().to_owned())
            .unwrap_or_default()
    }

    #[test]
    fn a_test_module_in_a_file_of_its_own_is_not_shipped() {
        let tree = Tree::of(&[
            ("a/src/lib.rs", "mod b;\n#[cfg(test)]\nmod model;\n"),
            ("a/src/model.rs", "fn m() {}\n"),
            ("a/src/model/deep.rs", "fn d() {}\n"),
            ("a/src/b.rs", "fn b() {}\n#[cfg(test)]\nmod tests;\n"),
            ("a/src/b/tests.rs", "fn t() {}\n"),
            ("a/src/b/other.rs", "fn o() {}\n"),
        ]);
        assert_eq!(shipped(&tree, "a/src/model.rs"), "");
        assert_eq!(shipped(&tree, "a/src/model/deep.rs"), "");
        assert_eq!(shipped(&tree, "a/src/b/tests.rs"), "");
        assert_eq!(shipped(&tree, "a/src/b.rs"), "fn b() {}");
        assert_eq!(shipped(&tree, "a/src/b/other.rs"), "fn o() {}");
    }

    #[test]
    fn binary_and_generated_files_have_no_text_but_exist() {
        let tree = Tree::of(&[
            ("a/golden/b.txt", "x"),
            ("c.wal", "\0"),
            ("Cargo.lock", "x"),
        ]);
        assert!(tree.files().is_empty());
        assert!(tree.exists("c.wal") && tree.exists("a/golden") && !tree.exists("a/gol"));
    }

    #[test]
    fn another_workspace_is_not_ours() {
        let tree = Tree::of(&[
            ("Cargo.toml", "[workspace]\n"),
            ("a/Cargo.toml", "[package]\n"),
            ("fuzz/Cargo.toml", "[package]\n[workspace]\n"),
        ]);
        let found: Vec<&str> = tree.manifests().map(|file| file.path.as_str()).collect();
        assert_eq!(found, ["a/Cargo.toml"]);
    }
}
