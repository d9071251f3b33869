//! The kinds of compression (`compress.rs` has the functions).

/// How a value is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// As it is.
    #[default]
    None = 0,
    /// As an LZ4 block.
    Lz4 = 1,
    /// As a Zstandard frame.
    Zstd = 2,
}

impl Compression {
    /// Whether this build can compress and decompress it.
    #[must_use]
    pub const fn is_available(self) -> bool {
        match self {
            Self::None => true,
            Self::Lz4 => cfg!(feature = "lz4"),
            Self::Zstd => cfg!(feature = "zstd"),
        }
    }
}
