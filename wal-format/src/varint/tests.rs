//! Varints: boundaries, shortest form, cut-off.

use super::{VarintError, read, write};

fn encoded(value: u32) -> Vec<u8> {
    let mut out = [0; 5];
    let len = write(&mut out, 0, value);
    out[..len].to_vec()
}

#[test]
fn boundaries_round_trip_in_the_expected_length() {
    for (value, len) in [
        (0, 1),
        (0x7F, 1),
        (0x80, 2),
        (0x3FFF, 2),
        (0x4000, 3),
        (0x1F_FFFF, 3),
        (0x20_0000, 4),
        (0xFFF_FFFF, 4),
        (0x1000_0000, 5),
        (u32::MAX, 5),
    ] {
        let bytes = encoded(value);
        assert_eq!(bytes.len(), len, "{value:#x}");
        assert_eq!(read(&bytes, 0), Ok((value, len)), "{value:#x}");
        for cut in 0..len {
            assert_eq!(
                read(&bytes[..cut], 0),
                Err(VarintError::Short),
                "{value:#x} cut at {cut}"
            );
        }
    }
}

#[test]
fn longer_than_shortest_is_refused() {
    for bytes in [
        &[0x80, 0][..],
        &[0xFF, 0],
        &[0x80, 0x80, 0],
        &[0x80, 0x80, 0x80, 0x80, 0],
    ] {
        assert_eq!(read(bytes, 0), Err(VarintError::Malformed), "{bytes:02x?}");
    }
}

#[test]
fn more_than_32_bits_are_refused() {
    for last in [0x10, 0x7F, 0x80, 0xFF] {
        let bytes = [0xFF, 0xFF, 0xFF, 0xFF, last, 1];
        assert_eq!(read(&bytes, 0), Err(VarintError::Malformed), "{last:#x}");
    }
}
