//! A log that the log made, then damaged: never fewer records without a word, and none that was not appended.
//!
//! The rule. Records before the first damaged group come back, or an error does. After a single damage all records that
//! the files prove come back, or an error does; only what is behind the last proof can be lost, since it looks like a write
//! that a crash cut short. Where checksums were put right after the damage, nothing need be noticed, and only what
//! `judge.rs` asks of any bytes is asked.
//!
//! Deliberately absent: every single damage in turn. The sweep of the crash suite does that.

use std::fmt::Write as _;

use arbitrary::{Result, Unstructured};
use wal_io::fault::Image;

use crate::base::{self, Base};
use crate::judge::{self, Bytes, Shown};
use crate::mutation::{self, Damage, Files};

/// The bytes say which log, and what happens to it.
pub fn directory_structured(data: &[u8]) {
    let Ok((base, damage, image)) = damaged(data) else {
        return;
    };
    if damage.forged {
        judge::survive(&image, Bytes::Any);
    } else {
        let shown = judge::survive(&image, Bytes::NotForged);
        check(base, &damage, &shown);
    }
}

fn damaged(data: &[u8]) -> Result<(&'static Base, Damage, Image)> {
    let mut u = Unstructured::new(data);
    let base = u.choose(base::all())?;
    let files = base.image.files();
    let mut files: Files = files
        .map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))
        .collect();
    let damage = mutation::apply(&mut u, base, &mut files)?;
    let mut image = Image::new();
    for (name, bytes) in files {
        image.insert(&name, bytes);
    }
    Ok((base, damage, image))
}

pub(crate) fn describe(data: &[u8]) -> String {
    let Ok((base, damage, image)) = damaged(data) else {
        return "too few bytes".to_owned();
    };
    let mut text = format!(
        "LSN {} to {}, {} proven; {damage:?}\n",
        base.first,
        base.last(),
        base.proven
    );
    for (name, bytes) in image.files() {
        // A string takes whatever is written to it.
        let _ = write!(text, "{name}: {} bytes", bytes.len());
        let old = base.image.get(name).unwrap_or_default();
        let changed = (0..bytes.len()).filter(|at| old.get(*at) != bytes.get(*at));
        for at in changed.take(24) {
            let _ = write!(text, ", {at}: {:02x?} -> {:02x}", old.get(at), bytes[at]);
        }
        text.push('\n');
    }
    text
}

fn check(base: &Base, damage: &Damage, shown: &Shown) {
    for (lsn, record) in &shown.records {
        let known = lsn
            .checked_sub(base.first)
            .and_then(|at| base.records.get(at as usize));
        let known = known.unwrap_or_else(|| unreachable!("LSN {lsn} was invented: {damage:?}"));
        assert!(
            (record.kind(), &record.key, &record.value) == (known.kind(), &known.key, &known.value),
            "LSN {lsn} has other bytes: {damage:?}"
        );
    }
    if shown.error.is_some() {
        return;
    }
    let first = shown.records.first().map_or(base.first, |(lsn, _)| *lsn);
    assert_eq!(
        first, base.first,
        "the log begins elsewhere without a word: {damage:?}"
    );
    let last = shown.records.last().map_or(base.first - 1, |(lsn, _)| *lsn);
    if last == base.last() {
        return;
    }
    let groups = base.groups.iter().filter(|group| {
        damage.touched.iter().any(|(name, bytes)| {
            *name == group.file && bytes.start < group.bytes.end && group.bytes.start < bytes.end
        })
    });
    let (first, reach) = groups.fold((u64::MAX, 0), |(first, reach), group| {
        (group.first.min(first), group.last.max(reach))
    });
    assert!(
        last + 1 >= first.min(base.last() + 1).max(base.first),
        "the log ends at LSN {last} without a word, the first touched is {first}: {damage:?}"
    );
    // Without its newest segment, a log looks whole where the one before does not name it.
    let gone = base.unnamed && damage.moved.contains(&base.newest);
    let single = damage.count == 1;
    assert!(
        !single || gone || reach > base.proven || last >= base.proven,
        "the log ends at LSN {last} without a word, {} were proven: {damage:?}",
        base.proven
    );
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    (0..48).map(|n| base::noise(64, n)).collect()
}
