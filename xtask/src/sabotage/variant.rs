//! What can be broken: one patch for each variant, `xtask/sabotage/GROUP/NAME.patch`.
//!
//! Each variant is a mistake that some log has been shipped with, or could be. Above its diff, a patch names the rule that it
//! breaks, and what must find it:
//!
//! ```text
//! Breaks: 4: acknowledged by a sync
//! Found by: random programs
//! ```
//!
//! or `test PACKAGE PROGRAM TEST`, or `fault CASE`.

use std::fmt;
use std::fs;

use anyhow::{Context as _, bail, ensure};

use super::hunk::{Hunk, hunks};
use crate::cargo::root;
use crate::files;

/// The folder of the patches, and of the switch that chooses one of them.
pub(crate) const FOLDER: &str = "xtask/sabotage/";

/// A deliberate mistake.
#[derive(Debug)]
pub(crate) struct Variant {
    pub(crate) path: String,
    pub(super) name: String,
    /// The rule or the promise that it breaks; invariants are those of ARCHITECTURE.md.
    pub(super) breaks: String,
    pub(super) seen: Seen,
    pub(super) hunks: Vec<Hunk>,
}

/// The test program that traces the command.
const SYSCALLS: &str = "syscalls";

/// What finds it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The random crash programs.
    ByPrograms,
    /// A test: it needs threads, damage at rest, or a trace of the system calls.
    By(Test),
    /// A fault in one system call of the command: a case of `cargo xtask syscalls`.
    ByFault(String),
}

/// A test program; the unit tests of a package have the name of its library.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub(super) package: String,
    pub(super) name: String,
}

/// One test of a test program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) target: Target,
    pub(super) name: String,
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.name)
    }
}

impl Seen {
    fn parse(text: &str) -> Option<Self> {
        if text == "random programs" {
            return Some(Self::ByPrograms);
        }
        let (kind, rest) = text.split_once(' ')?;
        match (kind, &rest.split(' ').collect::<Vec<_>>()[..]) {
            ("fault", _) => Some(Self::ByFault(rest.into())),
            ("test", &[package, program, name]) => Some(Self::By(Test {
                target: Target {
                    package: package.into(),
                    name: program.into(),
                },
                name: name.into(),
            })),
            _ => None,
        }
    }
}

impl Variant {
    /// Reads the patch at `path`.
    pub(crate) fn parse(path: &str, text: &str) -> anyhow::Result<Self> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let name = name.trim_end_matches(".patch");
        let (header, diff) = split(text);
        let value = |key: &str| {
            let value = header.lines().find_map(|line| line.strip_prefix(key));
            value
                .map(str::trim)
                .with_context(|| format!("the line `{key}` is missing"))
        };
        let seen = value("Found by:")?;
        let seen = Seen::parse(seen)
            .with_context(|| format!("`Found by: {seen}` names no test and no fault"))?;
        let hunks = hunks(diff)?;
        let names: Vec<String> = hunks.iter().flat_map(Hunk::names).collect();
        ensure!(
            hunks.is_empty() || !names.is_empty(),
            "no added line asks whether the variant is switched on"
        );
        if let Some(other) = names.iter().find(|other| *other != name) {
            bail!("it asks for another variant, {other:?}");
        }
        Ok(Self {
            path: path.into(),
            name: name.into(),
            breaks: value("Breaks:")?.into(),
            seen,
            hunks,
        })
    }

    /// Whether the patch has only its header yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.hunks.is_empty()
    }

    /// Whether only a trace of the system calls shows it.
    pub(super) fn needs_strace(&self) -> bool {
        match &self.seen {
            Seen::ByPrograms => false,
            Seen::By(test) => test.target.name == SYSCALLS,
            Seen::ByFault(_) => true,
        }
    }
}

/// The header and the diff of a patch.
pub(super) fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find("--- ").unwrap_or(text.len()))
}

/// Whether this is the path of a patch.
pub(crate) fn is_patch(path: &str) -> bool {
    path.starts_with(FOLDER) && path.strip_suffix(".patch").is_some()
}

/// All variants, in the order of their paths.
pub(super) fn variants() -> anyhow::Result<Vec<Variant>> {
    let mut paths = files::list(&root())?;
    paths.retain(|path| is_patch(path));
    paths.sort_unstable();
    let variant = |path: &String| {
        let read = fs::read_to_string(root().join(path)).map_err(anyhow::Error::from);
        read.and_then(|text| Variant::parse(path, &text))
            .with_context(|| path.clone())
    };
    paths.iter().map(variant).collect()
}
