//! Runs `wal_fuzz::directory_structured`, which says what must hold.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| wal_fuzz::directory_structured(data));
