//! A rule and what it finds.

use std::fmt;

use super::tree::Tree;

/// A rule, its name, and what it asks for in one line.
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) asks: &'static str,
    pub(super) check: fn(&Tree) -> Vec<Finding>,
}

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) path: String,
    /// From 1; 0 where the whole file is meant.
    pub(super) line: usize,
    /// What is there.
    pub(super) what: String,
    /// What to do about it.
    pub(super) remedy: String,
}

impl Finding {
    pub(super) fn new(
        path: &str,
        line: usize,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
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
