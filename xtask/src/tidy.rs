//! `cargo xtask tidy`: rules of the source tree that no compiler checks.
//!
//! A rule is one function from the tree to its findings; `RULES` lists them all. A rule reads
//! `Tree` and nothing else, so a test gives it a tree of a few lines. Nothing here changes a file.

mod imports;
mod lexer;
mod manifest;
mod paths;
mod rules;
mod scope;
mod tree;

use std::fmt;
use std::process::ExitCode;

use crate::cargo::root;
use rules::RULES;
use tree::Tree;

/// What to check: the files that git tracks, and new ones that it does not ignore.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the rules and check nothing.
    #[arg(long)]
    list: bool,
}

/// A rule, its name, and what it asks for in one line.
struct Rule {
    name: &'static str,
    asks: &'static str,
    check: fn(&Tree) -> Vec<Finding>,
}

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// From 1; 0 where the whole file is meant.
    line: usize,
    /// What is there.
    what: String,
    /// What to do about it.
    remedy: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.remedy)
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.list {
        for rule in RULES {
            println!("{:<18} {}", rule.name, rule.asks);
        }
        return Ok(ExitCode::SUCCESS);
    }
    Ok(if check()? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Prints what breaks a rule; true if nothing does.
pub(crate) fn check() -> anyhow::Result<bool> {
    let tree = Tree::read(&root())?;
    let mut lines: Vec<(String, usize, String)> = Vec::new();
    for rule in RULES {
        for finding in (rule.check)(&tree) {
            let text = format!(
                "{}:{}: {}: {finding}",
                finding.path, finding.line, rule.name
            );
            lines.push((finding.path, finding.line, text));
        }
    }
    lines.sort();
    for (_, _, text) in &lines {
        println!("{text}");
    }
    let (files, rules) = (tree.files().len(), RULES.len());
    if lines.is_empty() {
        println!("tidy: {files} files keep {rules} rules");
    } else {
        println!("tidy: {} findings in {files} files", lines.len());
    }
    Ok(lines.is_empty())
}
