//! The counters of memory against a count from scratch, after each of many random steps.

use std::time::Duration;

use proptest::prelude::*;
use wal_core::FsyncPolicy;
use wal_core::clock::ManualClock;
use wal_core::entropy::SeededEntropy;
use wal_io::MemoryStorage;

use crate::blocking::KvStore;
use crate::sync::Arc;
use crate::view::{Scan, View};
use crate::{Batch, Error, KvConfig, Snapshots};

#[derive(Clone, Debug)]
enum Write {
    Put(u8, u16),
    PutWithTtl(u8, u16, u8),
    Delete(u8),
}

#[derive(Clone, Debug)]
enum Step {
    Write(Write),
    Batch(Vec<Write>),
    Sync,
    View,
    Scan,
    Close(u8),
    Snapshot,
    /// The view of the store's own snapshot is open, or not.
    OwnView,
    Wait(u8),
    Reopen,
    /// Many keys come, or most keys go.
    Many(bool),
}

fn write() -> impl Strategy<Value = Write> {
    let key = || 0..60_u8;
    prop_oneof![
        6 => (key(), 0..300_u16).prop_map(|(key, len)| Write::Put(key, len)),
        3 => (key(), 0..300_u16, 1..20_u8).prop_map(|(key, len, ttl)| Write::PutWithTtl(key, len, ttl)),
        4 => key().prop_map(Write::Delete),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => write().prop_map(Step::Write),
        5 => proptest::collection::vec(write(), 0..40).prop_map(Step::Batch),
        2 => Just(Step::Sync),
        3 => Just(Step::View),
        2 => Just(Step::Scan),
        4 => any::<u8>().prop_map(Step::Close),
        1 => Just(Step::Snapshot),
        2 => Just(Step::OwnView),
        2 => (0..20_u8).prop_map(Step::Wait),
        1 => Just(Step::Reopen),
        1 => any::<bool>().prop_map(Step::Many),
    ]
}

#[derive(Debug)]
struct Machine {
    storage: MemoryStorage,
    clock: ManualClock,
    policy: FsyncPolicy,
    limits: Option<(u64, u64)>,
}

impl Machine {
    fn open(&self) -> KvStore {
        let config = KvConfig {
            max_segment_size: 1 << 20,
            fsync_policy: self.policy,
            snapshots: Snapshots::OnCall,
            memory_limit: self.limits.map(|(live, _)| live),
            ..KvConfig::default()
        };
        let mut builder = KvStore::builder("store")
            .storage(Arc::new(self.storage.clone()))
            .config(config)
            .clock(Arc::new(self.clock.clone()))
            .entropy(Arc::new(SeededEntropy::new(7)))
            .small_segments()
            .driven_by_caller();
        if let Some((_, views)) = self.limits {
            builder = builder.view_memory_limit(views);
        }
        builder.open().expect("opens")
    }
}

fn key(n: u8) -> Vec<u8> {
    // Of many lengths, the allocator's steps among them.
    let mut key = vec![b'k'; usize::from(n % 7) * 5];
    key.push(n);
    key
}

fn value(len: u16) -> Vec<u8> {
    vec![7; usize::from(len)]
}

fn batch(writes: &[Write]) -> Batch {
    writes
        .iter()
        .fold(Batch::new(), |batch, write| match write {
            Write::Put(n, len) => batch.put(key(*n), value(*len)),
            Write::PutWithTtl(n, len, ttl) => {
                let ttl = Duration::from_millis(u64::from(*ttl));
                batch.put_with_ttl(key(*n), value(*len), ttl)
            }
            Write::Delete(n) => batch.delete(key(*n)),
        })
}

fn many(come: bool) -> Batch {
    let all = (0..2000_u32).map(u32::to_be_bytes);
    if come {
        all.fold(Batch::new(), |batch, key| batch.put(key, "many"))
    } else {
        let most = all.filter(|key| key[3] % 16 != 0);
        most.fold(Batch::new(), Batch::delete)
    }
}

fn write_batch(store: &KvStore, batch: Batch) {
    match store.write(batch) {
        Ok(_) | Err(Error::OverMemoryLimit { .. } | Error::OverViewMemoryLimit { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

#[derive(Default)]
struct Open {
    views: Vec<View>,
    scans: Vec<Scan>,
    own: Option<View>,
}

impl Open {
    fn close(&mut self, n: u8) {
        let at = usize::from(n / 2);
        if n.is_multiple_of(2) && !self.views.is_empty() {
            self.views.swap_remove(at % self.views.len());
        } else if !self.scans.is_empty() {
            self.scans.swap_remove(at % self.scans.len());
        }
    }
}

fn do_step(machine: &Machine, store: &mut KvStore, open: &mut Open, step: &Step) {
    match step {
        Step::Write(write) => write_batch(store, batch(std::slice::from_ref(write))),
        Step::Batch(writes) => write_batch(store, batch(writes)),
        Step::Sync => store.sync().expect("synced"),
        Step::View => open.views.push(store.view()),
        Step::Scan => {
            let mut scan = store.iter();
            scan.next();
            open.scans.push(scan);
        }
        Step::Close(n) => open.close(*n),
        Step::Snapshot => {
            // One at a time looks at the store.
            open.own = None;
            store.snapshot().expect("a snapshot");
        }
        Step::OwnView => {
            let own = open.own.take();
            open.own = own.is_none().then(|| store.core().open_view(true));
        }
        Step::Wait(millis) => machine
            .clock
            .advance(Duration::from_millis((*millis).into())),
        Step::Reopen => {
            *open = Open::default();
            store.close().expect("closed");
            *store = machine.open();
        }
        Step::Many(come) => write_batch(store, many(*come)),
    }
}

fn check(store: &KvStore, step: &Step) -> Result<(), TestCaseError> {
    let (counters, counted) = store.core().index.recount();
    prop_assert_eq!(counters, counted, "after {:?}", step);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_counters_of_memory_equal_a_count_from_scratch_after_each_step(
        steps in proptest::collection::vec(step(), 1..150),
        always: bool,
        limits in prop_oneof![Just(None), (10_000..100_000_u64, 100..10_000_u64).prop_map(Some)],
    ) {
        let policy = if always { FsyncPolicy::Always } else { FsyncPolicy::Os };
        let machine = Machine { storage: MemoryStorage::new(), clock: ManualClock::default(), policy, limits };
        let (mut store, mut open) = (machine.open(), Open::default());
        for step in &steps {
            do_step(&machine, &mut store, &mut open, step);
            check(&store, step)?;
            if let Some((_, views)) = limits {
                prop_assert!(store.stats().view_bytes <= views);
            }
        }
        drop(open);
        machine.clock.advance(Duration::from_secs(1));
        let all = store.iter().map(|pair| pair.key().to_vec());
        let empty = all.collect::<Vec<_>>().into_iter().fold(Batch::new(), Batch::delete);
        store.write(empty).expect("deletes go on");
        store.sync().expect("synced");
        store.core().sweep();
        while !store.core().index.settle(|| u64::MAX) {}
        let stats = store.stats();
        prop_assert_eq!((stats.keys, stats.memory_bytes, stats.kept_bytes, stats.view_bytes), (0, 0, 0, 0));
    }
}

#[test]
fn what_the_store_s_own_snapshot_shows_refuses_nobody() {
    for policy in [FsyncPolicy::Always, FsyncPolicy::Os] {
        let machine = Machine {
            storage: MemoryStorage::new(),
            clock: ManualClock::default(),
            policy,
            limits: Some((100_000, 1000)),
        };
        let store = machine.open();
        let keys = (0_u32..).take_while(|n| store.put(n.to_be_bytes(), [0; 40]).is_ok());
        let keys = keys.count() as u32;
        let all = || (0..keys).map(u32::to_be_bytes);
        let own = store.core().open_view(true);
        for key in all() {
            store
                .put(key, [1; 40])
                .expect("the snapshot is the store's own");
        }
        for key in all().take(100) {
            store.delete(key).expect("deletes as well");
        }
        let stats = store.stats();
        assert!(stats.kept_bytes > 50_000, "{stats:?}");
        assert_eq!((stats.view_bytes, stats.oldest_view), (0, None));
        // What a user's view shows as well is held by that.
        let mut view = Some(store.view());
        let mut rest = all().skip(100);
        let refused = rest.by_ref().find_map(|key| store.put(key, [2; 40]).err());
        let refused = refused.expect("views have a limit");
        assert!(
            matches!(refused, Error::OverViewMemoryLimit { .. }),
            "{refused}"
        );
        drop(own);
        assert!(store.stats().view_bytes > 900);
        drop(view.take());
        for key in rest {
            store.put(key, [2; 40]).expect("put");
        }
        assert_eq!(store.stats().kept_bytes, 0, "{policy:?}");
    }
}
