//! A workload: something that is measured.

use crate::contest::{Ground, Outcome};

/// Something that is measured.
#[derive(Debug)]
pub struct Workload {
    /// As the command line and the report name it.
    pub name: &'static str,
    pub(crate) run: WorkloadRun,
}

/// Measures, and says in a sentence or two what.
type WorkloadRun = fn(&Ground<'_>) -> anyhow::Result<(String, Outcome)>;

impl Workload {
    pub(crate) const fn new(name: &'static str, run: WorkloadRun) -> Self {
        Self { name, run }
    }

    /// Whether `name` asks for it.
    pub(crate) fn is_meant_by(&self, name: &str) -> bool {
        let in_group = |rest: &str| GROUPS.contains(&name) && rest.starts_with('-');
        self.name == name || self.name.strip_prefix(name).is_some_and(in_group)
    }
}

/// Several that are asked for by one name, which theirs begin with.
pub(crate) const GROUPS: &[&str] = &["kv"];
