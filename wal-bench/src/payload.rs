//! What is appended: random bytes, none of which the processor's first cache has just seen; and words, which can be compressed.

/// Bytes from which payloads are cut; the second level of caches holds them.
const ARENA: usize = 1 << 20;
/// From the start of one payload to the next.
const STRIDE: usize = 4096 + 64;
/// Most bytes of a payload.
const MOST: usize = 64 << 10;

/// Payloads of any length below 64 KiB.
#[derive(Debug)]
pub struct Payloads {
    bytes: Vec<u8>,
}

/// xorshift64* (Vigna 2016): the same numbers in each run.
#[derive(Debug)]
struct Numbers(u64);

impl Default for Numbers {
    fn default() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }
}

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

impl Default for Payloads {
    fn default() -> Self {
        let mut numbers = Numbers::default();
        let words = (ARENA + MOST) / 8;
        Self {
            bytes: (0..words)
                .flat_map(|_| numbers.next().to_le_bytes())
                .collect(),
        }
    }
}

impl Payloads {
    /// Lines as a program logs them: few words, numbers of several digits.
    #[must_use]
    pub fn text() -> Self {
        const WORDS: [&str; 16] = [
            "request",
            "user",
            "session",
            "error",
            "timeout",
            "GET",
            "POST",
            "/api/v1/items",
            "status=200",
            "status=404",
            "retry",
            "connection",
            "closed",
            "accepted",
            "from",
            "level=info",
        ];
        let mut numbers = Numbers::default();
        let mut bytes = Vec::with_capacity(ARENA + MOST + 64);
        while bytes.len() < ARENA + MOST {
            let number = numbers.next();
            bytes.extend_from_slice(WORDS[(number % 16) as usize].as_bytes());
            bytes.push(b' ');
            if number & 0xF00 == 0 {
                bytes.extend_from_slice(format!("id={}\n", number >> 40).as_bytes());
            }
        }
        Self { bytes }
    }

    /// The payload of record `n`, of `len` bytes.
    #[inline]
    #[must_use]
    pub fn get(&self, n: u64, len: u64) -> &[u8] {
        let at = (n as usize).wrapping_mul(STRIDE) % ARENA;
        &self.bytes[at..at + len as usize]
    }
}

/// The `n`th number of the sequence `of`, without a pattern (SplitMix64, Steele 2014).
pub(crate) fn scattered(n: u64, of: u64) -> u64 {
    let step = n.wrapping_add(of << 48).wrapping_add(1);
    let mut bits = step.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
