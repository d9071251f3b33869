//! Judges a run under a fault. Pure: it gets the observations as arguments.

use super::case::{Case, Effect, Operation};
use super::exceptions;
use super::table::{is_hard, words};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Code(i32),
    Signal(i32),
    /// It was not at its end within the limit of time.
    Hung,
}

/// The number of the signal that cannot be caught.
const KILLED: i32 = 9;

/// A command that has ended, and what it printed.
#[derive(Debug, Clone)]
pub(super) struct Ran {
    pub(super) ended: Ended,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
}

/// The numbers of the lines that a log holds, in order, or what else `wal cat` gave.
pub(super) type Content = Result<Vec<u64>, String>;

/// Everything that was seen of a case.
#[derive(Debug)]
pub(super) struct Observed {
    /// The command under the fault.
    pub(super) ran: Ran,
    /// The calls that were struck, as strace shows them.
    pub(super) struck: Vec<String>,
    /// What it prints without a fault.
    pub(super) clean_stdout: Vec<u8>,
    /// What the log holds right after it.
    pub(super) content: Content,
    /// Whether any byte of any file in the place differs from before.
    pub(super) changed: bool,
    /// The exit code of `wal verify` after it.
    pub(super) verified: Ended,
    /// A second repair, where the operation is one.
    pub(super) again: Option<Ran>,
    /// An append of one more line, number [`NEXT_LINE`].
    pub(super) next: Ran,
    /// What the log holds after that.
    pub(super) next_content: Content,
}

/// The lines of the log that `truncate`, `verify`, `stat` and `cat` are given, and those that the appends add.
pub(super) const LINES: u64 = 10;
/// The lines of the log whose writer was killed; all were acknowledged.
pub(super) const KILLED_LINES: u64 = 5;
/// The line that the bad byte is in.
pub(super) const DAMAGED_LINE: u64 = 5;
/// `wal truncate --before`.
pub(super) const KEPT_FROM: u64 = 7;
/// `wal truncate --after`.
pub(super) const KEPT_TO: u64 = 5;
/// The line of the append after the fault.
pub(super) const NEXT_LINE: u64 = 99;

/// The broken promises, in words.
pub(super) fn judge(case: &Case, seen: &Observed) -> Vec<String> {
    let mut broken = Vec::new();
    judge_end(case, seen, &mut broken);
    judge_success(case, seen, &mut broken);
    judge_content(case, seen, &mut broken);
    judge_afterwards(seen, &mut broken);
    broken
}

/// The exit code and the message fit.
fn judge_end(case: &Case, seen: &Observed, broken: &mut Vec<String>) {
    let stderr = &seen.ran.stderr;
    let excused = exceptions::may_end_the_process(case);
    if stderr.contains("panicked") && !excused {
        broken.push("it panicked".into());
    }
    match seen.ran.ended {
        Ended::Hung => broken.push("it hung".into()),
        Ended::Signal(KILLED) if case.effect == Effect::Kill => {}
        Ended::Signal(_) if excused => {}
        Ended::Signal(signal) => broken.push(format!("it was ended by signal {signal}")),
        Ended::Code(0) => {}
        Ended::Code(code) => match &case.effect {
            Effect::Delay => broken.push(format!("late, and exit code {code}")),
            Effect::Error(_) if excused => {}
            Effect::Error(errno) => {
                let locked = case.call == "flock" && errno == "EAGAIN";
                if code != 1 && !(locked && code == 5) {
                    broken.push(format!("exit code {code} for an error of the system"));
                }
                let lower = stderr.to_lowercase();
                let named = words(errno).iter().any(|word| lower.contains(word));
                if !named && !exceptions::may_be_silent(&seen.struck) {
                    broken.push(format!("the message does not name {errno}"));
                }
            }
            Effect::Kill => broken.push(format!("killed, and exit code {code}")),
        },
    }
}

/// Success must not be reported for something that did not happen.
fn judge_success(case: &Case, seen: &Observed, broken: &mut Vec<String>) {
    if seen.ran.ended != Ended::Code(0) {
        return;
    }
    if case.operation.only_reads()
        && seen.ran.stdout != seen.clean_stdout
        && !exceptions::may_print_less(case)
    {
        broken.push("exit code 0, and it printed something else than without the fault".into());
    }
    if let Effect::Error(errno) = &case.effect
        && is_hard(errno)
        && matches!(&*case.call, "fdatasync" | "pwrite64")
    {
        for line in &seen.struck {
            let of_a_segment = line.contains(".wal>");
            if of_a_segment && !exceptions::is_harmless(line) {
                broken.push(format!("exit code 0 after a failure that is final: {line}"));
            }
        }
    }
}

/// The log holds the acknowledged records, in order, and nothing else.
fn judge_content(case: &Case, seen: &Observed, broken: &mut Vec<String>) {
    let content = match &seen.content {
        Ok(content) => content,
        Err(what) => return broken.push(format!("the log cannot be read: {what}")),
    };
    let success = seen.ran.ended == Ended::Code(0);
    let range = |from: u64, to: u64| (from..=to).collect::<Vec<_>>();
    let allowed = match case.operation {
        Operation::AppendAlways | Operation::AppendBatch | Operation::AppendOs => {
            let least = acknowledged(seen, 1, LINES, success, broken);
            (least..=LINES).map(|last| range(1, last)).collect()
        }
        Operation::Open => {
            let first = KILLED_LINES + 1;
            let least = acknowledged(seen, first, 1, success, broken).max(KILLED_LINES);
            (least..=first).map(|last| range(1, last)).collect()
        }
        Operation::TruncateBefore if success => vec![range(KEPT_FROM, LINES)],
        Operation::TruncateBefore => (1..=KEPT_FROM).map(|first| range(first, LINES)).collect(),
        Operation::TruncateAfter if success => vec![range(1, KEPT_TO)],
        Operation::TruncateAfter => vec![range(1, LINES), range(1, KEPT_TO)],
        Operation::Repair => {
            let mut kept = range(1, LINES);
            kept.retain(|line| *line != DAMAGED_LINE);
            vec![kept]
        }
        Operation::Verify | Operation::Stat | Operation::Cat => vec![range(1, LINES)],
    };
    if !allowed.contains(content) {
        broken.push(format!("the log holds lines {content:?}"));
    }
    if case.operation.only_reads() && seen.changed {
        broken.push("it changed a file".into());
    }
    if case.operation == Operation::Cat && !seen.clean_stdout.starts_with(&seen.ran.stdout) {
        broken.push("it printed something that is not in the log".into());
    }
}

/// The last LSN acknowledged, where `first` is the first and `count` were appended.
fn acknowledged(
    seen: &Observed,
    first: u64,
    count: u64,
    success: bool,
    broken: &mut Vec<String>,
) -> u64 {
    // A line that an error or a kill has cut short is no acknowledgement.
    let text = String::from_utf8_lossy(&seen.ran.stdout);
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let acks: Vec<u64> = whole.lines().filter_map(|line| line.parse().ok()).collect();
    let expected: Vec<u64> = (first..).take(acks.len()).collect();
    if acks != expected {
        broken.push(format!(
            "acknowledged {acks:?}, from {first} on were expected"
        ));
    }
    let all = first + count - 1;
    if success {
        return all;
    }
    acks.last().copied().unwrap_or(0)
}

/// The next run works, and finds everything that this one left.
fn judge_afterwards(seen: &Observed, broken: &mut Vec<String>) {
    let empty = seen.content.as_ref().is_ok_and(Vec::is_empty);
    if !matches!(seen.verified, Ended::Code(0 | 3)) && !empty && seen.again.is_none() {
        broken.push(format!("verify says {:?}", seen.verified));
    }
    if let Some(again) = &seen.again
        && again.ended != Ended::Code(0)
    {
        let Ran { ended, stderr, .. } = again;
        broken.push(format!("the second repair: {ended:?}: {stderr}"));
    }
    let Ran { ended, stderr, .. } = &seen.next;
    if *ended != Ended::Code(0) {
        return broken.push(format!("the next append: {ended:?}: {stderr}"));
    }
    let mut expected = seen.content.clone().unwrap_or_default();
    expected.push(NEXT_LINE);
    if seen.next_content.as_ref() != Ok(&expected) {
        let found = &seen.next_content;
        broken.push(format!("after the next append the log holds {found:?}"));
    }
}

#[cfg(test)]
mod tests;
