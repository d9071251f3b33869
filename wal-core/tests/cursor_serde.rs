//! With the feature `serde` a cursor is serialized as its text.

use wal_core::{Cursor, Lsn, Record, WalConfig, blocking::Wal};

#[test]
fn a_cursor_is_serialized_as_its_text_and_checked_when_it_is_read() {
    let tmp = tempfile::tempdir().expect("a directory");
    let wal = Wal::open(tmp.path().join("log"), WalConfig::default()).expect("opened");
    wal.append(&Record::data("a record")).expect("appended");
    let cursor = wal.cursor(Lsn::FIRST).expect("a cursor");
    let json = serde_json::to_string(&cursor).expect("serialized");
    assert_eq!(json, format!("\"{cursor}\""));
    assert_eq!(serde_json::from_str::<Cursor>(&json).expect("read"), cursor);
    // Not borrowed from the input, and not as a string at all.
    let value = serde_json::to_value(cursor).expect("serialized");
    assert_eq!(
        serde_json::from_value::<Cursor>(value).expect("read"),
        cursor
    );
    let wrong = serde_json::from_str::<Cursor>("\"1:2:3\"").expect_err("no cursor");
    assert!(wrong.to_string().contains("LOG:LSN:HISTORY"), "{wrong}");
    assert!(serde_json::from_str::<Cursor>("7").is_err());
}
