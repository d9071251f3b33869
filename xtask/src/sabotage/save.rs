//! `cargo xtask sabotage --save NAME`: a mistake that was made in the working tree becomes a patch.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use super::patch::{apply, told};
use super::variant::{Variant, split};
use crate::cargo::root;

/// Most lines of context before and after a change.
const MOST: usize = 12;

/// Writes what has changed in the crates since `git add` below the header of the patch.
pub(super) fn save(variant: &Variant) -> anyhow::Result<()> {
    let path = root().join(&variant.path);
    let text = fs::read_to_string(&path)?;
    let header = split(&text).0.trim_end();
    let mut misfits = Vec::new();
    // As few lines as tell the place.
    for context in 2..=MOST {
        let context = format!("-U{context}");
        let diff = git(&[
            "diff",
            "--no-color",
            "--no-ext-diff",
            &context,
            "--",
            "wal-*/src/*",
        ])?;
        let of_git = |line: &&str| line.starts_with("diff ") || line.starts_with("index ");
        let lines = diff.lines().filter(|line| !of_git(line));
        let lines: Vec<&str> = lines.map(str::trim_end).collect();
        let text = format!("{header}\n\n{}\n", lines.join("\n").trim_end());
        let saved = Variant::parse(&variant.path, &text)?;
        ensure!(
            !saved.hunks.is_empty(),
            "no crate has changed since `git add`"
        );
        match apply(&[saved], |path| git(&["show", &format!(":{path}")]).ok()) {
            Ok(_) => return fs::write(&path, text).context("could not write the patch"),
            Err(found) => misfits = found,
        }
    }
    bail!(told(&misfits))
}

fn git(args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git")
        .args(args)
        .current_dir(root())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "git {}: {}",
        args.join(" "),
        said.trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}
