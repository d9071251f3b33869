//! `cargo xtask sabotage`: breaks the log on purpose, one way at a time, and asks whether a test notices.
//!
//! ```text
//! variant.rs   what can be broken, which rule that breaks, and who notices: the patches in xtask/sabotage
//! hunk.rs      one place that a patch changes
//! patch.rs     all patches, applied to the sources together
//! copy.rs      the copy of the sources with all patches in it
//! build.rs     the programs of one build of this copy
//! trial.rs     one run under one variant, within a limit of time
//! save.rs      a change of the working tree, written as a patch
//! document.rs  the table in docs/testing.md
//! ```
//!
//! A variant that survives is a hole in the suite.

mod build;
mod copy;
mod document;
mod hunk;
mod patch;
mod save;
mod trial;
mod variant;

use std::fmt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use build::{Built, Programs, WithCommand};
use trial::{Trial, Verdict};
use variant::{Seen, Target, Test, variants};

pub(crate) use patch::apply;
pub(crate) use variant::{Variant, is_patch};

/// Which variants, and how hard the suite tries.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Only this variant; may be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Only the variants that the random crash programs find, which need the smallest build.
    #[arg(long)]
    quick: bool,
    /// At most this many random crash programs for each variant.
    #[arg(long, default_value_t = PROGRAMS)]
    programs: u64,
    /// The first program's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the variants and what each breaks; run nothing.
    #[arg(long)]
    list: bool,
    /// Write the table and the count into docs/testing.md; with --only, these rows of it.
    #[arg(long, conflicts_with_all = ["quick", "list"])]
    write: bool,
    /// Write what the crates have changed since `git add` into the patch of this variant; run nothing.
    #[arg(long, value_name = "NAME", exclusive = true)]
    save: Option<String>,
}

/// All that a variant gets before it counts as a survivor.
const PROGRAMS: u64 = 20_000;
/// How many programs have to pass in a quick run while nothing is broken.
const QUICK_BASELINE: u64 = 4_000;

/// What `cargo xtask ci` runs; true if all were found.
pub(crate) fn quick() -> anyhow::Result<bool> {
    try_all(&Args {
        quick: true,
        programs: PROGRAMS,
        seed: 1,
        ..Args::default()
    })
}

pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    if let Some(name) = &args.save {
        let all = variants()?;
        let variant = all.iter().find(|variant| variant.name == *name);
        save::save(variant.context("write its header first: xtask/sabotage/GROUP/NAME.patch")?)?;
        return Ok(true);
    }
    if args.list {
        for variant in choose(args, &variants()?)? {
            println!("{:<40} {}", variant.name, variant.breaks);
        }
        return Ok(true);
    }
    // The soak has no named test for each: it finds some of them in long runs.
    let all = args.only.is_empty() && !args.quick;
    Ok(try_all(args)? && (!all || soak_finds_the_broken()?))
}

/// Whether the soak finds stores with deliberate mistakes.
pub(crate) fn soak_finds_the_broken() -> anyhow::Result<bool> {
    copy::make(&variants()?)?;
    let cargo = copy::cargo("test --package wal-soak --test broken");
    println!("   {cargo}");
    Ok(cargo.command().status()?.success())
}

fn try_all(args: &Args) -> anyhow::Result<bool> {
    let all = variants()?;
    let chosen = choose(args, &all)?;
    let begun = Instant::now();
    copy::make(&all)?;
    let is_fault = |variant: &&Variant| matches!(variant.seen, Seen::ByFault(_));
    let command = if chosen.iter().any(is_fault) {
        WithCommand::Yes
    } else {
        WithCommand::No
    };
    let built = build::build(&targets(&chosen), command)?;
    let building = begun.elapsed();
    let begun = Instant::now();
    if !baseline(args, &built, &chosen)? {
        println!("sabotage: a test fails although nothing is broken");
        return Ok(false);
    }
    let mut rows = document::Rows::new();
    println!("{}\n{}", document::HEADER, document::RULE);
    let mut survivors = Vec::new();
    for variant in &chosen {
        let found = find(args, &built, variant)?;
        if matches!(found, Found::Nowhere(_)) {
            survivors.push(&variant.name);
        }
        let row = format!("| `{}` | {} | {found} |", variant.name, variant.breaks);
        println!("{row}");
        rows.insert(variant.name.clone(), row);
    }
    println!(
        "\n{} variants, {} found, {} not; {:.0} s after a build of {:.0} s",
        chosen.len(),
        chosen.len() - survivors.len(),
        survivors.len(),
        begun.elapsed().as_secs_f64(),
        building.as_secs_f64()
    );
    for survivor in &survivors {
        println!("survived: {survivor}; cargo xtask sabotage --only {survivor}");
    }
    if args.write {
        anyhow::ensure!(has_strace(), "without strace the table would not be whole");
        let all: Vec<&str> = all.iter().map(|variant| variant.name.as_str()).collect();
        document::write(rows, &all)?;
    }
    Ok(survivors.is_empty())
}

fn choose<'a>(args: &Args, all: &'a [Variant]) -> anyhow::Result<Vec<&'a Variant>> {
    for name in &args.only {
        anyhow::ensure!(
            all.iter().any(|variant| variant.name == *name),
            "there is no variant {name:?}; cargo xtask sabotage --list"
        );
    }
    let wanted = |variant: &&Variant| {
        (args.only.is_empty() || args.only.contains(&variant.name))
            && !(args.quick && variant.seen != Seen::ByPrograms)
    };
    let chosen = all.iter().filter(wanted);
    if args.list || has_strace() {
        return Ok(chosen.collect());
    }
    let (seen, unseen): (Vec<_>, Vec<_>) = chosen.partition(|variant| !variant.needs_strace());
    for variant in unseen {
        println!("   skipped: {}: strace is not installed", variant.name);
    }
    Ok(seen)
}

/// The tests of system calls pass without it, and see nothing.
fn has_strace() -> bool {
    Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What has to be built: the random programs always, for the baseline.
fn targets<'a>(chosen: &[&'a Variant]) -> Vec<&'a Target> {
    let mut targets: Vec<_> = tests(chosen).map(|test| &test.target).collect();
    targets.sort_unstable();
    targets.dedup();
    targets
}

fn tests<'a>(chosen: &[&'a Variant]) -> impl Iterator<Item = &'a Test> {
    chosen.iter().filter_map(|variant| match &variant.seen {
        Seen::ByPrograms | Seen::ByFault(_) => None,
        Seen::By(test) => Some(test),
    })
}

/// Nothing is broken: everything passes.
fn baseline(args: &Args, built: &Built, chosen: &[&Variant]) -> anyhow::Result<bool> {
    // The tests of CI run many more of them.
    let most = if args.quick { QUICK_BASELINE } else { u64::MAX };
    let programs = Programs {
        seed: args.seed,
        count: args.programs.min(most),
    };
    let mut trials = vec![(
        String::from("the random programs"),
        built.programs(programs)?.of_all(),
    )];
    for test in tests(chosen) {
        trials.push((test.to_string(), built.test(test)?));
    }
    for variant in chosen {
        if let Seen::ByFault(case) = &variant.seen {
            trials.push((case.clone(), built.fault(case)?));
        }
    }
    for (name, trial) in trials {
        let verdict = trial.run(None)?;
        if verdict != Verdict::Passed {
            println!("{name}: {verdict:?}");
            return Ok(false);
        }
    }
    Ok(true)
}

/// Who has found the variant.
enum Found<'a> {
    /// How many, where the output says it.
    Programs(Option<u64>, Duration),
    Test(&'a Test, Verdict, Duration),
    Fault(&'a str, Duration),
    Nowhere(Duration),
}

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Programs(count, time) => {
                let count = match count {
                    Some(1) => String::from("1 program, "),
                    Some(count) => format!("{count} programs, "),
                    None => String::new(),
                };
                write!(f, "random programs | {count}{:.1} s", time.as_secs_f64())
            }
            Self::Test(test, verdict, time) => {
                let hung = if matches!(verdict, Verdict::Hung) {
                    ", where it hung"
                } else {
                    ""
                };
                write!(f, "{test} | {:.1} s{hung}", time.as_secs_f64())
            }
            Self::Fault(case, time) => {
                write!(f, "a fault: `{case}` | {:.1} s", time.as_secs_f64())
            }
            Self::Nowhere(time) => write!(f, "{} | {:.1} s", document::NOBODY, time.as_secs_f64()),
        }
    }
}

fn find<'a>(args: &Args, built: &Built, variant: &'a Variant) -> anyhow::Result<Found<'a>> {
    let begun = Instant::now();
    let programs = Programs {
        seed: args.seed,
        count: args.programs,
    };
    let trial: Trial = match &variant.seen {
        Seen::ByPrograms => built.programs(programs)?,
        Seen::By(test) => built.test(test)?,
        Seen::ByFault(case) => built.fault(case)?,
    };
    let verdict = trial.run(Some(&variant.name))?;
    let time = begun.elapsed();
    Ok(match (verdict, &variant.seen) {
        // Where they were not at their end, nothing says whether they hung or were slow.
        (Verdict::Passed, _) | (Verdict::Hung, Seen::ByPrograms) => Found::Nowhere(time),
        (verdict, Seen::By(test)) => Found::Test(test, verdict, time),
        // A log that could not even be prepared is no find.
        (Verdict::Failed(output), Seen::ByFault(case)) if output.contains("violation: ") => {
            Found::Fault(case, time)
        }
        (_, Seen::ByFault(_)) => Found::Nowhere(time),
        (Verdict::Failed(output), Seen::ByPrograms) => {
            let failing = trial::seed_in(&output);
            let count = failing.map(|seed| seed.saturating_sub(args.seed) + 1);
            Found::Programs(count, time)
        }
    })
}

#[cfg(test)]
mod tests;
