//! The key-value store: keys of 16 bytes in random order, values of 100.
//!
//! ```text
//! put      puts that wait for no disk, of new keys and of known ones, and durable puts
//! get      single keys at random
//! scan     all pairs in order
//! open     from the log alone, and from a snapshot: each a process of its own
//! pause    puts while a snapshot is written
//! ```
//!
//! Everything has 200,000 keys in the short set; a million and ten million in the full one (a pause only a million). Opening has a
//! million in the short set too.

pub(super) mod get;
pub(super) mod open_store;
pub(super) mod pause;
pub(super) mod put;
pub(super) mod scan;
