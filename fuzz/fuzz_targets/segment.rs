//! Any bytes as a segment file: groups and records come back or an error does, and nothing panics.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wal_format::{SegmentId, SegmentView};

fuzz_target!(|data: &[u8]| {
    let Ok(segment) = SegmentView::parse(data, SegmentId::FIRST) else {
        return;
    };
    for group in segment.groups() {
        let Ok(group) = group else { return };
        for (_, _, record) in group.records() {
            let _ = record.value();
        }
    }
});
