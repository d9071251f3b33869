//! Runs `wal_fuzz::segment`, which says what must hold.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| wal_fuzz::segment(data));
