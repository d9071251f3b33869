//! Deliberately broken variants of this crate, which test the tests: `cargo xtask sabotage`.
//!
//! Only a build with `--cfg wal_sabotage` has them; in any other, [`is`] is the constant `false` and nothing of a variant is
//! left. One build holds all of them, and `WAL_SABOTAGE=NAME` in the environment of any test or binary chooses one. What
//! each breaks and what finds it is a table in `xtask/src/sabotage/variants`.
//!
//! Deliberately absent: how a variant breaks things. That is the one line where it does.

/// Whether the variant `name` was chosen.
#[cfg(wal_sabotage)]
pub(crate) fn is(name: &str) -> bool {
    use std::sync::OnceLock;
    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| std::env::var("WAL_SABOTAGE").ok());
    chosen.as_deref() == Some(name)
}

/// No variant is in this build.
#[cfg(not(wal_sabotage))]
#[inline]
pub(crate) const fn is(_name: &str) -> bool {
    false
}

/// Does `step`, unless the variant `name` leaves it out and says that it was done.
#[inline]
pub(crate) fn unless<E>(name: &str, step: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    if is(name) {
        return Ok(());
    }
    step()
}
