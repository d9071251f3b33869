//! Bytes in a file: written, read, shared between handles and threads.

use std::io::ErrorKind;

use super::{all, case_list, content, created, error_kind, new_file};
use crate::{OpenMode, Storage, StorageFileExt};

case_list! {
    what_was_written_is_read,
    a_write_replaces_only_its_range,
    a_gap_reads_as_zeros,
    reads_end_at_the_end,
    an_exact_read_needs_all_its_bytes,
    empty_transfers_do_nothing,
    impossible_offsets_are_refused,
    a_read_handle_does_not_write,
    handles_of_one_file_see_each_other,
    a_sync_changes_nothing_that_is_seen,
    an_eviction_changes_nothing_that_was_synced,
    large_transfers_are_whole,
    threads_write_side_by_side,
    any_sequence_of_writes_agrees_with_a_model,
}

fn what_was_written_is_read(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"hello");
    assert_eq!(file.len().expect("len"), 5);
    assert_eq!(all(&*file), b"hello");
    assert_eq!(content(dir, "a"), b"hello");
    let mut middle = [0; 3];
    file.read_exact_at(&mut middle, 1).expect("read");
    assert_eq!(&middle, b"ell");
}

fn a_write_replaces_only_its_range(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"0123456789");
    file.write_all_at(b"abc", 4).expect("write");
    assert_eq!(all(&*file), b"0123abc789");
    file.write_all_at(b"xyz", 8).expect("write over the end");
    assert_eq!(all(&*file), b"0123abc7xyz");
}

fn a_gap_reads_as_zeros(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"start");
    let far = 200_001;
    file.write_all_at(b"end", far)
        .expect("write behind the end");
    let content = all(&*file);
    assert_eq!(content.len() as u64, far + 3);
    assert_eq!(&content[..5], b"start");
    assert!(content[5..far as usize].iter().all(|byte| *byte == 0));
    assert_eq!(&content[far as usize..], b"end");
}

fn reads_end_at_the_end(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"hello");
    let mut buf = [0xEE; 8];
    assert_eq!(file.read_at(&mut buf, 5).expect("read at the end"), 0);
    assert_eq!(
        file.read_at(&mut buf, 1 << 20)
            .expect("read behind the end"),
        0
    );
    assert_eq!(buf, [0xEE; 8], "a read that gives nothing writes nothing");
    assert_eq!(
        file.read_full_at(&mut buf, 2).expect("read over the end"),
        3
    );
    assert_eq!(&buf[..3], b"llo");
}

fn an_exact_read_needs_all_its_bytes(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"hello");
    let mut buf = [0; 4];
    file.read_exact_at(&mut buf, 1).expect("read");
    assert_eq!(
        error_kind(file.read_exact_at(&mut buf, 2)),
        ErrorKind::UnexpectedEof
    );
}

fn empty_transfers_do_nothing(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"hello");
    assert_eq!(file.read_at(&mut [], 0).expect("read"), 0);
    assert_eq!(file.write_at(&[], 0).expect("write"), 0);
    assert_eq!(file.write_at(&[], 1000).expect("write behind the end"), 0);
    file.write_all_at(&[], 1000).expect("write");
    assert_eq!(all(&*file), b"hello");
}

fn impossible_offsets_are_refused(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"hello");
    error_kind(file.write_at(b"x", u64::MAX));
    error_kind(file.write_at(b"xyz", u64::MAX - 1));
    error_kind(file.set_len(u64::MAX));
    error_kind(file.allocate(u64::MAX, 1));
    error_kind(file.allocate(u64::MAX - 1, 2));
    let mut buf = [0; 4];
    // The system may refuse this or find nothing there.
    assert_eq!(file.read_at(&mut buf, u64::MAX - 1).unwrap_or(0), 0);
    assert_eq!(all(&*file), b"hello");
}

fn a_read_handle_does_not_write(dir: &dyn Storage) {
    let dir = created(dir);
    new_file(dir, "a", b"hello");
    let file = dir.open("a", OpenMode::Read).expect("open");
    error_kind(file.write_at(b"x", 0));
    error_kind(file.set_len(1));
    error_kind(file.allocate(0, 100));
    assert_eq!(all(&*file), b"hello");
}

fn handles_of_one_file_see_each_other(dir: &dyn Storage) {
    let dir = created(dir);
    let creator = new_file(dir, "a", b"12");
    let writer = dir.open("a", OpenMode::ReadWrite).expect("open");
    let reader = dir.open("a", OpenMode::Read).expect("open");
    writer.write_all_at(b"34", 2).expect("write");
    assert_eq!(all(&*reader), b"1234");
    creator.set_len(3).expect("set_len");
    assert_eq!(all(&*reader), b"123");
    assert_eq!(all(&*writer), b"123");
}

fn a_sync_changes_nothing_that_is_seen(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"hello");
    file.sync_data().expect("sync_data");
    file.sync_data().expect("sync_data with nothing to do");
    file.write_all_at(b"J", 0).expect("write");
    file.sync_data().expect("sync_data");
    assert_eq!(content(dir, "a"), b"Jello");
}

fn an_eviction_changes_nothing_that_was_synced(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", &[7; 10_000]);
    file.sync_data().expect("sync_data");
    file.evict(4096, 4096).expect("evict a range");
    file.evict(0, 0).expect("evict all");
    file.evict(1 << 30, 1).expect("evict behind the end");
    assert_eq!(all(&*file), [7; 10_000]);
}

fn large_transfers_are_whole(dir: &dyn Storage) {
    let dir = created(dir);
    let expected: Vec<u8> = (0..3_000_017u32).map(|i| (i % 251) as u8).collect();
    let file = new_file(dir, "a", &expected);
    assert!(all(&*file) == expected);
    let mut part = vec![0; 1_234_567];
    file.read_exact_at(&mut part, 999).expect("read");
    assert!(part == expected[999..][..part.len()]);
}

fn threads_write_side_by_side(dir: &dyn Storage) {
    const PIECE: usize = 777;
    let dir = created(dir);
    let file = new_file(dir, "a", b"");
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let file = &file;
            scope.spawn(move || {
                for round in 0..16 {
                    let offset = (round * 4 + usize::from(thread)) * PIECE;
                    file.write_all_at(&[thread + 1; PIECE], offset as u64)
                        .expect("write");
                    file.sync_data().expect("sync_data");
                }
            });
        }
    });
    let content = all(&*file);
    assert_eq!(content.len(), 64 * PIECE);
    for (at, piece) in content.chunks(PIECE).enumerate() {
        assert!(
            piece.iter().all(|byte| usize::from(*byte) == at % 4 + 1),
            "piece {at} is mixed"
        );
    }
}

fn any_sequence_of_writes_agrees_with_a_model(dir: &dyn Storage) {
    let dir = created(dir);
    let file = new_file(dir, "a", b"");
    let mut model: Vec<u8> = Vec::new();
    let mut state = 1u64;
    let mut below = |n: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    for step in 0..600u64 {
        let offset = below(20_000);
        let len = if below(8) == 0 {
            below(9_000)
        } else {
            below(700)
        };
        let end = (offset + len) as usize;
        match below(8) {
            0 => {
                file.set_len(offset).expect("set_len");
                model.resize(offset as usize, 0);
            }
            1 => {
                file.allocate(offset, len).expect("allocate");
                if len > 0 {
                    model.resize(model.len().max(end), 0);
                }
            }
            2 => file.sync_data().expect("sync_data"),
            _ => {
                let bytes = vec![(step % 250) as u8 + 1; len as usize];
                file.write_all_at(&bytes, offset).expect("write");
                if len > 0 {
                    model.resize(model.len().max(end), 0);
                    model[offset as usize..end].copy_from_slice(&bytes);
                }
            }
        }
        assert_eq!(file.len().expect("len"), model.len() as u64, "step {step}");
        let mut buf = vec![0; len as usize];
        let read = file.read_full_at(&mut buf, offset).expect("read");
        let there = model.get(offset as usize..).unwrap_or(&[]);
        assert!(
            buf[..read] == there[..there.len().min(len as usize)],
            "step {step}"
        );
    }
    assert!(all(&*file) == model);
}
