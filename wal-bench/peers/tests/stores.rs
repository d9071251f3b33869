//! What every store must do, at a tiny size: keep pairs, give them back, in order, and after a reopen.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};

use wal_bench::peer::{PeerMap, Reached};
use wal_bench_peers::stores;

const BOTH: [Reached; 2] = [Reached::Buffered, Reached::Durable];

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

/// Not in their order.
fn key(n: u32) -> [u8; 16] {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&n.wrapping_mul(0x9e37_79b9).to_be_bytes());
    key[12..].copy_from_slice(&n.to_be_bytes());
    key
}

fn scanned(map: &dyn PeerMap) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    map.scan(&mut |key, value| found.push((key.to_vec(), value.to_vec())))
        .expect("a scan");
    found
}

/// Puts `count` pairs, some of them twice; each is read back at once.
fn fill(map: &dyn PeerMap, count: u32) -> Pairs {
    let mut expected = Pairs::new();
    for n in (0..count).chain(0..count / 3) {
        let value = format!("value {n} of {}", expected.len()).into_bytes();
        map.put(&key(n), &value).expect("a put");
        if n % 10 == 0 {
            let found = map.get(&key(n)).expect("a get");
            assert_eq!(found.as_deref(), Some(&value[..]));
        }
        expected.insert(key(n).to_vec(), value);
    }
    expected
}

#[test]
fn pairs_are_read_back_in_order_and_after_a_reopen() {
    for store in stores() {
        for reached in BOTH {
            let name = store.name;
            let dir = tempfile::tempdir().expect("a directory");
            let Some(map) = store.open(dir.path(), reached).expect(name) else {
                continue;
            };
            let expected = fill(&*map, 100);
            assert_eq!(map.get(b"not there").expect(name), None, "{name}");
            assert!(expected.clone().into_iter().eq(scanned(&*map)), "{name}");
            map.sync().expect(name);
            drop(map);
            let map = store.open(dir.path(), reached).expect(name).expect(name);
            assert!(expected.into_iter().eq(scanned(&*map)), "{name}");
        }
    }
}

/// More than a transaction of those who collect puts, and a rest.
#[test]
fn what_no_reader_asked_for_is_there_after_a_drop() {
    for store in stores() {
        let name = store.name;
        let dir = tempfile::tempdir().expect("a directory");
        let Some(map) = store.open(dir.path(), Reached::Buffered).expect(name) else {
            continue;
        };
        for n in 0..1500 {
            map.put(&key(n), &n.to_be_bytes()).expect(name);
        }
        drop(map);
        let map = store
            .open(dir.path(), Reached::Buffered)
            .expect(name)
            .expect(name);
        assert_eq!(scanned(&*map).len(), 1500, "{name}");
    }
}

#[test]
fn threads_put_and_get_together() {
    for store in stores() {
        for reached in BOTH {
            let name = store.name;
            let dir = tempfile::tempdir().expect("a directory");
            let Some(map) = store.open(dir.path(), reached).expect(name) else {
                continue;
            };
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let map = &map;
                    scope.spawn(move || {
                        for n in 0..50 {
                            let key = key(thread * 1000 + n);
                            map.put(&key, &n.to_be_bytes()).expect(name);
                            let found = map.get(&key).expect(name);
                            assert_eq!(found.as_deref(), Some(&n.to_be_bytes()[..]), "{name}");
                        }
                    });
                }
            });
            assert_eq!(scanned(&*map).len(), 200, "{name}");
        }
    }
}

#[test]
fn each_way_of_use_has_a_name_and_offers_something() {
    let stores = stores();
    let names: BTreeSet<&str> = stores.iter().map(|store| store.name).collect();
    assert_eq!(names.len(), stores.len());
    for store in &stores {
        let name = store.name;
        let offers = |reached| {
            let dir = tempfile::tempdir().expect("a directory");
            store.open(dir.path(), reached).expect(name).is_some()
        };
        assert!(BOTH.map(offers).contains(&true), "{name}");
        assert!(store.version.starts_with(|c: char| c.is_ascii_digit()));
    }
}
