//! Random programs against a plain ordered map: every answer is the model's, before and after reopening. A view, and a scan that is
//! read bit by bit, go on answering as the model did when they were opened, whatever is written, swept or refused meanwhile.
//!
//! ```text
//! steps.rs      what a program does; half of it to four hot keys
//! compare.rs    the store beside the map
//! world.rs      a store, its disk and its clock, what is open, and a program that runs on them
//! ```
//!
//! Deliberately absent: threads (`linear.rs`), and crashes (`crash.rs`, `snapshot_crash.rs`, `cargo xtask crash --store`).

#![forbid(unsafe_code)]

mod common;

mod model {
    mod compare;
    mod steps;
    mod world;
}
