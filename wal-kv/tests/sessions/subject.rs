//! What has sessions: a log, or a store. Each write has a number, from 1 on, which says all about it; so what was lost, invented
//! or exchanged is seen from the contents alone.

use std::path::Path;
use std::time::Duration;

use wal_core::blocking::Wal;
use wal_core::{FsyncPolicy, Lsn, Record, RecordRef, WalConfig};
use wal_kv::blocking::KvStore;
use wal_kv::{KvConfig, Snapshots};

use super::bounds::SEGMENT;

/// Deterministic numbers (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0) % limit
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// The bytes of a write: mostly short, at times a good part of a segment.
pub(super) fn len(number: u64) -> u64 {
    let bits = mix(number);
    let most = if bits.is_multiple_of(20) { 60_000 } else { 300 };
    8 + (bits >> 8) % most
}

fn payload(number: u64) -> Vec<u8> {
    let bytes = number.to_le_bytes().into_iter().cycle();
    bytes.take(len(number) as usize).collect()
}

pub(super) fn policy(numbers: &mut Numbers) -> FsyncPolicy {
    match numbers.below(3) {
        0 => FsyncPolicy::Always,
        1 => FsyncPolicy::Batch(Duration::from_millis(1)),
        _ => FsyncPolicy::Os,
    }
}

/// See the module's head.
pub(super) trait Subject: Sized {
    const NAME: &'static str;
    /// Numbers that stay when [`tidy`](Self::tidy) has run.
    const KEPT: u64;
    /// What may be kept beside the log, in bytes.
    const BESIDE: u64;

    fn open(directory: &Path, policy: FsyncPolicy) -> Self;
    /// The number of the last write. Panics if anything before it is missing or wrong.
    fn last(&self) -> u64;
    fn write(&self, number: u64);
    /// Makes all written so far durable.
    fn sync(&self);
    /// Lets go of old data: every write before the number that it gives need not be in the log any more.
    fn tidy(&self, last: u64) -> u64;
    fn close(self);
}

/// Number n is the record with LSN n.
impl Subject for Wal {
    const NAME: &'static str = "log";
    const KEPT: u64 = 200;
    const BESIDE: u64 = 0;

    fn open(directory: &Path, policy: FsyncPolicy) -> Self {
        let config = WalConfig {
            max_segment_size: SEGMENT,
            fsync_policy: policy,
            ..WalConfig::default()
        };
        let builder = Self::builder(directory).config(config).small_segments();
        builder.open().expect("the log opens")
    }

    fn last(&self) -> u64 {
        let mut reader = self.read_from(Lsn::ZERO).expect("a reader");
        let mut next = self.first_lsn().get();
        while let Some((record, position)) = reader.next_record().expect("a record") {
            assert_eq!(position.lsn.get(), next, "an LSN is missing");
            assert!(record.value == payload(next), "LSN {next} has other bytes");
            next += 1;
        }
        assert_eq!(self.last_lsn().get() + 1, next, "the reader ends early");
        next - 1
    }

    fn write(&self, number: u64) {
        let position = if number.is_multiple_of(7) {
            let batch = [Record::data(payload(number))];
            self.append_batch(&batch).expect("appended").first
        } else {
            self.append(RecordRef::data(&payload(number)))
                .expect("appended")
        };
        assert_eq!(position.lsn.get(), number);
    }

    fn sync(&self) {
        Self::sync(self).expect("synced");
    }

    fn tidy(&self, last: u64) -> u64 {
        let first = last.saturating_sub(Self::KEPT).max(1);
        self.truncate_before(Lsn::new(first)).expect("truncated");
        first
    }

    fn close(self) {
        Self::close(&self).expect("closed");
    }
}

/// Keys of the store; number n is a write to key n modulo this.
const KEYS: u64 = 60;

fn key(number: u64) -> [u8; 8] {
    (number % KEYS).to_be_bytes()
}

impl Subject for KvStore {
    const NAME: &'static str = "store";
    const KEPT: u64 = 0;
    // Two snapshots, each with every key's largest value.
    const BESIDE: u64 = 2 * KEYS * 2_000 + 2 * 60_000 * 8;

    fn open(directory: &Path, policy: FsyncPolicy) -> Self {
        let config = KvConfig {
            max_segment_size: SEGMENT,
            fsync_policy: policy,
            snapshots: Snapshots::OnCall,
            ..KvConfig::default()
        };
        let builder = Self::builder(directory).config(config).small_segments();
        builder.open().expect("the store opens")
    }

    fn last(&self) -> u64 {
        let number = |value: &[u8]| value.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let values = (0..KEYS).filter_map(|key| self.get(&key.to_be_bytes()));
        let last = values.filter_map(|value| number(&value)).max().unwrap_or(0);
        // Every key has its last write: the writes before `last` are all there.
        for number in last.saturating_sub(KEYS - 1).max(1)..=last {
            let value = self.get(&key(number));
            assert!(
                value.as_deref() == Some(&payload(number)[..]),
                "write {number} of {last} is missing"
            );
        }
        last
    }

    fn write(&self, number: u64) {
        self.put(key(number), payload(number)).expect("put");
    }

    fn sync(&self) {
        Self::sync(self).expect("synced");
    }

    fn tidy(&self, last: u64) -> u64 {
        self.snapshot().expect("a snapshot");
        last + 1
    }

    fn close(self) {
        Self::close(&self).expect("closed");
    }
}
