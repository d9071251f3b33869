//! What the simulated machine keeps and loses in a crash.

mod common;

use std::collections::BTreeSet;

use common::{S, bytes, created, keep_all, lose_all, new_file, read};
use wal_io::fault::{
    Bytes, Chooser, CrashMode, DirectoryOrder, Exhaustive, Fault, FaultConfig, Moment, NameSync,
    Overwrite, PowerLost, Rename, Script, Seeded, Unpersisted,
};
use wal_io::{FaultStorage, OpenMode, Storage, StorageFileExt};

/// Every state that a crash now can leave, as images; checks that none comes twice.
fn all_crashes(storage: &FaultStorage) -> Vec<wal_io::fault::Image> {
    let mut states = Vec::new();
    let mut choices = Exhaustive::new();
    while choices.next_run() {
        let image = storage.crash(&mut choices).image();
        assert!(!states.contains(&image), "the state {image:?} came twice");
        states.push(image);
    }
    assert!(states.len() as u64 <= storage.crash_states());
    states
}

#[test]
fn unsynced_sectors_are_kept_and_lost_independently() {
    let dir = created(FaultConfig::default());
    let file = new_file(&dir, "a", &bytes(1, 4 * S));
    file.write_all_at(&bytes(2, 2 * S), 0).unwrap();
    file.write_all_at(&bytes(3, S), 3 * S as u64).unwrap();
    let seen: BTreeSet<Vec<u8>> = all_crashes(&dir)
        .iter()
        .map(|image| sector_marks(image.get("a").unwrap()))
        .collect();
    let mut expected = BTreeSet::new();
    for first in [1, 2] {
        for second in [1, 2] {
            for fourth in [1, 3] {
                expected.insert(vec![first, second, 1, fourth]);
            }
        }
    }
    assert_eq!(seen, expected);
}

/// The first byte of each sector, having checked that it is not mixed.
fn sector_marks(bytes: &[u8]) -> Vec<u8> {
    let marks = bytes.chunks(S).map(|sector| {
        assert!(
            sector.iter().all(|byte| *byte == sector[0]),
            "a sector is torn"
        );
        sector[0]
    });
    marks.collect()
}

#[test]
fn a_sector_may_be_any_of_its_versions() {
    let dir = created(FaultConfig::default());
    let file = new_file(&dir, "a", &bytes(1, S));
    for mark in 2..5 {
        file.write_all_at(&bytes(mark, S), 0).unwrap();
    }
    let seen: BTreeSet<u8> = all_crashes(&dir)
        .iter()
        .map(|image| image.get("a").unwrap()[0])
        .collect();
    assert_eq!(seen, BTreeSet::from([1, 2, 3, 4]));
}

#[test]
fn the_length_may_be_any_it_had() {
    let dir = created(FaultConfig::default());
    let file = new_file(&dir, "a", &bytes(1, 10));
    file.write_all_at(&bytes(2, 10), 10).unwrap();
    file.set_len(5).unwrap();
    let seen: BTreeSet<Vec<u8>> = all_crashes(&dir)
        .iter()
        .map(|image| image.get("a").unwrap().to_vec())
        .collect();
    // Length 5: all versions agree. Length 10: whole, or cut. Length 20: old, written, cut.
    let cut = |len: usize| [bytes(1, 5), vec![0; len - 5]].concat();
    let expected = BTreeSet::from([
        bytes(1, 5),
        bytes(1, 10),
        cut(10),
        [bytes(1, 10), vec![0; 10]].concat(),
        [bytes(1, 10), bytes(2, 10)].concat(),
        cut(20),
    ]);
    assert_eq!(seen, expected);
}

#[test]
fn synced_data_is_never_lost() {
    let dir = created(FaultConfig::default());
    let content = bytes(7, 5 * S + 3);
    let file = new_file(&dir, "a", &content);
    file.write_all_at(&bytes(8, S), 6 * S as u64).unwrap();
    for seed in 0..200 {
        let after = dir.crash(&mut Seeded::streaky(seed)).image();
        assert_eq!(after.get("a").unwrap()[..content.len()], content);
    }
}

#[test]
fn a_hole_and_a_cut_read_as_zeros_after_a_sync() {
    let dir = created(FaultConfig::default());
    let file = new_file(&dir, "a", &bytes(1, 3 * S));
    file.set_len(10).unwrap();
    file.write_all_at(&[9], 4 * S as u64).unwrap();
    file.sync_data().unwrap();
    let expected = [bytes(1, 10), vec![0; 4 * S - 10], vec![9]].concat();
    assert_eq!(dir.image().get("a").unwrap(), expected);
    assert_eq!(all_crashes(&dir), [dir.image()]);
}

#[test]
fn a_created_file_is_lost_whole_until_the_directory_is_synced() {
    let dir = created(FaultConfig::default());
    let file = dir.open("a", OpenMode::CreateNew).unwrap();
    file.write_all_at(b"synced", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(dir.crash(&mut lose_all()).image().get("a"), None);
    assert_eq!(
        dir.crash(&mut keep_all()).image().get("a"),
        Some(&b"synced"[..])
    );

    let dir = created(FaultConfig {
        names: NameSync::WithFile,
        ..FaultConfig::default()
    });
    let file = dir.open("a", OpenMode::CreateNew).unwrap();
    file.write_all_at(b"synced", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(
        dir.crash(&mut lose_all()).image().get("a"),
        Some(&b"synced"[..])
    );
}

#[test]
fn a_rename_is_atomic() {
    for directory in [DirectoryOrder::Ordered, DirectoryOrder::Unordered] {
        let dir = created(FaultConfig {
            directory,
            ..FaultConfig::default()
        });
        new_file(&dir, "old", b"whole");
        dir.rename("old", "new").unwrap();
        let states = all_crashes(&dir);
        assert_eq!(states.len(), 2);
        for state in states {
            match state.get("old") {
                Some(old) => assert_eq!((old, state.get("new")), (&b"whole"[..], None)),
                None => assert_eq!(state.get("new"), Some(&b"whole"[..])),
            }
        }
    }
}

#[test]
fn a_name_whose_file_is_replaced_is_never_missing() {
    for order in [DirectoryOrder::Ordered, DirectoryOrder::Unordered] {
        for rename in [Rename::Atomic, Rename::LinkThenUnlink] {
            let replaced = || {
                let dir = created(FaultConfig {
                    directory: order,
                    rename,
                    ..FaultConfig::default()
                });
                new_file(&dir, "new", b"new");
                new_file(&dir, "old", b"old");
                dir.replace("new", "old").unwrap();
                dir
            };
            let states = all_crashes(&replaced());
            let old = |image: &wal_io::fault::Image| image.get("old").map(<[u8]>::to_vec);
            assert_eq!(states.len(), 2);
            for image in &states {
                let replaced = old(image).unwrap() == b"new";
                assert!(replaced || old(image).unwrap() == b"old");
                assert_eq!(image.get("new").is_none(), replaced);
            }
            let dir = replaced();
            dir.sync_dir().unwrap();
            let states = all_crashes(&dir);
            assert!(states.iter().all(|image| old(image).unwrap() == b"new"));
        }
    }
}

#[test]
fn a_rename_by_links_never_leaves_neither_name() {
    let mut both = 0;
    for point in 0.. {
        let dir = created(FaultConfig {
            rename: Rename::LinkThenUnlink,
            ..FaultConfig::default()
        });
        new_file(&dir, "old", b"whole");
        dir.inject(Fault::power_cut(Moment::After).after(point));
        let renamed = dir.rename("old", "new");
        let done = dir.faults_struck() == 0;
        assert_eq!(renamed.is_ok(), done);
        for after in [
            &dir.crash(&mut lose_all()),
            &dir.crash(&mut keep_all()),
            &dir.kill(),
        ] {
            let image = after.image();
            let (old, new) = (image.get("old"), image.get("new"));
            assert!(old.or(new) == Some(b"whole"), "after {point} changes");
            if old.is_some() && new.is_some() {
                both += 1;
                let file = after.open("new", OpenMode::Read).unwrap();
                assert_eq!(file.links().unwrap(), Some(2));
            }
        }
        if done {
            break;
        }
    }
    // After the link, and after the sync.
    assert!(both >= 4, "{both}");
}

#[test]
fn a_lost_removal_brings_the_file_back() {
    let dir = created(FaultConfig::default());
    new_file(&dir, "a", b"zombie");
    dir.remove("a").unwrap();
    assert_eq!(
        dir.crash(&mut lose_all()).image().get("a"),
        Some(&b"zombie"[..])
    );
    assert_eq!(dir.crash(&mut keep_all()).image().get("a"), None);
    let next = dir.kill();
    next.sync_dir().unwrap();
    assert_eq!(next.crash(&mut lose_all()).image().get("a"), None);
}

#[test]
fn names_are_lost_in_order_or_not() {
    let prepared = |directory| {
        let dir = created(FaultConfig {
            directory,
            ..FaultConfig::default()
        });
        for name in ["a", "b"] {
            new_file(&dir, name, b"");
        }
        dir.remove("a").unwrap();
        dir.remove("b").unwrap();
        let name =
            |image: &wal_io::fault::Image| image.files().map(|(name, _)| name.to_owned()).collect();
        all_crashes(&dir)
            .iter()
            .map(name)
            .collect::<Vec<Vec<String>>>()
    };
    assert_eq!(
        prepared(DirectoryOrder::Ordered),
        [vec!["a", "b"], vec!["b"], vec![]]
    );
    assert_eq!(
        prepared(DirectoryOrder::Unordered),
        [vec!["a", "b"], vec!["a"], vec!["b"], vec![]]
    );
}

#[test]
fn changes_of_one_name_keep_their_order() {
    let dir = created(FaultConfig::default());
    new_file(&dir, "a", b"1");
    dir.rename("a", "b").unwrap();
    dir.rename("b", "c").unwrap();
    dir.remove("c").unwrap();
    // The three are a chain: any prefix of it.
    assert_eq!(all_crashes(&dir).len(), 4);
}

#[test]
fn a_directory_vanishes_with_all_that_was_synced_in_it() {
    let dir = FaultStorage::new();
    // The sync of the parent, the second change of `create`, does not happen.
    dir.inject(Fault::power_cut(Moment::Before).after(1));
    assert!(PowerLost::is(&dir.create().unwrap_err()));
    let after = dir.crash(&mut lose_all());
    assert_eq!(
        after.list().unwrap_err().kind(),
        std::io::ErrorKind::NotFound
    );
    let after = dir.crash(&mut keep_all());
    assert!(after.list().unwrap().is_empty());
    // It is there, but nobody has made it durable yet: `create` does.
    after.create().unwrap();
    new_file(&after, "a", b"1");
    assert_eq!(
        after.crash(&mut lose_all()).image().get("a"),
        Some(&b"1"[..])
    );
}

#[test]
fn a_subdirectory_is_an_entry_of_its_parent() {
    let dir = created(FaultConfig::default());
    let inner = dir.subdirectory("inner").unwrap();
    inner.create().unwrap();
    inner
        .open("a", OpenMode::CreateNew)
        .unwrap()
        .write_all_at(b"1", 0)
        .unwrap();
    inner
        .open("a", OpenMode::Read)
        .unwrap()
        .sync_data()
        .unwrap();
    inner.sync_dir().unwrap();
    let after = dir.crash(&mut lose_all());
    assert_eq!(after.image().get("inner/a"), Some(&b"1"[..]));
}

#[test]
fn a_kill_keeps_what_was_written() {
    let dir = created(FaultConfig::default());
    let lock = dir.try_lock("lock").unwrap();
    let file = dir.open("a", OpenMode::CreateNew).unwrap();
    file.write_all_at(b"not synced", 0).unwrap();
    assert!(dir.try_lock("lock").unwrap().is_none());
    let next = dir.kill();
    assert!(PowerLost::is(&file.write_at(b"dead", 0).unwrap_err()));
    assert_eq!(read(&next, "a"), b"not synced");
    let held = next.try_lock("lock").unwrap();
    assert!(held.is_some());
    drop(lock);
    assert!(
        next.try_lock("lock").unwrap().is_none(),
        "a dead process has released a live lock"
    );
    // Still not durable.
    assert_eq!(next.crash(&mut lose_all()).image().get("a"), None);
}

#[test]
fn power_can_fail_before_during_and_after() {
    let at = |moment, choices| {
        let dir = created(FaultConfig::default());
        let file = new_file(&dir, "a", &bytes(1, 4 * S));
        dir.set_chooser(Script::new(choices));
        dir.inject(Fault::power_cut(moment).in_file("a"));
        assert!(PowerLost::is(
            &file.write_all_at(&bytes(2, 4 * S), 0).unwrap_err()
        ));
        assert!(dir.has_lost_power());
        assert!(PowerLost::is(&dir.list().unwrap_err()));
        sector_marks(dir.crash(&mut keep_all()).image().get("a").unwrap())
    };
    assert_eq!(at(Moment::Before, vec![]), [1, 1, 1, 1]);
    assert_eq!(at(Moment::During, vec![3]), [2, 2, 2, 1]);
    assert_eq!(at(Moment::After, vec![]), [2, 2, 2, 2]);
}

#[test]
fn prefix_mode_gives_prefixes() {
    let dir = created(FaultConfig {
        crash: CrashMode::Prefix,
        ..FaultConfig::default()
    });
    let file = new_file(&dir, "a", b"");
    file.write_all_at(&bytes(1, 2 * S), 0).unwrap();
    dir.open("b", OpenMode::CreateNew).unwrap();
    file.write_all_at(&bytes(2, S), 0).unwrap();
    let mut seen = Vec::new();
    let mut choices = Exhaustive::new();
    while choices.next_run() {
        let image = dir.crash(&mut choices).image();
        let state = (
            sector_marks(image.get("a").unwrap()),
            image.get("b").is_some(),
        );
        if seen.last() != Some(&state) {
            seen.push(state);
        }
    }
    let expected = [
        (vec![], false),
        (vec![1], false),
        (vec![1, 1], false),
        (vec![1, 1], true),
        (vec![2, 1], true),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn prefixes_reach_across_a_kill() {
    let dir = created(FaultConfig {
        crash: CrashMode::Prefix,
        ..FaultConfig::default()
    });
    new_file(&dir, "a", &bytes(1, S))
        .write_all_at(&bytes(2, S), 0)
        .unwrap();
    let next = dir.kill();
    next.open("a", OpenMode::ReadWrite)
        .unwrap()
        .write_all_at(&bytes(3, S), 0)
        .unwrap();
    let after = |choice| {
        next.crash(&mut Script::new(vec![choice]))
            .image()
            .get("a")
            .unwrap()[0]
    };
    assert_eq!([after(0), after(1), after(2)], [1, 2, 3]);
}

#[test]
fn a_torn_sector_may_lose_what_was_durable() {
    let dir = created(FaultConfig {
        overwrite: Overwrite::Torn,
        ..FaultConfig::default()
    });
    let file = new_file(&dir, "a", &bytes(1, S));
    file.write_all_at(&bytes(2, 10), S as u64 - 10).unwrap();
    let states = all_crashes(&dir);
    assert_eq!(
        states.len(),
        4 - 1,
        "old, new, garbage; torn in the middle is the old one"
    );
    assert!(states.iter().any(|image| image.get("a").unwrap()[0] != 1));
}

#[test]
fn sectors_never_written_may_hold_what_deleted_files_held() {
    let dir = created(FaultConfig {
        unpersisted: Unpersisted::Stale,
        ..FaultConfig::default()
    });
    new_file(&dir, "old", &bytes(9, 2 * S));
    dir.remove("old").unwrap();
    dir.sync_dir().unwrap();
    let file = new_file(&dir, "a", b"");
    file.allocate(0, 3 * S as u64).unwrap();
    let seen: BTreeSet<Vec<u8>> = all_crashes(&dir)
        .iter()
        .map(|image| sector_marks(image.get("a").unwrap()))
        .collect();
    let expected = [
        vec![],
        vec![0, 0, 0],
        vec![9, 0, 0],
        vec![0, 9, 0],
        vec![9, 9, 0],
    ]
    .into_iter()
    .collect();
    assert_eq!(seen, expected);
    // Two boots later they are still there.
    let later = dir.crash(&mut keep_all()).crash(&mut lose_all());
    later
        .open("b", OpenMode::CreateNew)
        .unwrap()
        .allocate(0, S as u64)
        .unwrap();
    let keep = Script::new(vec![1, 1, 1]);
    assert_eq!(
        later.crash(&mut keep.clone()).image().get("b").unwrap(),
        bytes(9, S)
    );

    let next = dir.kill();
    next.open("a", OpenMode::Read).unwrap().sync_data().unwrap();
    assert_eq!(all_crashes(&next).len(), 1);
}

#[test]
fn the_number_of_states_is_the_one_counted_by_hand() {
    let dir = created(FaultConfig::default());
    let file = new_file(&dir, "a", &bytes(1, S));
    file.write_all_at(&bytes(2, 2 * S), S as u64).unwrap();
    dir.rename("a", "b").unwrap();
    dir.open("c", OpenMode::CreateNew)
        .unwrap()
        .write_all_at(&[5], 0)
        .unwrap();
    // Renamed or not: 2. Length of the first file: old (1 state), or new with two sectors each there or
    // zeros (4): 5. The second file: absent, empty, one zero, one five: 4.
    assert_eq!(all_crashes(&dir).len(), 2 * 5 * 4);
}

#[test]
fn the_same_choices_give_the_same_state() {
    let run = |chooser: &mut dyn Chooser| {
        let dir = created(FaultConfig::default());
        let file = new_file(&dir, "a", &bytes(1, 8 * S));
        file.write_all_at(&bytes(2, 6 * S), 700).unwrap();
        dir.rename("a", "b").unwrap();
        dir.crash(chooser).image()
    };
    for seed in 0..20 {
        let mut first = Seeded::new(seed);
        let image = run(&mut first);
        assert_eq!(run(&mut Seeded::new(seed)), image);
        let mut replay = Script::new(first.trace());
        assert_eq!(run(&mut replay), image);
        assert_eq!(replay.trace(), first.trace());
        let input: Vec<u8> = first.trace().iter().map(|choice| *choice as u8).collect();
        assert_eq!(run(&mut Bytes::new(&input)), image);
    }
}

#[test]
fn a_crash_can_follow_a_crash() {
    let dir = created(FaultConfig::default());
    new_file(&dir, "a", &bytes(1, S));
    let second = dir.crash(&mut lose_all());
    let file = second.open("a", OpenMode::ReadWrite).unwrap();
    file.write_all_at(&bytes(2, S), 0).unwrap();
    assert_eq!(all_crashes(&second).len(), 2);
    // The first one, long dead, still gives its own states.
    assert_eq!(
        sector_marks(dir.crash(&mut keep_all()).image().get("a").unwrap()),
        [1]
    );
}

#[test]
fn a_large_reserved_file_costs_little_to_crash() {
    let dir = created(FaultConfig::default());
    let file = dir.open("a", OpenMode::CreateNew).unwrap();
    file.allocate(0, 1 << 30).unwrap();
    file.sync_data().unwrap();
    dir.sync_dir().unwrap();
    file.write_all_at(b"x", 1 << 29).unwrap();
    for seed in 0..1000 {
        let after = dir.crash(&mut Seeded::new(seed));
        assert_eq!(
            after.open("a", OpenMode::Read).unwrap().len().unwrap(),
            1 << 30
        );
    }
}
