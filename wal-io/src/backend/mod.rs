//! The backends. None knows another; all pass [`crate::conformance`].

pub(crate) mod disk;
mod disk_file;
pub mod fault;
pub(crate) mod memory;
mod memory_file;
