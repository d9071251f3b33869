//! What a run does. A program is data: it can be printed, made smaller, and run again.

use std::time::Duration;

use wal_core::{FsyncPolicy, WalConfig};
use wal_io::fault::{
    DirectoryOrder, FaultConfig, Moment, NameSync, Overwrite, SectorSize, SyncFailure, SystemError,
    Unpersisted,
};

use crate::rng::Rng;

/// The log's settings and the machine's rules.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The rules of the simulated machine.
    pub machine: FaultConfig,
    /// The log's configuration.
    pub config: WalConfig,
    /// Bytes of one buffer.
    pub buffer: usize,
    /// Sector padding, if any.
    pub padding: Option<u32>,
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    /// Appends a record of so many bytes.
    Append(u32),
    /// The same with `append_durable`.
    AppendDurable(u32),
    /// Appends a batch: how many records, of how many bytes.
    Batch(u32, u32),
    /// `sync`.
    Sync,
    /// `flush`.
    Flush,
    /// `wait_durable` of a record so many LSNs before the last.
    WaitDurable(u32),
    /// Moves the clock, then runs the background steps that are due.
    Pass(Duration),
    /// Reads all records and compares them.
    ReadAll,
    /// Reads from a record so many LSNs before the last.
    ReadFrom(u32),
    /// Removes all records but so many.
    TruncateBefore(u32),
}

/// How a life ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// Power loss at the n-th change from the start of the life (its open included), or at its end.
    Crash(u64, Moment),
    /// The process is killed.
    Kill,
    /// The handle is dropped.
    Drop,
    /// `close`.
    Close,
}

/// From one open to the next.
#[derive(Clone, Debug)]
pub struct Life {
    /// Open read-only first, and see that it shows the same and changes nothing.
    pub look_first: bool,
    /// An error of the system at the n-th operation.
    pub error: Option<(u64, SystemError)>,
    /// The calls.
    pub calls: Vec<Call>,
    /// The end.
    pub end: End,
    /// Seed of what the crash leaves.
    pub crash_seed: u64,
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct Program {
    /// Where everything came from.
    pub seed: u64,
    /// The settings.
    pub setup: Setup,
    /// The lives; a last open follows that must find everything.
    pub lives: Vec<Life>,
}

impl Program {
    /// A random program.
    #[must_use]
    pub fn random(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let setup = Setup::random(&mut rng);
        let lives = (0..=rng.below(4))
            .map(|_| Life::random(&mut rng, &setup))
            .collect();
        Self { seed, setup, lives }
    }
}

impl Setup {
    fn random(rng: &mut Rng) -> Self {
        let policy = match rng.below(3) {
            0 => FsyncPolicy::Always,
            1 => FsyncPolicy::Batch(Duration::from_millis(5)),
            _ => FsyncPolicy::Os,
        };
        let padding = rng.pick(&[None, None, None, Some(512), Some(4096)]);
        let least = if padding == Some(4096) {
            64 << 10
        } else {
            8 << 10
        };
        let sector = rng.pick(&[SectorSize::B512, SectorSize::B512, SectorSize::B4096]);
        // Padded to whole sectors, no sector that holds durable data is written again: it may tear.
        let padded = padding.is_some_and(|bytes| u64::from(bytes) >= sector.bytes());
        let overwrite = if padded && rng.one_in(2) {
            Overwrite::Torn
        } else {
            Overwrite::Powersafe
        };
        Self {
            machine: FaultConfig {
                sector,
                overwrite,
                directory: rng.pick(&[DirectoryOrder::Unordered, DirectoryOrder::Ordered]),
                names: rng.pick(&[NameSync::Strict, NameSync::WithFile]),
                unpersisted: rng.pick(&[Unpersisted::Zeros, Unpersisted::Stale]),
                sync_failure: rng.pick(&[
                    SyncFailure::Ext4,
                    SyncFailure::Xfs,
                    SyncFailure::Btrfs,
                    SyncFailure::BtrfsRevert,
                ]),
                ..FaultConfig::default()
            },
            config: WalConfig {
                max_segment_size: least << rng.below(3),
                fsync_policy: policy,
                preallocate: !rng.one_in(3),
                node_id: 7,
            },
            buffer: rng.pick(&[4 << 10, 16 << 10, 1 << 20]),
            padding,
        }
    }

    /// Bytes of a record that is not small: several fill a segment.
    fn large(&self) -> u64 {
        self.config.max_segment_size / 6
    }
}

impl Life {
    fn random(rng: &mut Rng, setup: &Setup) -> Self {
        let count = if rng.one_in(4) {
            rng.below(60)
        } else {
            rng.below(16)
        };
        let calls = (0..count).map(|_| Call::random(rng, setup)).collect();
        let end = match rng.below(8) {
            0 => End::Kill,
            1 => End::Drop,
            2 => End::Close,
            _ => {
                // Often inside the open, which is where recovery is.
                let most = if rng.one_in(3) { 12 } else { 6 + 3 * count };
                let moment = rng.pick(&[Moment::Before, Moment::During, Moment::After]);
                End::Crash(rng.below(most), moment)
            }
        };
        let error = rng.one_in(6).then(|| {
            let error = rng.pick(&[
                SystemError::Io,
                SystemError::Io,
                SystemError::NoSpace,
                SystemError::QuotaExceeded,
                SystemError::Interrupted,
                SystemError::TooManyOpenFiles,
            ]);
            (rng.below(10 + 4 * count), error)
        });
        Self {
            look_first: rng.one_in(4),
            error,
            calls,
            end,
            crash_seed: rng.bits(),
        }
    }
}

impl Call {
    fn random(rng: &mut Rng, setup: &Setup) -> Self {
        let small = |rng: &mut Rng| rng.below(120) as u32;
        match rng.below(20) {
            0..=6 => Self::Append(small(rng)),
            7 => Self::Append(rng.below(setup.large()) as u32),
            8 => Self::AppendDurable(small(rng)),
            9 => Self::Batch(rng.below(9) as u32, small(rng)),
            10 => Self::Batch(1 + rng.below(3) as u32, rng.below(setup.large() / 2) as u32),
            11 | 12 => Self::Sync,
            13 => Self::Flush,
            14 => Self::WaitDurable(rng.below(4) as u32),
            15 => Self::Pass(Duration::from_micros(rng.below(12_000))),
            16 => Self::Pass(Duration::from_secs(2)),
            17 => Self::ReadAll,
            18 => Self::ReadFrom(rng.below(20) as u32),
            _ => Self::TruncateBefore(rng.below(30) as u32),
        }
    }
}
