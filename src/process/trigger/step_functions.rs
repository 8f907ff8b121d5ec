//! Step Functions. A state machine passes its context object to the function; everybody who takes part computes the same ids from it.
//!
//! Source: Step Functions developer guide, "Accessing execution data from the Context object", and Datadog's documentation of linked traces of state machines.

use super::{
    Digest, Kind, Trigger, attribute,
    json::Fields,
    trigger_data::{Input, TriggerData},
};
use crate::process::propagation::{HIGH_HALF, TraceContext, propagation_tags};

pub(super) const ROW: Trigger = Trigger { kind: Kind::StepFunctions, matches, read, checkpoints: |_, _| {} };

const FIELDS: &[&str] = &[
    "Payload",
    "_datadog",
    "Execution",
    "State",
    "StateMachine",
    "RootExecutionId",
    "x-datadog-trace-id",
    "x-datadog-tags",
];

/// The state that invoked the function, and the execution that it is a part of.
struct State {
    execution: String,
    name: String,
    entered: String,
    retries: u64,
    redrives: u64,
}

fn matches(input: &Input) -> bool {
    State::of(&context_object(input)).is_some()
}

fn read(input: &mut Input) -> TriggerData {
    let fields = context_object(input);
    let machine = fields.object("StateMachine", &["Id"]).text("Id").unwrap_or_default();
    let mut data = TriggerData::of("states", &machine);
    data.generated = State::of(&fields).and_then(|state| trace_context(&fields, &state, input.settings.sha256));
    data
}

/// The context object is the event, its field `Payload` if the state was written for an older integration, or `_datadog` in either.
fn context_object<'a>(input: &Input<'a>) -> Fields<'a> {
    let mut fields = input.top.again(FIELDS);
    for name in ["Payload", attribute::NAME] {
        if let Some(inner) = fields.raw(name).and_then(|json| Fields::pick(json, FIELDS)) {
            fields = inner;
        }
    }
    fields
}

impl State {
    fn of(fields: &Fields) -> Option<Self> {
        let execution = fields.object("Execution", &["Id", "RedriveCount"]);
        let state = fields.object("State", &["EnteredTime", "Name", "RetryCount"]);
        let count =
            |fields: &Fields, name: &str| fields.text(name).and_then(|text| text.parse().ok()).unwrap_or_default();
        Some(Self {
            execution: execution.string("Id")?.into_owned(),
            name: state.string("Name")?.into_owned(),
            entered: state.string("EnteredTime")?.into_owned(),
            retries: count(&state, "RetryCount"),
            redrives: count(&execution, "RedriveCount"),
        })
    }

    /// What the id of the state's span is computed from.
    fn text(&self) -> String {
        let Self { execution, name, entered, retries, redrives } = self;
        let counts = if (*retries, *redrives) == (0, 0) { String::new() } else { format!("#{retries}#{redrives}") };
        format!("{execution}#{name}#{entered}{counts}")
    }
}

/// The trace of a Lambda function that started the state machine, if one did; else that of the outermost execution.
fn trace_context(fields: &Fields, state: &State, sha256: Digest) -> Option<TraceContext> {
    let mut context = TraceContext {
        span_id: Ids::of(state.text().as_bytes(), sha256)?.high,
        priority: Some(1),
        origin: Some("states".to_owned()),
        ..TraceContext::default()
    };
    if let (Some(id), Some(tags)) = (fields.text("x-datadog-trace-id"), fields.string("x-datadog-tags")) {
        let id = id.parse().ok().filter(|id| *id != 0);
        context.trace_id = match id {
            Some(id) => id,
            None => Ids::of(state.execution.as_bytes(), sha256)?.low,
        };
        context.tags = propagation_tags(&tags);
        return Some(context);
    }
    let root = fields.string("RootExecutionId");
    let ids = Ids::of(root.as_deref().unwrap_or(&state.execution).as_bytes(), sha256)?;
    context.trace_id = ids.low;
    // Without leading zeros, as the state machine's own spans have it.
    context.tags.set(HIGH_HALF, format!("{:x}", ids.high).into());
    Some(context)
}

/// Both halves of a 128-bit id that is computed from a text; neither is negative or 0.
struct Ids {
    high: u64,
    low: u64,
}

impl Ids {
    fn of(text: &[u8], sha256: Digest) -> Option<Self> {
        let digest = sha256(text)?;
        let half = |from: usize| {
            let bytes = digest.iter().skip(from).take(8);
            let id = bytes.fold(0, |id: u64, byte| id << 8 | u64::from(*byte)) & (u64::MAX >> 1);
            id.max(1)
        };
        Some(Self { high: half(0), low: half(8) })
    }
}
