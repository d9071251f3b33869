//! The simulated machine against a naive model of what a file may hold after a crash, under random
//! operations.

mod common;

use std::collections::BTreeMap;

use common::{S, created, read};
use proptest::prelude::*;
use wal_io::fault::{
    Background, Chooser, CrashMode, DirectoryOrder, FaultConfig, NameSync, Overwrite, Script,
    SectorSize, Seeded, Unpersisted,
};
use wal_io::{FaultStorage, OpenMode, Storage, StorageFileExt};

#[derive(Debug, Clone)]
enum Step {
    Write { offset: u16, len: u16 },
    SetLen(u16),
    Allocate { offset: u16, len: u16 },
    Sync,
    Reopen,
    Kill,
    Crash(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let max = 5 * S as u16;
    let step = prop_oneof![
        8 => (0..max, 1..2 * S as u16).prop_map(|(offset, len)| Step::Write { offset, len }),
        2 => (0..max).prop_map(Step::SetLen),
        1 => (0..max, 0..max).prop_map(|(offset, len)| Step::Allocate { offset, len }),
        2 => Just(Step::Sync),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        2 => any::<u64>().prop_map(Step::Crash),
    ];
    proptest::collection::vec(step, 1..40)
}

/// Every content the file has had since its last sync, that one first.
struct Model {
    contents: Vec<Vec<u8>>,
}

impl Model {
    fn now(&self) -> &Vec<u8> {
        self.contents.last().unwrap()
    }

    fn change(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut content = self.now().clone();
        change(&mut content);
        self.contents.push(content);
    }

    /// Whether a crash may leave `content`: a length it had, and in each sector what the file held there
    /// at some time, cut or filled up with zeros to that length.
    fn allows(&self, content: &[u8]) -> bool {
        self.contents.iter().any(|past| past.len() == content.len()) && self.allows_sectors(content)
    }

    /// Whether each sector that has not changed since the last sync is there.
    fn keeps_synced_sectors(&self, content: &[u8]) -> bool {
        let sector = |past: &Vec<u8>, number: usize| {
            past.get(number * S..(number + 1) * S).map(<[u8]>::to_vec)
        };
        (0..self.contents[0].len() / S).all(|number| {
            let synced = sector(&self.contents[0], number);
            let unchanged = self
                .contents
                .iter()
                .all(|past| sector(past, number) == synced);
            !unchanged || sector(&content.to_vec(), number) == synced
        })
    }

    fn allows_sectors(&self, content: &[u8]) -> bool {
        content.chunks(S).enumerate().all(|(number, sector)| {
            self.contents.iter().any(|past| {
                let mut past = past.get(number * S..).unwrap_or(&[]).to_vec();
                past.resize(sector.len(), 0);
                past == sector
            })
        })
    }
}

/// What a crash is held to.
#[derive(Clone, Copy)]
enum Check {
    Allowed,
    AllowedSectors,
    SyncedSectors,
}

fn run(mut dir: FaultStorage, steps: &[Step], check: Check) -> Result<(), TestCaseError> {
    let mut file = common::new_file(&dir, "a", b"");
    let mut model = Model {
        contents: vec![Vec::new()],
    };
    for (number, step) in steps.iter().enumerate() {
        let mark = (number % 250) as u8 + 1;
        match *step {
            Step::Write { offset, len } => {
                let (start, end) = (usize::from(offset), usize::from(offset) + usize::from(len));
                file.write_all_at(&vec![mark; usize::from(len)], u64::from(offset))
                    .unwrap();
                model.change(|content| {
                    content.resize(content.len().max(end), 0);
                    content[start..end].fill(mark);
                });
            }
            Step::SetLen(len) => {
                file.set_len(u64::from(len)).unwrap();
                model.change(|content| content.resize(usize::from(len), 0));
            }
            Step::Allocate { offset, len } => {
                file.allocate(u64::from(offset), u64::from(len)).unwrap();
                let end = if len == 0 {
                    0
                } else {
                    usize::from(offset) + usize::from(len)
                };
                model.change(|content| content.resize(content.len().max(end), 0));
            }
            Step::Sync => {
                file.sync_data().unwrap();
                model.contents = vec![model.now().clone()];
            }
            Step::Reopen => file = dir.open("a", OpenMode::ReadWrite).unwrap(),
            Step::Kill => {
                dir = dir.kill();
                file = dir.open("a", OpenMode::ReadWrite).unwrap();
            }
            Step::Crash(seed) => {
                let mut choices = Seeded::streaky(seed);
                let after = dir.crash(&mut choices);
                let again = dir.crash(&mut Script::new(choices.trace()));
                prop_assert_eq!(after.image(), again.image());
                dir = after;
                let content = read(&dir, "a");
                let holds = match check {
                    Check::Allowed => model.allows(&content),
                    Check::AllowedSectors => model.allows_sectors(&content),
                    Check::SyncedSectors => model.keeps_synced_sectors(&content),
                };
                prop_assert!(holds, "step {number} left {content:?}");
                file = dir.open("a", OpenMode::ReadWrite).unwrap();
                model.contents = vec![content];
            }
        }
        prop_assert!(read(&dir, "a") == *model.now(), "step {number}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_crash_leaves_what_the_naive_model_allows(steps in steps()) {
        run(created(FaultConfig::default()), &steps, Check::Allowed)?;
    }

    #[test]
    fn background_work_adds_no_states(steps in steps(), seed: u64) {
        let dir = created(FaultConfig::default());
        dir.set_chooser(Seeded::new(seed));
        dir.set_background(Background::Busy);
        run(dir, &steps, Check::Allowed)?;
    }

    #[test]
    fn a_prefix_is_a_state_like_any_other(steps in steps()) {
        let config = FaultConfig { crash: CrashMode::Prefix, ..FaultConfig::default() };
        // A write that was cut off in the middle may have given the file a length of its own.
        run(created(config), &steps, Check::AllowedSectors)?;
    }

    #[test]
    fn larger_sectors_work_the_same(steps in steps()) {
        let config = FaultConfig { sector: SectorSize::B4096, ..FaultConfig::default() };
        // All that a larger sector keeps together a smaller one may keep together too.
        run(created(config), &steps, Check::Allowed)?;
    }

    #[test]
    fn whatever_the_rules_synced_sectors_survive(steps in steps(), rules: [bool; 4], seed: u64) {
        let config = FaultConfig {
            overwrite: if rules[0] { Overwrite::Torn } else { Overwrite::Powersafe },
            unpersisted: if rules[1] { Unpersisted::Stale } else { Unpersisted::Zeros },
            names: if rules[2] { NameSync::WithFile } else { NameSync::Strict },
            ..FaultConfig::default()
        };
        let dir = created(config);
        common::new_file(&dir, "stale", &[0xAA; 4 * S]);
        dir.remove("stale").unwrap();
        dir.sync_dir().unwrap();
        if rules[3] {
            dir.set_chooser(Seeded::new(seed));
            dir.set_background(Background::Busy);
        }
        run(dir, &steps, Check::SyncedSectors)?;
    }

    #[test]
    fn names_lead_to_what_they_led_to_at_some_time(
        steps in proptest::collection::vec((0..4u8, 0..3usize, 0..3usize), 1..20),
        seed: u64,
        ordered: bool,
    ) {
        let directory = if ordered { DirectoryOrder::Ordered } else { DirectoryOrder::Unordered };
        let dir = created(FaultConfig { directory, ..FaultConfig::default() });
        let names = ["x", "y", "z"];
        let mut model: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        // What each name has led to since the last sync, and every whole state since.
        let mut past = vec![model.clone()];
        for (number, (kind, one, other)) in steps.into_iter().enumerate() {
            let (one, other) = (names[one], names[other]);
            match kind {
                0 if !model.contains_key(one) => {
                    let file = dir.open(one, OpenMode::CreateNew).unwrap();
                    file.write_all_at(&[number as u8 + 1], 0).unwrap();
                    file.sync_data().unwrap();
                    model.insert(one, vec![number as u8 + 1]);
                }
                1 if model.contains_key(one) => {
                    dir.remove(one).unwrap();
                    model.remove(one);
                }
                2 if model.contains_key(one) && !model.contains_key(other) => {
                    dir.rename(one, other).unwrap();
                    let content = model.remove(one).unwrap();
                    model.insert(other, content);
                }
                3 => {
                    dir.sync_dir().unwrap();
                    past.clear();
                }
                _ => continue,
            }
            past.push(model.clone());
        }
        let image = dir.crash(&mut Seeded::streaky(seed)).image();
        let left: BTreeMap<&str, Vec<u8>> =
            image.files().map(|(name, content)| (name, content.to_vec())).collect();
        if ordered {
            prop_assert!(past.contains(&left));
        }
        for name in names {
            prop_assert!(past.iter().any(|state| state.get(name) == left.get(name)));
        }
        // No file has two names, and a file that every state has is not lost.
        let mut contents: Vec<_> = left.values().collect();
        contents.sort();
        contents.dedup();
        prop_assert_eq!(contents.len(), left.len());
        for content in past[0].values() {
            if past.iter().all(|state| state.values().any(|there| there == content)) {
                prop_assert!(left.values().any(|there| there == content));
            }
        }
    }
}
