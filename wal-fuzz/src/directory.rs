//! Any files as a log.
//!
//! Deliberately absent: the log's own files as a start; see `structured.rs`.

use arbitrary::{Result, Unstructured};
use wal_format::{HEADER_LEN, SegmentId, Version, segment_name, spare_name, temporary_name};
use wal_io::fault::Image;

use crate::{base, judge};

/// Bytes as one to four files, most with a valid segment header.
pub fn directory(data: &[u8]) {
    let mut image = Image::new();
    // Fewer bytes than the files need make fewer files.
    let _ = files(&mut Unstructured::new(data), &mut image);
    judge::survive(&image, judge::Bytes::Any);
}

fn files(u: &mut Unstructured<'_>, image: &mut Image) -> Result<()> {
    let count = u.int_in_range(1..=4)?;
    for left in (0..count).rev() {
        let id = SegmentId::new(u.int_in_range(1..=4)?);
        let name = match u.int_in_range(0..=7)? {
            0 => spare_name(id),
            1 => temporary_name(id),
            _ => segment_name(id),
        };
        let mut file = Vec::new();
        if u.ratio(7, 8)? {
            let (version, is_full) = *u.choose(&[
                (Version::V1, false),
                (Version::V1, true),
                (Version::V2, false),
                (Version::V2, true),
            ])?;
            let mut header = base::header(id, version);
            if is_full {
                header.allocated = header.capacity;
            }
            file = header.encode();
        }
        let len = match left {
            0 => u.len(),
            _ => u.int_in_range(0..=2000)?.min(u.len()),
        };
        file.extend_from_slice(u.bytes(len)?);
        image.insert(&name, file);
    }
    Ok(())
}

pub(crate) fn describe(data: &[u8]) -> String {
    let mut image = Image::new();
    let _ = files(&mut Unstructured::new(data), &mut image);
    format!("{image:?}")
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![Vec::new(), vec![0; 16]];
    for base in base::all() {
        let (_, file) = base.image.files().last().expect("a log has files");
        seeds.push(file.get(HEADER_LEN as usize..).unwrap_or_default().to_vec());
    }
    seeds
}
