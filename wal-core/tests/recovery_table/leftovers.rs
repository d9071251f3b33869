//! Files that are not, or no longer, part of the log: removed and reported.

use wal_format::LinkCause;

use super::files::{Segment, directory};
use super::verdict::{check, check_corrupt, clean, unclean};
use crate::common::trace::{segment, spare, temporary};

fn closed() -> (Segment, Segment) {
    let first = Segment::first().group(1..=4, 0);
    let end = first.end();
    let second = Segment::after(2, end, LinkCause::Rotated, 4)
        .group(5..=8, 4)
        .footer(0);
    (first.footer(2), second)
}

#[test]
fn a_spare() {
    let (first, second) = closed();
    let mut image = directory(&[&first, &second]);
    // Complete, empty, or half made: it makes no difference.
    for content in [second.bytes(), Vec::new(), vec![0; 5000]] {
        image.insert(&spare(3), content);
        check(&image, &clean(1..=8, 2).leftovers([spare(3)]));
    }
}

#[test]
fn a_temporary_file() {
    let (first, second) = closed();
    let mut image = directory(&[&first, &second]);
    for content in [second.bytes(), Vec::new(), vec![0; 5000]] {
        image.insert(&temporary(3), content);
        check(&image, &clean(1..=8, 2).leftovers([temporary(3)]));
    }
}

#[test]
fn spares_and_temporary_files_of_several_lives() {
    let (first, second) = closed();
    let mut image = directory(&[&first, &second]);
    let names = [temporary(3), temporary(7), spare(2), spare(5)];
    for name in &names {
        image.insert(name, Vec::new());
    }
    check(&image, &clean(1..=8, 2).leftovers(names));
}

#[test]
fn leftovers_of_an_unclean_stop_with_an_unproven_tail() {
    let first = Segment::first().group(1..=3, 0).group(4..=5, 3);
    let mut image = directory(&[&first]);
    image.insert(&spare(2), Vec::new());
    image.insert(&temporary(2), vec![0; 5000]);
    let verdict = unclean(1..=5, 3, 1).leftovers([temporary(2), spare(2)]);
    check(&image, &verdict);
}

#[test]
fn a_retired_segment_that_is_back() {
    // The unlink was lost in a crash; the cut that let it go was not.
    let first = Segment::first().group(1..=4, 0);
    let end = first.end();
    let second = Segment::after(2, end, LinkCause::Rotated, 4)
        .group(5..=8, 4)
        .cut(5, 8)
        .footer(0);
    let image = directory(&[&first.footer(2), &second]);
    let verdict = clean(5..=8, 1).leftovers([segment(1)]);
    check(&image, &verdict);
}

#[test]
fn a_retired_segment_that_is_back_without_its_neighbours() {
    let first = Segment::first().group(1..=2, 0);
    let end = first.end();
    let second = Segment::after(2, end, LinkCause::Rotated, 2).group(3..=4, 2);
    let end = second.end();
    let third = Segment::after(3, end, LinkCause::Rotated, 4)
        .group(5..=6, 4)
        .cut(5, 6)
        .footer(0);
    let (first, second) = (first.footer(2), second.footer(3));
    for back in [&first, &second] {
        let image = directory(&[back, &third]);
        let verdict = clean(5..=6, 1).leftovers([segment(back.id())]);
        check(&image, &verdict);
    }
}

#[test]
fn a_retired_segment_under_a_link_that_says_so() {
    // The cut was in a segment that is retired itself by now: later links repeat it.
    let first = Segment::first().group(1..=2, 0);
    let end = first.end();
    let second = Segment::after(2, end, LinkCause::Rotated, 2)
        .group(3..=4, 2)
        .cut(3, 4);
    let end = second.end();
    let third = Segment::after(3, end, LinkCause::Rotated, 4)
        .group(5..=6, 4)
        .footer(0);
    let image = directory(&[&first.footer(2), &second.footer(3), &third]);
    let verdict = clean(3..=6, 2).leftovers([segment(1)]);
    check(&image, &verdict);
}

#[test]
fn a_segment_retired_by_a_cut_that_nothing_proves() {
    // The file goes only when the cut is durable, so here it is still there; the cut counts all the same.
    let first = Segment::first().group(1..=4, 0);
    let end = first.end();
    let second = Segment::after(2, end, LinkCause::Rotated, 4)
        .group(5..=8, 4)
        .cut(6, 4);
    let image = directory(&[&first.footer(2), &second]);
    let machine = super::verdict::machine(&image);
    let wal = machine.open();
    let report = wal.recovery_report();
    assert_eq!((report.first_lsn.get(), report.last_lsn.get()), (6, 8));
    assert_eq!(report.proven_lsn.get(), 4);
    crate::common::assert_holds(&wal, 6..=8);
    drop(wal);
    let mut machine = machine;
    machine.lose_unsynced();
    crate::common::assert_holds(&machine.open(), 6..=8);
}

#[test]
fn a_superseded_segment_that_is_back() {
    // Recovery copied its records to the third; its unlink was lost. Only the chain from the newest link testifies.
    let first = Segment::first().group(1..=3, 0);
    let end = first.end();
    let second = Segment::after(2, end, LinkCause::Rotated, 3).group(4..=5, 3);
    let third = Segment::after(3, end, LinkCause::Recovered, 3)
        .group(4..=5, 3)
        .stamp(5)
        .group(6..=7, 5)
        .footer(0);
    let image = directory(&[&first, &second, &third]);
    let verdict = clean(1..=7, 2).leftovers([segment(2)]);
    check(&image, &verdict);
}

#[test]
fn a_superseded_segment_with_other_records_of_the_same_lsns() {
    // The crash had taken 6 and 7 with it; the third has new ones. What the second says of them is of another time.
    let first = Segment::first().group(1..=3, 0);
    let end = first.end();
    let second = Segment::after(2, end, LinkCause::Rotated, 3)
        .group(4..=5, 3)
        .group(6..=7, 3)
        .group(8..=9, 7);
    let third = Segment::after(3, end, LinkCause::Recovered, 3)
        .group(4..=5, 3)
        .stamp(5);
    let image = directory(&[&first, &second, &third]);
    let verdict = unclean(1..=5, 5, 2).leftovers([segment(2)]);
    check(&image, &verdict);
}

#[test]
fn a_segment_above_the_chain_that_proves_a_loss() {
    // The fourth follows the third, which is not there any more though its records were durable.
    let first = Segment::first().group(1..=3, 0);
    let end = first.end();
    let second = Segment::after(2, end, LinkCause::Rotated, 3).group(4..=5, 3);
    let end = second.end();
    let third = Segment::after(3, end, LinkCause::Rotated, 5).group(6..=7, 5);
    let mut image = directory(&[&first.footer(2), &second, &third]);
    let mut bytes = third.bytes();
    bytes[4096 + 3] ^= 1;
    image.insert(&segment(3), bytes);
    // Its group says that 5 was durable, which it is: no loss. The records of the third itself are not proven.
    let verdict = unclean(1..=5, 5, 2);
    let machine = super::verdict::machine(&image);
    let wal = machine.open();
    assert_eq!(wal.last_lsn().get(), *verdict.records.end());
    // With one more group, they are.
    let third = third.group(8..=8, 7);
    let mut bytes = third.bytes();
    bytes[4096 + 3] ^= 1;
    image.insert(&segment(3), bytes);
    let damage = check_corrupt(&image, 3, 6);
    assert_eq!(third.first_lsn(), 6);
    assert!(damage.witness.contains("LSN 7"), "{}", damage.witness);
}

#[test]
fn a_file_without_a_header_that_the_chain_does_not_need() {
    let first = Segment::first().group(1..=3, 0);
    let second = Segment::after(3, first.end(), LinkCause::Recovered, 3)
        .group(4..=5, 3)
        .stamp(5);
    let mut image = directory(&[&first, &second]);
    image.insert(&segment(2), Vec::new());
    // Off the chain, below its newest, and no record is missing: a repair that was cut short leaves such a file.
    let machine = super::verdict::machine(&image);
    let look = machine.look().expect("it is looked at");
    assert_eq!(crate::common::read_all(&look).expect("it is read").len(), 5);
    let wal = machine.open();
    let gone = segment(2);
    assert!(wal.recovery_report().leftovers.contains(&gone));
    assert!(!machine.file_names().contains(&gone));
    // Above the chain it may be anything: no log has such a file.
    image.remove(&segment(2));
    image.insert(&segment(4), Vec::new());
    check_corrupt(&image, 4, 0);
}
