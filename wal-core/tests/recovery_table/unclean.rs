//! Logs that were killed, or lost power.

use wal_format::LinkCause;
use wal_io::fault::Image;

use super::files::{End, Segment, directory};
use super::verdict::{check, check_corrupt, unclean};
use crate::common::SMALL;
use crate::common::trace::segment;

#[test]
fn a_segment_of_which_nothing_is_proven() {
    let first = Segment::first().group(1..=3, 0);
    let gone = [segment(1)];
    check(&directory(&[&first]), &unclean(1..=3, 0, 1).leftovers(gone));
}

#[test]
fn a_segment_without_records() {
    #[allow(clippy::reversed_empty_ranges)]
    let nothing = 1..=0;
    check(&directory(&[&Segment::first()]), &unclean(nothing, 0, 1));
}

#[test]
fn a_whole_end_that_a_stamp_proves() {
    let first = Segment::first().group(1..=3, 0).group(4..=5, 3).stamp(5);
    check(&directory(&[&first]), &unclean(1..=5, 5, 1));
}

#[test]
fn an_unproven_tail_is_copied() {
    let first = Segment::first()
        .group(1..=3, 0)
        .group(4..=5, 3)
        .group(6..=9, 3);
    check(&directory(&[&first]), &unclean(1..=9, 3, 1));
}

#[test]
fn a_torn_tail_is_left_behind() {
    let first = Segment::first().group(1..=3, 0).group(4..=5, 3);
    let torn = Segment::first()
        .group(1..=3, 0)
        .group(4..=5, 3)
        .group(6..=9, 3);
    let mut image = directory(&[&torn]);
    let mut bytes = torn.bytes();
    // A byte of the last group did not make it.
    let at = torn.len() as usize - 20;
    bytes[at] ^= 0xFF;
    image.insert(&segment(1), bytes);
    let left = torn.len() - first.len();
    let verdict = unclean(1..=5, 3, 1).torn(1, left - 8..=left);
    check(&image, &verdict);
}

#[test]
fn a_torn_tail_whose_header_did_not_make_it() {
    let first = Segment::first().group(1..=3, 0).group(4..=5, 3);
    let torn = Segment::first()
        .group(1..=3, 0)
        .group(4..=5, 3)
        .group(6..=9, 3);
    let mut image = directory(&[&torn]);
    let mut bytes = torn.bytes();
    let at = first.len() as usize;
    bytes[at..at + 64].fill(0);
    image.insert(&segment(1), bytes);
    // Nothing tells what is left of it from what was in the file before.
    check(&image, &unclean(1..=5, 3, 1));
}

#[test]
fn a_torn_tail_with_a_later_group_that_proves_nothing_of_it() {
    // Two writes, of which the second reached the disk: its watermark is below the hole.
    let whole = Segment::first()
        .group(1..=3, 0)
        .group(4..=5, 3)
        .group(6..=7, 3);
    let mut image = directory(&[&whole]);
    let mut bytes = whole.bytes();
    let at = Segment::first().group(1..=3, 0).len() as usize;
    bytes[at + 70] ^= 1;
    image.insert(&segment(1), bytes);
    check(&image, &unclean(1..=3, 3, 1).torn(1, 100..=500));
}

#[test]
fn damage_that_a_later_group_proves_durable() {
    let whole = Segment::first()
        .group(1..=3, 0)
        .group(4..=5, 3)
        .group(6..=7, 5);
    let mut image = directory(&[&whole]);
    let mut bytes = whole.bytes();
    let at = Segment::first().group(1..=3, 0).len();
    bytes[at as usize + 70] ^= 1;
    image.insert(&segment(1), bytes);
    let damage = check_corrupt(&image, 1, 4);
    assert_eq!(damage.offset.get(), at);
    assert_eq!(damage.last_lsn.map(wal_core::Lsn::get), Some(5));
}

#[test]
fn damage_that_a_stamp_proves_durable() {
    let whole = Segment::first().group(1..=3, 0).stamp(3);
    let mut image = directory(&[&whole]);
    let mut bytes = whole.bytes();
    bytes[4096 + 128 + 70] ^= 1;
    image.insert(&segment(1), bytes);
    check_corrupt(&image, 1, 1);
}

#[test]
fn damage_that_a_link_behind_it_proves_durable() {
    let first = Segment::first().group(1..=3, 0).group(4..=5, 0);
    let end = first.end();
    let second = Segment::after(2, end, LinkCause::Rotated, 5).group(6..=6, 5);
    let mut image = directory(&[&first, &second]);
    let mut bytes = first.bytes();
    bytes[4096 + 128 + 70] ^= 1;
    image.insert(&segment(1), bytes);
    // Nobody reads what is proven; who reads it finds the damage.
    let machine = super::verdict::machine(&image);
    let verified = machine.verify().expect("verified");
    assert_eq!(verified.damage().count(), 1);
    assert!(crate::common::read_all(&machine.open()).is_err());
}

#[test]
fn a_hole_before_a_segment_that_proves_nothing() {
    // The link gives order and is no proof: the log ends in the first segment.
    let first = Segment::first().group(1..=3, 0).group(4..=5, 3);
    let end = first.end();
    let second = Segment::after(2, end, LinkCause::Rotated, 3).group(6..=7, 3);
    let mut image = directory(&[&first, &second]);
    let mut bytes = first.bytes();
    let at = Segment::first().group(1..=3, 0).len() as usize;
    bytes[at + 70] ^= 1;
    image.insert(&segment(1), bytes);
    check(&image, &unclean(1..=3, 3, 1).torn(1, 50..=300));
}

#[test]
fn two_unproven_segments_are_copied_into_one() {
    let first = Segment::first().group(1..=3, 0).group(4..=5, 3);
    let end = first.end();
    let second = Segment::after(2, end, LinkCause::Rotated, 3).group(6..=7, 3);
    let gone = [segment(2)];
    let verdict = unclean(1..=7, 3, 2).leftovers(gone);
    check(&directory(&[&first, &second]), &verdict);
}

#[test]
fn two_segments_of_which_nothing_is_proven() {
    let first = Segment::first().group(1..=3, 0).group(4..=5, 0);
    let end = first.end();
    let second = Segment::after(2, end, LinkCause::Rotated, 0).group(6..=7, 0);
    let gone = [segment(2), segment(1)];
    let verdict = unclean(1..=7, 0, 2).leftovers(gone);
    check(&directory(&[&first, &second]), &verdict);
}

/// A stamp was written behind the records, and the next segment begun, before a sync: of the two, only the second made it.
fn without_the_stamp(second: &dyn Fn(End) -> Segment) -> Image {
    let records = Segment::first().group(1..=3, 0);
    let from = records.len() as usize;
    let first = records.stamp(3);
    let second = second(first.end());
    let mut image = directory(&[&first, &second]);
    let mut bytes = first.bytes();
    bytes[from..].fill(0);
    image.insert(&segment(1), bytes);
    image
}

#[test]
fn a_stamp_that_did_not_make_it_before_a_segment_that_did() {
    let second = |end| Segment::after(2, end, LinkCause::Rotated, 3).group(4..=6, 3);
    let verdict = unclean(1..=6, 3, 2).leftovers([segment(2)]);
    check(&without_the_stamp(&second), &verdict);
}

#[test]
fn a_stamp_that_did_not_make_it_before_a_segment_without_records() {
    let second = |end| Segment::after(2, end, LinkCause::Rotated, 3);
    let verdict = unclean(1..=3, 3, 2);
    check(&without_the_stamp(&second), &verdict);
}

#[test]
fn a_newest_segment_without_records() {
    // The rotation was the last thing: there is nothing to copy but the proof.
    let first = Segment::first().group(1..=3, 0).group(4..=5, 3);
    let end = first.end();
    let second = Segment::after(2, end, LinkCause::Rotated, 5);
    let image = directory(&[&first, &second]);
    let machine = super::verdict::machine(&image);
    let wal = machine.open();
    let report = wal.recovery_report();
    assert_eq!((report.last_lsn.get(), report.proven_lsn.get()), (5, 5));
    assert_eq!(report.unproven, 0);
    crate::common::assert_holds(&wal, 1..=5);
}

#[test]
fn a_newest_segment_whose_link_did_not_make_it() {
    let first = Segment::first().group(1..=3, 0).group(4..=5, 3);
    let end = first.end();
    let second = Segment::after(2, end, LinkCause::Rotated, 3).group(6..=7, 3);
    let mut image = directory(&[&first, &second]);
    let mut bytes = second.bytes();
    bytes[4096..].fill(0);
    image.insert(&segment(2), bytes);
    let verdict = unclean(1..=5, 3, 1).leftovers([segment(2)]);
    check(&image, &verdict);
}

#[test]
fn a_newest_segment_whose_link_is_damaged_and_whose_groups_prove_nothing() {
    let first = Segment::first().group(1..=3, 0).group(4..=5, 3);
    let end = first.end();
    let second = Segment::after(2, end, LinkCause::Rotated, 3).group(6..=7, 3);
    let mut image = directory(&[&first, &second]);
    let mut bytes = second.bytes();
    bytes[4096 + 70] ^= 1;
    image.insert(&segment(2), bytes);
    let verdict = unclean(1..=5, 3, 1).leftovers([segment(2)]);
    check(&image, &verdict);
}

#[test]
fn a_damaged_link_with_later_proof() {
    let first = Segment::first().group(1..=3, 0).group(4..=5, 3);
    let end = first.end();
    let second = Segment::after(2, end, LinkCause::Rotated, 3)
        .group(6..=7, 5)
        .group(8..=8, 7);
    let mut image = directory(&[&first.footer(2), &second]);
    let mut bytes = second.bytes();
    bytes[4096 + 70] ^= 1;
    image.insert(&segment(2), bytes);
    let damage = check_corrupt(&image, 2, 6);
    assert_eq!(damage.offset.get(), 4096);
    assert_eq!(damage.last_lsn.map(wal_core::Lsn::get), Some(7));
}

#[test]
fn a_damaged_link_between_segments() {
    let first = Segment::first().group(1..=3, 0);
    let end = first.end();
    let second = Segment::after(2, end, LinkCause::Rotated, 3).group(4..=5, 3);
    let end = second.end();
    let third = Segment::after(3, end, LinkCause::Rotated, 5).group(6..=7, 5);
    let mut image = directory(&[&first.footer(2), &second.footer(3), &third]);
    let mut bytes = image.get(&segment(2)).expect("a segment").to_vec();
    bytes[4096 + 70] ^= 1;
    image.insert(&segment(2), bytes);
    check_corrupt(&image, 2, 4);
}

#[test]
fn a_newest_file_that_lost_its_last_sector() {
    let first = Segment::first().group(1..=3, 0).group(4..=5, 3);
    let mut image = directory(&[&first]);
    let bytes = first.bytes();
    image.insert(&segment(1), &bytes[..SMALL as usize - 512]);
    // The header says how long the file was when it got its name.
    let machine = super::verdict::machine(&image);
    for opened in [machine.look(), machine.try_open()] {
        assert!(matches!(opened, Err(wal_core::Error::Corruption(_))));
    }
}

#[test]
fn a_cut_that_nothing_proves() {
    // The truncation was under way. It holds from now on, so the cut is copied too.
    let first = Segment::first().group(1..=3, 0).group(4..=5, 3).cut(4, 3);
    check(&directory(&[&first]), &unclean(4..=5, 3, 1));
}

#[test]
fn a_recovered_segment_repeats_records_of_its_predecessor() {
    // 4 and 5 stand in both; the log takes them from the second.
    let first = Segment::first().group(1..=3, 0);
    let end = first.end();
    let first = first.group(4..=5, 3);
    let second = Segment::after(2, end, LinkCause::Recovered, 3)
        .group(4..=5, 3)
        .stamp(5)
        .group(6..=6, 5);
    check(&directory(&[&first, &second]), &unclean(1..=6, 5, 2));
}

#[test]
fn a_recovered_segment_before_its_stamp_was_durable_cannot_be() {
    // It got its name with its stamp synced; without the stamp, its records are a tail like any other.
    let first = Segment::first().group(1..=3, 0);
    let end = first.end();
    let first = first.group(4..=5, 3);
    let second = Segment::after(2, end, LinkCause::Recovered, 3).group(4..=5, 3);
    let verdict = unclean(1..=5, 3, 2).leftovers([segment(2)]);
    check(&directory(&[&first, &second]), &verdict);
}
