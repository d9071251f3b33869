//! The limit on the size of a file (`ulimit -f`), at which the kernel kills a process unless it handles the signal.
//!
//! Handled, the write fails, and the log takes that for a full disk. That it is none is for the message to say.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

static REACHED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// From now on a file that would grow beyond the limit makes the call fail, instead of ending the process.
pub(crate) fn watch() {
    #[cfg(unix)]
    {
        let signal = signal_hook::consts::SIGXFSZ;
        // Without a handler the process ends at the limit, as any other does.
        let _ = signal_hook::flag::register(signal, Arc::clone(&REACHED));
    }
}

/// Whether the limit was met.
pub(crate) fn was_reached() -> bool {
    REACHED.load(Ordering::SeqCst)
}
