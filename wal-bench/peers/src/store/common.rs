//! What the stores are given alike.

/// Bytes of each one's cache.
pub(super) const CACHE: u64 = 512 << 20;

/// Puts of one transaction, where the store has no cheaper way to put without a sync.
pub(super) const PUTS: usize = 1000;
