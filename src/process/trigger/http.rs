//! What triggers over HTTP have in common.

use std::borrow::Cow;

use super::{
    Tags,
    inferred::Synchronicity,
    json::{Fields, bounded, entries, first, scalar},
    trigger_data::{Input, set},
};
use crate::process::{propagation::Carrier, trace::Span};

/// The part of a host name that only function URLs have.
pub(super) const FUNCTION_URL: &str = "lambda-url";

/// A request, as far as the event tells about it.
#[derive(Default)]
pub(super) struct Request<'a> {
    pub(super) method: Option<Cow<'a, str>>,
    pub(super) path: Option<Cow<'a, str>>,
    pub(super) domain: Option<Cow<'a, str>>,
    pub(super) protocol: Option<Cow<'a, str>>,
    pub(super) source_ip: Option<Cow<'a, str>>,
    pub(super) user_agent: Option<Cow<'a, str>>,
    /// API Gateway's own, not Lambda's.
    pub(super) id: Option<Cow<'a, str>>,
    /// The route that API Gateway matched.
    pub(super) route: Option<Cow<'a, str>>,
}

impl<'a> Request<'a> {
    /// Of payload format 2.0, which HTTP APIs and function URLs have.
    pub(super) fn of_format_2(input: &Input<'a>) -> (Self, Fields<'a>) {
        let context = input
            .top
            .object("requestContext", &["accountId", "apiId", "domainName", "http", "requestId", "stage", "timeEpoch"]);
        let http = context.object("http", &["method", "path", "protocol", "sourceIp", "userAgent"]);
        let request = Self {
            method: http.text("method"),
            path: http.text("path").or_else(|| input.top.text("rawPath")),
            domain: context.text("domainName"),
            protocol: http.text("protocol"),
            source_ip: http.text("sourceIp"),
            user_agent: http.text("userAgent"),
            id: context.text("requestId"),
            route: None,
        };
        (request, context)
    }

    fn url(&self) -> Option<String> {
        Some(format!("https://{}{}", self.domain.as_deref()?, self.path.as_deref().unwrap_or_default()))
    }

    /// Method and path.
    pub(super) fn resource(&self, path: impl Fn(&str) -> String) -> String {
        let path = self.path.as_deref().map(|text| path(bounded(text)));
        let parts = [self.method.as_deref().map(bounded), path.as_deref()];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// The tags of the inferred span.
    pub(super) fn describe(&self, span: &mut Span<'static>) {
        let tags = &mut span.meta;
        set(tags, "endpoint", self.path.as_deref());
        set(tags, "http.url", self.url());
        set(tags, "http.method", self.method.as_deref());
        set(tags, "http.protocol", self.protocol.as_deref());
        set(tags, "http.source_ip", self.source_ip.as_deref());
        set(tags, "http.user_agent", self.user_agent.as_deref());
        set(tags, "http.route", self.route.as_deref());
        set(tags, "request_id", self.id.as_deref());
    }

    /// The tags of the `aws.lambda` span.
    pub(super) fn describe_trigger(&self, headers: Option<&str>, tags: &mut Tags) {
        set(tags, "http.url", self.url());
        set(tags, "http.url_details.path", self.path.as_deref());
        set(tags, "http.method", self.method.as_deref());
        set(tags, "http.route", self.route.as_deref());
        set(tags, "http.user_agent", self.user_agent.as_deref());
        set(tags, "http.referer", header(headers, "referer"));
    }
}

/// Headers with names in any case; each value a scalar, or an array of which the first counts.
pub(super) fn carrier(headers: Option<&str>) -> Carrier {
    let mut carrier = Carrier::default();
    each(headers, |name, value| carrier.add(name, value));
    carrier
}

fn each(headers: Option<&str>, mut see: impl FnMut(&str, &str)) {
    let Some(headers) = headers else { return };
    // None if they are no object: then there was nothing to be seen.
    let _ = entries(headers, |name, value| {
        let value = if value.starts_with('[') { first(value).and_then(scalar) } else { scalar(value) };
        if let Some(value) = value {
            see(name, &value);
        }
    });
}

/// The value of one header, by its name in any case.
pub(super) fn header(headers: Option<&str>, wanted: &str) -> Option<String> {
    let mut found = None;
    each(headers, |name, value| {
        if name.eq_ignore_ascii_case(wanted) {
            found = Some(bounded(value).to_owned());
        }
    });
    found
}

/// API Gateway and function URLs wait for the function unless the caller says otherwise.
pub(super) fn synchronicity(headers: Option<&str>) -> Synchronicity {
    match header(headers, "x-amz-invocation-type") {
        Some(kind) if kind == "Event" => Synchronicity::Async,
        _ => Synchronicity::Sync,
    }
}
