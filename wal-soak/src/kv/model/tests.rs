//! The checker is checked: what a broken store would show is noticed.

use super::*;
use crate::harness::Length;
use crate::kv::journal::Journal;
use crate::kv::keys::value;
use crate::kv::plan::Plan;

const NOW: u64 = 1_000_000;

struct Case {
    place: tempfile::TempDir,
    items: Items,
    journal: Journal,
    marks: u64,
}

fn entry(step: Step, does: Does, item: Item, id: u64, lsn: u64) -> Entry {
    Entry {
        step,
        does,
        item,
        id: WriteId(id),
        lsn,
        records: 1,
        expires: (0, 0),
        at: NOW,
    }
}

impl Case {
    fn new() -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let mut plan = Plan::of(1, 0, Length(std::time::Duration::ZERO));
        (plan.plain, plan.hot, plan.expiring) = (3, 1, 1);
        plan.sets = vec![2];
        let items = Items::of(&plan);
        let model = Model::load(place.path(), &items).expect("a model");
        model.keep(place.path(), 0).expect("kept");
        let journal = Journal::create(place.path(), 0, 0).expect("a journal");
        Self {
            place,
            items,
            journal,
            marks: 0,
        }
    }

    fn note(&mut self, entry: Entry) {
        self.journal.note(&entry).expect("noted");
    }

    /// A write that has returned.
    fn done(&mut self, does: Does, item: Item, id: u64, lsn: u64) {
        self.note(entry(Step::Begun, does, item, id, 0));
        self.note(entry(Step::Done, does, item, id, lsn));
    }

    fn pair(&self, item: Item, member: u32, id: u64, lsn: u64) -> (Vec<u8>, Vec<u8>, u64) {
        let key = self.items.key(item, member);
        let value = value(&key, WriteId(id));
        (key, value, lsn)
    }

    /// What the checker says of a store whose log ends at `end` and that shows these pairs.
    fn verdict(&self, end: u64, pairs: &[(Vec<u8>, Vec<u8>, u64)]) -> Result<Lost, String> {
        let mut model = Model::load(self.place.path(), &self.items).expect("a model");
        let lost = model.add_journals(self.place.path(), (end, self.marks), &self.items)?;
        let mut pairs: Vec<_> = pairs.to_vec();
        pairs.sort();
        let found = pairs.iter().map(|(key, value, lsn)| Found {
            key,
            value,
            lsn: *lsn,
            expires_at: None,
        });
        model.check(&self.items, found, end, || NOW)?;
        Ok(lost)
    }

    #[track_caller]
    fn rejects(&self, end: u64, pairs: &[(Vec<u8>, Vec<u8>, u64)], why: &str) {
        let verdict = self.verdict(end, pairs);
        assert!(
            verdict.as_ref().is_err_and(|told| told.contains(why)),
            "{verdict:?}"
        );
    }
}

#[test]
fn what_was_acknowledged_is_there_and_what_was_under_way_may_be() {
    let mut case = Case::new();
    case.done(Does::Put, 0, 1, 1);
    case.done(Does::Put, 1, 2, 2);
    case.done(Does::Delete, 1, 3, 3);
    case.note(entry(Step::Begun, Does::Put, 0, 4, 0));
    let (first, second) = (case.pair(0, 0, 1, 1), case.pair(0, 0, 4, 4));
    case.verdict(3, std::slice::from_ref(&first)).expect("good");
    case.verdict(4, std::slice::from_ref(&second))
        .expect("good");
    // Not below the write that had returned before it began.
    case.rejects(4, &[case.pair(0, 0, 4, 1)], "an older write has come back");
    case.rejects(3, &[], "an acknowledged write is lost");
    case.rejects(
        3,
        &[first.clone(), case.pair(1, 0, 2, 2)],
        "an older write has come back",
    );
    case.rejects(
        3,
        &[first.clone(), case.pair(2, 0, 9, 3)],
        "an older write has come back",
    );
    case.rejects(3, &[case.pair(0, 0, 1, 2)], "another LSN");
    let mut damaged = first;
    damaged.1[0] ^= 1;
    case.rejects(3, &[damaged], "a value that nobody wrote");
}

#[test]
fn the_end_of_the_log_takes_back_what_is_behind_it_and_nothing_else() {
    let mut case = Case::new();
    case.done(Does::Put, 0, 1, 1);
    case.done(Does::Put, 0, 2, 2);
    let before = case.pair(0, 0, 1, 1);
    let lost = case
        .verdict(1, std::slice::from_ref(&before))
        .expect("good");
    assert_eq!(lost.writes, 1);
    case.rejects(
        2,
        std::slice::from_ref(&before),
        "an older write has come back",
    );
    case.rejects(1, &[case.pair(0, 0, 2, 2)], "end of the log");
    case.journal.note_durable(2).expect("noted");
    case.rejects(1, &[before], "LSN 2 was durable");
}

#[test]
fn a_batch_is_there_as_a_whole_or_not_at_all() {
    let mut case = Case::new();
    let set = case.items.set(0);
    case.note(Entry {
        records: 2,
        ..entry(Step::Done, Does::Put, set, 5, 1)
    });
    let (one, other) = (case.pair(set, 0, 5, 1), case.pair(set, 1, 5, 2));
    case.verdict(2, &[one.clone(), other.clone()])
        .expect("good");
    case.rejects(2, std::slice::from_ref(&one), "1 of the 2 keys");
    case.rejects(
        2,
        &[one.clone(), case.pair(set, 1, 6, 2)],
        "a batch is not whole",
    );
    case.rejects(2, &[], "lost");
    case.rejects(1, &[one, other], "is cut");
}

#[test]
fn a_refused_write_is_not_there() {
    let mut case = Case::new();
    case.note(entry(Step::Begun, Does::Put, 0, 1, 0));
    case.note(entry(Step::Refused, Does::Put, 0, 1, 0));
    case.verdict(1, &[]).expect("good");
    case.rejects(1, &[case.pair(0, 0, 1, 1)], "come back");
}

#[test]
fn a_key_that_has_expired_may_be_gone_and_one_that_has_not_is_there() {
    let mut case = Case::new();
    let item = case.items.expiring(0);
    let write = |until| Entry {
        expires: (until, until),
        ..entry(Step::Done, Does::Put, item, 1, 1)
    };
    case.note(write(NOW - 1));
    case.verdict(1, &[]).expect("good");
    // Without an expiry it is not what was written.
    case.rejects(1, &[case.pair(item, 0, 1, 1)], "it expires at None");
    let mut case = Case::new();
    case.note(write(NOW + 60_000));
    case.rejects(1, &[], "lost");
    assert!(check_expiry(Some(NOW - 10_000), (NOW - 10_000, NOW - 10_000), NOW).is_err());
    assert!(check_expiry(Some(NOW + 50), (NOW, NOW + 100), NOW).is_ok());
}

#[test]
fn what_was_found_is_what_the_next_life_begins_with() {
    let mut case = Case::new();
    case.done(Does::Put, 0, 1, 1);
    case.done(Does::Put, 0, 2, 2);
    let mut model = Model::load(case.place.path(), &case.items).expect("a model");
    model
        .add_journals(case.place.path(), (1, 0), &case.items)
        .expect("good");
    let (key, value, lsn) = case.pair(0, 0, 1, 1);
    let found = Found {
        key: &key,
        value: &value,
        lsn,
        expires_at: None,
    };
    model
        .check(&case.items, std::iter::once(found), 1, || NOW)
        .expect("good");
    model.keep(case.place.path(), 1).expect("kept");
    // What the kill took back does not come back later.
    case.rejects(2, &[case.pair(0, 0, 2, 2)], "come back");
    case.verdict(1, &[(key, value, lsn)]).expect("good");
}

#[test]
fn marks_behind_what_a_kill_has_left_are_not_taken_for_the_writes_that_had_their_lsns() {
    let mut case = Case::new();
    case.done(Does::Put, 0, 1, 1);
    case.done(Does::Put, 0, 2, 2);
    case.done(Does::Put, 0, 3, 3);
    let before = case.pair(0, 0, 1, 1);
    case.rejects(2, std::slice::from_ref(&before), "come back");
    case.marks = 1;
    case.verdict(2, std::slice::from_ref(&before))
        .expect("good");
    case.verdict(2, &[case.pair(0, 0, 2, 2)]).expect("good");
    case.rejects(3, std::slice::from_ref(&before), "come back");
}
