//! What the feature `serde` writes and reads back.

use wal_format::{Lsn, SegmentId, UnixMillis, Version};

#[test]
fn numbers_are_written_as_numbers_and_read_back() {
    let value = (Lsn::MAX, SegmentId::FIRST, UnixMillis::new(3), Version::V2);
    let json = serde_json::to_string(&value).expect("serialized");
    assert_eq!(json, "[18446744073709551614,1,3,\"V2\"]");
    let read: (Lsn, SegmentId, UnixMillis, Version) = serde_json::from_str(&json).expect("read");
    assert_eq!(read, value);
}
