//! Each rule is broken once.

use super::*;

fn ran(ended: Ended, stdout: &str, stderr: &str) -> Ran {
    Ran {
        ended,
        stdout: stdout.as_bytes().to_vec(),
        stderr: stderr.into(),
    }
}

fn acks(to: u64) -> String {
    let acks: Vec<String> = (1..=to).map(|lsn| lsn.to_string()).collect();
    acks.join("\n") + "\n"
}

/// An append that failed at its fourth record, and left three.
fn failed_append() -> Observed {
    let mut next_content: Vec<u64> = (1..=3).collect();
    next_content.push(NEXT_LINE);
    Observed {
        ran: ran(
            Ended::Code(1),
            &acks(3),
            "wal: line 4: a sync failed: Input/output error (os error 5)\n",
        ),
        struck: vec!["17 fdatasync(4</t/log/1.wal>) = -1 EIO (INJECTED)".into()],
        clean_stdout: acks(LINES).into_bytes(),
        content: Ok((1..=3).collect()),
        changed: true,
        verified: Ended::Code(3),
        again: None,
        next: ran(Ended::Code(0), "4\n", ""),
        next_content: Ok(next_content),
    }
}

fn case(text: &str) -> Case {
    text.parse().expect("a case")
}

#[track_caller]
fn found(text: &str, seen: &Observed, word: &str) {
    let broken = judge(&case(text), seen);
    assert!(broken.iter().any(|what| what.contains(word)), "{broken:?}");
}

const SYNC: &str = "append always fdatasync EIO 5";

#[test]
fn an_append_that_fails_as_it_should_breaks_nothing() {
    assert_eq!(judge(&case(SYNC), &failed_append()), Vec::<String>::new());
}

#[test]
fn an_acknowledged_record_that_is_missing_is_found() {
    let mut seen = failed_append();
    seen.content = Ok((1..=2).collect());
    found(SYNC, &seen, "the log holds lines [1, 2]");
}

#[test]
fn lines_that_are_no_prefix_are_found() {
    let mut seen = failed_append();
    seen.content = Ok(vec![1, 2, 3, 5]);
    found(SYNC, &seen, "[1, 2, 3, 5]");
}

#[test]
fn an_acknowledgement_out_of_turn_is_found() {
    let mut seen = failed_append();
    seen.ran.stdout = b"1\n3\n".to_vec();
    found(SYNC, &seen, "acknowledged [1, 3]");
}

#[test]
fn an_acknowledgement_that_was_cut_short_does_not_count() {
    let mut seen = failed_append();
    seen.ran.stdout = b"1\n2\n3\n1".to_vec();
    assert_eq!(judge(&case(SYNC), &seen), Vec::<String>::new());
}

#[test]
fn success_after_a_sync_that_failed_is_found() {
    let mut seen = failed_append();
    seen.ran = ran(Ended::Code(0), &acks(LINES), "");
    seen.content = Ok((1..=LINES).collect());
    found(SYNC, &seen, "exit code 0 after a failure that is final");
}

#[test]
fn success_with_lines_missing_is_found() {
    let mut seen = failed_append();
    seen.ran.ended = Ended::Code(0);
    found("append os openat EMFILE 1", &seen, "the log holds lines");
}

#[test]
fn a_message_that_does_not_name_the_error_is_found() {
    let mut seen = failed_append();
    seen.ran.stderr = "wal: the log is closed\n".into();
    found(SYNC, &seen, "does not name EIO");
}

#[test]
fn a_message_that_could_not_be_written_is_no_wrong_message() {
    let mut seen = failed_append();
    seen.ran.stderr = String::new();
    seen.struck
        .push("17 write(2</t/stderr>, \"wal: wri\"..., 65) = -1 EIO (INJECTED)".into());
    assert_eq!(
        judge(&case("append os write EIO 2"), &seen),
        Vec::<String>::new()
    );
}

#[test]
fn an_exit_code_that_means_something_else_is_found() {
    let mut seen = failed_append();
    seen.ran.ended = Ended::Code(4);
    found(SYNC, &seen, "exit code 4");
}

#[test]
fn a_panic_a_hang_and_a_signal_are_found() {
    let mut seen = failed_append();
    seen.ran.stderr.push_str("thread 'main' panicked at\n");
    found(SYNC, &seen, "panicked");
    seen.ran.ended = Ended::Hung;
    found(SYNC, &seen, "hung");
    seen.ran.ended = Ended::Signal(6);
    found(SYNC, &seen, "signal 6");
}

#[test]
fn only_a_fault_in_memory_may_end_the_process() {
    let mut seen = failed_append();
    seen.ran = ran(Ended::Signal(6), &acks(3), "memory allocation failed\n");
    let broken = judge(&case("append always mmap ENOMEM 30"), &seen);
    assert_eq!(broken, Vec::<String>::new());
    found("append always clone3 EAGAIN 1", &seen, "signal 6");
}

#[test]
fn a_late_call_changes_nothing() {
    found("append always fdatasync delay 5", &failed_append(), "late");
}

#[test]
fn a_log_that_does_not_verify_or_go_on_is_found() {
    let mut seen = failed_append();
    seen.verified = Ended::Code(4);
    found(SYNC, &seen, "verify says");
    let mut seen = failed_append();
    seen.next.ended = Ended::Code(5);
    found(SYNC, &seen, "the next append");
    let mut seen = failed_append();
    seen.next_content = Ok(vec![1, 2, NEXT_LINE]);
    found(SYNC, &seen, "after the next append");
}

#[test]
fn a_truncation_is_all_or_nothing_and_success_means_done() {
    let mut seen = failed_append();
    seen.content = Ok((1..=8).collect());
    found("truncate after rename EIO 1", &seen, "the log holds lines");
    seen.content = Ok((1..=LINES).collect());
    seen.ran.ended = Ended::Code(0);
    found("truncate after rename EIO 1", &seen, "the log holds lines");
    found("truncate before unlink EIO 1", &seen, "the log holds lines");
}

#[test]
fn a_command_that_only_reads_changes_nothing_and_tells_the_same() {
    let mut seen = failed_append();
    seen.content = Ok((1..=LINES).collect());
    seen.ran.ended = Ended::Code(0);
    seen.ran.stdout = b"records 9\n".to_vec();
    found("verify pread64 EIO 1", &seen, "it changed a file");
    found("stat pread64 EIO 1", &seen, "something else");
    found("cat pread64 EIO 1", &seen, "not in the log");
}

#[test]
fn a_repair_loses_the_damaged_record_only() {
    let mut seen = failed_append();
    seen.content = Ok((1..=4).collect());
    found("repair rename EIO 1", &seen, "the log holds lines");
    seen.again = Some(ran(Ended::Code(4), "", "wal: corruption"));
    found("repair rename EIO 1", &seen, "the second repair");
}
