//! Runs `wal_fuzz::record`, which says what must hold.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| wal_fuzz::record(data));
