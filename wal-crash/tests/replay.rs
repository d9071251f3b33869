//! A failure can be passed on: programs are text, choices are scripts, and what fails is made small.

use wal_crash::{Choices, Program, Violation, run, shrink, trace};

#[test]
fn a_program_is_the_same_after_a_way_through_its_text() {
    for seed in 0..2000 {
        let program = Program::random(seed);
        let text = program.to_string();
        assert!(!text.contains('\n'), "{text}");
        assert_eq!(text.parse::<Program>().as_ref(), Ok(&program), "{text}");
    }
}

#[test]
fn what_is_no_program_is_refused_with_the_word() {
    for (text, word) in [
        ("policy=sometimes", "sometimes"),
        ("colour=red", "colour"),
        ("seed=x", "x"),
        ("seed=1 / jump ~1", "jump"),
        ("seed=1 / append:many ~1", "many"),
        ("seed=1 / crash:1:sideways ~1", "sideways"),
        ("seed=1 / eio:moon:1:1 ~1", "moon"),
    ] {
        let refused = text.parse::<Program>().expect_err(text).to_string();
        assert!(refused.contains(word), "{refused}");
    }
}

#[test]
fn a_script_of_the_choices_made_gives_the_same_run() {
    for seed in 0..300 {
        let mut program = Program::random(seed);
        let (outcome, made) = trace(&program);
        for (life, made) in program.lives.iter_mut().zip(made) {
            life.choices = Choices::Script(made);
        }
        assert_eq!(run(&program).ok(), outcome.ok(), "seed {seed}");
    }
}

/// An oracle that is wrong on purpose: recovery, it says, must not keep records that nothing proves.
fn wrong_oracle(program: &Program) -> Option<Violation> {
    let outcome = run(program).ok()?;
    (outcome.unproven > 0).then(|| Violation("an unproven record was kept".into()))
}

#[test]
fn what_fails_is_made_small_and_still_fails() {
    let failing = (0..1000).map(Program::random).find_map(|program| {
        let long = program.lives.len() > 3 && program.lives.iter().any(|life| life.calls.len() > 9);
        wrong_oracle(&program)
            .filter(|_| long)
            .map(|violation| (program, violation))
    });
    let (program, violation) = failing.expect("such programs are many");
    let small = shrink(&program, &violation, 4000, &mut wrong_oracle);
    assert_eq!(wrong_oracle(&small.program), Some(violation));
    // A record that is handed over and not synced, and a kill: one life and very few calls.
    let calls: usize = small
        .program
        .lives
        .iter()
        .map(|life| life.calls.len())
        .sum();
    assert!(
        small.program.lives.len() <= 2 && calls <= 3,
        "{}",
        small.program
    );
    let scripted =
        |choices: &Choices| matches!(choices, Choices::Script(script) if script.len() < 8);
    let lives = &small.program.lives;
    assert!(
        lives.iter().all(|life| scripted(&life.choices)),
        "{}",
        small.program
    );
    // What is printed replays it.
    let replayed: Program = small.program.to_string().parse().expect("a program");
    assert_eq!(wrong_oracle(&replayed), Some(small.violation));
}

#[test]
fn making_small_stops_at_its_budget() {
    let program = (0..100)
        .map(Program::random)
        .find(|program| wrong_oracle(program).is_some())
        .expect("such programs are many");
    let violation = Violation(String::new());
    let small = shrink(&program, &violation, 5, &mut wrong_oracle);
    assert_eq!(small.runs, 5);
}
