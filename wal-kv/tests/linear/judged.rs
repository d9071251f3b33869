//! The checker accepts what is legal and rejects what is not; on short random histories it says what trying every order says.

use super::checker::{Event, Fate, Model as _, is_linearizable};
use super::program::Random;
use super::register::{Answer, Call, Joint, Key, Tuple, Wanted};

/// A call from `begin` to `end`.
fn event<C>(begin: u64, end: u64, call: C) -> Event<C> {
    Event {
        thread: 0,
        begin,
        end,
        fate: Fate::Returned,
        call,
    }
}

fn unknown<C>(begin: u64, end: u64, call: C) -> Event<C> {
    Event {
        fate: Fate::Unknown,
        ..event(begin, end, call)
    }
}

fn is_legal(events: &[Event<Call>]) -> bool {
    is_linearizable::<Key>(None, events)
}

use Call::{Contains, Get, Set, SetIf};

#[test]
fn calls_one_after_the_other_get_the_state_before_them() {
    assert!(is_legal(&[]));
    assert!(is_legal(&[
        event(1, 2, Get(None)),
        event(3, 4, Set(Some(1))),
        event(5, 6, Get(Some(1))),
        event(7, 8, Set(None)),
        event(9, 10, Contains(false)),
    ]));
}

#[test]
fn a_stale_read_is_rejected() {
    assert!(!is_legal(&[
        event(1, 2, Set(Some(1))),
        event(3, 4, Get(None))
    ]));
    assert!(!is_legal(&[
        event(1, 2, Set(Some(1))),
        event(3, 4, Set(Some(2))),
        event(5, 6, Get(Some(1))),
    ]));
    assert!(!is_legal(&[
        event(1, 2, Set(Some(1))),
        event(3, 4, Contains(false))
    ]));
}

#[test]
fn a_read_of_a_value_that_was_never_written_is_rejected() {
    assert!(!is_legal(&[
        event(1, 4, Set(Some(1))),
        event(2, 3, Get(Some(7)))
    ]));
}

#[test]
fn a_read_before_its_write_is_rejected() {
    assert!(!is_legal(&[
        event(1, 2, Get(Some(1))),
        event(3, 4, Set(Some(1)))
    ]));
}

#[test]
fn a_read_beside_a_write_may_see_it_or_not() {
    for found in [None, Some(1)] {
        assert!(is_legal(&[
            event(1, 4, Set(Some(1))),
            event(2, 3, Get(found))
        ]));
    }
}

#[test]
fn what_one_reader_has_seen_another_does_not_miss_later() {
    let history = |first, second| {
        [
            event(1, 10, Set(Some(1))),
            event(2, 3, Get(first)),
            event(4, 5, Get(second)),
        ]
    };
    assert!(is_legal(&history(None, Some(1))));
    assert!(!is_legal(&history(Some(1), None)));
}

#[test]
fn two_readers_do_not_see_two_orders() {
    let history = |fourth| {
        [
            event(1, 20, Set(Some(1))),
            event(2, 21, Set(Some(2))),
            event(3, 4, Get(Some(1))),
            event(5, 6, Get(Some(2))),
            event(7, 8, Get(fourth)),
        ]
    };
    assert!(is_legal(&history(Some(2))));
    assert!(!is_legal(&history(Some(1))));
}

#[test]
fn a_lost_update_is_rejected() {
    // Both have put over the value 1.
    let swap = |begin, end, new, answer| event(begin, end, SetIf(Wanted::Is(1), Some(new), answer));
    assert!(is_legal(&[
        event(1, 2, Set(Some(1))),
        swap(3, 5, 2, Answer::Applied),
        swap(4, 6, 3, Answer::Refused(Some(2))),
    ]));
    assert!(!is_legal(&[
        event(1, 2, Set(Some(1))),
        swap(3, 5, 2, Answer::Applied),
        swap(4, 6, 3, Answer::Applied),
    ]));
    // An update that was acknowledged, and is not there.
    assert!(!is_legal(&[
        event(1, 2, Set(Some(1))),
        swap(3, 4, 2, Answer::Applied),
        event(5, 6, Get(Some(1))),
    ]));
}

#[test]
fn two_winners_of_one_swap_are_rejected() {
    let claim =
        |begin, end, new, answer| event(begin, end, SetIf(Wanted::Absent, Some(new), answer));
    assert!(!is_legal(&[
        claim(1, 3, 1, Answer::Applied),
        claim(2, 4, 2, Answer::Applied),
    ]));
    assert!(is_legal(&[
        claim(1, 3, 1, Answer::Applied),
        event(2, 6, Set(None)),
        claim(4, 5, 2, Answer::Applied),
    ]));
}

#[test]
fn a_refusal_tells_what_was_there() {
    let refused = |wanted, found| event(3, 4, SetIf(wanted, Some(9), Answer::Refused(found)));
    let put = event(1, 2, Set(Some(1)));
    assert!(is_legal(&[put.clone(), refused(Wanted::Absent, Some(1))]));
    assert!(!is_legal(&[put.clone(), refused(Wanted::Absent, Some(2))]));
    assert!(!is_legal(&[put.clone(), refused(Wanted::Present, Some(1))]));
    assert!(!is_legal(&[put, refused(Wanted::Is(1), Some(1))]));
}

#[test]
fn a_call_whose_end_nobody_knows_may_have_happened_or_not() {
    for found in [None, Some(1)] {
        assert!(is_legal(&[
            unknown(1, 2, Set(Some(1))),
            event(3, 4, Get(found))
        ]));
    }
    // But not both, and not later than its end.
    let twice = |first, second| {
        [
            unknown(1, 4, Set(Some(1))),
            event(2, 3, Get(first)),
            event(5, 6, Get(second)),
        ]
    };
    assert!(is_legal(&twice(None, Some(1))));
    assert!(!is_legal(&twice(Some(1), None)));
    assert!(!is_legal(&[
        unknown(1, 2, Set(Some(1))),
        event(3, 4, Get(None)),
        event(5, 6, Get(Some(1))),
    ]));
}

#[test]
fn of_a_conditional_write_that_failed_there_is_the_effect_or_nothing() {
    let swap = unknown(3, 4, SetIf(Wanted::Is(1), Some(2), Answer::Applied));
    let history = |put, found| {
        [
            event(1, 2, Set(Some(put))),
            swap.clone(),
            event(5, 6, Get(Some(found))),
        ]
    };
    assert!(is_legal(&history(1, 1)));
    assert!(is_legal(&history(1, 2)));
    assert!(is_legal(&history(7, 7)));
    assert!(!is_legal(&history(7, 2)));
}

#[test]
fn a_batch_that_is_seen_in_parts_is_rejected() {
    let write = event(1, 10, Joint::Write(vec![(0, Some(1)), (1, Some(2))]));
    let read = |begin, all| event(begin, begin + 1, Joint::Read(all));
    let is_legal = |events: &[Event<Joint>]| is_linearizable::<Tuple>([None; 3], events);
    assert!(is_legal(&[
        write.clone(),
        read(2, [None; 3]),
        read(4, [Some(1), Some(2), None])
    ]));
    assert!(!is_legal(&[write.clone(), read(2, [Some(1), None, None])]));
    // By two reads of one key each as well.
    let one = |begin, key, found| event(begin, begin + 1, Joint::One(key, Get(found)));
    assert!(is_legal(&[
        write.clone(),
        one(2, 0, None),
        one(4, 1, Some(2))
    ]));
    assert!(!is_legal(&[
        write.clone(),
        one(2, 0, Some(1)),
        one(4, 1, None)
    ]));
    assert!(!is_legal(&[write, event(2, 3, Joint::Len(1))]));
}

/// Tries every order.
fn by_trying(state: Option<u64>, events: &[Event<Call>]) -> bool {
    let first_end = events.iter().map(|event| event.end).min();
    let Some(first_end) = first_end else {
        return true;
    };
    (0..events.len()).any(|at| {
        let mut rest = events.to_vec();
        let event = rest.remove(at);
        let with = || Key::after(&state, &event.call).is_some_and(|next| by_trying(next, &rest));
        let without = || event.fate == Fate::Unknown && by_trying(state, &rest);
        event.begin < first_end && (with() || without())
    })
}

#[test]
fn on_short_histories_it_says_what_trying_every_order_says() {
    let mut random = Random::new(1);
    let (mut legal, mut illegal) = (0, 0);
    for round in 0..20_000 {
        let len = 2 + random.below(5) as usize;
        let mut moments: Vec<u64> = (1..=2 * len as u64).collect();
        for at in (1..moments.len()).rev() {
            moments.swap(at, random.below(at as u64 + 1) as usize);
        }
        let value = |random: &mut Random| (random.below(3) > 0).then(|| random.below(2));
        let events: Vec<_> = moments
            .chunks(2)
            .map(|two| {
                let call = match random.below(5) {
                    0 | 1 => Get(value(&mut random)),
                    2 => Set(value(&mut random)),
                    3 => Contains(random.below(2) == 0),
                    _ => {
                        let wanted = [Wanted::Absent, Wanted::Present, Wanted::Is(1)]
                            [random.below(3) as usize];
                        let answer = match random.below(2) {
                            0 => Answer::Applied,
                            _ => Answer::Refused(value(&mut random)),
                        };
                        SetIf(wanted, value(&mut random), answer)
                    }
                };
                let (begin, end) = (two[0].min(two[1]), two[0].max(two[1]));
                let is_write = matches!(call, Set(_) | SetIf(_, _, Answer::Applied));
                if is_write && random.below(4) == 0 {
                    unknown(begin, end, call)
                } else {
                    event(begin, end, call)
                }
            })
            .collect();
        let expected = by_trying(None, &events);
        assert_eq!(is_legal(&events), expected, "round {round}: {events:?}");
        *if expected { &mut legal } else { &mut illegal } += 1;
    }
    assert!(
        legal > 2000 && illegal > 2000,
        "{legal} legal, {illegal} not"
    );
}
