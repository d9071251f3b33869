//! Logs that were closed.

use wal_format::LinkCause;
use wal_io::fault::Image;

use super::files::{End, Segment, directory};
use super::verdict::{check, check_missing, clean, unclean};
use crate::common::trace::segment;

fn up_to_six() -> Segment {
    Segment::first().group(1..=4, 0).group(5..=6, 4)
}

fn ends_at_six() -> End {
    up_to_six().end()
}

/// Two segments and a clean close.
fn closed() -> (Segment, Segment) {
    let second = Segment::after(2, ends_at_six(), LinkCause::Rotated, 4)
        .group(7..=8, 6)
        .footer(0);
    (up_to_six().footer(2), second)
}

#[test]
fn an_empty_directory_that_had_a_log() {
    let mut image = Image::new();
    image.insert("lock", Vec::new());
    #[allow(clippy::reversed_empty_ranges)]
    let nothing = 1..=0;
    check(&image, &clean(nothing, 0));
}

#[test]
fn a_clean_close() {
    let (first, second) = closed();
    check(&directory(&[&first, &second]), &clean(1..=8, 2));
}

#[test]
fn a_clean_close_without_records_in_the_newest() {
    let first = Segment::first().group(1..=4, 0);
    let end = first.end();
    let second = Segment::after(2, end, LinkCause::Rotated, 4).footer(0);
    check(&directory(&[&first.footer(2), &second]), &clean(1..=4, 2));
}

#[test]
fn a_clean_close_whose_file_was_not_cut() {
    // The crash came between the footer's sync and the cut.
    let (first, second) = closed();
    let mut image = directory(&[&first, &second]);
    let mut bytes = second.bytes();
    bytes.resize(8192, 0);
    image.insert(&segment(2), bytes);
    check(&image, &clean(1..=8, 2));
}

#[test]
fn a_clean_close_whose_footer_is_torn() {
    // Its header verifies by itself, and says what was durable.
    let (first, second) = closed();
    let mut image = directory(&[&first, &second]);
    let mut bytes = second.bytes();
    let at = bytes.len() - 90;
    bytes[at..].fill(0);
    bytes.resize(8192, 0);
    image.insert(&segment(2), bytes);
    check(&image, &unclean(1..=8, 8, 2).torn(2, 64..=200));
}

#[test]
fn a_clean_close_whose_footer_did_not_make_it() {
    // All records are there; the last group's are not proven.
    let (first, _) = closed();
    let second = Segment::after(2, ends_at_six(), LinkCause::Rotated, 4).group(7..=8, 6);
    let verdict = unclean(1..=8, 6, 2).leftovers([segment(2)]);
    check(&directory(&[&first, &second]), &verdict);
}

#[test]
fn a_clean_close_whose_footer_has_no_valid_header() {
    let (first, second) = closed();
    let data = Segment::after(2, ends_at_six(), LinkCause::Rotated, 4).group(7..=8, 6);
    let mut image = directory(&[&first, &second]);
    let mut bytes = second.bytes();
    bytes[data.len() as usize + 20] ^= 1;
    bytes.resize(8192, 0);
    image.insert(&segment(2), bytes);
    let verdict = unclean(1..=8, 6, 2).leftovers([segment(2)]);
    check(&image, &verdict.torn(2, 64..=64));
}

#[test]
fn a_sealed_segment_whose_footer_is_missing() {
    // Its successor's link bounds the data, and the watermark behind it proves it.
    let (_, second) = closed();
    check(&directory(&[&up_to_six(), &second]), &clean(1..=8, 2));
}

#[test]
fn a_sealed_segment_whose_footer_is_torn() {
    let (first, second) = closed();
    let mut image = directory(&[&first, &second]);
    let mut bytes = first.bytes();
    let at = bytes.len() - 60;
    bytes[at] ^= 1;
    image.insert(&segment(1), bytes);
    check(&image, &clean(1..=8, 2));
}

#[test]
fn a_successor_that_is_missing() {
    let (first, _) = closed();
    check_missing(&directory(&[&first]), 2);
}

#[test]
fn a_predecessor_that_is_missing() {
    let (_, second) = closed();
    check_missing(&directory(&[&second]), 1);
}

#[test]
fn a_predecessor_that_was_truncated() {
    let second = Segment::after(2, ends_at_six(), LinkCause::Rotated, 6)
        .group(7..=8, 6)
        .cut(7, 8)
        .footer(0);
    check(&directory(&[&second]), &clean(7..=8, 1));
}

#[test]
fn a_log_that_is_empty_behind_a_cut() {
    let first = Segment::first().group(1..=4, 0).cut(5, 4).footer(0);
    #[allow(clippy::reversed_empty_ranges)]
    let nothing = 5..=4;
    check(&directory(&[&first]), &clean(nothing, 1));
}

#[test]
fn a_reopened_log() {
    let first = Segment::first().group(1..=4, 0);
    let end = first.end();
    let second = Segment::after(2, end, LinkCause::Reopened, 4)
        .group(5..=5, 4)
        .footer(0);
    check(&directory(&[&first.footer(0), &second]), &clean(1..=5, 2));
}
