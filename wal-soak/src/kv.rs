//! The soak of a store.
//!
//! ```text
//! plan.rs     what a round is like
//! keys.rs     keys, and values that say which write made them
//! journal.rs  what is known of the writes of a life
//! model.rs    what the store must hold
//! life.rs     one process
//! shared.rs   what its threads share
//! opened.rs   opening, and what is checked of it
//! writer.rs   the calls that write
//! reader.rs   the calls that read
//! sampler.rs  bounds, while it runs
//! rows.rs     the promises
//! store.rs    the blocking and the async face
//! ```

mod journal;
mod keys;
mod life;
mod model;
mod opened;
mod plan;
mod reader;
mod rows;
mod sampler;
mod shared;
mod store;
mod writer;

use std::process::ExitCode;

use clap::ValueEnum as _;

use crate::harness::{Event, Length, Life, Place, Round, Row, Subject};

pub use shared::LifeArgs;

/// The store.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kv;

impl Subject for Kv {
    fn rows(&self) -> Vec<Row> {
        rows::ROWS.to_vec()
    }

    fn profiles(&self) -> u64 {
        plan::Theme::value_variants().len() as u64
    }

    fn round(&self, seed: u64, round: u64, length: Length) -> Round {
        let plan = plan::Plan::of(seed, round, length);
        let life = |life: &plan::KvLife| Life {
            end: life.end,
            after: life.time,
            descriptors: life.descriptors,
        };
        Round {
            name: format!("{:?}", plan.theme),
            profile: plan.profile(),
            lives: plan.lives.iter().map(life).collect(),
            disk: plan.disk,
        }
    }

    fn life(
        &self,
        seed: u64,
        round: u64,
        length: Length,
        life: usize,
        place: &Place,
    ) -> Vec<String> {
        let args = LifeArgs {
            seed,
            round,
            length_ms: length.0.as_millis() as u64,
            life,
            data: place.data.clone(),
            state: place.state.clone(),
        };
        vec!["kv-life".to_owned(), serde_json::json!(args).to_string()]
    }
}

/// A process of a round. It tells what it finds, and fails if a promise is broken.
#[must_use]
pub fn life(args: &LifeArgs) -> ExitCode {
    match life::live(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            Event::Broken(what.replace('\n', " ")).tell();
            ExitCode::FAILURE
        }
    }
}
