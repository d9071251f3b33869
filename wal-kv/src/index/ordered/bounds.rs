//! Comparing keys by eight of their bytes, behind those that all keys between two bounds share.

/// What all keys of a node lie between: `low` belongs to it, `high` does not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds<'a> {
    pub(super) low: &'a [u8],
    pub(super) high: Option<&'a [u8]>,
}

impl Bounds<'_> {
    pub(super) const ALL: Bounds<'static> = Bounds {
        low: &[],
        high: None,
    };

    /// Bytes that every key between the bounds begins with.
    pub(super) fn shared(&self) -> usize {
        self.high.map_or(0, |high| common(self.low, high))
    }
}

/// How many first bytes two keys have in common.
pub(super) fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The eight bytes behind the first `skip`, as a number that sorts as they do. Equal numbers do not mean equal keys.
#[inline]
pub(super) fn head(key: &[u8], skip: usize) -> u64 {
    let rest = key.get(skip..).unwrap_or_default();
    if let Some(eight) = rest.first_chunk::<8>() {
        return u64::from_be_bytes(*eight);
    }
    let mut eight = [0; 8];
    eight[..rest.len()].copy_from_slice(rest);
    u64::from_be_bytes(eight)
}

/// The shortest key above `below` that is not above `at`.
pub(super) fn separator(below: &[u8], at: &[u8]) -> Box<[u8]> {
    at[..(common(below, at) + 1).min(at.len())].into()
}

/// Where `key` is among `heads`, or where it belongs; `key_at` gives the whole key where heads are equal.
#[inline]
pub(super) fn find<'a>(
    heads: &[u64],
    skip: usize,
    key: &[u8],
    key_at: impl Fn(usize) -> &'a [u8],
) -> Result<usize, usize> {
    let wanted = head(key, skip);
    let mut low = first_not_below(heads, wanted);
    if heads.get(low).is_none_or(|head| *head != wanted) {
        return Err(low);
    }
    let mut high = low + heads[low..].partition_point(|head| *head == wanted);
    while low < high {
        let middle = low.midpoint(high);
        match key_at(middle).cmp(key) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Equal => return Ok(middle),
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    Err(low)
}

/// The first of `heads`, which are in order, that is not below `wanted`.
///
/// Every eighth is looked at, then the eight before the first that is not below: the processor fetches them from memory at the same
/// time, and would wait for each step of a binary search.
#[inline]
pub(super) fn first_not_below(heads: &[u64], wanted: u64) -> usize {
    const LINE: usize = 8;
    let below = |heads: &[u64]| heads.iter().filter(|head| **head < wanted).count();
    let lines = heads.iter().skip(LINE - 1).step_by(LINE);
    let whole = lines.filter(|last| **last < wanted).count() * LINE;
    let line = &heads[whole..heads.len().min(whole + LINE)];
    whole + below(line)
}
