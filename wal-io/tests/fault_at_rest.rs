//! Damage at rest, images, and damaged sectors.

mod common;

use std::io::ErrorKind;

use common::{S, bytes, created, new_file, read};
use wal_io::fault::{
    Damage, Fault, FaultConfig, Fill, Image, OperationKind, SectorSize, Site, SystemError,
};
use wal_io::{FaultStorage, OpenMode, Storage, StorageFileExt};

/// Two files of three sectors and a bit: 1, 2, 3, 4 and 5, 6, 7, 8.
fn machine() -> FaultStorage {
    let dir = created(FaultConfig::default());
    for (name, first) in [("a", 1), ("b", 5)] {
        let sectors = (first..first + 3).map(|mark| bytes(mark, S));
        let mut content = sectors.collect::<Vec<_>>().concat();
        content.extend(bytes(first + 3, 10));
        new_file(&dir, name, &content);
    }
    dir
}

fn at(file: &str, sector: u64) -> Site<'_> {
    Site { file, sector }
}

/// The first byte of each sector.
fn marks(dir: &FaultStorage, name: &str) -> Vec<u8> {
    read(dir, name).chunks(S).map(|sector| sector[0]).collect()
}

#[test]
fn bits_flip_one_by_one_and_in_bursts() {
    let dir = machine();
    let before = read(&dir, "a");
    dir.flip_bits("a", 8 * 700 + 3, 1).unwrap();
    let after = read(&dir, "a");
    assert_eq!(after[700], before[700] ^ 8);
    dir.flip_bits("a", 8 * 700 + 3, 1).unwrap();
    assert_eq!(read(&dir, "a"), before);
    // A burst over the edge of a sector.
    dir.flip_bits("a", 8 * S as u64 - 4, 12).unwrap();
    let after = read(&dir, "a");
    assert_eq!((after[S - 1], after[S]), (1 ^ 0xF0, 2 ^ 0xFF));
    assert_eq!(after.iter().zip(&before).filter(|(a, b)| a != b).count(), 2);
    let beyond = dir.flip_bits("a", 8 * before.len() as u64, 1);
    assert_eq!(beyond.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn sectors_are_filled() {
    let dir = machine();
    dir.fill_sector(at("a", 0), Fill::Zeros).unwrap();
    dir.fill_sector(at("a", 1), Fill::Ones).unwrap();
    dir.fill_sector(at("a", 3), Fill::Garbage(1)).unwrap();
    let content = read(&dir, "a");
    assert_eq!(content.len(), 3 * S + 10, "the length stays");
    assert_eq!(content[..S], bytes(0, S));
    assert_eq!(content[S..2 * S], bytes(0xFF, S));
    assert_eq!(content[2 * S..3 * S], bytes(3, S));
    assert_ne!(content[3 * S..], bytes(4, 10));
    assert!(dir.fill_sector(at("a", 4), Fill::Zeros).is_err());
    assert_eq!(
        dir.fill_sector(at("c", 0), Fill::Zeros).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn sectors_are_copied_within_and_between_files() {
    let dir = machine();
    dir.copy_sector(at("a", 0), at("a", 2)).unwrap();
    dir.copy_sector(at("b", 1), at("a", 3)).unwrap();
    dir.copy_sector(at("b", 3), at("a", 1)).unwrap();
    assert_eq!(marks(&dir, "a"), [1, 8, 1, 6]);
    let content = read(&dir, "a");
    assert_eq!(content.len(), 3 * S + 10);
    assert_eq!(
        content[S + 10..2 * S],
        bytes(0, S - 10),
        "behind the end of its file are zeros"
    );
    assert_eq!(marks(&dir, "b"), [5, 6, 7, 8]);
}

#[test]
fn writes_are_lost_and_misdirected() {
    let dir = machine();
    let older = dir.image();
    let file = dir.open("a", OpenMode::ReadWrite).unwrap();
    file.write_all_at(&bytes(9, 2 * S), 0).unwrap();
    file.sync_data().unwrap();
    dir.revert_sector(at("a", 0), &older).unwrap();
    assert_eq!(marks(&dir, "a"), [1, 9, 3, 4]);
    dir.misdirect_sector(at("a", 1), at("b", 2), &older)
        .unwrap();
    assert_eq!(marks(&dir, "a"), [1, 2, 3, 4]);
    assert_eq!(marks(&dir, "b"), [5, 6, 9, 8]);
}

#[test]
fn files_are_cut_and_extended() {
    let dir = machine();
    dir.truncate_file("a", S as u64 + 1).unwrap();
    assert_eq!(read(&dir, "a"), [bytes(1, S), bytes(2, 1)].concat());
    assert!(dir.truncate_file("a", 5000).is_err());
    dir.extend_file("a", b"tail").unwrap();
    assert_eq!(
        read(&dir, "a"),
        [bytes(1, S), bytes(2, 1), b"tail".to_vec()].concat()
    );
    dir.overwrite("a", 1, b"xy").unwrap();
    assert_eq!(read(&dir, "a")[..4], [1, b'x', b'y', 1]);
}

#[test]
fn files_vanish_double_swap_and_return() {
    let dir = machine();
    let (a, b) = (read(&dir, "a"), read(&dir, "b"));
    let older = dir.image();
    dir.swap_files("a", "b").unwrap();
    assert_eq!((read(&dir, "a"), read(&dir, "b")), (b.clone(), a.clone()));
    dir.duplicate_file("a", "c").unwrap();
    dir.overwrite("c", 0, b"own").unwrap();
    assert_eq!(read(&dir, "a"), b, "a copy has bytes of its own");
    dir.remove_file("a").unwrap();
    assert!(dir.open("a", OpenMode::Read).is_err());
    assert!(dir.remove_file("a").is_err());
    dir.restore_file("a", &older).unwrap();
    assert_eq!(read(&dir, "a"), a);
    assert!(dir.restore_file("none", &older).is_err());
}

#[test]
fn damage_is_durable_and_no_operation() {
    let dir = machine();
    let before = dir.operation_count();
    dir.flip_bits("a", 0, 1).unwrap();
    dir.remove_file("b").unwrap();
    assert_eq!(dir.operation_count(), before);
    let after = dir.crash(&mut common::lose_all());
    assert_eq!(after.image(), dir.image());
    assert_eq!(marks(&after, "a")[0], 0);
}

#[test]
fn damaged_sectors_cannot_be_read() {
    let dir = machine();
    dir.damage_sector(at("a", 1), Damage::Lasting).unwrap();
    let file = dir.open("a", OpenMode::ReadWrite).unwrap();
    let mut buf = vec![0; 3 * S];
    assert_eq!(
        file.read_at(&mut buf, 10).unwrap(),
        S - 10,
        "up to the damage"
    );
    for _ in 0..2 {
        assert!(file.read_at(&mut buf[..1], S as u64).is_err());
    }
    assert!(file.read_exact_at(&mut buf, 0).is_err());
    assert_eq!(file.read_at(&mut buf, 2 * S as u64).unwrap(), S + 10);
    assert!(
        dir.kill()
            .open("a", OpenMode::Read)
            .unwrap()
            .read_at(&mut buf, S as u64)
            .is_err(),
        "the damage is the disk's"
    );
    let dir = dir.crash(&mut common::lose_all());
    let file = dir.open("a", OpenMode::ReadWrite).unwrap();
    assert!(file.read_at(&mut buf, S as u64).is_err());
    file.write_all_at(&bytes(9, S), S as u64).unwrap();
    assert_eq!(marks(&dir, "a"), [1, 9, 3, 4]);
}

#[test]
fn damage_survives_a_crash_and_ends_with_a_cut() {
    let dir = machine();
    dir.damage_sector(at("a", 1), Damage::Lasting).unwrap();
    dir.open("a", OpenMode::ReadWrite)
        .unwrap()
        .write_all_at(b"dirty", 0)
        .unwrap();
    let dir = dir.crash(&mut common::lose_all());
    let file = dir.open("a", OpenMode::ReadWrite).unwrap();
    assert!(file.read_at(&mut [0], S as u64).is_err());
    file.set_len(S as u64).unwrap();
    file.set_len(2 * S as u64).unwrap();
    assert_eq!(marks(&dir, "a"), [1, 0]);
}

#[test]
fn damage_at_rest_comes_after_the_cache_is_gone() {
    let dir = machine();
    let file = dir.open("a", OpenMode::ReadWrite).unwrap();
    file.write_all_at(&bytes(9, S), 0).unwrap();
    dir.inject(Fault::error(SystemError::Io).on(OperationKind::SyncData));
    assert!(file.sync_data().is_err());
    assert_eq!(marks(&dir, "a"), [9, 2, 3, 4]);
    dir.overwrite("a", S as u64, b"x").unwrap();
    assert_eq!(marks(&dir, "a"), [1, b'x', 3, 4]);
}

#[test]
fn a_damaged_sector_may_recover() {
    let dir = machine();
    dir.damage_sector(at("a", 1), Damage::Once).unwrap();
    let file = dir.open("a", OpenMode::Read).unwrap();
    let mut buf = vec![0; S];
    assert!(file.read_at(&mut buf, S as u64).is_err());
    file.read_exact_at(&mut buf, S as u64).unwrap();
    assert_eq!(buf, bytes(2, S));
}

#[test]
fn an_image_goes_to_a_directory_and_back() {
    let dir = machine();
    let sub = dir.subdirectory("sub").unwrap();
    sub.create().unwrap();
    sub.open("c", OpenMode::CreateNew)
        .unwrap()
        .write_all_at(b"deep", 0)
        .unwrap();
    dir.subdirectory("empty").unwrap().create().unwrap();
    let image = dir.image();
    let names: Vec<_> = image.files().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b", "sub/c"]);

    let disk = tempfile::tempdir().unwrap();
    image.write_to(disk.path().join("new")).unwrap();
    assert_eq!(Image::read_from(disk.path().join("new")).unwrap(), image);

    for sector in [SectorSize::B512, SectorSize::B4096] {
        let loaded = FaultStorage::from_image(
            FaultConfig {
                sector,
                ..FaultConfig::default()
            },
            &image,
        );
        assert_eq!(loaded.image(), image);
        assert_eq!(
            loaded.crash(&mut common::lose_all()).image(),
            image,
            "all of it is durable"
        );
    }
}

#[test]
fn an_image_can_be_made_by_hand() {
    let mut image = Image::new();
    image.insert("a", b"1".to_vec());
    image.insert("x/y/z", b"2");
    assert_eq!(image.remove("a"), Some(b"1".to_vec()));
    assert_eq!(image.get("a"), None);
    let dir = FaultStorage::from_image(FaultConfig::default(), &image);
    let deep = dir
        .subdirectory("x")
        .and_then(|x| x.subdirectory("y"))
        .unwrap();
    assert_eq!(read(&*deep, "z"), b"2");
    assert_eq!(dir.image(), image);
}
