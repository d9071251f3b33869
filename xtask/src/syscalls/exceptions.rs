//! Exceptions from the general rules, each with its reason. A fault that breaks a rule and is not here is a violation.

use super::case::{Case, Effect};
use super::table::is_memory;

/// Memory: Rust's allocator ends a process that gets none, and the standard library panics in a thread whose stack it cannot
/// set up. Neither is in our hands. Then the run counts as killed: what was acknowledged must be there.
pub(super) fn may_end_the_process(case: &Case) -> bool {
    is_memory(&case.call) && matches!(case.effect, Effect::Error(_))
}

/// A message that says nothing of the error, because its own `write` was struck too, in another thread than the error's.
pub(super) fn may_be_silent(struck: &[String]) -> bool {
    struck.iter().any(|line| line.contains("write(2<"))
}

/// Failures of a call after which nothing is lost.
pub(super) fn is_harmless(line: &str) -> bool {
    // Zeros written ahead of the records, through a second descriptor: no promise rests on them. Records begin with a header.
    line.contains("pwrite64(") && line.contains(r#", "\0\0\0\0\0\0\0\0"..., "#)
}

/// Success although not all was printed: a reader that went away has what it wanted, as `wal --help` says.
pub(super) fn may_print_less(case: &Case) -> bool {
    case.call == "write" && case.effect == Effect::Error("EPIPE".into())
}
