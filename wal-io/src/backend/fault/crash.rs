//! What a crash leaves: a choice of everything that may and may not have reached the disk. Absent:
//! when it comes (see `plan`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::chooser::{Chooser, mix, pick};
use super::config::{CrashMode, FaultConfig, Overwrite, Unpersisted};
use super::directory::{Directory, Node};
use super::inode::Inode;
use super::sectors::{Content, Sector, cut, same};
use super::world::{HOST, State, remember_stale};

impl State {
    /// The machine as it comes up again after losing power now.
    pub(super) fn after_crash(&self, chooser: &mut dyn Chooser) -> Self {
        let last = match self.config.crash {
            CrashMode::Subset => None,
            CrashMode::Prefix => Some(self.choose_prefix(chooser)),
        };
        let mut crash = Crash {
            before: self,
            chooser,
            last,
            files: BTreeMap::new(),
        };
        let mut after = Self::new(self.config);
        after.limits = self.limits;
        after.clock.clone_from(&self.clock);
        after.stale.clone_from(&self.stale);
        after.directories.clear();
        crash.directory(HOST, &mut after);
        let kept = crash.files;
        for (file, slot) in self.slots.iter().enumerate() {
            if let Some(slot) = slot
                && !kept.contains_key(&file)
            {
                remember_stale(&mut after.stale, Arc::clone(&slot.inode));
            }
        }
        after
    }

    /// The machine as the next process finds it after this one was killed: the cache is whole.
    pub(super) fn after_kill(&self) -> Self {
        let mut after = Self::new(self.config);
        after.limits = self.limits;
        after.clock.clone_from(&self.clock);
        after.stale.clone_from(&self.stale);
        after.directories.clone_from(&self.directories);
        for directory in &mut after.directories {
            directory.locked = false;
        }
        after.slots.clone_from(&self.slots);
        for slot in after.slots.iter_mut().flatten() {
            slot.handles = 0;
            slot.locked = false;
            slot.prewriting.clear();
        }
        after.seq = self.seq;
        after.health = self.health_before_power_loss;
        after.garbage = true;
        after.collect_garbage();
        after
    }

    /// The last change that a crash keeps, all before it being kept too; 0 for none.
    fn choose_prefix(&self, chooser: &mut dyn Chooser) -> u64 {
        let mut changes = BTreeSet::from([0]);
        for directory in &self.directories {
            changes.extend(directory.pending_seqs());
        }
        for slot in self.slots.iter().flatten() {
            changes.extend(slot.inode.lengths.iter().map(|length| length.seq));
            for versions in slot.inode.dirty.values() {
                changes.extend(versions.iter().map(|version| version.seq));
            }
        }
        let at = pick(chooser, changes.len());
        changes.into_iter().nth(at).expect("the answer is in range")
    }

    /// An upper bound of the number of states that a crash now can leave; saturating.
    pub(super) fn crash_states(&self) -> u64 {
        let mut states: u64 = 1;
        for directory in &self.directories {
            states = states.saturating_mul(1 << directory.pending().min(63));
        }
        let torn = if self.config.overwrite == Overwrite::Torn {
            2
        } else {
            0
        };
        for slot in self.slots.iter().flatten() {
            let inode = &slot.inode;
            states = states.saturating_mul(inode.lengths.len() as u64 + 1);
            for (sector, versions) in &inode.dirty {
                // What was overwritten with what it held is the same in every state.
                let durable = inode.durable.get(*sector);
                let changes = versions.iter().any(|version| {
                    !same(durable, version.content.as_ref(), self.sector_len as usize)
                });
                if changes || torn > 0 {
                    states = states.saturating_mul(versions.count() as u64 + 1 + torn);
                }
            }
            if self.config.unpersisted == Unpersisted::Stale {
                let longest = inode
                    .lengths
                    .iter()
                    .map(|length| length.to)
                    .max()
                    .unwrap_or(0);
                let sectors =
                    inode.durable_len.div_ceil(self.sector_len)..longest.div_ceil(self.sector_len);
                let held = self
                    .stale
                    .iter()
                    .flat_map(|gone| gone.durable.from(sectors.start));
                let held = held.filter(|sector| sectors.contains(sector)).count();
                // Each stale content at most doubles the states of its sector.
                states = states.saturating_mul(1 << held.min(63));
            }
        }
        states
    }
}

/// A crash in progress.
struct Crash<'a> {
    before: &'a State,
    chooser: &'a mut dyn Chooser,
    /// In prefix mode the last change that survives.
    last: Option<u64>,
    /// Files before and after; each is decided once, under whatever name.
    files: BTreeMap<usize, usize>,
}

impl Crash<'_> {
    fn directory(&mut self, before: usize, after: &mut State) -> usize {
        let directory = &self.before.directories[before];
        let mut names = match self.last {
            Some(last) => directory.prefix(last),
            None => directory.crash(self.before.config.directory, self.chooser),
        };
        after.directories.push(Directory::default());
        let made = after.directories.len() - 1;
        for (name, node) in &mut names {
            match node {
                Node::Directory(inner) => *inner = self.directory(*inner, after),
                Node::File(file) => *file = self.file(*file, name, after),
            }
        }
        after.directories[made] = Directory::after_crash(names);
        made
    }

    fn file(&mut self, before: usize, name: &Arc<str>, after: &mut State) -> usize {
        if let Some(file) = self.files.get(&before) {
            return *file;
        }
        let inode = &self.before.slot(before).inode;
        let left = if inode.is_clean() && inode.errors == 0 {
            Arc::clone(inode)
        } else {
            let mut rules = FileCrash {
                inode,
                config: &self.before.config,
                stale: &self.before.stale,
                chooser: self.chooser,
            };
            Arc::new(match self.last {
                Some(last) => rules.prefix(last),
                None => rules.subset(),
            })
        };
        let file = after.add_file(Arc::clone(name), left);
        self.files.insert(before, file);
        file
    }
}

/// What a crash does to one file.
struct FileCrash<'a> {
    inode: &'a Inode,
    config: &'a FaultConfig,
    stale: &'a [Arc<Inode>],
    chooser: &'a mut dyn Chooser,
}

impl FileCrash<'_> {
    /// Length and sectors independently.
    fn subset(&mut self) -> Inode {
        let inode = self.inode;
        let sector_len = self.config.sector.bytes();
        let mut lengths = vec![inode.durable_len];
        for length in &inode.lengths {
            if !lengths.contains(&length.to) {
                lengths.push(length.to);
            }
        }
        let len = lengths[pick(self.chooser, lengths.len())];
        let mut after = self.start(len);
        let sectors = len.div_ceil(sector_len);
        let mut options = Vec::new();
        for (&sector, versions) in inode.dirty.range(..sectors) {
            let visible = (len - sector * sector_len).min(sector_len) as usize;
            options.clear();
            self.bases(sector, &mut options);
            let versions_from = options.len();
            options.extend(versions.iter().map(|version| version.content.clone()));
            if self.config.overwrite == Overwrite::Torn {
                let (base, newest) = (&options[0], &versions.newest.content);
                let torn = torn(base.as_ref(), newest.as_ref(), sector_len as usize);
                options.push(Some(torn));
                options.push(Some(garbage(
                    sector,
                    versions_from as u64,
                    sector_len as usize,
                )));
            }
            if let Some(chosen) = choose_distinct(&mut options, visible, self.chooser) {
                after.durable.set(sector, chosen);
            }
        }
        self.fill_unpersisted(&mut after, sectors);
        finish(&mut after, len, sector_len);
        after
    }

    /// All changes up to the one with number `last`.
    fn prefix(&mut self, last: u64) -> Inode {
        let inode = self.inode;
        let sector_len = self.config.sector.bytes();
        let kept = |versions: &super::inode::Versions| {
            versions
                .iter()
                .take_while(|version| version.seq <= last)
                .last()
                .cloned()
        };
        let survivors: Vec<_> = inode
            .dirty
            .iter()
            .filter_map(|(&sector, versions)| Some((sector, kept(versions)?)))
            .collect();
        let length = inode
            .lengths
            .iter()
            .take_while(|length| length.seq <= last)
            .last();
        let len = length.map_or(inode.durable_len, |length| {
            if !length.by_write {
                return length.to;
            }
            // A write that was cut off in the middle has extended the file as far as it came.
            let reached = survivors
                .iter()
                .filter(|(_, version)| version.seq > length.seq)
                .map(|(sector, _)| (sector + 1) * sector_len)
                .max();
            reached.unwrap_or(0).clamp(length.from, length.to)
        });
        let mut after = self.start(len);
        for (sector, version) in survivors {
            after.durable.set(sector, version.content);
        }
        finish(&mut after, len, sector_len);
        after
    }

    fn start(&self, len: u64) -> Inode {
        Inode {
            durable: self.inode.durable.clone(),
            durable_len: len,
            len,
            allocated: self.inode.allocated.clone(),
            damaged: self.inode.damaged.clone(),
            ..Inode::default()
        }
    }

    /// What a sector can hold if no version of it reached the disk.
    fn bases(&self, sector: u64, options: &mut Vec<Content>) {
        let durable = self.inode.durable.get(sector);
        options.push(durable.cloned());
        let exists = sector * self.config.sector.bytes() < self.inode.durable_len;
        if durable.is_none() && !exists && self.config.unpersisted == Unpersisted::Stale {
            let left = self
                .stale
                .iter()
                .filter_map(|gone| gone.durable.get(sector).cloned());
            options.extend(left.map(Some));
        }
    }

    /// Sectors that the length covers, were never written to and are not durable.
    fn fill_unpersisted(&mut self, after: &mut Inode, sectors: u64) {
        if self.config.unpersisted == Unpersisted::Zeros {
            return;
        }
        let first = self.inode.durable_len.div_ceil(self.config.sector.bytes());
        let held: BTreeSet<u64> = self
            .stale
            .iter()
            .flat_map(|gone| gone.durable.from(first))
            .collect();
        for sector in held.into_iter().take_while(|sector| *sector < sectors) {
            if self.inode.dirty.contains_key(&sector) {
                continue;
            }
            let mut options = Vec::new();
            self.bases(sector, &mut options);
            let visible = self.config.sector.bytes() as usize;
            if let Some(chosen) = choose_distinct(&mut options, visible, self.chooser) {
                after.durable.set(sector, chosen);
            }
        }
    }
}

/// Chooses among contents that differ in their first `visible` bytes, so that no two answers give the
/// same state. `None` is the first: what is durable.
fn choose_distinct(
    options: &mut Vec<Content>,
    visible: usize,
    chooser: &mut dyn Chooser,
) -> Option<Content> {
    let mut distinct = 0;
    for at in 0..options.len() {
        let known = options[..distinct]
            .iter()
            .any(|known| same(known.as_ref(), options[at].as_ref(), visible));
        if !known {
            options.swap(distinct, at);
            distinct += 1;
        }
    }
    options.truncate(distinct);
    match pick(chooser, distinct) {
        0 => None,
        chosen => Some(options.swap_remove(chosen)),
    }
}

/// Nothing is left behind the length.
fn finish(after: &mut Inode, len: u64, sector_len: u64) {
    let sectors = len.div_ceil(sector_len);
    after.durable.truncate(sectors);
    after.allocated.truncate(sectors);
    let edge = (len % sector_len) as usize;
    if edge != 0 {
        let last = cut(after.durable.get(sectors - 1), edge);
        after.durable.set(sectors - 1, last);
    }
}

/// The first half new, the second half old.
fn torn(base: Option<&Sector>, newest: Option<&Sector>, sector_len: usize) -> Sector {
    let mut bytes = vec![0; sector_len];
    let half = sector_len / 2;
    if let Some(newest) = newest {
        bytes[..half].copy_from_slice(&newest.bytes()[..half]);
    }
    if let Some(base) = base {
        bytes[half..].copy_from_slice(&base.bytes()[half..]);
    }
    Sector::from_bytes(&bytes)
}

/// Bytes that nobody wrote, the same for the same numbers.
pub(super) fn garbage(sector: u64, salt: u64, sector_len: usize) -> Sector {
    let mut bytes = vec![0; sector_len];
    for (at, word) in bytes.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&mix(mix(sector ^ (salt << 32)) ^ at as u64 ^ 0xA5A5).to_le_bytes());
    }
    Sector::from_bytes(&bytes)
}
