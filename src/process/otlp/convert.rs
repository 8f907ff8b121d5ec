//! Spans of OpenTelemetry become spans of ours, one trace after the other.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    vec,
};

use super::{
    TooLarge,
    attributes::{Lookup, ResourceAttributes, find},
    message::{self, Kind, Request, ResourceSpans, STATUS_ERROR, Scope, ScopeSpans, Value},
    naming,
    tagging::Tags,
};
use crate::process::trace::{
    map::Map,
    span::{Span, Text},
};

/// Maximum memory of the spans of one trace, in bytes.
const MAX_TRACE_BYTES: usize = 128 << 20;

/// Maximum memory of what all spans of a request become, one after the other, in bytes. The attributes of a resource are tags of each of its spans: a body of
/// 20 MiB could ask for a hundred billion tags.
const MAX_REQUEST_BYTES: usize = 512 << 20;

/// The service of spans whose resource names none.
const NO_SERVICE: &str = "otlpresourcenoservicename";

/// Settings for names of converted spans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The span's name is that of the operation.
    pub span_name_as_resource_name: bool,
    /// Other names for operations.
    pub span_name_remappings: BTreeMap<String, String>,
    /// Names, types and such come from the attributes `datadog.…` alone.
    pub ignore_missing_datadog_fields: bool,
    /// The rules for operations, unless settings about names ask for the first ones.
    pub names: NameRules,
    /// Roots and spans of the kinds server and consumer are marked as top-level, besides those that enter a service.
    pub top_level_by_kind: bool,
}

/// A version of the rules by which operations are named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NameRules {
    /// Library and kind.
    First,
    /// What the operation is about.
    #[default]
    Second,
}

impl Settings {
    /// Whether operations are named by the first version of the rules, which the settings about names belong to.
    pub(super) fn has_first_names(&self) -> bool {
        self.names == NameRules::First || self.span_name_as_resource_name || !self.span_name_remappings.is_empty()
    }
}

/// The memory that the conversion of a request may still take, in bytes.
pub(super) struct ConversionBudget {
    max_trace: usize,
    /// What is left for the trace that is converted.
    trace: usize,
    /// Bytes left for all traces of the request.
    request: usize,
}

impl ConversionBudget {
    pub(super) fn new(max_trace: usize, request: usize) -> Self {
        Self { max_trace, trace: max_trace, request }
    }

    pub(super) fn take(&mut self, bytes: usize) -> Result<(), TooLarge> {
        self.trace = self.trace.checked_sub(bytes).ok_or(TooLarge)?;
        self.request = self.request.checked_sub(bytes).ok_or(TooLarge)?;
        Ok(())
    }

    /// Adds an element to a list, all of whose room is counted.
    pub(super) fn push<T>(&mut self, list: &mut Vec<T>, element: T) -> Result<(), TooLarge> {
        if list.len() == list.capacity() {
            let more = list.len().max(4);
            self.take(more.saturating_mul(size_of::<T>()))?;
            list.reserve_exact(more);
        }
        list.push(element);
        Ok(())
    }
}

/// The traces of a request: the spans of one resource and one trace each. After an error there are no more.
pub struct Traces<'b, 's> {
    settings: &'s Settings,
    resources: vec::IntoIter<ResourceSpans<'b>>,
    current: Option<OpenResource<'b>>,
    budget: ConversionBudget,
}

/// A resource whose traces are converted.
struct OpenResource<'b> {
    resource: ResourceAttributes<'b>,
    scopes: Vec<ScopeSpans<'b>>,
    /// Where its spans are, those of one trace beside each other. The spans themselves are hundreds of bytes each, and stay where they were decoded.
    positions: Vec<SpanPosition>,
    /// The first place of the next trace.
    next: usize,
}

/// The position of a span in the request, and the number of its trace.
struct SpanPosition {
    trace: usize,
    scope: usize,
    span: usize,
}

impl<'b, 's> Traces<'b, 's> {
    pub fn new(request: Request<'b>, settings: &'s Settings) -> Self {
        Self::within(ConversionBudget::new(MAX_TRACE_BYTES, MAX_REQUEST_BYTES), request, settings)
    }

    pub(super) fn within(budget: ConversionBudget, request: Request<'b>, settings: &'s Settings) -> Self {
        Self { settings, resources: request.resource_spans.into_iter(), current: None, budget }
    }

    fn trace(&mut self) -> Option<Result<Vec<Span<'b>>, TooLarge>> {
        loop {
            let Some(current) = &mut self.current else {
                self.current = Some(OpenResource::new(self.resources.next()?));
                continue;
            };
            let Some(trace) = current.next_trace() else {
                self.current = None;
                continue;
            };
            self.budget.trace = self.budget.max_trace;
            return Some(current.convert(trace, self.settings, &mut self.budget));
        }
    }
}

impl<'b> Iterator for Traces<'b, '_> {
    type Item = Result<Vec<Span<'b>>, TooLarge>;

    fn next(&mut self) -> Option<Self::Item> {
        let trace = self.trace()?;
        if trace.is_err() {
            (self.resources, self.current) = (Vec::new().into_iter(), None);
        }
        Some(trace)
    }
}

/// How many spans of a request have no trace id, without which nobody could find them: they are left out.
pub fn invalid_spans(request: &Request<'_>) -> usize {
    let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    scopes.flat_map(|scope| &scope.spans).filter(|span| !has_trace(span)).count()
}

fn has_trace(span: &message::Span<'_>) -> bool {
    span.trace_id.is_some_and(|id| id != 0)
}

impl<'b> OpenResource<'b> {
    /// Spans of one trace are those whose ids have the same low half, as far as the intake knows.
    fn new(resource: ResourceSpans<'b>) -> Self {
        let scopes = resource.scope_spans;
        let mut positions = Vec::with_capacity(scopes.iter().map(|scope| scope.spans.len()).sum());
        let mut known = HashMap::new();
        for (scope, of_scope) in scopes.iter().enumerate() {
            for (span, of_trace) in of_scope.spans.iter().enumerate().filter(|(_, span)| has_trace(span)) {
                let new = known.len();
                let trace = *known.entry(low_half(of_trace.trace_id.unwrap_or_default())).or_insert(new);
                positions.push(SpanPosition { trace, scope, span });
            }
        }
        positions.sort_by_key(|position| position.trace);
        Self { resource: ResourceAttributes::new(resource.resource), scopes, positions, next: 0 }
    }

    /// The places of the spans of the next trace.
    fn next_trace(&mut self) -> Option<Range<usize>> {
        let rest = self.positions.get(self.next..)?;
        let trace = rest.first()?.trace;
        let start = self.next;
        self.next += rest.iter().take_while(|position| position.trace == trace).count();
        Some(start..self.next)
    }

    fn convert(
        &self,
        trace: Range<usize>,
        settings: &Settings,
        budget: &mut ConversionBudget,
    ) -> Result<Vec<Span<'b>>, TooLarge> {
        let positions = self.positions.get(trace).unwrap_or_default();
        budget.take(positions.len().saturating_mul(size_of::<Span>()))?;
        let mut spans = Vec::with_capacity(positions.len());
        for position in positions {
            let Some(ScopeSpans { scope, spans: of_scope }) = self.scopes.get(position.scope) else { continue };
            let Some(span) = of_scope.get(position.span) else { continue };
            let lookup = Lookup { span, resource: &self.resource };
            spans.push(Conversion { lookup, scope, settings }.span(budget)?);
        }
        Ok(spans)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
pub(super) fn low_half(id: u128) -> u64 {
    id as u64
}

/// A span with all that its conversion asks.
pub(super) struct Conversion<'a, 'b> {
    pub(super) lookup: Lookup<'a, 'b>,
    pub(super) scope: &'a Scope<'b>,
    pub(super) settings: &'a Settings,
}

impl<'b> Conversion<'_, 'b> {
    fn span(&self, budget: &mut ConversionBudget) -> Result<Span<'b>, TooLarge> {
        let span = self.lookup.span;
        let start = i64::try_from(span.start).unwrap_or(i64::MAX);
        let mut converted = Span {
            service: self.service(),
            name: self.name(),
            resource: self.resource(),
            kind: self.kind(),
            trace_id: low_half(span.trace_id.unwrap_or_default()),
            span_id: span.span_id,
            parent_id: span.parent_span_id,
            start,
            duration: i64::try_from(span.end.saturating_sub(span.start)).unwrap_or(i64::MAX),
            error: self.error(),
            ..Span::default()
        };
        for text in [&converted.service, &converted.name, &converted.resource, &converted.kind] {
            if let Text::Owned(text) = text {
                budget.take(text.len())?;
            }
        }
        let Tags { meta, metrics, .. } = Tags::of(self, budget)?;
        (converted.meta, converted.metrics) = (Map::from_pairs(meta), Map::from_pairs(metrics));
        Ok(converted)
    }

    /// What is only filled in where the attributes `datadog.…` say nothing.
    fn unless_ignored(&self, value: impl FnOnce() -> Text<'b>) -> Text<'b> {
        if self.settings.ignore_missing_datadog_fields { Text::default() } else { value() }
    }

    fn service(&self) -> Text<'b> {
        let of_resource = || self.lookup.resource.tag("service.name").unwrap_or(Text::Borrowed(NO_SERVICE));
        self.lookup.own_tag("datadog.service").unwrap_or_else(|| self.unless_ignored(of_resource))
    }

    fn name(&self) -> Text<'b> {
        let operation = || naming::operation(&self.lookup, self.scope, self.settings);
        self.lookup.own_tag("datadog.name").unwrap_or_else(|| self.unless_ignored(operation))
    }

    fn resource(&self) -> Text<'b> {
        let own = self.lookup.resource.tag("datadog.resource");
        own.unwrap_or_else(|| self.unless_ignored(|| naming::resource(&self.lookup)))
    }

    fn kind(&self) -> Text<'b> {
        let own = self.lookup.own_tag("datadog.type");
        own.unwrap_or_else(|| self.unless_ignored(|| naming::span_type(&self.lookup)))
    }

    fn error(&self) -> i32 {
        match find(&self.lookup.span.attributes, "datadog.error") {
            Some(Value::Int(value)) => i32::try_from(*value).unwrap_or(1),
            Some(Value::Bool(value)) => i32::from(*value),
            Some(Value::Text(text)) => text.parse().unwrap_or(0),
            _ => i32::from(self.has_failed()),
        }
    }

    /// Whether the span's status says so.
    pub(super) fn has_failed(&self) -> bool {
        self.lookup.span.status.as_ref().is_some_and(|status| status.code == STATUS_ERROR)
    }

    /// Whether the backend counts the span though it does not enter a service.
    pub(super) fn is_measured(&self) -> bool {
        let is_asked_for = self.lookup.own("_dd.measured").as_deref() == Some("1");
        is_asked_for || matches!(self.lookup.span.kind, Kind::Client | Kind::Producer)
    }

    pub(super) fn is_top_level_by_kind(&self) -> bool {
        let span = self.lookup.span;
        let is_entry = span.parent_span_id == 0 || matches!(span.kind, Kind::Server | Kind::Consumer);
        self.settings.top_level_by_kind && is_entry
    }
}
