//! `cargo xtask api`: the public API of the libraries, one line per item, in `docs/api`.
//!
//! The compiler expands a crate's macros and features, and the listing is made from that. Hidden items and features without a
//! promise (`engine`) are not in it. The flag that prints the expanded source is not stable, so this is a build of
//! its own, in a target directory of its own.

mod bodies;
mod listing;
mod render;

use std::fs;
use std::process::Stdio;

use anyhow::{Context as _, anyhow, bail};

use crate::cargo::{Cargo, root};

/// The libraries, with the features that they are listed with, in addition to the default ones.
const LIBRARIES: [(&str, &str); 4] = [
    ("wal-format", "--features serde"),
    ("wal-io", ""),
    ("wal-core", "--features serde"),
    ("wal-kv", "--features serde"),
];

/// What to do with the listings. Without an option they are written.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Compare the listings with the code, and change nothing.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    if args.check {
        return check();
    }
    fs::create_dir_all(root().join("docs/api"))?;
    for (library, features) in LIBRARIES {
        fs::write(file(library), list(library, features)?)?;
    }
    Ok(true)
}

/// Prints what differs; true if nothing does.
pub(crate) fn check() -> anyhow::Result<bool> {
    let mut same = true;
    for (library, features) in LIBRARIES {
        let (new, old) = (list(library, features)?, fs::read_to_string(file(library))?);
        for (from, to, sign) in [(&old, &new, '-'), (&new, &old, '+')] {
            for line in from
                .lines()
                .filter(|line| !to.lines().any(|other| other == *line))
            {
                println!("docs/api/{library}.txt: {sign} {line}");
                same = false;
            }
        }
    }
    if !same {
        println!(
            "if the public API is meant to change, run `cargo xtask api`, and add a line to CHANGELOG.md"
        );
    }
    Ok(same)
}

fn file(library: &str) -> std::path::PathBuf {
    root().join(format!("docs/api/{library}.txt"))
}

fn list(library: &str, features: &str) -> anyhow::Result<String> {
    let line = format!(
        "rustc --quiet --target-dir target/api -p {library} --lib {features} --profile check -- -Zunpretty=expanded"
    );
    let cargo = Cargo::new(&line).with_variable("RUSTC_BOOTSTRAP", "1");
    let output = cargo.command().stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("{cargo} failed");
    }
    let source = String::from_utf8(output.stdout)?;
    let tokens: proc_macro2::TokenStream = source
        .parse()
        .map_err(|error| anyhow!("{library}: {error}"))?;
    let file: syn::File = syn::parse2(bodies::without(tokens))
        .with_context(|| format!("the expanded source of {library}"))?;
    let lines = listing::of(&library.replace('-', "_"), &file.items);
    Ok(lines.join("\n") + "\n")
}
