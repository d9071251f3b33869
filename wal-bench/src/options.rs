//! What is run, how often, and how much of it: the command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;

use crate::size::Size;
use crate::workload::Workload;
use crate::workloads;

/// The workloads of a log, in turns with hand-written limits.
#[derive(Clone, Debug, Default, clap::Parser)]
#[command(name = "wal-bench", max_term_width = 100)]
pub struct Options {
    /// Only these workloads: as --only.
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(workloads::names()), hide_possible_values = true)]
    pub names: Vec<String>,
    /// Where the files go, in a temporary directory of its own [default: the system's].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Only this workload, or all of the store (kv); may be given more than once.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(workloads::names()))]
    pub only: Vec<String>,
    /// Turns that each contender has [default: 9, full: 7, quick: 2].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub turns: Option<u32>,
    /// Where the report is written as JSON [default: target/bench.json].
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Compare with the report of an earlier run, and fail if something has become slower than noise explains.
    #[arg(long, value_name = "OLD.json")]
    pub compare: Option<PathBuf>,
    /// The whole matrix and logs of up to 4 GiB: ten minutes or more, and 5 GiB of disk.
    #[arg(long, conflicts_with = "quick")]
    pub full: bool,
    /// Tiny sizes: shows that everything runs. The figures mean nothing.
    #[arg(long)]
    pub quick: bool,
    /// What a process of its own does for a workload.
    #[arg(long, hide = true, value_name = "JSON")]
    pub errand: Option<String>,
}

impl Options {
    /// The workloads asked for, in their order.
    #[must_use]
    pub fn workloads(&self) -> Vec<&'static Workload> {
        let names = || self.names.iter().chain(&self.only);
        let wanted = |workload: &Workload| {
            names().next().is_none() || names().any(|name| workload.is_meant_by(name))
        };
        let all = workloads::ALL.iter();
        all.filter(|workload| wanted(workload)).collect()
    }

    /// The turns asked for.
    #[must_use]
    pub fn turns(&self) -> u32 {
        self.turns.unwrap_or(self.size().pick(2, 9, 7))
    }

    /// The sizes asked for.
    #[must_use]
    pub fn size(&self) -> Size {
        match (self.quick, self.full) {
            (true, _) => Size::Quick,
            (false, true) => Size::Full,
            (false, false) => Size::Short,
        }
    }
}
