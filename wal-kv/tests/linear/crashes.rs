//! The power fails while many threads write, under `Always`: what was acknowledged or seen is there afterwards, what was cut off is
//! there or is not, and the histories of all lives together are one.

use std::thread;

use wal_io::FaultStorage;
use wal_io::fault::{Fault, Moment, Seeded};
use wal_kv::{FsyncPolicy, Snapshots};

use super::checker::Event;
use super::program::{Caller, Random, many};
use super::recorder::{Moments, Recorder, decode, end_life, judge, open};
use super::register::{Call, Key};

const KEYS: u8 = 2;
const LIVES: usize = 3;
/// Most calls of a thread in one life.
const CALLS: usize = 40;

/// What every key holds at the end of all lives belongs to the history too.
fn history(seed: u64) -> usize {
    let mut random = Random::new(seed);
    let moments = Moments::default();
    let mut events: Vec<Vec<Event<Call>>> = vec![Vec::new(); usize::from(KEYS)];
    let mut storage = FaultStorage::new();
    for life in 0..=LIVES {
        storage.set_chooser(Seeded::new(random.below(1 << 32)));
        let store = open(
            &storage,
            FsyncPolicy::Always,
            Snapshots::Automatic { percent: 10 },
        );
        let store = store.unwrap_or_else(|error| panic!("seed {seed}, life {life}: {error}"));
        let mut reader = Recorder::new(&moments, 0);
        for key in 0..KEYS {
            let get = || store.get(&[key]).as_deref().map(decode);
            reader.read(get, |found| (key, Call::Get(found)));
        }
        let mut noted = reader.into_events();
        if life < LIVES {
            let moment = [Moment::Before, Moment::During, Moment::After][random.below(3) as usize];
            storage.inject(Fault::power_cut(moment).after(random.below(60)));
            let threads = 2 + random.below(5) as usize;
            thread::scope(|scope| {
                let (store, moments) = (&store, &moments);
                let callers: Vec<_> = (1..=threads)
                    .map(|thread| {
                        let random = Random::new(seed << 16 | (life << 8 | thread) as u64);
                        let recorder = Recorder::new(moments, thread);
                        scope.spawn(move || {
                            let mut caller = Caller::new(store, recorder, random);
                            for _ in 0..CALLS {
                                let key = caller.random.below(u64::from(KEYS)) as u8;
                                if !caller.one(&[key], |call| (key, call)) {
                                    break;
                                }
                            }
                            caller.recorder.into_events()
                        })
                    })
                    .collect();
                for caller in callers {
                    noted.extend(caller.join().expect("no panic"));
                }
            });
        }
        // What is under way in the background is over as well.
        drop(store);
        end_life(&moments, &mut noted);
        for event in noted {
            let (key, call) = event.call;
            events[usize::from(key)].push(Event {
                thread: event.thread,
                begin: event.begin,
                end: event.end,
                fate: event.fate,
                call,
            });
        }
        storage = storage.crash(&mut Seeded::streaky(random.below(1 << 32)));
    }
    for (key, events) in events.iter().enumerate() {
        judge::<Key>(None, events, &format!("seed {seed}, key {key}"));
    }
    events.iter().map(Vec::len).sum()
}

#[test]
fn each_key_is_a_register_across_power_losses() {
    many("keys and power losses", history);
}
