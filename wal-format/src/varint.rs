//! Unsigned LEB128 numbers of at most 32 bits, in their shortest form only.

/// Most bytes of a varint.
const MAX_LEN: usize = 5;

/// Why no varint was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VarintError {
    /// The bytes end inside it.
    Short,
    /// More than 32 bits, or not the shortest form.
    Malformed,
}

/// Writes `value` at `at` and returns the place behind it.
#[inline]
pub(crate) fn write(out: &mut [u8], mut at: usize, mut value: u32) -> usize {
    while value >= 0x80 {
        out[at] = (value as u8) | 0x80;
        value >>= 7;
        at += 1;
    }
    out[at] = value as u8;
    at + 1
}

/// Reads the varint at `at`; returns it and the place behind it.
#[inline]
pub(crate) fn read(bytes: &[u8], at: usize) -> Result<(u32, usize), VarintError> {
    let first = *bytes.get(at).ok_or(VarintError::Short)?;
    if first < 0x80 {
        return Ok((u32::from(first), at + 1));
    }
    let mut value = u32::from(first & 0x7F);
    for i in 1..MAX_LEN {
        let byte = *bytes.get(at + i).ok_or(VarintError::Short)?;
        if i == MAX_LEN - 1 && byte > 0x0F {
            return Err(VarintError::Malformed);
        }
        value |= u32::from(byte & 0x7F) << (7 * i);
        if byte < 0x80 {
            // A last byte of zero adds nothing: a shorter form exists.
            return if byte == 0 {
                Err(VarintError::Malformed)
            } else {
                Ok((value, at + i + 1))
            };
        }
    }
    Err(VarintError::Malformed)
}

#[cfg(test)]
mod tests;
