//! Mistakes about the environment: exhausted descriptors, slow calls, hundreds of sessions, a fault in a system call.

use super::{Variant, fault, programs, sessions};

pub(super) const VARIANTS: &[Variant] = &[
    // Descriptors that run out, and slow calls.
    programs(
        "failed-open-poisons",
        "a file that cannot be opened is no failed sync",
    ),
    programs("slow-sync-taken-for-failed", "a slow disk is no broken one"),
    // Hundreds of sessions.
    sessions(
        "sealed-segment-kept-open",
        "open files have a bound",
        "sessions::processes::sessions_of_a_log_in_one_process_pile_nothing_up",
    ),
    sessions(
        "leftovers-kept",
        "files on disk have a bound, through any number of kills",
        "sessions::processes::sessions_of_a_log_as_processes_lose_nothing_and_pile_nothing_up",
    ),
    // The command, with a fault at one of its system calls.
    fault(
        "disk-sync-error-ignored",
        "5: a failed sync is final, as the system reports it",
        "append always fdatasync EIO 3",
    ),
    fault(
        "disk-write-error-ignored",
        "5: a failed write is final, as the system reports it",
        "append always pwrite64 ENOSPC 4",
    ),
    fault(
        "thread-start-unwrapped",
        "a thread that cannot start is an error, no panic",
        "append batch clone3 EAGAIN 2",
    ),
];
