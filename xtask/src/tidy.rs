//! `cargo xtask tidy`: rules of the source tree that no compiler checks.
//!
//! A rule is one function from the tree to its findings; `RULES` lists them all. A rule reads
//! `Tree` and nothing else, so a test gives it a tree of a few lines. Nothing here changes a file.

mod finding;
mod imports;
mod lexer;
mod manifest;
mod paths;
mod rules;
mod scope;
mod tree;

use crate::cargo::root;
use finding::{Finding, Rule};
use rules::RULES;
use tree::Tree;

/// What to check: the files that git tracks, and new ones that it does not ignore.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the rules and check nothing.
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    if args.list {
        for rule in RULES {
            println!("{:<18} {}", rule.name, rule.asks);
        }
        return Ok(true);
    }
    check()
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
