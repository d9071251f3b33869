//! One session, and many in one process.

use std::path::Path;

use wal_core::FsyncPolicy;

use super::bounds::{
    MOST_DESCRIPTORS, MOST_GROWTH_KIB, MOST_THREADS, Space, descriptors, memory_kib, threads,
};
use super::subject::{Numbers, Subject, len, policy};

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Close,
    Drop,
    /// It runs until it is killed.
    Kill,
}

impl End {
    pub(super) const ALL: [(&'static str, Self); 3] = [
        ("close", Self::Close),
        ("drop", Self::Drop),
        ("kill", Self::Kill),
    ];
}

/// Events of a session, reported as they happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It has opened, and found everything up to here.
    Opened(u64),
    /// This write and all before it are durable.
    Durable(u64),
    /// Nothing before this write is needed in the log.
    Needed(u64),
}

/// Number of writes of a session that is not killed: mostly few, sometimes enough to fill segments.
fn count_of_writes(numbers: &mut Numbers) -> u64 {
    let most = if numbers.below(6) == 0 { 400 } else { 24 };
    numbers.below(most)
}

/// Lives a session.
pub(super) fn session<S: Subject>(
    directory: &Path,
    numbers: &mut Numbers,
    end: End,
    mut tell: impl FnMut(Event),
) {
    let own_descriptors = descriptors();
    let own_threads = threads(usize::MAX);
    let policy = policy(numbers);
    let subject = S::open(directory, policy);
    let mut last = subject.last();
    tell(Event::Opened(last));
    let writes = count_of_writes(numbers);
    let mut written = 0;
    while end == End::Kill || written < writes {
        written += 1;
        last += 1;
        subject.write(last);
        if policy == FsyncPolicy::Always {
            tell(Event::Durable(last));
        }
        match numbers.below(12) {
            0 => {
                subject.sync();
                tell(Event::Durable(last));
            }
            1 => tell(Event::Needed(subject.tidy(last))),
            _ => {}
        }
        // Not each time: it takes as long as the write.
        if written.is_multiple_of(5) {
            let descriptors = descriptors().saturating_sub(own_descriptors);
            assert!(descriptors <= MOST_DESCRIPTORS, "{descriptors} descriptors");
            let threads = threads(own_threads + MOST_THREADS).saturating_sub(own_threads);
            assert!(threads <= MOST_THREADS, "{threads} threads");
        }
    }
    if end == End::Close {
        subject.close();
        tell(Event::Durable(last));
    } else {
        drop(subject);
        tell(Event::Durable(last));
    }
}

/// What is needed of a log or a store, by what its sessions have told.
#[derive(Clone, Debug)]
pub(super) struct Needed {
    first: u64,
    last: u64,
    /// Sessions whose records are needed: each has begun a segment.
    begun: Vec<u64>,
}

impl Needed {
    pub(super) fn new() -> Self {
        Self {
            first: 1,
            last: 0,
            begun: Vec::new(),
        }
    }

    pub(super) fn hear(&mut self, event: Event) {
        match event {
            Event::Opened(last) => {
                // What a session makes is needed as long as its first write is.
                self.begun.push(last + 1);
                self.last = last;
            }
            Event::Durable(last) => self.last = self.last.max(last),
            Event::Needed(first) => self.first = first,
        }
    }

    /// The most that the directory may hold. `sent` writes more may have reached it than were told of.
    pub(super) fn most<S: Subject>(&mut self, sent: u64) -> Space {
        let last = self.last + sent;
        let first = self.first;
        // The session in which the first needed write was made counts as well.
        let old = self.begun.iter().filter(|begun| **begun <= first).count();
        self.begun.drain(..old.saturating_sub(1));
        let bytes: u64 = (first..=last).map(len).sum();
        // A session rotates, and its recovery may make one more.
        let segments = 2 * self.begun.len() as u64 + bytes / (super::bounds::SEGMENT / 2);
        Space::most(
            (last + 1).saturating_sub(first),
            bytes + S::BESIDE,
            segments,
        )
    }
}

/// Sessions of one process, one after the other.
pub(super) fn many<S: Subject>(directory: &Path, seed: u64, count: u64) {
    let mut numbers = Numbers(seed);
    let mut needed = Needed::new();
    let mut last = 0;
    let mut settled = None;
    let own_descriptors = descriptors();
    let own_threads = threads(usize::MAX);
    for number in 0..count {
        let end = if numbers.below(2) == 0 {
            End::Close
        } else {
            End::Drop
        };
        session::<S>(directory, &mut numbers, end, |event| {
            if let Event::Opened(found) = event {
                assert_eq!(found, last, "session {number} found something else");
            }
            needed.hear(event);
            if let Event::Durable(durable) = event {
                last = durable;
            }
        });
        let context = format!("{}, session {number}, ended by {end:?}", S::NAME);
        assert_eq!(descriptors(), own_descriptors, "{context}: descriptors");
        assert_eq!(threads(own_threads), own_threads, "{context}: threads");
        // Caches and the allocator's own tables are full by then.
        if number == count / 5 {
            settled = Some(memory_kib());
        }
        if let Some(settled) = settled {
            let grown = memory_kib().saturating_sub(settled);
            assert!(grown <= MOST_GROWTH_KIB, "{context}: {grown} KiB more");
        }
        Space::of(directory).assert_within(needed.most::<S>(0), &context);
    }
}
