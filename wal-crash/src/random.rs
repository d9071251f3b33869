//! Random programs from a seed. Absent: what becomes of them (see `run`).

use std::time::Duration;

use wal_core::{Alignment, FsyncPolicy, WalConfig};
use wal_io::fault::{
    Background, DirectoryOrder, FaultConfig, Moment, NameSync, OperationKind, Overwrite, Rename,
    SectorSize, SyncFailure, SystemError, Unpersisted,
};

use crate::program::{
    Call, Choices, End, Eye, Format, Ill, Life, Meddling, Program, Setup, Trouble, Where,
};
use crate::rng::Rng;

impl Program {
    /// A random program.
    #[must_use]
    pub fn random(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut setup = Setup::random(&mut rng);
        // Of its own, so that what else a seed means stays as it is.
        let format = Rng::new(seed.rotate_left(17)).below(4);
        setup.format = [Format::One, Format::One, Format::Two, Format::Upgraded][format as usize];
        let mut lives = Vec::new();
        for _ in 0..=rng.below(4) {
            let life = Life::random(&mut rng, &setup);
            let leaves_work = matches!(life.end, End::Crash(..) | End::KillAt(..) | End::Kill);
            lives.push(life);
            if leaves_work && rng.one_in(3) {
                // Recovery itself is cut short, and again.
                for _ in 0..=rng.below(4) {
                    lives.push(Life::cut_short(&mut rng));
                }
            }
        }
        if setup.format != Format::One {
            let mut rng = Rng::new(seed.rotate_left(29));
            for life in &mut lives {
                life.change_control(&mut rng);
            }
            let mut rng = Rng::new(seed.rotate_left(41));
            for life in &mut lives {
                life.use_reserve(&mut rng);
            }
        }
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
        let padding = rng.pick(&[
            None,
            None,
            None,
            Some(Alignment::Sector512),
            Some(Alignment::Sector4096),
        ]);
        let least = if padding == Some(Alignment::Sector4096) {
            64 << 10
        } else {
            8 << 10
        };
        let sector = rng.pick(&[SectorSize::B512, SectorSize::B512, SectorSize::B4096]);
        // Padded to whole sectors, no sector that holds durable data is written again: it may tear.
        let padded = padding.is_some_and(|padding| padding.get() >= sector.bytes());
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
                rename: rng.pick(&[Rename::Atomic, Rename::Atomic, Rename::LinkThenUnlink]),
                sync_failure: rng.pick(&[
                    SyncFailure::Ext4,
                    SyncFailure::Ext4,
                    SyncFailure::Xfs,
                    SyncFailure::Btrfs,
                    SyncFailure::BtrfsRevert,
                    SyncFailure::Ext4Journal,
                    SyncFailure::Lying,
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
            format: Format::One,
        }
    }

    /// Bytes of a record that is not small: several fill a segment.
    fn large(&self) -> u64 {
        self.config.max_segment_size / 6
    }
}

fn moment(rng: &mut Rng) -> Moment {
    rng.pick(&[Moment::Before, Moment::During, Moment::After])
}

fn background(rng: &mut Rng) -> Background {
    if rng.one_in(6) {
        Background::Busy
    } else {
        Background::Idle
    }
}

impl Life {
    fn random(rng: &mut Rng, setup: &Setup) -> Self {
        let count = if rng.one_in(4) {
            rng.below(60)
        } else {
            rng.below(16)
        };
        let mut calls: Vec<Call> = (0..count).map(|_| Call::random(rng, setup)).collect();
        if rng.one_in(8) {
            limit(rng, &mut calls);
        }
        if rng.one_in(8) {
            let at = rng.below(calls.len() as u64 + 1) as usize;
            calls.insert(at, Call::Meddle(Meddling::random(rng)));
        }
        if rng.one_in(8) {
            calls.push(Call::Closing);
        }
        // Often inside the open, which is where recovery is.
        let most = if rng.one_in(3) { 12 } else { 6 + 3 * count };
        let end = match rng.below(10) {
            0 => End::Kill,
            1 => End::Drop,
            2 => End::Close,
            3 | 4 => End::KillAt(rng.below(most), moment(rng)),
            _ => End::Crash(rng.below(most), moment(rng)),
        };
        let troubles = if rng.one_in(5) {
            (0..=rng.below(2))
                .map(|_| Trouble::random(rng, count))
                .collect()
        } else {
            Vec::new()
        };
        Self {
            look_first: rng.one_in(4),
            background: background(rng),
            troubles,
            calls,
            end,
            choices: Choices::Seed(rng.bits()),
        }
    }

    /// Puts changes of the control state between the calls.
    fn change_control(&mut self, rng: &mut Rng) {
        let count = rng.below(1 + self.calls.len() as u64 / 2);
        for _ in 0..count {
            let which = rng.below(4) as u32;
            let call = match rng.below(10) {
                0..=2 => Call::Term(rng.below(3) as u32),
                3..=7 => Call::Consumer(which, rng.below(6) as u32),
                8 => Call::NoConsumer(which),
                _ => Call::SetControl(which),
            };
            self.insert(rng, call);
        }
    }

    /// Puts calls that work on a full disk between the others.
    fn use_reserve(&mut self, rng: &mut Rng) {
        let count = rng.below(1 + self.calls.len() as u64 / 4);
        for _ in 0..count {
            let call = if rng.one_in(2) {
                Call::TruncateWith(rng.below(20) as u32)
            } else {
                Call::AppendReserved(rng.below(500) as u32)
            };
            self.insert(rng, call);
        }
    }

    /// Puts it anywhere. A close stays the last call.
    fn insert(&mut self, rng: &mut Rng, call: Call) {
        let end = self.calls.len() - usize::from(self.calls.last() == Some(&Call::Closing));
        self.calls.insert(rng.below(end as u64 + 1) as usize, call);
    }

    /// A life that ends before it has well begun.
    fn cut_short(rng: &mut Rng) -> Self {
        let at = rng.below(14);
        let end = if rng.one_in(3) {
            End::KillAt(at, moment(rng))
        } else {
            End::Crash(at, moment(rng))
        };
        Self {
            look_first: rng.one_in(2),
            background: background(rng),
            ..Self::new(Vec::new(), end, Choices::Seed(rng.bits()))
        }
    }
}

/// Puts a limit into the calls, and its end.
fn limit(rng: &mut Rng, calls: &mut Vec<Call>) {
    let limit = match rng.below(6) {
        0 | 1 => Call::FewFiles(rng.below(4) as u32),
        2 => Call::ReadOnly,
        _ => Call::FillDisk(rng.below(20_000) as u32),
    };
    let at = rng.below(calls.len() as u64 + 1) as usize;
    calls.insert(at, limit);
    if !rng.one_in(4) {
        let end = at + 1 + rng.below((calls.len() - at) as u64) as usize;
        calls.insert(end, Call::Relief);
    }
}

impl Meddling {
    fn random(rng: &mut Rng) -> Self {
        rng.pick(&[
            Self::Move,
            Self::Replace,
            Self::RemoveDirectory,
            Self::RemoveNewest,
            Self::RemoveLock,
        ])
    }
}

impl Trouble {
    /// No descriptor is to be had, for a while.
    fn out_of_descriptors(rng: &mut Rng, calls: u64) -> Self {
        Self {
            ill: Ill::Error(SystemError::TooManyOpenFiles),
            on: Where::Opening,
            after: rng.below(8 + calls / 2),
            times: 1 + rng.below(6),
        }
    }

    fn random(rng: &mut Rng, calls: u64) -> Self {
        let any = 10 + 4 * calls;
        if rng.one_in(4) {
            let kind = rng.pick(&[OperationKind::Read, OperationKind::Write]);
            return Self {
                ill: Ill::Short(1 + rng.below(700) as u32),
                on: Where::Kind(kind),
                after: rng.below(any / 2),
                times: rng.below(4),
            };
        }
        if rng.one_in(5) {
            // Mostly shorter than a window, at times longer than any.
            let most = rng.pick(&[3_000, 3_000, 2_000_000]);
            let kind = rng.pick(&[
                Where::Kind(OperationKind::SyncData),
                Where::Kind(OperationKind::Write),
                Where::Anywhere,
            ]);
            return Self {
                ill: Ill::Slow(1 + rng.below(most) as u32),
                on: kind,
                after: rng.below(any / 2),
                times: rng.below(4),
            };
        }
        if rng.one_in(5) {
            return Self::out_of_descriptors(rng, calls);
        }
        let error = rng.pick(&[
            SystemError::Io,
            SystemError::Io,
            SystemError::NoSpace,
            SystemError::QuotaExceeded,
            SystemError::Interrupted,
            SystemError::TooManyOpenFiles,
            SystemError::ReadOnly,
            SystemError::FileTooLarge,
        ]);
        let (on, after) = match rng.below(6) {
            0 | 1 => (
                Where::Kind(OperationKind::SyncData),
                rng.below(4 + calls / 2),
            ),
            2 => (Where::Kind(OperationKind::SyncDirectory), rng.below(4)),
            3 => (Where::Kind(OperationKind::Write), rng.below(4 + calls)),
            _ => (Where::Anywhere, rng.below(any)),
        };
        // A sync that is interrupted for ever would hang any program.
        let for_ever = error != SystemError::Interrupted && rng.one_in(4);
        Self {
            ill: Ill::Error(error),
            on,
            after,
            times: if for_ever { 0 } else { 1 + rng.below(2) },
        }
    }
}

impl Call {
    fn random(rng: &mut Rng, setup: &Setup) -> Self {
        let small = |rng: &mut Rng| rng.below(120) as u32;
        match rng.below(83) {
            0..=25 => Self::Append(small(rng)),
            26..=29 => Self::Append(rng.below(setup.large()) as u32),
            30..=33 => Self::AppendDurable(small(rng)),
            34..=37 => Self::Batch(rng.below(9) as u32, small(rng)),
            38..=40 => Self::Batch(1 + rng.below(3) as u32, rng.below(setup.large() / 2) as u32),
            41 => Self::Fill((setup.large() / 2 + rng.below(setup.large() / 2)) as u32),
            42..=48 => Self::Sync,
            49..=52 => Self::Flush,
            53..=56 => Self::WaitDurable(rng.below(4) as u32),
            57..=60 => Self::Pass(Duration::from_micros(rng.below(12_000))),
            61..=64 => Self::Pass(Duration::from_secs(2)),
            65..=67 => Self::ReadAll,
            68..=70 => Self::ReadFrom(rng.below(20) as u32),
            71 | 72 => Self::Follow(Eye::Writer),
            73 | 74 => Self::Follow(Eye::Other),
            75 => Self::Look,
            76 => Self::SecondWriter,
            77..=79 => Self::TruncateAfter(rng.below(12) as u32),
            _ => Self::TruncateBefore(rng.below(30) as u32),
        }
    }
}
