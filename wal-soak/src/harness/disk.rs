//! A disk of a given size: a tmpfs, which only root can mount.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

/// A small disk. Dropped, it is unmounted.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of `bytes` bytes at `place`, which is made. `None` where this process may not do that.
    ///
    /// # Errors
    /// If `place` cannot be made.
    pub fn mount(place: &Path, bytes: u64) -> anyhow::Result<Option<Self>> {
        fs::create_dir_all(place).with_context(|| format!("making {}", place.display()))?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "soak"]);
        mount.arg(place).stdout(Stdio::null()).stderr(Stdio::null());
        let mounted = mount.status().is_ok_and(|status| status.success());
        Ok(mounted.then(|| Self(place.to_owned())))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let mut unmount = Command::new("umount");
        unmount
            .arg(&self.0)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let _ = unmount.status();
    }
}
