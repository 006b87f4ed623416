//! Steps with names and times, and what was left out.

use std::time::{Duration, Instant};

use crate::project::Problem;

/// The steps of one run, in order.
#[derive(Default)]
pub(crate) struct Steps {
    taken: Vec<Taken>,
}

struct Taken {
    name: &'static str,
    took: Duration,
    outcome: Outcome,
}

enum Outcome {
    Passed,
    Failed(Problem),
    LeftOut(Problem),
}

impl Steps {
    /// Takes a step; a failure is kept and the next steps go on, so that one run tells
    /// everything.
    pub(crate) fn check(&mut self, name: &'static str, step: impl FnOnce() -> Result<(), Problem>) {
        let (took, done) = timed(name, step);
        let outcome = done.map_or_else(Outcome::Failed, |()| Outcome::Passed);
        self.taken.push(Taken {
            name,
            took,
            outcome,
        });
    }

    /// Takes a step without which the others make no sense; false where it failed.
    pub(crate) fn need(
        &mut self,
        name: &'static str,
        step: impl FnOnce() -> Result<(), Problem>,
    ) -> bool {
        self.check(name, step);
        self.taken
            .last()
            .is_some_and(|step| matches!(step.outcome, Outcome::Passed))
    }

    /// Prepares a check that this machine may not allow; without it the check is left
    /// out, by name.
    pub(crate) fn prepare<T>(
        &mut self,
        check: &'static str,
        step: impl FnOnce() -> Result<T, Problem>,
    ) -> Option<T> {
        let (took, done) = timed(check, step);
        let (ready, outcome) = match done {
            Ok(ready) => (Some(ready), Outcome::Passed),
            Err(problem) => (None, Outcome::LeftOut(problem)),
        };
        self.taken.push(Taken {
            name: check,
            took,
            outcome,
        });
        ready
    }

    /// Prints what was done. Fails where a step failed, and in CI where a check was
    /// left out.
    pub(crate) fn conclude(self) -> Result<(), Problem> {
        println!("\n{:<58}{:>8}", "step", "seconds");
        for step in &self.taken {
            let seconds = step.took.as_secs_f64();
            match &step.outcome {
                Outcome::Passed => println!("{:<58}{seconds:>8.1}", step.name),
                Outcome::Failed(why) => println!("{:<58}{seconds:>8.1}  FAILED: {why}", step.name),
                Outcome::LeftOut(_) => println!("{:<58}{:>8}  LEFT OUT", step.name, "-"),
            }
        }
        let count = |kind: fn(&Outcome) -> bool| {
            self.taken.iter().filter(|step| kind(&step.outcome)).count()
        };
        let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let left_out = count(|outcome| matches!(outcome, Outcome::LeftOut(_)));
        self.tell_left_out();
        let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        if failed > 0 {
            return Err(format!("{failed} steps failed"));
        }
        if left_out > 0 && in_ci {
            return Err(format!(
                "{left_out} checks were left out, which CI may not do"
            ));
        }
        Ok(())
    }

    /// The last words, so that they are read: what passed says nothing of these.
    fn tell_left_out(&self) {
        for step in &self.taken {
            if let Outcome::LeftOut(why) = &step.outcome {
                println!("\nNOT CHECKED HERE: {}\n  {why}", step.name);
            }
        }
    }
}

fn timed<T>(name: &str, step: impl FnOnce() -> T) -> (Duration, T) {
    eprintln!("\n── {name}");
    let start = Instant::now();
    let done = step();
    (start.elapsed(), done)
}
