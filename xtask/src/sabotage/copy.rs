//! The copy of the sources that the patches are applied to: `target/sabotage/sources`.
//!
//! A file that is the same already is not written again, so that cargo builds only what has changed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::patch::{apply, told};
use super::variant::{FOLDER, Variant};
use crate::cargo::{Cargo, root};
use crate::files;

const COPY: &str = "target/sabotage/sources";

/// Where the copy is.
pub(super) fn folder() -> PathBuf {
    root().join(COPY)
}

/// Makes the copy, with all `variants` in it.
pub(super) fn make(variants: &[Variant]) -> anyhow::Result<()> {
    let (root, copy) = (root(), folder());
    let mut patched = apply(variants, |path| fs::read_to_string(root.join(path)).ok())
        .map_err(|misfits| anyhow::anyhow!(told(&misfits)))?;
    let crates: BTreeSet<String> = patched.keys().filter_map(|path| package(path)).collect();
    let mut keep = BTreeSet::new();
    for package in crates {
        let library = format!("{package}/src/lib.rs");
        let clean = || fs::read_to_string(root.join(&library));
        let text = patched.remove(&library).map_or_else(clean, Ok)?;
        patched.insert(library, text + "\nmod sabotage;\n");
        let text = fs::read_to_string(root.join(FOLDER).join("switch.rs"))?;
        let switch = copy.join(package).join("src/sabotage.rs");
        write(&switch, text.as_bytes())?;
        keep.insert(switch);
    }
    for path in files::list(&root)? {
        let to = copy.join(&path);
        match patched.get(&path) {
            Some(text) => write(&to, text.as_bytes())?,
            None => write(&to, &fs::read(root.join(&path))?)?,
        }
        keep.insert(to);
    }
    remove_others(&copy, &keep)
}

/// The command line `cargo ARGS` in the copy.
pub(super) fn cargo(args: &str) -> Cargo {
    // Patched code may leave imports and variables unused.
    Cargo::new(&format!(
        "{args} --manifest-path {COPY}/Cargo.toml --target-dir target/sabotage"
    ))
    .with_variable("RUSTFLAGS", "--cfg wal_sabotage --cap-lints allow")
}

fn package(path: &str) -> Option<String> {
    path.split_once("/src/")
        .map(|(package, _)| package.to_owned())
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, bytes))
        .with_context(|| format!("could not write {}", path.display()))
}

/// Removes what an earlier copy has left.
fn remove_others(folder: &Path, keep: &BTreeSet<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, keep)?;
        } else if !keep.contains(&path) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
