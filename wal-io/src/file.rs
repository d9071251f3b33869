//! The file: [`StorageFile`], and the loops over it in [`StorageFileExt`]. Absent: a cursor (each call
//! names its offset), buffering, and appending at "the end", which means little after an error.

use std::fmt;
use std::io;

/// An open file.
///
/// Offsets and lengths are bytes from the start of the file. All calls take `&self` and may run
/// concurrently; writes to overlapping ranges at the same time leave either's bytes.
///
/// # Durability
///
/// What a write or [`set_len`](StorageFile::set_len) changed survives a process kill once the call
/// returned. It survives power loss once a [`sync_data`](StorageFile::sync_data) that began later
/// returned `Ok`, and if the file's name is durable too (see [`Storage`](crate::Storage)). Before that,
/// each sector of it may be old or new after a crash, independently of every other.
// `is_empty` would be one more call to the system that nobody makes.
#[allow(clippy::len_without_is_empty)]
pub trait StorageFile: fmt::Debug + Send + Sync + 'static {
    /// The length of the file in bytes.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    fn len(&self) -> io::Result<u64>;

    /// The number of names that the file has now, or `None` if the platform cannot say. 0 means that it was deleted, and no
    /// process can open it again.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    fn links(&self) -> io::Result<Option<u64>>;

    /// Reads bytes at `offset` into `buf`; gives their number, which may be less than asked for.
    ///
    /// 0 means the end of the file (or an empty `buf`).
    ///
    /// # Errors
    ///
    /// `Interrupted` means nothing was read, try again ([`StorageFileExt`] does).
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes bytes of `buf` at `offset`; gives their number, which may be less than asked for. Bytes
    /// between the old end and `offset` read as zeros.
    ///
    /// # Errors
    ///
    /// `Interrupted` means nothing was written, try again ([`StorageFileExt`] does). `StorageFull` and
    /// `QuotaExceeded` cannot happen inside a range that [`allocate`](StorageFile::allocate) prepared,
    /// on file systems that overwrite in place.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes the file's bytes durable, and the length needed to read them (`fdatasync`).
    ///
    /// # Durability
    ///
    /// `Ok` covers every write to this file that returned before this call began.
    ///
    /// # Errors
    ///
    /// After an error any of the bytes may be lost while reads still show them, and a **later `Ok`
    /// proves nothing** about them: the kernel reports a failed write-back once and then forgets it.
    /// Stop using the file, and open it again to see what is there.
    fn sync_data(&self) -> io::Result<()>;

    /// Reserves space for `len` bytes from `offset`, so that a full disk is met now rather than in a
    /// later write. The file is extended to `offset + len` if it is shorter; the new bytes read as
    /// zeros; existing bytes do not change. `len` 0 does nothing.
    ///
    /// Where the file system cannot do this (`EOPNOTSUPP`, or not Linux) zeros are written instead, from
    /// the old end on.
    ///
    /// # Durability
    ///
    /// None before [`sync_data`](StorageFile::sync_data).
    ///
    /// # Errors
    ///
    /// `StorageFull` or `QuotaExceeded` if there is no room: the contents are unchanged, the length is
    /// the old one or any up to the new one. `InvalidInput` if `offset + len` is no possible length.
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Cuts or extends the file to `len` bytes. New bytes read as zeros and have no space reserved.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Overwrites `len` bytes from `offset` with zeros, past the page cache, so that later writes find blocks that were
    /// written before. A hint: the contents do not change. Both are multiples of 4096.
    ///
    /// Space from [`allocate`](StorageFile::allocate) is marked as never written on some file systems. A sync after the first
    /// write into it changes that mark too and is slower for it. This changes it ahead of the write, from another
    /// thread, say.
    ///
    /// `Ok(true)`: done. `Ok(false)`: it would not help here or cannot be done, the range is as it was, and asking again
    /// for this file is of no use. The default checks its arguments and gives `Ok(false)`.
    ///
    /// The caller promises of the range that it
    ///
    /// - lies inside the file, in space that `allocate` reserved;
    /// - holds nothing but zeros: anything else is lost;
    /// - is not written to, and the file not cut inside or before it, until this call has returned.
    ///
    /// It may be read meanwhile. Writes next to it and syncs may run at the same time, and may wait for a part of it.
    ///
    /// # Durability
    ///
    /// None before [`sync_data`](StorageFile::sync_data), and none is needed: where the reservation was durable the range
    /// holds zeros after a crash, done or not, if the device writes a sector whole or not at all.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `offset` or `len` is no multiple of 4096, or the end of the range is no possible length or
    /// (where this is noticed) behind the end of the file. After any other error part of the range may have been overwritten; it
    /// still reads as zeros.
    ///
    /// An error is of this call alone. It does not say that other bytes are lost, and it takes no error away from
    /// [`sync_data`](StorageFile::sync_data): Linux reports a failed write-back once to each open file description, so the
    /// backend for disks has one of its own for this.
    fn prewrite(&self, offset: u64, len: u64) -> io::Result<bool> {
        prewrite_end(offset, len)?;
        Ok(false)
    }

    /// Asks that the cached pages of a range be dropped, so that later reads see the device. `len` 0
    /// means up to the end. A hint: pages not yet written back stay.
    ///
    /// # Errors
    ///
    /// The error of the operating system. Doing nothing is `Ok`, and what this default does.
    fn evict(&self, offset: u64, len: u64) -> io::Result<()> {
        let _ = (offset, len);
        Ok(())
    }
}

/// What ranges of [`StorageFile::prewrite`] are multiples of, in bytes: the largest sector of disks in use, and a page.
pub(crate) const PREWRITE_UNIT: u64 = 4096;

/// Where a range of [`StorageFile::prewrite`] ends; `InvalidInput` if it is none.
pub(crate) fn prewrite_end(offset: u64, len: u64) -> io::Result<u64> {
    let aligned = offset.is_multiple_of(PREWRITE_UNIT) && len.is_multiple_of(PREWRITE_UNIT);
    offset
        .checked_add(len)
        .filter(|end| aligned && i64::try_from(*end).is_ok())
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Whole transfers, for every [`StorageFile`]: short ones and `Interrupted` are continued.
pub trait StorageFileExt: StorageFile {
    /// Fills `buf` from `offset` as far as the file goes; less than `buf.len()` means its end.
    ///
    /// # Errors
    ///
    /// The first error that is not `Interrupted`.
    ///
    /// # Panics
    ///
    /// If the backend claims to have read more than it was asked for.
    fn read_full_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.read_at(&mut buf[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        assert!(
            filled <= buf.len(),
            "read_at gave more than it was asked for"
        );
        Ok(filled)
    }

    /// Fills the whole of `buf` from `offset`.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the file ends before; otherwise as [`read_full_at`](Self::read_full_at).
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let filled = self.read_full_at(buf, offset)?;
        if filled < buf.len() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "wanted {} bytes at offset {offset}, the file has {filled}",
                    buf.len()
                ),
            ));
        }
        Ok(())
    }

    /// Writes the whole of `buf` at `offset`.
    ///
    /// # Errors
    ///
    /// `WriteZero` if the backend takes no more bytes; otherwise the first error that is not
    /// `Interrupted`. Any part of `buf` may then be in the file.
    ///
    /// # Panics
    ///
    /// If the backend claims to have written more than it was given.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut written = 0;
        while written < buf.len() {
            match self.write_at(&buf[written..], offset + written as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                // A short write is continued.
                Ok(n) => written += n,
                // Nothing was written yet.
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        assert!(written == buf.len(), "write_at took more than it was given");
        Ok(())
    }
}

impl<F: StorageFile + ?Sized> StorageFileExt for F {}
