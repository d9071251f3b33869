//! The backends. None knows another; all pass [`crate::conformance`].

pub(crate) mod disk;
#[cfg(unix)]
mod disk_directory;
mod disk_file;
mod disk_lock;
#[cfg(unix)]
mod disk_parents;
#[cfg(not(unix))]
mod disk_paths;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod disk_prewrite;
pub mod fault;
pub(crate) mod memory;
mod memory_file;
