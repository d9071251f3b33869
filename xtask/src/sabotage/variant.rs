//! A deliberate mistake, and how to write one down.

use std::fmt;

/// A deliberate mistake.
#[derive(Debug)]
pub(super) struct Variant {
    pub(super) name: &'static str,
    /// The rule or the promise that it breaks; invariants are those of ARCHITECTURE.md.
    pub(super) breaks: &'static str,
    pub(super) seen: Seen,
}

impl Variant {
    /// Whether only a trace of the system calls shows it.
    pub(super) fn needs_strace(&self) -> bool {
        match &self.seen {
            Seen::ByPrograms => false,
            Seen::By(test) => test.target.name == SYSCALLS,
            Seen::ByFault(_) => true,
        }
    }
}

/// The test program that traces the command.
const SYSCALLS: &str = "syscalls";

/// Who notices.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The random crash programs.
    ByPrograms,
    /// A test: it needs threads, damage at rest, or an eye on the system calls.
    By(Test),
    /// A fault in one system call of the command: a case of `cargo xtask syscalls`.
    ByFault(&'static str),
}

/// A test program; the unit tests of a package have the name of its library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub(super) package: &'static str,
    pub(super) name: &'static str,
}

/// One test of a test program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) target: Target,
    pub(super) name: &'static str,
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.name)
    }
}

pub(super) const fn programs(name: &'static str, breaks: &'static str) -> Variant {
    Variant {
        name,
        breaks,
        seen: Seen::ByPrograms,
    }
}

pub(super) const fn test(
    name: &'static str,
    breaks: &'static str,
    package: &'static str,
    program: &'static str,
    test: &'static str,
) -> Variant {
    let target = Target {
        package,
        name: program,
    };
    let test = Test { target, name: test };
    Variant {
        name,
        breaks,
        seen: Seen::By(test),
    }
}

/// By a test of a promise.
pub(super) const fn promise(name: &'static str, breaks: &'static str, by: &'static str) -> Variant {
    test(name, breaks, "wal-core", "promises", by)
}

/// By a row of the table of what recovery does.
pub(super) const fn row(name: &'static str, breaks: &'static str, by: &'static str) -> Variant {
    test(name, breaks, "wal-core", "recovery_table", by)
}

/// By the system calls of the command.
pub(super) const fn calls(name: &'static str, breaks: &'static str, by: &'static str) -> Variant {
    test(name, breaks, "wal-cli", SYSCALLS, by)
}

/// By hundreds of sessions of a log or a store.
pub(super) const fn sessions(
    name: &'static str,
    breaks: &'static str,
    by: &'static str,
) -> Variant {
    store(name, breaks, "sessions", by)
}

/// By a fault in one of the command's system calls.
pub(super) const fn fault(name: &'static str, breaks: &'static str, case: &'static str) -> Variant {
    Variant {
        name,
        breaks,
        seen: Seen::ByFault(case),
    }
}

/// By a test of the store.
pub(super) const fn store(
    name: &'static str,
    breaks: &'static str,
    program: &'static str,
    by: &'static str,
) -> Variant {
    test(name, breaks, "wal-kv", program, by)
}
