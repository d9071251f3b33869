//! Parses the output of strace: the calls, their threads, and the faults that struck them.

use std::collections::BTreeMap;

/// The beginning of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) thread: u32,
    pub(super) name: String,
    /// All behind the opening bracket, as far as it is on the same line.
    pub(super) rest: String,
}

impl Call {
    /// A line such as `17 openat(AT_FDCWD, "a", O_RDONLY) = 3`; `None` for the second half of a call, a signal or an exit.
    fn of(line: &str) -> Option<Self> {
        let (thread, rest) = line.trim_start().split_once(' ')?;
        let (name, rest) = rest.trim_start().split_once('(')?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(is_name) {
            return None;
        }
        Some(Self {
            thread: thread.parse().ok()?,
            name: name.to_owned(),
            rest: rest.to_owned(),
        })
    }

    /// Whether it is about something at or below `directory`.
    pub(super) fn touches(&self, directory: &str) -> bool {
        paths(&self.rest).any(|path| is_below(path, directory))
    }
}

/// The calls of a trace, in order.
pub(super) fn calls(trace: &str) -> Vec<Call> {
    trace.lines().filter_map(Call::of).collect()
}

/// The calls of this trace that an injection has struck: whole lines. A call that was resumed is put together again.
pub(super) fn struck(trace: &str) -> Vec<String> {
    let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
    let mut struck = Vec::new();
    for line in trace.lines() {
        let line = line.trim_start();
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        if let Some(first) = line.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, first);
        }
        let marked = rest.ends_with("(INJECTED)") || rest.ends_with("(DELAYED)");
        if !marked {
            continue;
        }
        let resumed = rest.trim_start().starts_with("<...");
        let first = begun.get(thread).filter(|_| resumed);
        struck.push(first.map_or_else(|| line.to_owned(), |first| format!("{first} {rest}")));
    }
    struck
}

/// Whether the process was killed.
pub(super) fn was_killed(trace: &str) -> bool {
    trace.contains("+++ killed by SIGKILL +++")
}

/// Everything in quotes, and the files of descriptors, which strace puts in angle brackets.
fn paths(rest: &str) -> impl Iterator<Item = &str> {
    let quoted = rest.split('"').skip(1).step_by(2);
    let files = rest.split('<').skip(1);
    let files = files.filter_map(|piece| piece.split_once('>').map(|(path, _)| path));
    quoted.chain(files)
}

fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Every path at or below `directory` that a trace names.
pub(super) fn paths_below(calls: &[Call], directory: &str) -> Vec<String> {
    let all = calls.iter().flat_map(|call| paths(&call.rest));
    let mut below: Vec<String> = all
        .filter(|path| is_below(path, directory))
        .map(str::to_owned)
        .collect();
    below.sort();
    below.dedup();
    below
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "\
17 openat(AT_FDCWD</tmp>, \"/tmp/log\", O_RDONLY) = 3</tmp/log>
17 fdatasync(4</tmp/log/1.wal> <unfinished ...>
18 openat(3</tmp/log>, \"2.spare\", O_RDWR|O_CREAT, 0666 <unfinished ...>
17 <... fdatasync resumed>)          = -1 EIO (Input/output error) (INJECTED)
18 <... openat resumed>)             = 5</tmp/log/2.spare>
17 openat(AT_FDCWD</tmp>, \"/tmp/logs\", O_RDONLY) = -1 EMFILE (Too many open files) (INJECTED)
18 --- SIGTERM {si_signo=SIGTERM, si_code=SI_KERNEL} ---
18 +++ exited with 0 +++
";

    #[test]
    fn a_call_is_seen_once_even_if_another_thread_came_in_between() {
        let names: Vec<_> = calls(TRACE)
            .into_iter()
            .map(|call| (call.thread, call.name))
            .collect();
        let expected = [
            (17, "openat"),
            (17, "fdatasync"),
            (18, "openat"),
            (17, "openat"),
        ];
        assert_eq!(
            names,
            expected.map(|(thread, name)| (thread, name.to_owned()))
        );
    }

    #[test]
    fn a_call_touches_a_directory_by_its_path_a_descriptor_or_a_name_in_it() {
        let touches: Vec<_> = calls(TRACE)
            .iter()
            .map(|call| call.touches("/tmp/log"))
            .collect();
        assert_eq!(touches, [true, true, true, false]);
    }

    #[test]
    fn what_was_struck_is_told_with_its_arguments() {
        let struck = struck(TRACE);
        assert_eq!(struck.len(), 2);
        assert!(
            struck[0].contains("fdatasync(4</tmp/log/1.wal>"),
            "{struck:?}"
        );
        assert!(struck[0].contains("EIO"), "{struck:?}");
        assert!(struck[1].contains("/tmp/logs"), "{struck:?}");
        assert!(!was_killed(TRACE));
        assert!(was_killed("17 +++ killed by SIGKILL +++\n"));
    }

    #[test]
    fn the_paths_of_a_log_are_those_at_or_below_it() {
        assert_eq!(
            paths_below(&calls(TRACE), "/tmp/log"),
            ["/tmp/log", "/tmp/log/1.wal"]
        );
    }
}
