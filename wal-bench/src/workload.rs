//! A workload: something that is measured.

use std::fmt;

use crate::contest::{Ground, Outcome};

/// Something that is measured.
pub struct Workload {
    /// As the command line and the report name it.
    pub name: &'static str,
    pub(crate) run: fn(&Ground<'_>) -> anyhow::Result<(String, Outcome)>,
}

impl Workload {
    /// Whether `name` asks for it.
    pub(crate) fn is_meant_by(&self, name: &str) -> bool {
        let in_group = |rest: &str| GROUPS.contains(&name) && rest.starts_with('-');
        self.name == name || self.name.strip_prefix(name).is_some_and(in_group)
    }
}

impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Workload").field(&self.name).finish()
    }
}

/// Several that are asked for by one name, which theirs begin with.
pub(crate) const GROUPS: &[&str] = &["kv"];
