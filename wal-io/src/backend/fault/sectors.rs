//! Contents as sparse tables of shared sectors: a copy of a file costs a pointer a page.

use std::sync::Arc;

/// One version of one sector: a piece of the buffer that the write made, shared by its sectors.
#[derive(Debug, Clone)]
pub(super) struct Sector {
    buffer: Arc<[u8]>,
    start: u32,
    len: u32,
}

impl Sector {
    pub(super) fn new(buffer: &Arc<[u8]>, start: usize, len: usize) -> Self {
        assert!(
            start + len <= buffer.len(),
            "a sector lies inside its buffer"
        );
        Self {
            buffer: Arc::clone(buffer),
            start: start as u32,
            len: len as u32,
        }
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        Self::new(&Arc::from(bytes), 0, bytes.len())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start as usize..(self.start + self.len) as usize]
    }
}

/// A sector's content; `None` is zeros.
pub(super) type Content = Option<Sector>;

/// Whether two contents agree in their first `len` bytes.
pub(super) fn same(a: Option<&Sector>, b: Option<&Sector>, len: usize) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.bytes()[..len] == b.bytes()[..len],
        (Some(a), None) | (None, Some(a)) => a.bytes()[..len].iter().all(|byte| *byte == 0),
    }
}

/// The content with zeros from byte `len` on.
pub(super) fn cut(content: Option<&Sector>, len: usize) -> Content {
    let bytes = content?.bytes();
    if bytes[len..].iter().all(|byte| *byte == 0) {
        return content.cloned();
    }
    let mut cut = bytes.to_vec();
    cut[len..].fill(0);
    Some(Sector::from_bytes(&cut))
}

const PAGE: usize = 32;
type Page = [Content; PAGE];

/// Sector number to content, sparse, cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct SectorMap {
    pages: Vec<Option<Arc<Page>>>,
}

impl SectorMap {
    pub(super) fn get(&self, sector: u64) -> Option<&Sector> {
        let page = self
            .pages
            .get(usize::try_from(sector / PAGE as u64).ok()?)?
            .as_ref()?;
        page[(sector % PAGE as u64) as usize].as_ref()
    }

    pub(super) fn set(&mut self, sector: u64, content: Content) {
        let page = (sector / PAGE as u64) as usize;
        if page >= self.pages.len() {
            if content.is_none() {
                return;
            }
            self.pages.resize(page + 1, None);
        }
        if content.is_none() && self.pages[page].is_none() {
            return;
        }
        let page = self.pages[page].get_or_insert_with(|| Arc::new([const { None }; PAGE]));
        Arc::make_mut(page)[(sector % PAGE as u64) as usize] = content;
    }

    /// Forgets sectors from `first` on.
    pub(super) fn truncate(&mut self, first: u64) {
        let keep = first.div_ceil(PAGE as u64) as usize;
        self.pages.truncate(keep);
        let rest = (first % PAGE as u64) as usize;
        if rest != 0
            && let Some(Some(page)) = self.pages.get_mut(keep - 1)
            && page[rest..].iter().any(Option::is_some)
        {
            Arc::make_mut(page)[rest..].fill(None);
        }
    }

    /// Numbers of the sectors from `first` on that hold something.
    pub(super) fn from(&self, first: u64) -> impl Iterator<Item = u64> {
        let pages = self
            .pages
            .iter()
            .enumerate()
            .skip((first / PAGE as u64) as usize);
        pages
            .filter_map(|(number, page)| Some((number, page.as_ref()?)))
            .flat_map(|(number, page)| {
                let filled = page
                    .iter()
                    .enumerate()
                    .filter(|(_, content)| content.is_some());
                filled.map(move |(at, _)| (number * PAGE + at) as u64)
            })
            .filter(move |sector| *sector >= first)
    }
}
