//! The control state: what its owner sets, and what it says of its own loss.

mod support;

use wal_format::{
    Alignment, Consumer, Control, ControlChange, GroupError, GroupFacts, GroupHeader, GroupWriter,
    History, Lsn, Offset, SegmentHeader, SegmentId, Version,
};

fn consumer(lsn: u64) -> ControlChange {
    let at = Consumer {
        lsn: Lsn::new(lsn),
        history: History::new(7),
        moved: false,
    };
    ControlChange::Consumer("billing".into(), at)
}

fn control() -> Control {
    let mut control = Control::default();
    for change in [ControlChange::Term(7), consumer(3)] {
        control.apply(&change);
    }
    control
}

#[test]
fn a_truncation_moves_consumers_back_and_marks_them() {
    let mut control = control();
    let behind = Consumer {
        lsn: Lsn::new(2),
        history: History::new(7),
        moved: false,
    };
    control.apply(&ControlChange::Consumer("audit".into(), behind));
    control.truncate_after(Lsn::new(2), History::new(1));
    let moved = Consumer {
        lsn: Lsn::new(2),
        history: History::new(1),
        moved: true,
    };
    assert_eq!(control.consumers()["billing"], moved);
    assert_eq!(control.consumers()["audit"], behind);
    control.apply(&ControlChange::NoConsumer("audit".into()));
    assert_eq!(control.consumers().len(), 1);
    assert_eq!(control.term(), 7);
}

#[test]
fn state_that_was_lost_stays_marked_until_the_owner_sets_it() {
    let mut control = control();
    control.mark_lost(SegmentId::new(6));
    let mut read = Control::decode(&control.table()).unwrap();
    assert_eq!(read.lost(), Some(SegmentId::new(6)));
    assert_eq!(read.table_len(), read.table().len());
    read.apply(&ControlChange::Term(99));
    read.apply(&consumer(4));
    assert_eq!(read.lost(), Some(SegmentId::new(6)));
    read.set(99, [].into());
    assert_eq!((read.lost(), read.term()), (None, 99));
    assert!(read.consumers().is_empty());
    assert!(!read.is_unused());
    read.set(0, [].into());
    assert!(read.is_unused());
}

#[test]
fn a_change_cannot_say_that_state_was_lost() {
    let header = SegmentHeader {
        version: Version::V2,
        ..support::header(5, 1 << 20, Alignment::Eight)
    };
    let (frame, offset) = (header.frame(), Offset::new(8192));
    let mut groups = GroupWriter::new(frame, 0);
    groups.reset(frame, offset, 0, Lsn::new(10));
    groups.change(&[ControlChange::Lost(SegmentId::new(6))], Lsn::ZERO);
    let (head, _) = GroupHeader::decode(groups.bytes(), frame, offset).unwrap();
    let payload = &groups.bytes()[64..][..head.payload_len as usize];
    let read = GroupFacts::decode(payload, &head);
    assert!(matches!(read, Err(GroupError::Field(_))), "{read:?}");
}
