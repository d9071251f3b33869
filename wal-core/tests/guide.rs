//! The tuning guide that this log answers to: each of its Rust snippets compiles and runs.
//!
//! One module for each part of the guide, one test for each of its headings, in its order. A snippet stands here as the guide
//! writes it, in a function that gives it its variables; where one cannot compile as written, a comment names the change.
//! `docs/tuning.md` is our own guide to the same subjects and lists what is different. Deliberately absent: the guide's figures.

#![allow(
    unreachable_pub,
    clippy::print_stdout,
    clippy::uninlined_format_args,
    clippy::needless_borrows_for_generic_args,
    clippy::redundant_closure_for_method_calls,
    reason = "the guide's own lines"
)]

mod guide {
    mod support;

    // In the guide's order.
    mod quick_wins;

    mod workload_specific_tuning;

    mod configuration_parameters;

    mod advanced_techniques;

    mod monitoring_and_tuning_workflow;

    mod common_pitfalls;

    mod conclusion;
}
