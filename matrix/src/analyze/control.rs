//! Whether the machine was quiet enough: the same program under two names must not differ.

use super::blocks::Blocks;
use super::context::Context;
use super::estimate::{Question, Scale};
use super::interval::Ends;
use super::location::to_f64;
use crate::plan::{Cell, CellKind, Condition};

/// What a run is believed for.
const MEASURES: [&str; 2] = ["register", "ready"];

/// How often one condition of a healthy run is thrown away, at most: it is shared among all its checks. In simulated runs with skewed
/// noise and late starts it is 7 in 1,000.
const FALSE_ALARMS: f64 = 0.01;

/// Why nothing under this condition may be believed.
pub fn void(context: &Context<'_>, condition: &Condition, blocks: &Blocks<'_>) -> Option<String> {
    let checks: Vec<Check<'_>> = checks(context, blocks);
    let level = 1.0 - FALSE_ALARMS / to_f64(checks.len().max(1));
    checks.iter().find_map(|check| {
        let names = ["control", &format!("{condition:?}"), check.again, check.measure];
        let interval = context.bootstrap.interval(&check.question, &names)?;
        let Ends { low, high } = interval.ends(level);
        (!Ends { low, high }.contains(0.0)).then(|| {
            format!(
                "{} is the same program as {}, but its {} differs by {:.3} ms ({:.1} % interval {low:.3} to {high:.3} ms): \
                 the machine was too noisy.",
                check.again,
                check.of,
                check.measure,
                interval.location.mean,
                level * 100.0,
            )
        })
    })
}

struct Check<'a> {
    again: &'a str,
    of: &'a str,
    measure: &'static str,
    question: Question,
}

fn checks<'a>(context: &Context<'a>, blocks: &Blocks<'_>) -> Vec<Check<'a>> {
    let controls = context.plan.cells.iter().filter_map(|Cell { id, kind, .. }| match kind {
        CellKind::Again { of } => Some((id.as_str(), of.as_str())),
        _ => None,
    });
    let all = controls.flat_map(|(again, of)| {
        MEASURES.map(|measure| {
            let rows = blocks.rows(&[again, context.measured_as(of)], measure);
            let values = rows.iter().filter_map(|row| Some(row.first()? - row.last()?)).collect();
            Check { again, of, measure, question: Question { values, counted: false, scale: Scale::Difference } }
        })
    });
    all.filter(|check| check.question.values.len() >= 2).collect()
}
