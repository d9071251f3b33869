//! What may be the name of a file in a storage. Absent: what names mean.

use std::io;

/// Checks that `name` is a plain name: one path component, the same on every platform.
///
/// Each backend calls this first in each method that takes a name, so that no name can leave the
/// directory.
///
/// # Errors
///
/// `InvalidInput` if `name` is empty, `.` or `..`, or contains `/`, `\`, `:` or a NUL byte.
///
/// ```
/// assert!(wal_io::check_name("00000000000000000001.wal").is_ok());
/// assert!(wal_io::check_name("../elsewhere").is_err());
/// ```
pub fn check_name(name: &str) -> io::Result<()> {
    let separator = |c: char| matches!(c, '/' | '\\' | ':' | '\0');
    if name.is_empty() || name == "." || name == ".." || name.contains(separator) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name:?} is not a plain file name"),
        ));
    }
    Ok(())
}
