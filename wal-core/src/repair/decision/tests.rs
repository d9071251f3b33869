//! The table of a repair's decisions.

use super::*;

/// Part `file` with LSNs from `first` on, whole and proven up to `last`.
fn part(file: u64, first: u64, last: u64) -> PartFacts {
    PartFacts {
        file: SegmentId::new(file),
        epoch: Epoch::new(file * 100),
        first: Lsn::new(first),
        follows: true,
        whole: true,
        ends_badly: false,
        anchor: Some(GroupEnd {
            lsn: Lsn::new(last),
            offset: 4096 + last,
            digest: last as u32,
        }),
        end: GroupEnd {
            lsn: Lsn::new(last),
            offset: 4096 + last,
            digest: last as u32,
        },
    }
}

/// The same, with the last LSN before the damage; below `first` if its first group is hit.
fn damaged(file: u64, first: u64, last: u64) -> PartFacts {
    PartFacts {
        whole: false,
        ..part(file, first, last)
    }
}

/// Header or link is lost.
fn lost(file: u64, first: u64) -> PartFacts {
    PartFacts {
        follows: false,
        whole: false,
        anchor: None,
        ..part(file, first, first)
    }
}

/// The file before it is missing.
fn behind_a_hole(file: u64, first: u64, last: u64) -> PartFacts {
    PartFacts {
        follows: false,
        ..part(file, first, last)
    }
}

struct Case {
    what: &'static str,
    parts: Vec<PartFacts>,
    /// Damaged files outside the chain.
    others: &'static [u64],
    log_first: u64,
    within: bool,
    copy: bool,
    /// Predecessor, and the last LSN that stays.
    after: (u64, u64),
    quarantine: &'static [u64],
    remove: &'static [u64],
}

fn cases() -> Vec<Case> {
    let case = |what, parts, after, quarantine, remove| Case {
        what,
        parts,
        others: &[],
        log_first: 1,
        within: true,
        copy: true,
        after,
        quarantine,
        remove,
    };
    vec![
        case(
            "a record in the middle segment",
            vec![part(1, 1, 10), damaged(2, 11, 14), part(3, 21, 30)],
            (2, 14),
            &[2],
            &[3],
        ),
        case(
            "the first group of a segment: its link may be lost in the next crash",
            vec![part(1, 1, 10), damaged(2, 11, 10), part(3, 21, 30)],
            (1, 10),
            &[2],
            &[3, 2],
        ),
        case(
            "a footer: the segment does not stay",
            vec![
                part(1, 1, 10),
                PartFacts {
                    ends_badly: true,
                    ..damaged(2, 11, 20)
                },
                part(3, 21, 30),
            ],
            (1, 10),
            &[2],
            &[3, 2],
        ),
        case(
            "a header or a link",
            vec![part(1, 1, 10), lost(2, 11), part(3, 21, 30)],
            (1, 10),
            &[2],
            &[3, 2],
        ),
        case(
            "the header of the first segment",
            vec![lost(1, 1), part(2, 11, 20)],
            (0, 0),
            &[1],
            &[2, 1],
        ),
        case(
            "a missing segment in the middle",
            vec![part(1, 1, 10), behind_a_hole(3, 21, 30)],
            (1, 10),
            &[],
            &[3],
        ),
        case(
            "a missing first segment",
            vec![behind_a_hole(2, 11, 20), part(3, 21, 30)],
            (0, 0),
            &[],
            &[3, 2],
        ),
        case(
            "a missing newest segment: all that is there stays",
            vec![part(1, 1, 10), part(2, 11, 20)],
            (2, 20),
            &[],
            &[],
        ),
        Case {
            others: &[3],
            ..case(
                "a newest segment of which nothing is left",
                vec![part(1, 1, 10), part(2, 11, 20)],
                (2, 20),
                &[3],
                &[3],
            )
        },
        Case {
            others: &[1],
            within: false,
            copy: false,
            ..case(
                "what an earlier repair had no time to remove",
                vec![part(2, 1, 10), part(3, 11, 20)],
                (3, 20),
                &[1],
                &[1],
            )
        },
        Case {
            log_first: 13,
            ..case(
                "damage below the log's first record",
                vec![damaged(2, 11, 11), part(3, 21, 30)],
                (0, 12),
                &[2],
                &[3, 2],
            )
        },
        Case {
            log_first: 13,
            ..case(
                "damage right at it",
                vec![damaged(2, 11, 12), part(3, 21, 30)],
                (2, 12),
                &[2],
                &[3],
            )
        },
    ]
}

#[test]
fn each_case_has_its_plan() {
    for case in cases() {
        let mut files: Vec<SegmentId> = case.parts.iter().map(|part| part.file).collect();
        files.extend(case.others.iter().copied().map(SegmentId::new));
        files.sort_unstable();
        let facts = Facts {
            parts: case.parts,
            files,
            // Files outside the chain are those of which nothing can be read.
            damaged: case.others.iter().copied().map(SegmentId::new).collect(),
            log_first: Lsn::new(case.log_first),
            told: Lsn::new(case.log_first),
            within: case.within,
            last: Lsn::ZERO,
        };
        let plan = plan(&facts);
        let what = case.what;
        let ids = |ids: &[SegmentId]| -> Vec<u64> { ids.iter().map(|id| id.get()).collect() };
        assert_eq!(plan.copy, case.copy, "{what}");
        assert_eq!(ids(&plan.quarantine), case.quarantine, "{what}");
        assert_eq!(ids(&plan.remove), case.remove, "{what}");
        let predecessor = plan.predecessor.map_or(0, |before| before.id.get());
        assert_eq!((predecessor, plan.after.get()), case.after, "{what}");
        if let Some(before) = plan.predecessor {
            assert_eq!(before.epoch.get(), predecessor * 100, "{what}");
            assert_eq!(before.end_offset.get(), 4096 + plan.after.get(), "{what}");
            assert_eq!(before.cause, LinkCause::Repaired, "{what}");
        }
    }
}
