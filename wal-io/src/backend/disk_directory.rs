//! A directory of Unix: a descriptor, and calls relative to it. Absent: making it (see `disk_parents`), and what is in files.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::disk_parents::create_directory;
use crate::{DirEntry, EntryKind, OpenMode, Place};

/// Permissions of new files and directories, before the process's mask.
const FILE_MODE: Mode = Mode::from_raw_mode(0o666);
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o777);

/// A directory by its path, until it is found; then by its descriptor.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// The parent directory and the name in it, if the directory was named relative to another one.
    above: Option<(Arc<Directory>, String)>,
    held: OnceLock<Held>,
}

#[derive(Debug)]
struct Held {
    file: File,
    /// Device and inode.
    id: (u64, u64),
}

impl Directory {
    pub(super) fn at(path: PathBuf) -> Self {
        Self {
            path,
            above: None,
            held: OnceLock::new(),
        }
    }

    pub(super) fn inside(above: &Arc<Self>, name: &str) -> Self {
        Self {
            path: above.path.join(name),
            above: Some((Arc::clone(above), name.to_owned())),
            held: OnceLock::new(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The descriptor. Found once, then kept.
    fn held(&self) -> io::Result<&Held> {
        if let Some(held) = self.held.get() {
            return Ok(held);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let file = File::from(match &self.above {
            None => open_at(CWD, &self.path, flags)?,
            Some((above, name)) => {
                open_at(&above.held()?.file, name.as_str(), flags | OFlags::NOFOLLOW)?
            }
        });
        let id = id_of(&file.metadata()?);
        Ok(self.held.get_or_init(|| Held { file, id }))
    }

    fn file(&self) -> io::Result<&File> {
        Ok(&self.held()?.file)
    }

    pub(super) fn create(&self) -> io::Result<()> {
        let Some((above, name)) = &self.above else {
            create_directory(&self.path)?;
            return self.held().map(drop);
        };
        if above.held.get().is_none() {
            above.create()?;
        }
        let outer = above.file()?;
        match retry_on_intr(|| rustix::fs::mkdirat(outer, name.as_str(), DIRECTORY_MODE)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.held()?;
        // Also if it existed: the process that created it may have died before this.
        outer.sync_all()
    }

    pub(super) fn list(&self) -> io::Result<Vec<DirEntry>> {
        let directory = self.file()?;
        let mut entries = Vec::new();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let mut file_type = entry.file_type();
            if file_type == FileType::Unknown {
                match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => file_type = FileType::from_raw_mode(stat.st_mode),
                    // Removed since.
                    Err(Errno::NOENT) => continue,
                    Err(errno) => return Err(errno.into()),
                }
            }
            let kind = match file_type {
                FileType::RegularFile => EntryKind::File,
                FileType::Directory => EntryKind::Directory,
                FileType::Symlink => EntryKind::Link,
                _ => EntryKind::Other,
            };
            entries.push(DirEntry {
                name: name.to_string_lossy().into_owned(),
                kind,
            });
        }
        Ok(entries)
    }

    pub(super) fn open(&self, name: &str, mode: OpenMode) -> io::Result<File> {
        let flags = match mode {
            OpenMode::Read => OFlags::RDONLY,
            OpenMode::ReadWrite => OFlags::RDWR,
            OpenMode::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        };
        self.open_inside(name, flags)
    }

    pub(super) fn open_lock(&self, name: &str) -> io::Result<File> {
        self.open_inside(name, OFlags::RDWR | OFlags::CREATE)
    }

    fn open_inside(&self, name: &str, flags: OFlags) -> io::Result<File> {
        // A named pipe under the name of a file must not make the opener wait for a writer.
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        match open_at(self.file()?, name, flags) {
            Ok(file) => Ok(file.into()),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{name:?} is a symbolic link; replace it with the file it points to"),
            )),
            Err(error) => Err(error),
        }
    }

    pub(super) fn free_space(&self) -> io::Result<Option<u64>> {
        let system = rustix::fs::fstatvfs(self.file()?)?;
        Ok(Some(system.f_bavail.saturating_mul(system.f_frsize)))
    }

    /// A separate descriptor for the same directory, for a separate lock.
    pub(super) fn open_again(&self) -> io::Result<Option<File>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        open_at(self.file()?, ".", flags).map(|file| Some(file.into()))
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        // This is the directory that was found first, not the one that its path leads to now.
        let directory = self.file()?;
        // A name in use is left alone.
        #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
        {
            use rustix::fs::{RenameFlags, renameat_with};
            let flags = RenameFlags::NOREPLACE;
            match retry_on_intr(|| renameat_with(directory, from, directory, to, flags)) {
                // The file system or the kernel does not support the flag.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
                result => return Ok(result?),
            }
        }
        self.rename_by_links(from, to)
    }

    pub(super) fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        let directory = self.file()?;
        Ok(retry_on_intr(|| {
            rustix::fs::renameat(directory, from, directory, to)
        })?)
    }

    /// Both names exist first, then only the new one. The sync ensures that no crash leaves neither.
    pub(super) fn rename_by_links(&self, from: &str, to: &str) -> io::Result<()> {
        let directory = self.file()?;
        retry_on_intr(|| rustix::fs::linkat(directory, from, directory, to, AtFlags::empty()))?;
        directory.sync_all()?;
        self.remove(from)
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        let directory = self.file()?;
        Ok(retry_on_intr(|| {
            rustix::fs::unlinkat(directory, name, AtFlags::empty())
        })?)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        // This needs only the descriptor that is held.
        self.file()?.sync_all()
    }

    pub(super) fn place(&self) -> Place {
        let Some(held) = self.held.get() else {
            return Place::Here;
        };
        match fs::metadata(&self.path) {
            Ok(metadata) if id_of(&metadata) != held.id => Place::Replaced,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Place::Gone,
            // Another root, fewer rights or a server without an answer say nothing about the directory.
            Ok(_) | Err(_) => Place::Here,
        }
    }
}

fn id_of(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn open_at(
    directory: impl std::os::fd::AsFd,
    path: impl rustix::path::Arg + Copy,
    flags: OFlags,
) -> io::Result<OwnedFd> {
    let directory = directory.as_fd();
    Ok(retry_on_intr(|| {
        rustix::fs::openat(directory, path, flags, FILE_MODE)
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rename_by_links_never_replaces_and_leaves_one_name() {
        let outer = tempfile::tempdir().unwrap();
        let directory = Directory::at(outer.path().to_owned());
        fs::write(outer.path().join("a"), b"a").unwrap();
        fs::write(outer.path().join("b"), b"b").unwrap();
        let refused = directory.rename_by_links("a", "b").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(outer.path().join("b")).unwrap(), b"b");
        directory.rename_by_links("a", "c").unwrap();
        assert_eq!(fs::read(outer.path().join("c")).unwrap(), b"a");
        assert!(!outer.path().join("a").exists());
        assert_eq!(fs::metadata(outer.path().join("c")).unwrap().nlink(), 1);
    }
}
