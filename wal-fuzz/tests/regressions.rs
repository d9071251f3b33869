//! Every find is replayed, and so are the inputs that fuzzing starts from. A find is a file in `fuzz/regressions/TARGET`.
//!
//! Deliberately absent: searching. A few hundred random inputs only show that the targets run.

use std::path::{Path, PathBuf};
use std::{fs, panic};

use wal_fuzz::{TARGETS, seeds};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// `SplitMix64`.
fn noise(len: usize, mut state: u64) -> Vec<u8> {
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = state;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    };
    (0..len).map(|_| next() as u8).collect()
}

#[test]
fn every_find_stays_fixed() {
    for (name, target) in TARGETS {
        let Ok(files) = fs::read_dir(folder().join("regressions").join(name)) else {
            continue;
        };
        for file in files {
            let path = file.expect("an entry").path();
            let bytes = fs::read(&path).expect("a file");
            let outcome = panic::catch_unwind(|| target(&bytes));
            assert!(outcome.is_ok(), "{} is found again", path.display());
        }
    }
}

#[test]
fn a_regression_is_of_a_target() {
    for entry in fs::read_dir(folder().join("regressions")).expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("a kind").is_dir() {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(
                TARGETS.iter().any(|(target, _)| *target == name),
                "{name} is no target"
            );
        }
    }
}

#[test]
fn every_target_has_its_program() {
    for (name, _) in TARGETS {
        let program = folder().join(format!("fuzz_targets/{name}.rs"));
        let text = fs::read_to_string(&program).expect("a program of the target's name");
        assert!(
            text.contains(&format!("wal_fuzz::{name}(data)")),
            "{name}: {text}"
        );
    }
}

#[test]
fn every_seed_holds() {
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name} starts from nothing");
        for seed in &seeds {
            target(seed);
        }
    }
}

#[test]
fn random_bytes_hold() {
    for (_, target) in TARGETS {
        for seed in 0..1000 {
            target(&noise(1 + (seed as usize * 7) % 300, seed));
        }
    }
}
