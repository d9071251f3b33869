//! Compression of values: one function in, one out.
//!
//! Deliberately absent: a choice of levels, and any allocation that the stored bytes and
//! `raw_len` together do not justify.

use crate::compression::Compression;
use crate::error::{DecompressError, EncodeError};

#[cfg(feature = "zstd")]
mod zstd;

/// Compresses `raw`; `None` if that does not make it shorter, or if nothing is to be done.
///
/// # Errors
///
/// [`EncodeError::CompressionUnavailable`] if the feature was left out of the build.
#[cfg_attr(not(any(feature = "lz4", feature = "zstd")), expect(unused_variables))]
#[inline]
pub fn compress(compression: Compression, raw: &[u8]) -> Result<Option<Vec<u8>>, EncodeError> {
    match compression {
        Compression::None => Ok(None),
        #[cfg(feature = "lz4")]
        Compression::Lz4 => Ok(if_shorter(lz4_flex::block::compress(raw), raw)),
        // Where it cannot, the value is stored as it is, and says so.
        #[cfg(feature = "zstd")]
        Compression::Zstd => Ok(zstd::compress(raw).and_then(|stored| if_shorter(stored, raw))),
        #[cfg(not(all(feature = "lz4", feature = "zstd")))]
        missing => Err(EncodeError::CompressionUnavailable(missing)),
    }
}

#[cfg(any(feature = "lz4", feature = "zstd"))]
fn if_shorter(stored: Vec<u8>, raw: &[u8]) -> Option<Vec<u8>> {
    (stored.len() < raw.len()).then_some(stored)
}

/// Decompresses `stored` to exactly `raw_len` bytes; never allocates more than that.
///
/// # Errors
///
/// [`DecompressError`] if the bytes are damaged, have another length when decompressed, or the
/// feature was left out of the build.
pub fn decompress(
    compression: Compression,
    stored: &[u8],
    raw_len: usize,
) -> Result<Vec<u8>, DecompressError> {
    let raw = match compression {
        Compression::None if stored.len() != raw_len => {
            Err(DecompressError::length(raw_len, stored.len() as u64))
        }
        Compression::None => Ok(stored.to_vec()),
        #[cfg(feature = "lz4")]
        Compression::Lz4 => lz4(stored, raw_len),
        #[cfg(feature = "zstd")]
        Compression::Zstd => zstd::decompress(stored, raw_len),
        #[cfg(not(all(feature = "lz4", feature = "zstd")))]
        missing => Err(DecompressError::Unavailable(missing)),
    }?;
    if raw.len() == raw_len {
        Ok(raw)
    } else {
        Err(DecompressError::length(raw_len, raw.len() as u64))
    }
}

#[cfg(feature = "lz4")]
fn lz4(stored: &[u8], raw_len: usize) -> Result<Vec<u8>, DecompressError> {
    // No byte of an LZ4 block makes more than 255, so a larger claim is not worth an allocation.
    let most = stored.len().saturating_mul(255);
    if raw_len > most {
        return Err(DecompressError::length(raw_len, most as u64));
    }
    let mut raw = vec![0; raw_len];
    let found = lz4_flex::block::decompress_into(stored, &mut raw)
        .map_err(|error| DecompressError::Failed(error.to_string()))?;
    raw.truncate(found);
    Ok(raw)
}
