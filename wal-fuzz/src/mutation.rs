//! Damage to the files of a log, read from bytes.
//!
//! Deliberately absent: what it does to the log. That is judged elsewhere, by which bytes it touched.

use std::collections::BTreeMap;
use std::ops::Range;

use arbitrary::{Result, Unstructured};
use wal_format::{
    FileName, GROUP_HEADER_LEN, HEADER_LEN, SegmentId, segment_name, spare_name, temporary_name,
};

use crate::base::{Base, noise};
use crate::mend::{self, Depth};

/// The files of a directory.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

const SECTOR: usize = 512;

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    /// Bytes of files that were there before.
    pub(crate) touched: Vec<(String, Range<u64>)>,
    /// Files that are no longer under their name.
    pub(crate) moved: Vec<String>,
    pub(crate) count: usize,
    /// Checksums were put right afterwards: nothing need be noticed any more.
    pub(crate) forged: bool,
}

impl Damage {
    fn touch(&mut self, name: &str, bytes: Range<usize>) {
        let bytes = bytes.start as u64..bytes.end as u64;
        self.touched.push((name.to_owned(), bytes));
    }

    fn touch_all(&mut self, name: &str, files: &Files) {
        let len = files.get(name).map_or(0, Vec::len);
        self.touch(name, 0..len.max(1));
    }
}

/// Applies a list of mutations.
pub(crate) fn apply(u: &mut Unstructured<'_>, base: &Base, files: &mut Files) -> Result<Damage> {
    let mut damage = Damage {
        forged: u.ratio(1, 2)?,
        ..Damage::default()
    };
    let most = if damage.forged { 6 } else { 4 };
    let count = u.int_in_range(1..=most)?;
    for _ in 0..count {
        if u.is_empty() {
            break;
        }
        damage.count += 1;
        if damage.forged && u.ratio(3, 4)? {
            set_field(u, files)?;
        } else {
            one(u, base, files, &mut damage)?;
        }
    }
    if damage.forged {
        let depth = *u.choose(&[Depth::Sums, Depth::Chain])?;
        let mut segments = BTreeMap::new();
        for (name, bytes) in files.iter_mut() {
            if let FileName::Segment(id) | FileName::Spare(id) = FileName::parse(name) {
                segments.insert(id, std::mem::take(bytes));
            }
        }
        mend::log(&mut segments, depth);
        for (name, bytes) in files.iter_mut() {
            if let FileName::Segment(id) | FileName::Spare(id) = FileName::parse(name)
                && let Some(mended) = segments.remove(&id)
            {
                *bytes = mended;
            }
        }
    }
    Ok(damage)
}

fn one(
    u: &mut Unstructured<'_>,
    base: &Base,
    files: &mut Files,
    damage: &mut Damage,
) -> Result<()> {
    let name = file(u, files)?;
    let other = file(u, files)?;
    let len = files[&name].len();
    match u.int_in_range(0..=12)? {
        0 => {
            for _ in 0..u.int_in_range(1..=3)? {
                let bit = u.choose_index((len * 8).max(1))?;
                if let Some(byte) = files
                    .get_mut(&name)
                    .and_then(|bytes| bytes.get_mut(bit / 8))
                {
                    *byte ^= 1 << (bit % 8);
                    damage.touch(&name, bit / 8..bit / 8 + 1);
                }
            }
        }
        1 => {
            let fill = match u.int_in_range(0..=2)? {
                0 => vec![0; SECTOR],
                1 => vec![0xFF; SECTOR],
                _ => noise(SECTOR, u64::from(u.arbitrary::<u8>()?)),
            };
            let at = sector(u, len)?;
            overwrite(files, damage, &name, at, &fill);
        }
        2 => {
            let from = sector(u, files[&other].len())?;
            let bytes = slice(&files[&other], from, SECTOR);
            let at = sector(u, len)?;
            overwrite(files, damage, &name, at, &bytes);
        }
        3 => {
            let (at, from) = (sector(u, len)?, sector(u, files[&other].len())?);
            let (one, two) = (
                slice(&files[&name], at, SECTOR),
                slice(&files[&other], from, SECTOR),
            );
            overwrite(files, damage, &name, at, &two);
            overwrite(files, damage, &other, from, &one);
        }
        4 => {
            let cut = u.int_in_range(0..=len)?;
            damage.touch(&name, cut..len);
            files.entry(name).and_modify(|bytes| bytes.truncate(cut));
        }
        5 => {
            let more = match u.int_in_range(0..=2)? {
                0 => vec![0; u.int_in_range(0..=9000)?],
                1 => noise(u.int_in_range(0..=600)?, 1),
                _ => files[&other].clone(),
            };
            files.entry(name).and_modify(|bytes| bytes.extend(more));
        }
        6 => {
            damage.touch_all(&name, files);
            files.remove(&name);
            damage.moved.push(name);
        }
        7 => {
            let to = new_name(u)?;
            damage.touch_all(&to, files);
            let copy = files[&name].clone();
            files.insert(to, copy);
        }
        8 => {
            damage.touch_all(&name, files);
            damage.touch_all(&other, files);
            let (one, two) = (files[&name].clone(), files[&other].clone());
            files.insert(name, two);
            files.insert(other, one);
        }
        9 => {
            let to = new_name(u)?;
            damage.touch_all(&name, files);
            damage.touch_all(&to, files);
            if let Some(bytes) = files.remove(&name) {
                files.insert(to, bytes);
            }
            damage.moved.push(name);
        }
        10 => {
            let from = u.choose_index(files[&other].len().max(1))?;
            let count = u.int_in_range(1..=600)?;
            let bytes = slice(&files[&other], from, count);
            let at = u.choose_index(len.max(1))?;
            overwrite(files, damage, &name, at, &bytes);
        }
        11 => {
            let to = *u.choose(&[
                "lock.pid",
                "lock",
                "quarantine",
                ".hidden",
                "lost+found",
                "notes",
            ])?;
            let len = u.int_in_range(0..=40)?;
            files.insert(to.to_owned(), noise(len, 3));
        }
        _ => {
            let at = sector(u, len)?;
            if let Some(old) = base.older.get(&name) {
                let bytes = slice(old, at, SECTOR.min(len.saturating_sub(at)));
                overwrite(files, damage, &name, at, &bytes);
            }
        }
    }
    Ok(())
}

/// A file to work on; there is always one.
fn file(u: &mut Unstructured<'_>, files: &mut Files) -> Result<String> {
    if files.is_empty() {
        files.insert(segment_name(SegmentId::FIRST), Vec::new());
    }
    let at = u.choose_index(files.len())?;
    Ok(files.keys().nth(at).cloned().unwrap_or_default())
}

fn new_name(u: &mut Unstructured<'_>) -> Result<String> {
    let id = match u.int_in_range(0..=9)? {
        9 => u64::MAX - u64::from(u.int_in_range(0..=2u8)?),
        small => small + 1,
    };
    let id = SegmentId::new(id);
    Ok(match u.int_in_range(0..=3)? {
        0 => spare_name(id),
        1 => temporary_name(id),
        _ => segment_name(id),
    })
}

fn sector(u: &mut Unstructured<'_>, len: usize) -> Result<usize> {
    Ok(u.choose_index(len.div_ceil(SECTOR).max(1))? * SECTOR)
}

/// As much of `bytes` as is there.
fn slice(bytes: &[u8], at: usize, len: usize) -> Vec<u8> {
    let rest = bytes.get(at..).unwrap_or_default();
    rest[..len.min(rest.len())].to_vec()
}

/// Never makes the file longer.
fn overwrite(files: &mut Files, damage: &mut Damage, name: &str, at: usize, new: &[u8]) {
    let Some(bytes) = files.get_mut(name).and_then(|bytes| bytes.get_mut(at..)) else {
        return;
    };
    let len = new.len().min(bytes.len());
    bytes[..len].copy_from_slice(&new[..len]);
    damage.touch(name, at..at + len);
}

/// Changes a number in a segment's header, a group's header or a payload. Its checksum is put right later.
fn set_field(u: &mut Unstructured<'_>, files: &mut Files) -> Result<()> {
    let name = file(u, files)?;
    let bytes = files.entry(name).or_default();
    let starts: Vec<usize> = (HEADER_LEN as usize..bytes.len().saturating_sub(GROUP_HEADER_LEN))
        .step_by(8)
        .filter(|at| bytes[*at..].starts_with(b"WGRP"))
        .collect();
    let (start, len) = match u.choose_index(starts.len() + 1)? {
        0 => (0, 96),
        at => (starts[at - 1], 2 * GROUP_HEADER_LEN),
    };
    let width = *u.choose(&[1, 2, 4, 8])?;
    let at = start + u.choose_index(len / width)? * width;
    let Some(field) = bytes.get_mut(at..at + width) else {
        return Ok(());
    };
    let mut value = [0; 8];
    value[..width].copy_from_slice(field);
    let old = u64::from_le_bytes(value);
    let new = match u.int_in_range(0..=9)? {
        0 => 0,
        1 => 1,
        2 => u64::MAX,
        3 => u64::MAX - u64::from(u.arbitrary::<u8>()?),
        4 => old.wrapping_add(1),
        5 => old.wrapping_sub(1),
        6 => old.wrapping_add(u64::from(u.arbitrary::<u8>()?)),
        7 => old.wrapping_sub(u64::from(u.arbitrary::<u8>()?)),
        8 => old ^ (1 << u.int_in_range(0..=63)?),
        _ => u.arbitrary()?,
    };
    field.copy_from_slice(&new.to_le_bytes()[..width]);
    Ok(())
}
