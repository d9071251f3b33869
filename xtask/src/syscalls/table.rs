//! Which errors are plausible for which system call. Absent: which calls the command makes (see `survey`).

/// Calls that have nothing to do with files, descriptors, memory or threads, or whose failure the kernel rules out: a `futex`
/// never fails to wake, a thread always gets its own id.
const LEFT_OUT: &[&str] = &[
    "arch_prctl",
    "clock_gettime",
    "clock_nanosleep",
    "execve",
    "exit",
    "exit_group",
    "futex",
    "getpid",
    "gettid",
    "getuid",
    "geteuid",
    "poll",
    "prlimit64",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_yield",
    "set_robust_list",
    "set_tid_address",
    "tgkill",
];

/// The errors with which a call may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plausible {
    /// These errors. The call can also be late, and the process can be killed there.
    Errors(&'static [&'static str]),
    /// The call is not tried.
    LeftOut,
    /// No decision was made about it yet.
    Unknown,
}

pub(super) fn plausible(call: &str) -> Plausible {
    let errors: &'static [&'static str] = match call {
        // Names.
        "openat" | "open" | "openat2" => &[
            "EIO", "EMFILE", "ENFILE", "EINTR", "EACCES", "EROFS", "ENOMEM", "ENOSPC", "EDQUOT",
        ],
        "mkdir" | "mkdirat" => &["EIO", "ENOSPC", "EDQUOT", "EACCES", "EROFS", "ENOMEM"],
        "rename" | "renameat" | "link" | "linkat" => {
            &["EIO", "ENOSPC", "EDQUOT", "EACCES", "EROFS", "ENOMEM"]
        }
        "renameat2" => &[
            "EIO", "ENOSPC", "EDQUOT", "EACCES", "EROFS", "ENOMEM", "EINVAL", "ENOSYS",
        ],
        "unlink" | "unlinkat" | "rmdir" => &["EIO", "EACCES", "EROFS", "ENOMEM"],
        "getdents64" => &["EIO", "ENOMEM", "EINTR"],
        "statx" => &["EIO", "EACCES", "ENOMEM", "ENOSYS"],
        "stat" | "lstat" | "fstat" | "newfstatat" => &["EIO", "EACCES", "ENOMEM"],
        "readlink" | "readlinkat" | "getcwd" | "access" | "faccessat2" => {
            &["EIO", "EACCES", "ENOMEM"]
        }
        "fstatfs" | "statfs" => &["EIO", "ENOMEM", "ENOSYS"],
        // Bytes.
        "read" => &["EIO", "EINTR", "EAGAIN"],
        "pread64" | "preadv" | "preadv2" | "readv" => &["EIO", "EINTR", "ENOMEM"],
        "write" => &[
            "EIO", "ENOSPC", "EDQUOT", "EFBIG", "EINTR", "EAGAIN", "EPIPE",
        ],
        "pwrite64" | "pwritev" | "pwritev2" | "writev" => {
            &["EIO", "ENOSPC", "EDQUOT", "EFBIG", "EINTR"]
        }
        "copy_file_range" | "sendfile" | "splice" => {
            &["EIO", "ENOSPC", "EDQUOT", "EFBIG", "EINVAL", "ENOSYS"]
        }
        "fsync" | "fdatasync" => &["EIO", "ENOSPC", "EDQUOT", "EINTR", "EROFS"],
        "fallocate" => &["EIO", "ENOSPC", "EDQUOT", "EFBIG", "EINTR", "ENOSYS"],
        "ftruncate" => &["EIO", "ENOSPC", "EDQUOT", "EFBIG", "EINTR", "EROFS"],
        "fadvise64" | "sched_getaffinity" => &["EINVAL", "ENOSYS"],
        "lseek" | "prctl" => &["EINVAL"],
        // Descriptors.
        "close" => &["EIO", "EINTR"],
        "fcntl" => &["EINVAL", "EMFILE"],
        "dup" | "dup2" | "dup3" => &["EMFILE", "EINTR"],
        "flock" => &["EINTR", "ENOMEM", "EINVAL", "ENOSYS", "EAGAIN"],
        "ioctl" => &["EIO", "EINVAL"],
        // Memory and threads.
        "mmap" | "mremap" | "mprotect" | "munmap" | "brk" | "sigaltstack" => &["ENOMEM"],
        "madvise" => &["EINVAL", "ENOMEM"],
        // The C library calls every failure to start a thread EAGAIN.
        "clone" | "clone3" => &["EAGAIN"],
        "getrandom" => &["EINTR", "EAGAIN", "ENOSYS"],
        left_out if LEFT_OUT.contains(&left_out) => return Plausible::LeftOut,
        _ => return Plausible::Unknown,
    };
    Plausible::Errors(errors)
}

/// Calls on which Rust's allocator and thread start rest. Where they fail, the process may end without a word of ours.
pub(super) fn is_memory(call: &str) -> bool {
    matches!(
        call,
        "mmap" | "mremap" | "mprotect" | "munmap" | "brk" | "sigaltstack" | "madvise"
    )
}

/// The errors after which what was to be written or synced is not known to be on disk.
pub(super) fn is_hard(errno: &str) -> bool {
    matches!(errno, "EIO" | "ENOSPC" | "EDQUOT" | "EFBIG" | "EROFS")
}

/// What a message says of an error: the system's text, or the command's own word for it.
pub(super) fn words(errno: &str) -> &'static [&'static str] {
    match errno {
        "EPERM" => &["os error 1)"],
        "EINTR" => &["os error 4)"],
        "EIO" => &["os error 5)"],
        "EAGAIN" => &["os error 11)", "locked by"],
        "ENOMEM" => &["os error 12)", "out of memory"],
        "EACCES" => &["os error 13)", "permission"],
        "EINVAL" => &["os error 22)"],
        "ENFILE" => &["os error 23)"],
        "EMFILE" => &["os error 24)"],
        "EFBIG" => &["os error 27)", "no space left"],
        "ENOSPC" => &["os error 28)", "no space left"],
        "EROFS" => &["os error 30)"],
        "EPIPE" => &["os error 32)"],
        "ENOSYS" => &["os error 38)"],
        "EDQUOT" => &["os error 122)", "no space left"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_that_is_injected_has_words_that_a_message_must_use() {
        for call in [
            "openat",
            "write",
            "renameat2",
            "flock",
            "fallocate",
            "clone3",
            "fcntl",
        ] {
            let Plausible::Errors(errors) = plausible(call) else {
                panic!("{call} is tried")
            };
            for errno in errors {
                assert!(!words(errno).is_empty(), "{call} {errno}");
            }
        }
    }

    #[test]
    fn a_call_without_a_row_is_unknown_and_not_left_out() {
        assert_eq!(plausible("io_uring_enter"), Plausible::Unknown);
        assert_eq!(plausible("futex"), Plausible::LeftOut);
    }

    #[test]
    fn a_sync_is_never_told_that_descriptors_have_run_out() {
        let Plausible::Errors(errors) = plausible("fdatasync") else {
            panic!("it is tried")
        };
        assert!(!errors.contains(&"EMFILE"));
        assert!(errors.iter().filter(|errno| is_hard(errno)).count() >= 3);
    }
}
