//! Waiting on the caller's thread, for the blocking calls.

use std::future::Future;
use std::time::Duration;

use super::engine::Engine;
use crate::settings::Driver;
use crate::{Result, sync};

/// What another thread's step may take at most, where the caller drives the log: only tests do.
const LONGEST_STEP: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(1);

/// Waits on this thread, for a blocking call. Without threads of its own, the log's steps run here meanwhile.
pub(crate) fn wait<T>(engine: &Engine, future: impl Future<Output = Result<T>>) -> Result<T> {
    let mut waited = Duration::ZERO;
    let stuck = || {
        if engine.settings.driver == Driver::Threads {
            return false;
        }
        if engine.drive() {
            waited = Duration::ZERO;
            return true;
        }
        // Another thread may be inside a step.
        assert!(
            engine.is_at_work() && waited < LONGEST_STEP,
            "a call waits for something that no step will bring"
        );
        waited += PAUSE;
        sync::sleep(PAUSE);
        true
    };
    sync::block_on(future, stuck, || engine.pace().before_sleeping)
}
