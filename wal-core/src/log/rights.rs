//! Rights: which I/O is under way. One thread at a time has each of them.
//!
//! I/O never happens under the lock. Who takes a right under the lock has a value, [`Right`](super::engine::Right), until the
//! work is done. Dropping it gives the right back, also in a panic.

/// All of them.
pub(super) const ALL: u16 = u16::MAX;
/// To hand a buffer over to the operating system.
pub(super) const WRITE: u16 = 1;
/// To sync files, which includes moving the durable mark.
pub(super) const SYNC: u16 = 1 << 1;
/// To go on in a new segment that drops records. Nothing else begins meanwhile.
pub(super) const REWIND: u16 = 1 << 2;
/// To close the log.
pub(super) const CLOSE: u16 = 1 << 3;
/// To write a footer.
pub(super) const SEAL: u16 = 1 << 4;
/// To give back what an earlier session has left.
pub(super) const GIVE_BACK: u16 = 1 << 5;
/// To remove files.
pub(super) const RETIRE: u16 = 1 << 6;
/// To make the next segment.
pub(super) const SPARE: u16 = 1 << 7;
/// To allocate more of the active segment.
pub(super) const EXTEND: u16 = 1 << 8;
/// To overwrite space with zeros.
pub(super) const PREWRITE: u16 = 1 << 9;

/// Those that are taken.
#[derive(Debug, Default)]
pub(super) struct Rights {
    taken: u16,
    /// Some were given back since somebody asked.
    released: bool,
}

impl Rights {
    pub(super) fn are_free(&self, which: u16) -> bool {
        // Invariant 3: of two syncs of one file, one may get the error and the other Ok.
        self.taken & which == 0
    }

    /// Whether any thread is inside a step.
    pub(super) fn is_any_taken(&self) -> bool {
        self.taken != 0
    }

    /// False, and nothing is taken, if one of them is taken already.
    pub(super) fn take(&mut self, which: u16) -> bool {
        let free = self.are_free(which);
        if free {
            self.taken |= which;
        }
        free
    }

    pub(super) fn give_back(&mut self, which: u16) {
        self.taken &= !which;
        self.released = true;
    }

    /// Whether any were given back since the last call.
    pub(super) fn take_released(&mut self) -> bool {
        std::mem::take(&mut self.released)
    }
}

/// What was being done with it, for messages.
pub(super) fn name(which: u16) -> &'static str {
    match which {
        WRITE => "a write",
        SYNC => "a sync",
        SEAL => "writing a footer",
        GIVE_BACK => "giving space back",
        RETIRE => "removing files",
        SPARE => "making a segment",
        EXTEND => "allocating space",
        PREWRITE => "overwriting space with zeros",
        _ if which & REWIND != 0 => "dropping the newest records",
        _ => "closing the log",
    }
}
