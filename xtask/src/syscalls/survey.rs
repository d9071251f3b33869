//! What there is to strike: the calls of a run without a fault, from the first one that touches the log's place on. What the
//! dynamic linker and the runtime do before that is not the command's.

use std::collections::BTreeMap;

use super::case::{Case, Effect, Operation};
use super::table::{Plausible, plausible};
use super::trace::{Call, paths_below};

/// Which calls of a name count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// All of them.
    Everywhere,
    /// Those on the log's place and what is in it: start-up makes calls of this name too.
    Place,
}

/// The occurrences of one system call that can be struck.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) call: String,
    pub(super) scope: Scope,
    first: u64,
    last: u64,
}

/// The sites of an operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Survey {
    pub(super) sites: Vec<Site>,
    /// Calls that the table does not have.
    pub(super) unknown: Vec<String>,
    /// Paths at or below the place, relative to it; empty for the place itself.
    pub(super) paths: Vec<String>,
}

impl Survey {
    /// From a trace of all calls, where the log's place is the directory `place`.
    pub(super) fn of(calls: &[Call], place: &str) -> Self {
        let start = calls.iter().position(|call| call.touches(place));
        let (before, after) = calls.split_at(start.unwrap_or(calls.len()));
        let mut survey = Self {
            paths: paths_below(calls, place)
                .iter()
                .filter_map(|path| path.strip_prefix(place))
                .filter(|path| !path.contains(".."))
                .map(str::to_owned)
                .collect(),
            ..Self::default()
        };
        let mut names: Vec<&str> = after.iter().map(|call| call.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            match plausible(name) {
                Plausible::LeftOut => continue,
                Plausible::Unknown => survey.unknown.push(name.to_owned()),
                Plausible::Errors(_) => {}
            }
            let is_it = |call: &&Call| call.name == name;
            let at_start = before.iter().filter(is_it).count() as u64;
            let in_place = most(
                after
                    .iter()
                    .filter(is_it)
                    .filter(|call| call.touches(place)),
            );
            let (scope, first, last) = if at_start > 0 && in_place > 0 {
                (Scope::Place, 1, in_place)
            } else {
                (
                    Scope::Everywhere,
                    at_start + 1,
                    most(calls.iter().filter(is_it)),
                )
            };
            survey.sites.push(Site {
                call: name.to_owned(),
                scope,
                first,
                last,
            });
        }
        survey
    }

    /// The site of a call.
    pub(super) fn site(&self, call: &str) -> Option<&Site> {
        self.sites.iter().find(|site| site.call == call)
    }

    /// Every fault that is plausible somewhere.
    pub(super) fn cases(&self, operation: Operation) -> Vec<Case> {
        let mut cases = Vec::new();
        for site in &self.sites {
            let Plausible::Errors(errors) = plausible(&site.call) else {
                continue;
            };
            let errors = errors
                .iter()
                .map(|errno| Effect::Error((*errno).to_owned()));
            for effect in errors.chain([Effect::Kill, Effect::Delay]) {
                cases.extend((site.first..=site.last).map(|occurrence| Case {
                    operation,
                    call: site.call.clone(),
                    effect: effect.clone(),
                    occurrence,
                }));
            }
        }
        cases
    }
}

/// The number of calls of the thread that makes most of them: strace counts each thread's by themselves.
fn most<'a>(calls: impl Iterator<Item = &'a Call>) -> u64 {
    let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
    for call in calls {
        *counts.entry(call.thread).or_default() += 1;
    }
    counts.into_values().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscalls::trace;

    const TRACE: &str = "\
1 openat(AT_FDCWD, \"/lib/libc.so.6\", O_RDONLY) = 3</lib/libc.so.6>
1 read(3</lib/libc.so.6>, \"\", 832) = 832
1 mkdir(\"/t/place/log\", 0777) = 0
1 openat(AT_FDCWD, \"/t/place/log/lock\", O_RDWR) = 3</t/place/log/lock>
1 read(0</t/lines>, \"\", 8192) = 8192
1 read(0</t/lines>, \"\", 8192) = 0
1 futex(0x1, FUTEX_WAKE, 1) = 1
2 openat(3</t/place/log>, \"1.spare\", O_RDWR) = 4</t/place/log/1.spare>
2 openat(3</t/place/log>, \"2.spare\", O_RDWR) = 4</t/place/log/2.spare>
2 fdatasync(4</t/place/log/2.spare>) = 0
2 novel_call(4</t/place/log/2.spare>) = 0
";

    fn survey() -> Survey {
        Survey::of(&trace::calls(TRACE), "/t/place")
    }

    #[test]
    fn start_up_is_not_struck() {
        let survey = survey();
        // The thread that opens most files opens two of the log's.
        let openat = survey.site("openat").expect("it is made");
        assert_eq!(
            (openat.scope, openat.first, openat.last),
            (Scope::Place, 1, 2)
        );
        // Standard input is not in the place: its reads follow those of start-up.
        let read = survey.site("read").expect("it is made");
        assert_eq!(
            (read.scope, read.first, read.last),
            (Scope::Everywhere, 2, 3)
        );
        let sync = survey.site("fdatasync").expect("it is made");
        assert_eq!(
            (sync.scope, sync.first, sync.last),
            (Scope::Everywhere, 1, 1)
        );
    }

    #[test]
    fn a_call_that_the_table_does_not_have_is_named_and_one_it_leaves_out_is_not() {
        let survey = survey();
        assert_eq!(survey.unknown, ["novel_call"]);
        assert_eq!(survey.site("futex"), None);
    }

    #[test]
    fn every_occurrence_gets_every_plausible_fault() {
        let cases = survey().cases(Operation::AppendAlways);
        let of = |call: &str| cases.iter().filter(|case| case.call == call).count();
        assert_eq!(of("fdatasync"), 5 + 2);
        assert_eq!(of("openat"), 2 * (9 + 2));
        assert_eq!(of("novel_call"), 0);
    }

    #[test]
    fn paths_are_relative_to_the_place() {
        assert!(survey().paths.contains(&"/log/2.spare".to_owned()));
    }
}
