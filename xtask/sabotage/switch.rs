//! Chooses one of the deliberate mistakes by its name: `cargo xtask sabotage` puts this file into each crate that it patches.

#![allow(dead_code)]

/// Whether the variant `name` was chosen, by `WAL_SABOTAGE=NAME` in the environment of the test or the binary.
pub(crate) fn is(name: &str) -> bool {
    use std::sync::OnceLock;
    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| std::env::var("WAL_SABOTAGE").ok());
    chosen.as_deref() == Some(name)
}

/// Does `step`, unless the variant `name` leaves it out and says that it was done.
pub(crate) fn unless<E>(name: &str, step: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    if is(name) {
        return Ok(());
    }
    step()
}
