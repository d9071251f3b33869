//! Zeros written past the page cache into space that was reserved and never written: what
//! [`StorageFile::prewrite`](crate::StorageFile::prewrite) does on Linux. Absent: any look at what the range holds, which
//! is the caller's promise; and mappings of a file's extents.
//!
//! - **A descriptor of its own**, because `O_DIRECT` belongs to the open file, and because Linux reports a failed
//!   write-back once to each open file (`errseq_t`): the one that syncs keeps its errors, as this one never syncs.
//! - **Opened through `/proc/self/fd`**, because the file may have been renamed since it was opened. What was opened is
//!   compared with the file by device and inode.
//! - **In pieces**, because the write holds the inode's lock, for which writes to other places of the file wait. The lock is
//!   also why a write next to the range is safe even where one page of the cache holds bytes of both.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::fs::{OFlags, fcntl_getfl, fstatfs};
use rustix::io::Errno;

use crate::file::PREWRITE_UNIT;

/// File systems, as `statfs` names them, that keep extents which are allocated and not written, and that overwrite in
/// place, so that writing zeros ahead helps.
///
/// Not in the list: tmpfs, where nothing is ever written; Btrfs, bcachefs, ZFS and F2FS, which put each write in a new
/// place; overlayfs, which names neither; network and FUSE file systems, to which the zeros would have to travel.
const IN_PLACE: [u64; 2] = [EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC];
/// ext4; ext2 and ext3 have the same number, which does no harm.
const EXT4_SUPER_MAGIC: u64 = 0xEF53;
/// XFS: "XFSB".
const XFS_SUPER_MAGIC: u64 = 0x5846_5342;

/// Bytes written at a time.
const PIECE: usize = 256 * 1024;
/// What `O_DIRECT` asks of offsets, lengths and addresses, at the most.
const ALIGN: usize = PREWRITE_UNIT as usize;

/// What a file needs for being prewritten. One call at a time; another waits.
#[derive(Debug, Default)]
pub(super) struct Prewriter {
    way: Mutex<Way>,
}

/// How to write past the page cache.
#[derive(Debug, Default)]
enum Way {
    /// Nobody has asked yet.
    #[default]
    Unknown,
    /// Through this descriptor.
    Direct(File),
    /// Not on this file system, or not in this process.
    None,
}

impl Prewriter {
    /// Overwrites a range of `file` with zeros, its ends multiples of [`PREWRITE_UNIT`]. `false` if it would not help or
    /// cannot be done.
    pub(super) fn prewrite(&self, file: &File, range: Range<u64>) -> io::Result<bool> {
        let mut way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*way, Way::Unknown) {
            *way = find_way(file)?;
        }
        let Way::Direct(direct) = &*way else {
            return Ok(false);
        };
        if range.end > direct.metadata()?.len() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("the file ends before offset {}", range.end),
            ));
        }
        match write_zeros(direct, range) {
            Err(error) if is_refusal(&error) => {
                *way = Way::None;
                Ok(false)
            }
            result => result.map(|()| true),
        }
    }
}

/// Looks at the file system and opens the file a second time.
fn find_way(file: &File) -> io::Result<Way> {
    let kind = fstatfs(file)?.f_type;
    if !u64::try_from(kind).is_ok_and(|kind| IN_PLACE.contains(&kind)) {
        return Ok(Way::None);
    }
    if fcntl_getfl(file)? & OFlags::ACCMODE == OFlags::RDONLY {
        // What a write to it gives; the path below would ask for the file's permissions only.
        return Err(Errno::BADF.into());
    }
    let opened = OpenOptions::new()
        .write(true)
        .custom_flags(OFlags::DIRECT.bits().cast_signed())
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let direct = match opened {
        Err(error) if is_refusal(&error) => return Ok(Way::None),
        opened => opened?,
    };
    // Something else may be mounted on /proc, or a thread may have descriptors of its own.
    let (this, other) = (file.metadata()?, direct.metadata()?);
    if (this.dev(), this.ino()) == (other.dev(), other.ino()) {
        Ok(Way::Direct(direct))
    } else {
        Ok(Way::None)
    }
}

/// Whether an error says that there is no way to do this here, rather than that it failed: no `O_DIRECT` (`EINVAL`,
/// `EOPNOTSUPP`), no `/proc` (`ENOENT`), no permission to open the file again.
fn is_refusal(error: &io::Error) -> bool {
    let refusals = [
        Errno::INVAL,
        Errno::OPNOTSUPP,
        Errno::NOENT,
        Errno::ACCESS,
        Errno::PERM,
    ];
    Errno::from_io_error(error).is_some_and(|errno| refusals.contains(&errno))
}

fn write_zeros(direct: &File, range: Range<u64>) -> io::Result<()> {
    let zeros = zeros();
    let mut at = range.start;
    while at < range.end {
        let wanted = (range.end - at).min(PIECE as u64) as usize;
        match direct.write_at(&zeros[..wanted], at) {
            // A short write goes on where whole units end; the rest of a unit is written again.
            Ok(written) if written >= ALIGN => at += (written - written % ALIGN) as u64,
            Ok(_) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// [`PIECE`] zeros at an address that is a multiple of [`ALIGN`], shared by all files.
fn zeros() -> &'static [u8] {
    static BUFFER: OnceLock<Vec<u8>> = OnceLock::new();
    let buffer = BUFFER.get_or_init(|| vec![0; PIECE + ALIGN]);
    let start = buffer.as_ptr().addr().next_multiple_of(ALIGN) - buffer.as_ptr().addr();
    &buffer[start..start + PIECE]
}
