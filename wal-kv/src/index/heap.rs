//! What an allocation takes of the process's memory.
//!
//! The sizes are those of glibc's `malloc`: steps of 16 bytes, 8 of them its own, 32 at least; whole pages from 128 KiB on.
//! Other allocators have other steps and fewer or more bytes of their own, so that small pairs take a few percent less or more.

/// From this many bytes on an allocation has pages of its own.
const MAPPED: usize = 128 << 10;
const PAGE: usize = 4 << 10;

/// Bytes that an allocation of `bytes` takes; none is made for none.
pub(crate) const fn allocated(bytes: usize) -> u64 {
    let taken = if bytes == 0 {
        0
    } else if bytes < MAPPED {
        let chunk = (bytes + 8).next_multiple_of(16);
        if chunk < 32 { 32 } else { chunk }
    } else {
        (bytes + 16).next_multiple_of(PAGE)
    };
    taken as u64
}

/// Bytes of a vector's allocation.
pub(crate) fn vec_bytes<T>(items: &Vec<T>) -> u64 {
    allocated(items.capacity() * size_of::<T>())
}
