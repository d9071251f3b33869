//! Zstandard frames. Making a context takes ten times as long as compressing a small value, so
//! each thread keeps one of each kind; for large values, where it would also grow large, it is
//! made for the occasion.
//!
//! Deliberately absent: dictionaries, streams, frames that do not know their length.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe;

use crate::error::DecompressError;

/// The level: the library's default, the knee of speed against size.
const LEVEL: i32 = 3;
/// Most bytes of a value that a kept context is used for; it bounds what a thread keeps to less
/// than a mebibyte.
const KEPT: usize = 128 << 10;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses to one frame; `None` if the library cannot.
pub(super) fn compress(raw: &[u8]) -> Option<Vec<u8>> {
    if raw.len() > KEPT {
        return zstd::bulk::compress(raw, LEVEL).ok();
    }
    let compressed = COMPRESSOR.try_with(|kept| {
        let mut kept = kept.borrow_mut();
        if kept.is_none() {
            *kept = Some(Compressor::new(LEVEL).ok()?);
        }
        kept.as_mut()?.compress(raw).ok()
    });
    // At the thread's end its contexts are gone.
    compressed.unwrap_or_else(|_| zstd::bulk::compress(raw, LEVEL).ok())
}

/// Decompresses one frame of `raw_len` bytes.
pub(super) fn decompress(stored: &[u8], raw_len: usize) -> Result<Vec<u8>, DecompressError> {
    // One frame that fills the value and knows its length, before anything is allocated.
    if zstd_safe::find_frame_compressed_size(stored) != Ok(stored.len()) {
        return Err(DecompressError::Failed("not one whole frame".into()));
    }
    match zstd_safe::get_frame_content_size(stored) {
        Ok(Some(found)) if found == raw_len as u64 => {}
        Ok(Some(found)) => return Err(DecompressError::length(raw_len, found)),
        _ => return Err(DecompressError::Failed("the frame has no length".into())),
    }
    // Allocates no more than the length that the frame gave.
    let raw = DECOMPRESSOR.try_with(|kept| {
        let mut kept = kept.borrow_mut();
        let mut context = match kept.take() {
            Some(context) => context,
            None => Decompressor::new()?,
        };
        let raw = context.decompress(stored, raw_len);
        *kept = Some(context);
        raw
    });
    // At the thread's end its contexts are gone.
    let raw = raw.unwrap_or_else(|_| zstd::bulk::decompress(stored, raw_len));
    raw.map_err(|error| DecompressError::Failed(error.to_string()))
}
