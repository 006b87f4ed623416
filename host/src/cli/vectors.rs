//! `tidegate verify --vectors`: whether this program agrees with a file of test vectors.
//!
//! Partner by partner, in one table: how many cases it agrees on, how many it does not, where
//! it differs and both answers are safe, and whether event ids and handshakes come out as the
//! file says. The answer is no where a binding case, an id or a handshake differs.

mod file;
mod judge;
mod measure;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use clap::ValueEnum;
use serde_json::{Value, json};

use self::file::{Case, HandshakeCase, VectorFile};
use self::judge::{Verdict, judge, judge_handshake};
use self::measure::Measures;
use super::Exit;
use super::error::CliError;
use super::output::{Output, Tone, plain};
use super::table::{Cell, Table};

/// With what vectors are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum By {
    /// The presets that ship with this program.
    Preset,
    /// The descriptions in the file itself.
    Description,
}

/// A case and what we say of it.
struct Judged<'f> {
    case: &'f Case,
    verdict: Verdict,
}

/// A handshake and what is wrong with our answer.
struct JudgedHandshake<'f> {
    case: &'f HandshakeCase,
    problem: Option<String>,
}

/// How one partner's cases came out.
#[derive(Default)]
struct Tally {
    cases: usize,
    agree: usize,
    disagree: usize,
    advisory: usize,
    ids: (usize, usize),
    handshakes: (usize, usize),
}

pub(super) fn run(path: &Path, by: By, output: &mut Output) -> Result<Exit, CliError> {
    let file = VectorFile::read(path)?;
    let mut measures = Measures::new(by, &file.schemes);
    let judged = file.cases.iter().map(|case| Judged {
        case,
        verdict: judge(case, &mut measures),
    });
    let cases: Vec<Judged<'_>> = judged.collect();
    let judged = file.handshakes.iter().map(|case| JudgedHandshake {
        case,
        problem: judge_handshake(case, &mut measures).err(),
    });
    let handshakes: Vec<JudgedHandshake<'_>> = judged.collect();
    let tallies = tally(&cases, &handshakes);
    let agrees = tallies.values().all(Tally::agrees);
    if output.json() {
        output.line(document(by, agrees, &tallies, &cases, &handshakes))?;
    } else {
        write(&tallies, &cases, &handshakes, output)?;
    }
    Ok(if agrees { Exit::Done } else { Exit::No })
}

fn tally<'f>(cases: &[Judged<'f>], handshakes: &[JudgedHandshake<'f>]) -> BTreeMap<&'f str, Tally> {
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    for judged in cases {
        let tally = tallies.entry(&judged.case.asked.partner).or_default();
        tally.cases += 1;
        match (judged.verdict.agrees(judged.case), judged.case.binding) {
            (true, _) => tally.agree += 1,
            (false, true) => tally.disagree += 1,
            (false, false) => tally.advisory += 1,
        }
        if let Some(agrees) = judged.verdict.id_agrees(judged.case) {
            tally.ids.0 += usize::from(agrees);
            tally.ids.1 += 1;
        }
    }
    for judged in handshakes {
        let tally = tallies.entry(&judged.case.asked.partner).or_default();
        tally.handshakes.0 += usize::from(judged.problem.is_none());
        tally.handshakes.1 += 1;
    }
    tallies
}

impl Tally {
    const fn agrees(&self) -> bool {
        self.disagree == 0 && self.ids.0 == self.ids.1 && self.handshakes.0 == self.handshakes.1
    }

    fn add(&mut self, other: &Self) {
        self.cases += other.cases;
        self.agree += other.agree;
        self.disagree += other.disagree;
        self.advisory += other.advisory;
        for (ours, theirs) in [
            (&mut self.ids, other.ids),
            (&mut self.handshakes, other.handshakes),
        ] {
            ours.0 += theirs.0;
            ours.1 += theirs.1;
        }
    }

    fn row(&self, partner: &str) -> [Cell; 7] {
        let count = |count: usize, bad: Tone| {
            let tone = if count == 0 { Tone::Plain } else { bad };
            Cell::number(count).tone(tone)
        };
        let part = |(agree, all): (usize, usize)| match all {
            0 => Cell::text(""),
            _ if agree == all => Cell::number(format!("{agree}/{all}")),
            _ => Cell::number(format!("{agree}/{all}")).tone(Tone::Bad),
        };
        [
            Cell::text(partner),
            Cell::number(self.cases),
            Cell::number(self.agree),
            count(self.disagree, Tone::Bad),
            count(self.advisory, Tone::Attention),
            part(self.ids),
            part(self.handshakes),
        ]
    }
}

fn write(
    tallies: &BTreeMap<&str, Tally>,
    cases: &[Judged<'_>],
    handshakes: &[JudgedHandshake<'_>],
    output: &mut Output,
) -> Result<(), CliError> {
    let mut table = Table::new([
        "PARTNER",
        "CASES",
        "AGREE",
        "DISAGREE",
        "ADVISORY",
        "EVENT IDS",
        "HANDSHAKES",
    ]);
    let mut all = Tally::default();
    for (partner, tally) in tallies {
        table.row(tally.row(partner));
        all.add(tally);
    }
    table.row(all.row("all"));
    table.write(output)?;
    let advisory = cases.iter().filter(|judged| !judged.case.binding);
    let mut table = Table::new(["ADVISORY CASE", "FILE", "HERE", "WHY"]);
    for judged in advisory {
        let differs = !judged.verdict.agrees(judged.case);
        let tone = if differs {
            Tone::Attention
        } else {
            Tone::Plain
        };
        table.row([
            Cell::text(&judged.case.asked.name),
            Cell::text(word(judged.case.accept)),
            Cell::text(word(judged.verdict.accepted)).tone(tone),
            Cell::text(judged.verdict.reason.as_deref().unwrap_or_default()),
        ]);
    }
    if !table.is_empty() {
        output.line("")?;
        table.write(output)?;
    }
    for line in problems(cases, handshakes) {
        let head = output.paint(Tone::Bad, "differs").into_owned();
        output.line(format_args!("{head}  {}", plain(&line)))?;
    }
    Ok(())
}

/// What makes the answer a no, a line each.
fn problems(cases: &[Judged<'_>], handshakes: &[JudgedHandshake<'_>]) -> Vec<String> {
    let of_cases = cases.iter().flat_map(|Judged { case, verdict }| {
        let name = &case.asked.name;
        let reason = verdict
            .reason
            .as_deref()
            .unwrap_or("its signature verifies");
        let disagrees = case.binding && !verdict.agrees(case);
        let verdict_line = disagrees.then(|| {
            let (wanted, got) = (word(case.accept), word(verdict.accepted));
            format!("{name}: {got}, expected {wanted}: {reason}")
        });
        let id_line = (verdict.id_agrees(case) == Some(false)).then(|| {
            let show =
                |id: Option<&String>| id.map_or_else(|| "none".into(), |id| format!("{id:?}"));
            let wanted = case.event_id.named();
            let got = verdict.event_id.as_ref();
            format!("{name}: event id {}, expected {}", show(got), show(wanted))
        });
        [verdict_line, id_line].into_iter().flatten()
    });
    let of_handshakes = handshakes.iter().filter_map(|judged| {
        let problem = judged.problem.as_ref()?;
        Some(format!("{}: {problem}", judged.case.asked.name))
    });
    of_cases.chain(of_handshakes).collect()
}

const fn word(accepted: bool) -> &'static str {
    if accepted { "accept" } else { "reject" }
}

fn document(
    by: By,
    agrees: bool,
    tallies: &BTreeMap<&str, Tally>,
    cases: &[Judged<'_>],
    handshakes: &[JudgedHandshake<'_>],
) -> Value {
    let partners = tallies.iter().map(|(partner, tally)| {
        json!({
            "partner": partner,
            "cases": tally.cases,
            "agree": tally.agree,
            "disagree": tally.disagree,
            "advisory_differences": tally.advisory,
            "event_ids": { "agree": tally.ids.0, "of": tally.ids.1 },
            "handshakes": { "agree": tally.handshakes.0, "of": tally.handshakes.1 },
        })
    });
    let cases = cases.iter().map(|Judged { case, verdict }| {
        json!({
            "name": case.asked.name,
            "partner": case.asked.partner,
            "binding": if case.binding { "must" } else { "advisory" },
            "expected": word(case.accept),
            "verdict": word(verdict.accepted),
            "reason": verdict.reason,
            "agrees": verdict.agrees(case),
            "event_id": verdict.event_id,
            "event_id_agrees": verdict.id_agrees(case),
        })
    });
    let handshakes = handshakes.iter().map(|judged| {
        json!({
            "name": judged.case.asked.name,
            "partner": judged.case.asked.partner,
            "agrees": judged.problem.is_none(),
            "problem": judged.problem,
        })
    });
    json!({
        "by": match by {
            By::Preset => "preset",
            By::Description => "description",
        },
        "agrees": agrees,
        "partners": partners.collect::<Vec<_>>(),
        "cases": cases.collect::<Vec<_>>(),
        "handshakes": handshakes.collect::<Vec<_>>(),
    })
}
