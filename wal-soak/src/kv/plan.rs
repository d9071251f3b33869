//! What a round of a store is like, by its seed: settings, keys, the mix of calls, and how each of its processes ends.

use std::fmt::Write as _;
use std::time::Duration;

use clap::ValueEnum;
use wal_kv::{FsyncPolicy, KvConfig, Snapshots};

use crate::harness::{End, Length, Numbers};

/// The kinds of rounds, in turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Theme {
    /// A bit of everything.
    Mixed,
    /// A few keys, overwritten all the time, under views.
    Hot,
    /// Batches of up to 100,000 keys.
    Batches,
    /// Keys that expire.
    Expiring,
    /// `memory_limit` is near the live data.
    Limited,
    /// Everything is deleted and written again; snapshots at 10 percent.
    Churn,
    /// A disk that is nearly full.
    SmallDisk,
    /// Nearly no descriptors.
    FewDescriptors,
    /// Long values, and snapshots at 1000 percent.
    Large,
    /// Snapshots by hand only.
    ByHand,
    /// Many short lives with few writes.
    Restarts,
    /// Long lives with views that are held for as long.
    Long,
}

/// How a process that is not killed ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    Close,
    Drop,
    /// The process ends, and the store is neither closed nor dropped.
    Exit,
}

/// The store as the callers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    Blocking,
    /// On a runtime with several threads.
    Async,
    /// On a runtime with one.
    AsyncOneThread,
}

/// One life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KvLife {
    pub(crate) policy: FsyncPolicy,
    pub(crate) face: Face,
    pub(crate) end: End,
    pub(crate) leave: Leave,
    pub(crate) time: Duration,
    pub(crate) descriptors: Option<u64>,
    pub(crate) writers: u64,
    /// Most calls of a writer in a millisecond, so that some lives are not busy all the time.
    pub(crate) pace: Option<u64>,
}

/// The calls that writers make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Op {
    Put,
    PutHot,
    Delete,
    /// Deletes a stretch of keys, one by one.
    DeleteMany,
    Swap,
    PutFor,
    PutForLong,
    SwapExpiring,
    Batch,
    BigBatch,
    Durable,
    Sync,
    /// The future of a put is dropped after its first poll.
    Abandon,
}

/// A round.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) theme: Theme,
    pub(crate) segment: u64,
    pub(crate) snapshots: Snapshots,
    pub(crate) snapshot_after: u64,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) view_memory_limit: Option<u64>,
    /// Keys that are put and deleted; hot ones; those that expire.
    pub(crate) plain: u32,
    pub(crate) hot: u32,
    pub(crate) expiring: u32,
    /// Sets of keys that are written together, with this many keys each.
    pub(crate) sets: Vec<u32>,
    /// Weights of the values' size classes.
    pub(crate) sizes: [u32; 4],
    /// Weights of the variants of [`Op`], in their order.
    pub(crate) mix: [u32; 13],
    /// Views that are open at the same time.
    pub(crate) views: u64,
    /// Whether snapshots are taken by hand as well.
    pub(crate) by_hand: bool,
    pub(crate) disk: Option<u64>,
    pub(crate) lives: Vec<KvLife>,
}

const MIB: u64 = 1 << 20;

impl Plan {
    pub(crate) fn of(seed: u64, round: u64, length: Length) -> Self {
        let numbers = &mut Numbers::of(&[seed, round]);
        let themes = Theme::value_variants();
        let theme = themes[(round % themes.len() as u64) as usize];
        let mut plan = Self {
            theme,
            segment: numbers.pick(&[1, 1, 2, 4, 8]) * MIB,
            snapshots: Snapshots::Automatic {
                percent: numbers.pick(&[10, 100, 100, 300, 1000]),
            },
            snapshot_after: numbers.pick(&[64 << 10, 256 << 10, MIB, 4 * MIB]),
            memory_limit: None,
            view_memory_limit: None,
            plain: numbers.between(2_000, 30_000) as u32,
            hot: 16,
            expiring: 500,
            sets: vec![20; 8],
            sizes: [50, 35, 14, 1],
            //    put hot del many swap for long sexp batch big dur sync aban
            mix: [400, 60, 80, 1, 40, 20, 10, 10, 30, 0, 4, 2, 2],
            views: 2,
            by_hand: numbers.chance(30),
            disk: None,
            lives: Vec::new(),
        };
        plan.shape(numbers);
        plan.live(numbers, length);
        plan
    }

    /// What makes a theme.
    fn shape(&mut self, numbers: &mut Numbers) {
        let percent = |percent| Snapshots::Automatic { percent };
        match self.theme {
            Theme::Mixed | Theme::FewDescriptors => {}
            Theme::Hot => {
                self.plain = 100;
                self.sets = vec![4];
                self.sizes = [100, 0, 0, 0];
                self.mix = [10, 1000, 1, 0, 30, 10, 0, 0, 5, 0, 1, 1, 1];
                self.views = 4;
                self.view_memory_limit = numbers.chance(50).then_some(16 << 10);
                self.snapshots = percent(100);
            }
            Theme::Batches => {
                self.segment = 32 * MIB;
                self.sets = vec![100_000, 1000, 1000, 20, 20, 20];
                self.sizes = [100, 0, 0, 0];
                self.mix = [300, 20, 20, 0, 10, 0, 0, 0, 40, 1, 2, 1, 0];
            }
            Theme::Expiring => {
                self.expiring = 20_000;
                self.sizes = [80, 20, 0, 0];
                self.mix = [50, 10, 10, 0, 10, 600, 100, 60, 5, 0, 2, 2, 2];
            }
            Theme::Limited => {
                // About as much as the keys take when all are there.
                let limit = u64::from(self.plain) * 1300;
                self.memory_limit = Some(limit);
                self.view_memory_limit = numbers.pick(&[None, Some(limit / 10), Some(limit / 3)]);
            }
            Theme::Churn => {
                // Much live data for little log: snapshots take longer than the log takes to be due again.
                self.plain = numbers.between(2_000, 6_000) as u32;
                self.sizes = [5, 20, 74, 1];
                self.snapshots = percent(10);
                self.snapshot_after = MIB;
                self.segment = MIB;
                self.mix = [400, 10, 20, 3, 10, 0, 0, 0, 10, 0, 2, 1, 1];
            }
            Theme::SmallDisk => {
                self.segment = MIB;
                self.snapshot_after = MIB;
                self.snapshots = percent(100);
                self.sizes = [60, 35, 5, 0];
                self.disk = Some(numbers.between(6, 14) * MIB);
            }
            Theme::Large => {
                self.segment = 8 * MIB;
                self.plain = numbers.between(200, 1000) as u32;
                self.snapshots = percent(1000);
                self.sizes = [10, 30, 40, 20];
            }
            Theme::ByHand => {
                self.snapshots = Snapshots::OnCall;
                self.by_hand = true;
            }
            Theme::Restarts => {
                self.plain = 300;
                self.sizes = [80, 20, 0, 0];
                self.snapshot_after = 4 * MIB;
                self.snapshots = percent(100);
                self.segment = MIB;
            }
            Theme::Long => {
                self.views = 6;
                self.plain = 20_000;
            }
        }
    }

    /// What views may hold: by default as much as there may be of live data.
    pub(crate) fn view_limit(&self) -> Option<u64> {
        self.view_memory_limit.or(self.memory_limit)
    }

    fn live(&mut self, numbers: &mut Numbers, length: Length) {
        let mut left = length.0;
        let usual = match self.theme {
            Theme::Restarts => Duration::from_millis(60),
            Theme::Long => length.0.mul_f64(0.8),
            Theme::Batches => Duration::from_secs(4),
            _ => Duration::from_millis(2500),
        };
        let usual = usual.min(length.0 / 3).max(Duration::from_millis(60));
        while !left.is_zero() {
            let time = usual * numbers.between(20, 180) as u32 / 100;
            let end = match numbers.below(20) {
                0..11 => End::Kill,
                11..13 => End::KillEarly,
                _ => End::Itself,
            };
            let mut life = self.a_life(numbers, end, time);
            if end == End::KillEarly {
                life.time = Duration::from_millis(numbers.between(1, 400));
            }
            // Starting and checking take time too.
            left = left.saturating_sub(life.time + Duration::from_millis(100));
            self.lives.push(life);
        }
        let mut last = self.a_life(numbers, End::Itself, Duration::from_millis(300));
        last.leave = Leave::Close;
        last.descriptors = None;
        self.lives.push(last);
    }

    fn a_life(&self, numbers: &mut Numbers, end: End, time: Duration) -> KvLife {
        let few = self.theme == Theme::FewDescriptors && numbers.chance(80);
        KvLife {
            policy: match numbers.below(4) {
                0 => FsyncPolicy::Always,
                1 => FsyncPolicy::Batch(Duration::from_millis(numbers.pick(&[1, 5, 50]))),
                2 => FsyncPolicy::Batch(Duration::from_millis(5)),
                _ => FsyncPolicy::Os,
            },
            face: numbers.pick(&[
                Face::Blocking,
                Face::Blocking,
                Face::Async,
                Face::AsyncOneThread,
            ]),
            end,
            leave: numbers.pick(&[Leave::Close, Leave::Drop, Leave::Exit]),
            time,
            descriptors: few.then(|| numbers.between(26, 44)),
            writers: numbers.between(1, 3),
            pace: if self.theme == Theme::Restarts {
                Some(10)
            } else {
                numbers.pick(&[None, None, Some(2), Some(20)])
            },
        }
    }

    pub(crate) fn config(&self, life: &KvLife) -> KvConfig {
        KvConfig {
            fsync_policy: life.policy,
            max_segment_size: self.segment,
            memory_limit: self.memory_limit,
            snapshots: self.snapshots,
            ..KvConfig::default()
        }
    }

    /// Whether everything that the store needs of the system is there.
    pub(crate) fn is_roomy(&self, life: &KvLife) -> bool {
        self.disk.is_none() && life.descriptors.is_none()
    }

    /// In a few words.
    pub(crate) fn profile(&self) -> String {
        let percent = match self.snapshots {
            Snapshots::Automatic { percent } => format!("{percent} %"),
            _ => "on call".into(),
        };
        let mut text = format!(
            "{} keys, segments of {} MiB, snapshots {percent} from {} KiB",
            self.plain,
            self.segment / MIB,
            self.snapshot_after >> 10
        );
        if let Some(limit) = self.memory_limit {
            let _ = write!(text, ", memory {} KiB", limit >> 10);
        }
        if let Some(limit) = self.view_memory_limit {
            let _ = write!(text, ", views {} KiB", limit >> 10);
        }
        if let Some(disk) = self.disk {
            let _ = write!(text, ", disk {} MiB", disk / MIB);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_rounds_and_the_last_life_closes() {
        let length = Length(Duration::from_secs(20));
        for round in 0..24 {
            let plan = Plan::of(7, round, length);
            assert_eq!(
                format!("{plan:?}"),
                format!("{:?}", Plan::of(7, round, length))
            );
            let last = plan.lives.last().expect("there is one");
            assert_eq!((last.end, last.leave), (End::Itself, Leave::Close));
            let killed = plan.lives.iter().filter(|life| life.end != End::Itself);
            let long = plan.theme == Theme::Long;
            assert!(
                killed.count() > 0 || long,
                "round {round}: {:?}",
                plan.lives
            );
        }
    }

    #[test]
    fn the_weights_have_a_call_each() {
        assert_eq!(
            Op::value_variants().len(),
            Plan::of(1, 0, Length(Duration::ZERO)).mix.len()
        );
    }
}
