//! What is appended: random bytes, none of which the processor's first cache has just seen.

/// Bytes from which payloads are cut; the second level of caches holds them.
const ARENA: usize = 1 << 20;
/// From the start of one payload to the next.
const STRIDE: usize = 4096 + 64;

/// Payloads of any length below 64 KiB.
#[derive(Debug)]
pub struct Payloads {
    bytes: Vec<u8>,
}

impl Default for Payloads {
    fn default() -> Self {
        // xorshift64* (Vigna 2016): the same bytes in each run.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let words = (ARENA + (64 << 10)) / 8;
        let mut next = || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes()
        };
        Self {
            bytes: (0..words).flat_map(|_| next()).collect(),
        }
    }
}

impl Payloads {
    /// The payload of record `n`, of `len` bytes.
    #[inline]
    #[must_use]
    pub fn get(&self, n: u64, len: u64) -> &[u8] {
        let at = (n as usize).wrapping_mul(STRIDE) % ARENA;
        &self.bytes[at..at + len as usize]
    }
}
