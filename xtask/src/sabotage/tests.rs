//! The variants, and what the programs print.

use super::trial::{Trial, Verdict, seed_in};
use super::variant::{Seen, variants};

#[test]
fn enough_is_broken_and_the_programs_find_most_of_it() {
    let variants = variants().expect("the patches");
    let by_programs = |variant: &&super::Variant| variant.seen == Seen::ByPrograms;
    assert!(variants.len() >= 24);
    assert!(variants.iter().filter(by_programs).count() >= 24);
}

#[test]
fn the_failing_seed_is_read_from_the_output() {
    assert_eq!(seed_in("seed 283: life 3: the log ends"), Some(283));
    let report = "5 programs from seed 1, 2 threads\n\nseed 4: life 0: it ends\n";
    assert_eq!(seed_in(report), Some(4));
    assert_eq!(seed_in("seed 152\nlife 0: it ends\n"), Some(152));
    assert_eq!(seed_in("programs 5, from seed"), None);
    assert_eq!(seed_in(""), None);
}

#[cfg(unix)]
#[test]
fn a_variant_is_named_to_the_program_and_its_output_is_kept() {
    let shell = |script: &str| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script]);
        Trial::new(command)
    };
    let script = "echo seed 7: $WAL_SABOTAGE; test -z \"$WAL_SABOTAGE\"";
    assert_eq!(shell(script).run(None).expect("it runs"), Verdict::Passed);
    assert_eq!(
        shell(script).run(Some("a-variant")).expect("it runs"),
        Verdict::Failed("seed 7: a-variant\n".into())
    );
}
