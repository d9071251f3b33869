//! What libFuzzer says at its end, read from its output.

/// The numbers of one run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stats {
    pub(super) executions: u64,
    pub(super) seconds: u64,
    /// The input that failed.
    pub(super) find: Option<String>,
}

impl Stats {
    pub(super) fn add_line(&mut self, line: &str) {
        // `Done 1000 runs in 61 second(s)`; a run that fails prints the statistics only.
        if let Some(rest) = line.strip_prefix("Done ") {
            let mut words = rest.split(' ');
            self.executions = number(words.next()).unwrap_or(self.executions);
            self.seconds = number(words.nth(2)).unwrap_or(self.seconds);
        }
        if let Some(rest) = line.strip_prefix("stat::number_of_executed_units:") {
            self.executions = number(Some(rest)).unwrap_or(self.executions);
        }
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.find = Some(path.trim().to_owned());
        }
    }

    pub(super) fn rate(&self) -> u64 {
        self.executions / self.seconds.max(1)
    }
}

fn number(text: Option<&str>) -> Option<u64> {
    text?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str) -> Stats {
        let mut stats = Stats::default();
        output.lines().for_each(|line| stats.add_line(line));
        stats
    }

    #[test]
    fn a_run_to_the_end() {
        let stats = read(
            "#267915\tREDUCE cov: 993 ft: 2872 corp: 631/43Kb lim: 944 exec/s: 14100 rss: 464Mb\n\
             Done 1107315 runs in 601 second(s)\n\
             stat::number_of_executed_units: 1107315\n\
             stat::average_exec_per_sec:     1842\n",
        );
        assert_eq!((stats.executions, stats.seconds), (1_107_315, 601));
        assert_eq!((stats.rate(), stats.find), (1842, None));
    }

    #[test]
    fn a_run_that_failed() {
        let stats = read(
            "SUMMARY: libFuzzer: deadly signal\n\
             artifact_prefix='fuzz/artifacts/record/'; Test unit written to fuzz/artifacts/record/crash-1a\n\
             stat::number_of_executed_units: 77\n",
        );
        assert_eq!(stats.executions, 77);
        assert_eq!(
            stats.find.as_deref(),
            Some("fuzz/artifacts/record/crash-1a")
        );
    }
}
