//! Records: encoding, decoding, limits, one case each.

mod support;

use std::time::Duration;

use bytes::Bytes;
use support::{NOW, noise};
use wal_format::{
    Compression, DecompressError, EncodeError, EncodedRecord, Expiry, InBatch, IntoBytes, Record,
    RecordError, RecordHead, RecordKind, RecordRef, UnixMillis, borrow_record, check_value,
    compress, crc32, decompress, end_batch, read_record, read_record_in, remask_record,
    slice_record, verify_record,
};

const LIMIT: u64 = 1 << 20;

fn encode(record: RecordRef<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    EncodedRecord::new(record, InBatch::Last, NOW, LIMIT)
        .unwrap()
        .write_to(&mut out, 0);
    out
}

fn decode(bytes: &[u8]) -> Result<Record, RecordError> {
    let head = RecordHead::parse(bytes, bytes.len() as u64, LIMIT)?;
    verify_record(bytes, 0)?;
    read_record(&Bytes::copy_from_slice(bytes), &head)
}

/// A record with these bytes behind a checksum that verifies.
fn sealed(body: &[u8]) -> Vec<u8> {
    let mut bytes = crc32(body).to_le_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

#[track_caller]
fn assert_malformed(body: &[u8], why: &str) {
    let bytes = sealed(body);
    match RecordHead::parse(&bytes, bytes.len() as u64, LIMIT) {
        Err(RecordError::Malformed(found)) => assert!(found.contains(why), "{found}"),
        other => panic!("{other:?}, expected malformed: {why}"),
    }
}

#[test]
fn layout_is_as_documented() {
    let put = encode(RecordRef::put(b"key", b"value"));
    assert_eq!(put[4..], [&[0b10, 3, 5][..], b"key", b"value"].concat());
    assert_eq!(put[..4], crc32(&put[4..]).to_le_bytes());
    assert_eq!(
        encode(RecordRef::data(b"abc"))[4..],
        [&[0b01, 3][..], b"abc"].concat()
    );
    assert_eq!(
        encode(RecordRef::delete(b"abc"))[4..],
        [&[0b11, 3][..], b"abc"].concat()
    );

    let expiring = encode(RecordRef::delete(b"k").with_expiry(UnixMillis::new(0x0102)));
    assert_eq!(expiring[4..], [0b1_0011, 1, 2, 1, 0, 0, 0, 0, 0, 0, b'k']);

    let more = EncodedRecord::new(RecordRef::data(b""), InBatch::More, NOW, LIMIT).unwrap();
    let mut out = Vec::new();
    more.write_to(&mut out, 0);
    assert_eq!(out[4..], [0b10_0001, 0]);
    assert_eq!(
        RecordHead::parse(&out, 6, LIMIT).unwrap().in_batch,
        InBatch::More
    );
}

#[test]
fn empty_keys_and_values_are_legal() {
    for record in [
        RecordRef::data(b""),
        RecordRef::put(b"", b""),
        RecordRef::put(b"", b"value"),
        RecordRef::put(b"key", b""),
        RecordRef::delete(b""),
    ] {
        assert_eq!(decode(&encode(record)), Ok(record.to_record()));
    }
}

#[test]
fn length_is_known_before_writing() {
    for record in [
        RecordRef::data(&[1; 300]),
        RecordRef::put(&[2; 16_000], b"v"),
    ] {
        let encoded = EncodedRecord::new(record, InBatch::Last, NOW, LIMIT).unwrap();
        assert_eq!(encoded.len(), encode(record).len());
        assert!(!encoded.is_empty());
    }
}

#[test]
fn writing_appends_and_leaves_what_was_there() {
    let mut out = b"before".to_vec();
    let encoded = EncodedRecord::new(RecordRef::put(b"k", b"v"), InBatch::Last, NOW, LIMIT);
    encoded.unwrap().write_to(&mut out, 7);
    assert_eq!(&out[..6], b"before");
    assert_eq!(verify_record(&out[6..], 7), Ok(crc32(&out[10..]) ^ 7));
}

#[test]
fn a_relative_ttl_becomes_absolute() {
    let ttl = Duration::from_millis(1500);
    let record = Record::put("k", "v").with_ttl(ttl);
    assert_eq!(
        (record.expiry(), record.expires_at()),
        (Expiry::After(ttl), None)
    );
    assert!(!record.is_expired_at(UnixMillis::new(u64::MAX)));

    let read = decode(&encode(record.as_ref())).unwrap();
    let at = UnixMillis::new(NOW.get() + 1500);
    assert_eq!(read.expires_at(), Some(at));
    assert!(read.is_expired_at(at));
    assert!(!read.is_expired_at(UnixMillis::new(at.get() - 1)));
}

#[test]
fn an_endless_ttl_saturates() {
    let read = decode(&encode(RecordRef::data(b"").with_ttl(Duration::MAX))).unwrap();
    assert_eq!(read.expires_at(), Some(UnixMillis::new(u64::MAX)));
}

#[test]
fn a_record_at_the_limit_fits_and_above_it_does_not() {
    let encode = |record, limit| EncodedRecord::new(record, InBatch::Last, NOW, limit).map(drop);
    assert_eq!(encode(RecordRef::put(b"abc", b"defg"), 7), Ok(()));
    let error = EncodeError::TooLarge { len: 7, limit: 6 };
    assert_eq!(encode(RecordRef::put(b"abc", b"defg"), 6), Err(error));
    assert_eq!(encode(RecordRef::data(b""), 0), Ok(()));
}

#[test]
fn the_limit_counts_uncompressed_bytes() {
    let zeros = [0; 1000];
    let record = RecordRef::data(&zeros).with_compression(Compression::Lz4);
    let error = EncodedRecord::new(record, InBatch::Last, NOW, 999).unwrap_err();
    assert_eq!(
        error,
        EncodeError::TooLarge {
            len: 1000,
            limit: 999
        }
    );
}

#[test]
fn parts_that_a_kind_does_not_store_are_refused() {
    let mut data = Record::data("payload");
    data.key = "lost".into_bytes();
    let mut delete = Record::delete("key");
    delete.value = "lost".into_bytes();
    for record in [data, delete] {
        let error = EncodedRecord::new(record.as_ref(), InBatch::Last, NOW, LIMIT).unwrap_err();
        assert!(matches!(error, EncodeError::NotOfItsKind(_)), "{error}");
    }
}

#[test]
fn another_place_does_not_verify_until_remasked() {
    let mut bytes = Vec::new();
    let record = EncodedRecord::new(RecordRef::data(b"moved"), InBatch::Last, NOW, LIMIT).unwrap();
    record.write_to(&mut bytes, 0x1111_2222);
    assert!(matches!(
        verify_record(&bytes, 0x3333_4444),
        Err(RecordError::Checksum { .. })
    ));
    remask_record(&mut bytes, 0x1111_2222, 0x3333_4444);
    assert!(verify_record(&bytes, 0x3333_4444).is_ok());
}

#[test]
fn a_window_cut_anywhere_is_incomplete_and_only_then() {
    let record = RecordRef::put(&[b'k'; 200], b"value").with_expiry(NOW);
    let bytes = encode(record);
    let head = RecordHead::parse(&bytes, bytes.len() as u64, LIMIT).unwrap();
    for cut in 0..bytes.len() {
        let in_window = RecordHead::parse(&bytes[..cut], bytes.len() as u64, LIMIT);
        let at_end = RecordHead::parse(&bytes[..cut], cut as u64, LIMIT);
        if cut < head.head_len {
            assert_eq!(in_window, Err(RecordError::Incomplete), "cut at {cut}");
        } else {
            assert_eq!(in_window, Ok(head), "cut at {cut}");
        }
        assert!(
            matches!(at_end, Err(RecordError::Malformed(_))),
            "cut at {cut}: {at_end:?}"
        );
    }
}

#[test]
fn bytes_behind_the_payload_are_not_looked_at() {
    let mut bytes = encode(RecordRef::data(b"abc"));
    let len = bytes.len() as u64;
    bytes.extend_from_slice(b"what follows");
    assert!(RecordHead::parse(&bytes, len, LIMIT).is_ok());
    assert!(matches!(
        RecordHead::parse(&bytes, len - 1, LIMIT),
        Err(RecordError::Malformed(_))
    ));
}

#[test]
fn malformed_heads_are_named() {
    assert_malformed(&[0b00, 0], "kind");
    assert_malformed(&[0b1100 | 1, 0], "compression is unknown");
    assert_malformed(&[0b0100 | 3, 0], "delete with compression");
    assert_malformed(&[0b0100_0001, 0], "reserved");
    assert_malformed(&[0b1000_0001, 0], "reserved");
    assert_malformed(&[1, 0x80, 0], "length");
    assert_malformed(&[1, 0xFF, 0xFF, 0xFF, 0xFF, 0x10], "length");
    assert_malformed(&[0b0101, 1, 1, b'x'], "not shorter");
    assert_malformed(&[0b0101, 0, 0], "not shorter");
    assert_malformed(&[1, 5, b'x'], "end within");
}

#[test]
fn claims_above_the_limit_are_refused_before_anything_else_is_believed() {
    let huge = sealed(&[0b0101, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]);
    let error = RecordHead::parse(&huge, huge.len() as u64, LIMIT).unwrap_err();
    assert_eq!(
        error,
        RecordError::TooLarge {
            len: u64::from(u32::MAX),
            limit: LIMIT
        }
    );
}

#[test]
fn a_read_record_shares_the_memory_that_it_was_read_from() {
    let bytes = Bytes::from(encode(RecordRef::put(b"key", b"value")));
    let head = RecordHead::parse(&bytes, bytes.len() as u64, LIMIT).unwrap();
    let record = read_record(&bytes, &head).unwrap();
    assert!(bytes.as_ptr_range().contains(&record.key.as_ptr()));
    assert!(bytes.as_ptr_range().contains(&record.value.as_ptr()));
    let short = bytes.slice(..bytes.len() - 1);
    assert!(matches!(
        read_record(&short, &head),
        Err(RecordError::Malformed(_))
    ));
}

#[test]
fn a_record_is_read_out_of_a_window_that_holds_more() {
    let record = RecordRef::put(b"key", b"value").with_expiry(UnixMillis::new(9));
    let encoded = encode(record);
    let window = Bytes::from([b"before", &encoded[..], b"behind"].concat());
    let head = RecordHead::parse(&encoded, encoded.len() as u64, LIMIT).unwrap();
    for read in [
        read_record_in(&window, 6, &head).unwrap(),
        slice_record(&window, 6, &head),
        borrow_record(&window[6..], &head).to_record(),
    ] {
        assert_eq!(read, record.to_record());
    }
    assert!(
        window
            .as_ptr_range()
            .contains(&slice_record(&window, 6, &head).value.as_ptr())
    );
    for at in [window.len() - encoded.len() + 1, window.len(), usize::MAX] {
        assert!(matches!(
            read_record_in(&window, at, &head),
            Err(RecordError::Malformed(_))
        ));
    }
}

#[test]
fn a_compressed_value_is_sliced_as_it_is_stored_and_read_as_it_was() {
    for compression in [Compression::Lz4, Compression::Zstd] {
        if !compression.is_available() {
            continue;
        }
        let value = [5; 500];
        let mut encoded = encode(RecordRef::data(&value).with_compression(compression));
        let head = RecordHead::parse(&encoded, encoded.len() as u64, LIMIT).unwrap();
        let window = Bytes::copy_from_slice(&encoded);
        assert_eq!(read_record_in(&window, 0, &head).unwrap().value, &value[..]);
        assert_eq!(
            slice_record(&window, 0, &head).value.len(),
            head.value_len as usize
        );
        assert_eq!(
            borrow_record(&window, &head).value().len(),
            head.value_len as usize
        );
        assert_eq!(check_value(&window, &head), Ok(()));
        encoded[head.head_len..].fill(0xFF);
        assert!(matches!(
            check_value(&encoded, &head),
            Err(RecordError::Decompress(_))
        ));
        assert!(check_value(&window[..head.head_len], &head).is_err());
    }
}

#[test]
fn compression_that_does_not_shrink_is_not_used() {
    let noise = noise(200, 1);
    for compression in [Compression::Lz4, Compression::Zstd] {
        if !compression.is_available() {
            continue;
        }
        for value in [&noise[..], b"", b"x"] {
            let record = RecordRef::put(b"k", value).with_compression(compression);
            let read = decode(&encode(record)).unwrap();
            assert_eq!(
                (&read.value[..], read.compression()),
                (value, Compression::None)
            );
        }
        assert_eq!(compress(compression, &noise), Ok(None));
    }
}

#[test]
fn compression_shrinks_and_round_trips() {
    let text = b"the log is a log is a log; ".repeat(100);
    for compression in [Compression::Lz4, Compression::Zstd] {
        if !compression.is_available() {
            continue;
        }
        let record = RecordRef::put(b"k", &text).with_compression(compression);
        let bytes = encode(record);
        assert!(
            bytes.len() < text.len() / 4,
            "{compression:?}: {} bytes",
            bytes.len()
        );
        assert_eq!(decode(&bytes), Ok(record.to_record()));
    }
}

#[test]
fn a_missing_compression_is_an_error_of_its_own() {
    for compression in [Compression::Lz4, Compression::Zstd] {
        if compression.is_available() {
            continue;
        }
        let record = RecordRef::data(b"value").with_compression(compression);
        let error = EncodedRecord::new(record, InBatch::Last, NOW, LIMIT).unwrap_err();
        assert_eq!(error, EncodeError::CompressionUnavailable(compression));
        let error = decompress(compression, b"stored", 100).unwrap_err();
        assert_eq!(error, DecompressError::Unavailable(compression));
    }
}

#[test]
fn a_wrong_raw_length_is_found() {
    let text = b"the log is a log is a log; ".repeat(100);
    for compression in [Compression::Lz4, Compression::Zstd] {
        let Ok(Some(stored)) = compress(compression, &text) else {
            continue;
        };
        assert_eq!(
            decompress(compression, &stored, text.len()).as_deref(),
            Ok(&text[..])
        );
        for raw_len in [0, 1, text.len() - 1, text.len() + 1, 1 << 30] {
            let result = decompress(compression, &stored, raw_len);
            assert!(result.is_err(), "{compression:?} to {raw_len} bytes");
        }
        if compression == Compression::Zstd {
            let two_frames = [&stored[..], &stored[..]].concat();
            assert!(decompress(compression, &two_frames, text.len() * 2).is_err());
            // A skippable frame of no bytes, which decompressors pass over.
            let skipped = [&stored[..], &[0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0]].concat();
            assert!(decompress(compression, &skipped, text.len()).is_err());
        }
        for cut in 0..stored.len() {
            assert!(
                decompress(compression, &stored[..cut], text.len()).is_err(),
                "cut at {cut}"
            );
        }
    }
    assert!(matches!(
        decompress(Compression::None, b"abc", 4),
        Err(DecompressError::Length {
            expected: 4,
            found: 3
        })
    ));
}

#[test]
fn a_delete_takes_no_compression_even_when_asked() {
    let record = RecordRef::delete(b"key").with_compression(Compression::Zstd);
    assert_eq!(decode(&encode(record)), Ok(Record::delete("key")));
}

#[test]
fn keys_and_values_are_taken_from_all_kinds_of_bytes() {
    let owned = b"bytes".to_vec();
    let text = String::from("bytes");
    let shared = Bytes::from_static(b"bytes");
    let records = [
        Record::data(b"bytes"),
        Record::data(*b"bytes"),
        Record::data(&owned[..]),
        Record::data(&owned),
        Record::data(owned.clone()),
        Record::data("bytes"),
        Record::data(&text),
        Record::data(text.clone()),
        Record::data(&shared),
        Record::data(shared.clone()),
    ];
    for record in &records {
        assert_eq!(*record, records[0]);
        assert_eq!(record.kind(), RecordKind::Data);
        assert_eq!(Record::from(RecordRef::from(record)), *record);
    }
}

#[test]
fn debug_shortens_long_values() {
    let shown = format!("{:?}", Record::put("key", vec![b'v'; 10_000]));
    assert!(
        shown.contains("key") && shown.contains("10000 bytes"),
        "{shown}"
    );
    assert!(shown.len() < 300, "{shown}");
}

#[test]
fn the_last_of_a_batch_that_is_cut_ends_it() {
    let mask = 0x1234_5678;
    let record = RecordRef::put(b"k", b"v");
    let encoded = EncodedRecord::new(record, InBatch::More, UnixMillis::new(0), 100).unwrap();
    let mut bytes = Vec::new();
    encoded.write_to(&mut bytes, mask);
    end_batch(&mut bytes, mask);
    let head = RecordHead::parse(&bytes, bytes.len() as u64, 100).unwrap();
    assert_eq!(head.in_batch, InBatch::Last);
    assert!(verify_record(&bytes, mask).is_ok());
    let alone = EncodedRecord::new(record, InBatch::Last, UnixMillis::new(0), 100).unwrap();
    let mut expected = Vec::new();
    alone.write_to(&mut expected, mask);
    assert_eq!(bytes, expected);
}
