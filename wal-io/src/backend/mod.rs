//! The backends. None knows another; all pass [`crate::conformance`].

pub(crate) mod disk;
mod disk_file;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod disk_prewrite;
pub mod fault;
pub(crate) mod memory;
mod memory_file;
