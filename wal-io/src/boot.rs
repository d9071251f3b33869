//! The clock that counts from the start of the machine. It is here because only this crate makes system calls of its own.

use std::time::Duration;

/// Time since the machine was started; it never goes back, and it counts the time for which the machine was suspended.
///
/// Linux: `CLOCK_BOOTTIME`. `None` on other systems, where no call of the standard library promises to count a suspend.
#[must_use]
#[inline]
pub fn boot_time() -> Option<Duration> {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        use rustix::time::{DynamicClockId, clock_gettime_dynamic};

        let time = clock_gettime_dynamic(DynamicClockId::Boottime).ok()?;
        let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
        Some(Duration::new(seconds.ok()?, nanos.ok()?))
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_since_boot_does_not_go_back() {
        let first = boot_time();
        let second = boot_time();
        assert!(first <= second, "{first:?}, {second:?}");
        assert_eq!(first.is_some(), cfg!(all(target_os = "linux", not(miri))));
    }
}
