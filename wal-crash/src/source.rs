//! Where the choices of a life come from. Absent: what they decide (see wal-io's `Chooser`).

use wal_io::fault::{Chooser, Script, Seeded};

use crate::program::Choices;

/// A life's choices, from wherever they come.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Seeded(Seeded),
    Script(Script),
}

impl Chooser for Source {
    fn choose(&mut self, n: u32) -> u32 {
        match self {
            Self::Seeded(seeded) => seeded.choose(n),
            Self::Script(script) => script.choose(n),
        }
    }

    fn trace(&self) -> Vec<u32> {
        match self {
            Self::Seeded(seeded) => seeded.trace(),
            Self::Script(script) => script.trace(),
        }
    }
}

impl Source {
    pub(crate) fn new(choices: &Choices) -> Self {
        match choices {
            Choices::Seed(seed) => Self::Seeded(Seeded::streaky(*seed)),
            Choices::Script(script) => Self::Script(Script::new(script.clone())),
        }
    }
}
