//! What the feature `serde` writes and reads back.

use wal_core::{
    Cursor, Lsn, Offline, Position, Record, Stats, VerifyOptions, WalConfig, blocking::Wal,
};

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

#[test]
fn positions_and_statistics_are_read_back_and_reports_are_written() {
    let tmp = tempfile::tempdir().expect("a directory");
    let dir = tmp.path().join("log");
    let wal = Wal::open(&dir, WalConfig::default()).expect("opened");
    let position = wal.append("a record").expect("appended");
    let json = serde_json::to_string(&position).expect("serialized");
    assert!(json.contains("\"lsn\":1,"), "{json}");
    assert_eq!(
        serde_json::from_str::<Position>(&json).expect("read"),
        position
    );
    let stats = wal.stats();
    let json = serde_json::to_string(&stats).expect("serialized");
    assert_eq!(serde_json::from_str::<Stats>(&json).expect("read"), stats);
    wal.close().expect("closed");
    let report = Offline::at(&dir).verify(VerifyOptions::default());
    let report = serde_json::to_value(report.expect("verified")).expect("serialized");
    assert_eq!(report["segments"][0]["records"], 1);
    assert_eq!(report["recovery"]["clean"], true);
}
