//! The files of the repository.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Those that git tracks, and those that are new and not ignored: paths relative to `root`, with `/`.
pub(crate) fn list(root: &Path) -> anyhow::Result<Vec<String>> {
    let listing = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .output()
        .context("could not start git, which names the files of the repository")?;
    ensure!(
        listing.status.success(),
        "git could not name the files of the repository: {}",
        String::from_utf8_lossy(&listing.stderr).trim()
    );
    let listing = String::from_utf8_lossy(&listing.stdout);
    // A file that was removed but not yet from the index, or a submodule, is left out.
    let there = |path: &&str| !path.is_empty() && root.join(path).is_file();
    Ok(listing
        .split('\0')
        .filter(there)
        .map(str::to_owned)
        .collect())
}
