//! One case: an operation of the command, a system call in it, what happens to that call, and at which occurrence. Its text
//! is what a violation prints and `--replay` takes: `append always fdatasync EIO 3`.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use clap::ValueEnum;

/// The operation of the command, and the log that it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Operation {
    /// Append to a log that does not exist yet, under a policy.
    AppendAlways,
    AppendBatch,
    AppendOs,
    /// Open a log whose writer was killed, and append one line.
    Open,
    TruncateBefore,
    TruncateAfter,
    /// Repair a log with one bad byte.
    Repair,
    Verify,
    Stat,
    Cat,
}

impl Operation {
    /// The words of the variant's name, in small letters.
    pub(super) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().replace('-', " "))
    }

    /// Whether it promises to change no file.
    pub(super) fn only_reads(self) -> bool {
        matches!(self, Self::Verify | Self::Stat | Self::Cat)
    }
}

/// The fault in the call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    /// It is not made, and fails with this error.
    Error(String),
    /// The process is killed as it makes the call.
    Kill,
    /// The call is late.
    Delay,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(errno) => f.write_str(errno),
            Self::Kill => f.write_str("kill"),
            Self::Delay => f.write_str("delay"),
        }
    }
}

/// One fault in one run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Case {
    pub(super) operation: Operation,
    pub(super) call: String,
    pub(super) effect: Effect,
    /// From 1 on. strace counts the calls of each thread by themselves, so two threads may both be struck.
    pub(super) occurrence: u64,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            call,
            effect,
            occurrence,
            ..
        } = self;
        let operation = self.operation.name();
        write!(f, "{operation} {call} {effect} {occurrence}")
    }
}

impl FromStr for Case {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [operation @ .., call, effect, occurrence] = &words[..] else {
            bail!("{text:?} is no case: it is OPERATION CALL EFFECT OCCURRENCE");
        };
        let name = operation.join(" ");
        let operation = Operation::value_variants()
            .iter()
            .copied()
            .find(|operation| operation.name() == name)
            .with_context(|| format!("there is no operation {name:?}"))?;
        let effect = match *effect {
            "kill" => Effect::Kill,
            "delay" => Effect::Delay,
            errno if errno.starts_with('E') => Effect::Error(errno.to_owned()),
            other => bail!("{other:?} is no effect: it is an error such as EIO, kill or delay"),
        };
        let occurrence = occurrence
            .parse()
            .ok()
            .filter(|occurrence| *occurrence > 0)
            .with_context(|| format!("{occurrence:?} is no occurrence: they start at 1"))?;
        Ok(Self {
            operation,
            call: (*call).to_owned(),
            effect,
            occurrence,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_read_back_from_its_text() {
        for operation in Operation::value_variants().iter().copied() {
            for effect in [Effect::Error("EIO".into()), Effect::Kill, Effect::Delay] {
                let case = Case {
                    operation,
                    call: "fdatasync".into(),
                    effect,
                    occurrence: 3,
                };
                assert_eq!(case.to_string().parse::<Case>().expect("a case"), case);
            }
        }
    }

    #[test]
    fn the_text_is_what_the_documents_show() {
        let case: Case = "append always fdatasync EIO 3".parse().expect("a case");
        assert_eq!(case.operation, Operation::AppendAlways);
        assert_eq!(case.to_string(), "append always fdatasync EIO 3");
    }

    #[test]
    fn what_is_no_case_is_refused_with_what_is_wrong() {
        for (text, says) in [
            ("", "OPERATION CALL EFFECT OCCURRENCE"),
            ("append never fdatasync EIO 3", "append never"),
            ("cat openat late 1", "late"),
            ("cat openat EIO 0", "start at 1"),
        ] {
            let error = text.parse::<Case>().expect_err(text).to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
