//! Reading an okaywal, which calls back while it recovers, and keeps whom it calls.
//!
//! The payloads come over a channel, a mebibyte at a time. The two threads take turns, so that this is no faster than a call.

use std::io::{self, ErrorKind, Read as _};
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::sync::{Arc, Mutex};

use anyhow::anyhow;
use okaywal::{
    Configuration, Entry, EntryId, LogManager, ReadChunkResult, SegmentReader, WriteAheadLog,
};

use crate::lock::lock;

/// Bytes of payload that are handed over at once.
const HANDED: usize = 1 << 20;

/// Records one behind the other.
#[derive(Debug, Default)]
struct Payloads {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

#[derive(Debug)]
struct Recovered {
    payloads: Payloads,
    full: SyncSender<Payloads>,
    empty: Receiver<Payloads>,
}

#[derive(Debug)]
struct Manager(Arc<Mutex<Recovered>>);

/// Opens the log and calls `each` with every chunk of every entry.
pub(super) fn replay(config: Configuration, each: &mut dyn FnMut(&[u8])) -> anyhow::Result<()> {
    let (full, to_read) = sync_channel::<Payloads>(0);
    let (read, empty) = sync_channel::<Payloads>(0);
    let recovery = std::thread::spawn(move || {
        let recovered = Arc::new(Mutex::new(Recovered {
            payloads: Payloads::default(),
            full,
            empty,
        }));
        let wal = config.open(Manager(Arc::clone(&recovered)))?;
        lock(&recovered).hand_over()?;
        wal.shutdown()
    });
    while let Ok(mut payloads) = to_read.recv() {
        let mut start = 0;
        for end in &payloads.ends {
            each(&payloads.bytes[start..*end]);
            start = *end;
        }
        payloads.bytes.clear();
        payloads.ends.clear();
        if read.send(payloads).is_err() {
            break;
        }
    }
    let recovered = recovery.join();
    Ok(recovered.map_err(|_| anyhow!("the recovery panicked"))??)
}

impl Recovered {
    fn hand_over(&mut self) -> io::Result<()> {
        let gone = || io::Error::from(ErrorKind::BrokenPipe);
        let payloads = std::mem::take(&mut self.payloads);
        self.full.send(payloads).map_err(|_| gone())?;
        self.payloads = self.empty.recv().map_err(|_| gone())?;
        Ok(())
    }

    fn read(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        loop {
            let mut chunk = match entry.read_chunk()? {
                ReadChunkResult::Chunk(chunk) => chunk,
                ReadChunkResult::EndOfEntry => return Ok(()),
                ReadChunkResult::AbortedEntry => {
                    return Err(io::Error::new(ErrorKind::InvalidData, "an aborted entry"));
                }
            };
            let Payloads { bytes, ends } = &mut self.payloads;
            let start = bytes.len();
            bytes.resize(start + chunk.bytes_remaining() as usize, 0);
            chunk.read_exact(&mut bytes[start..])?;
            if !chunk.check_crc()? {
                return Err(io::Error::new(ErrorKind::InvalidData, "a checksum"));
            }
            drop(chunk);
            ends.push(bytes.len());
            if bytes.len() >= HANDED {
                self.hand_over()?;
            }
        }
    }
}

impl LogManager for Manager {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        lock(&self.0).read(entry)
    }

    fn checkpoint_to(
        &mut self,
        _last: EntryId,
        _entries: &mut SegmentReader,
        _wal: &WriteAheadLog,
    ) -> io::Result<()> {
        Ok(())
    }
}
