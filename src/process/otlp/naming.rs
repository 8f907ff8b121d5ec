//! What a span is called: operation, resource and type, from the attributes that OpenTelemetry's semantic conventions give it.

use std::borrow::Cow;

use super::{
    attributes::Lookup,
    convert::Settings,
    message::{Kind, Scope},
};
use crate::process::trace::span::Text;

/// The operation's name. The pipeline brings it into the form of a metric's name.
pub(super) fn operation<'b>(lookup: &Lookup<'_, 'b>, scope: &Scope<'b>, settings: &Settings) -> Text<'b> {
    if settings.has_first_names() { first(lookup, scope, settings) } else { second(lookup, scope) }
}

/// The first version of the rules: the library and the kind, or the span's own name; and what a setting maps that to.
fn first<'b>(lookup: &Lookup<'_, 'b>, scope: &Scope<'b>, settings: &Settings) -> Text<'b> {
    let kind = lookup.span.kind.text();
    let default = || {
        let library = if scope.name.is_empty() { "opentelemetry" } else { &*scope.name };
        Cow::Owned(format!("{library}.{kind}"))
    };
    let name = lookup
        .own("operation.name")
        .unwrap_or_else(|| if settings.span_name_as_resource_name { lookup.span.name.clone() } else { default() });
    match settings.span_name_remappings.get(&*name) {
        Some(mapped) => Cow::Owned(mapped.clone()),
        None => name,
    }
}

/// The second version of the rules: what the operation is about.
fn second<'b>(lookup: &Lookup<'_, 'b>, scope: &Scope<'b>) -> Text<'b> {
    let kind = lookup.span.kind;
    if let Some(name) = lookup.own("operation.name") {
        return name;
    }
    if kind == Kind::Server && scope.name == "opentelemetry.instrumentation.aws_lambda" {
        return "aws.lambda".into();
    }
    let rules = [http, database, messaging, rpc, faas, graphql];
    rules.into_iter().find_map(|rule| rule(lookup, kind)).unwrap_or_else(|| by_kind(lookup, kind))
}

fn http<'b>(lookup: &Lookup<'_, 'b>, kind: Kind) -> Option<Text<'b>> {
    lookup.own("http.request.method")?;
    match kind {
        Kind::Server => Some("http.server.request".into()),
        Kind::Client => Some("http.client.request".into()),
        _ => None,
    }
}

/// A server's address alone does not make it a database: spans of HTTP, RPC and messaging have one too.
fn database<'b>(lookup: &Lookup<'_, 'b>, _: Kind) -> Option<Text<'b>> {
    if let Some(summary) = lookup.own("db.query.summary") {
        return Some(summary);
    }
    let (system, operation) = (lookup.own("db.system.name"), lookup.own("db.operation.name"));
    let address = || {
        let (address, port) = (lookup.own("server.address")?, lookup.own("server.port")?);
        (system.is_some() || operation.is_some()).then(|| Text::Owned(format!("{address}:{port}")))
    };
    let keys = ["db.collection.name", "db.stored_procedure.name", "db.namespace"];
    let target = keys.into_iter().find_map(|key| lookup.own(key)).or_else(address);
    match (operation, target) {
        (Some(operation), Some(target)) => Some(Cow::Owned(format!("{operation} {target}"))),
        (None, Some(target)) => Some(target),
        (_, None) => system,
    }
}

fn messaging<'b>(lookup: &Lookup<'_, 'b>, kind: Kind) -> Option<Text<'b>> {
    let (system, operation) = (lookup.own_tag("messaging.system")?, lookup.own_tag("messaging.operation.type")?);
    let is_remote = matches!(kind, Kind::Client | Kind::Server | Kind::Consumer | Kind::Producer);
    is_remote.then(|| Cow::Owned(format!("{system}.{operation}")))
}

fn rpc<'b>(lookup: &Lookup<'_, 'b>, kind: Kind) -> Option<Text<'b>> {
    let system = lookup.own_tag("rpc.system")?;
    match kind {
        Kind::Client if system == "aws-api" => Some(match lookup.own_tag("rpc.service") {
            Some(service) => Cow::Owned(format!("aws.{service}.request")),
            None => "aws.client.request".into(),
        }),
        Kind::Client => Some(Cow::Owned(format!("{system}.client.request"))),
        Kind::Server => Some(Cow::Owned(format!("{system}.server.request"))),
        _ => None,
    }
}

fn faas<'b>(lookup: &Lookup<'_, 'b>, kind: Kind) -> Option<Text<'b>> {
    match kind {
        Kind::Client => {
            let provider = lookup.own_tag("faas.invoked_provider")?;
            let name = lookup.own_tag("faas.invoked_name")?;
            Some(Cow::Owned(format!("{provider}.{name}.invoke")))
        }
        Kind::Server => Some(Cow::Owned(format!("{}.invoke", lookup.own_tag("faas.trigger")?))),
        _ => None,
    }
}

fn graphql<'b>(lookup: &Lookup<'_, 'b>, _: Kind) -> Option<Text<'b>> {
    lookup.own_tag("graphql.operation.type").map(|_| "graphql.server.request".into())
}

fn by_kind<'b>(lookup: &Lookup<'_, 'b>, kind: Kind) -> Text<'b> {
    let side = match kind {
        Kind::Server => "server.request",
        Kind::Client => "client.request",
        Kind::Unspecified => return Kind::Internal.name().into(),
        other => return other.name().into(),
    };
    match lookup.own_tag("network.protocol.name") {
        Some(protocol) => Cow::Owned(format!("{protocol}.{side}")),
        None => side.into(),
    }
}

/// The resource name by the semantic conventions.
pub(super) fn resource<'b>(lookup: &Lookup<'_, 'b>) -> Text<'b> {
    let pair = |first: Text<'b>, second: Option<Text<'b>>| match second {
        Some(second) => Cow::Owned(format!("{first} {second}")),
        None => first,
    };
    if let Some(name) = lookup.either("resource.name") {
        return name;
    }
    if let Some(method) = lookup.either("http.request.method") {
        let method = if method == "_OTHER" { "HTTP".into() } else { method };
        let is_server = lookup.span.kind == Kind::Server;
        return pair(method, lookup.either("http.route").filter(|_| is_server));
    }
    if let Some(operation) = lookup.either("messaging.operation.type") {
        return pair(operation, lookup.either("messaging.destination.name"));
    }
    if let Some(method) = lookup.either("rpc.method") {
        return match lookup.either("rpc.service") {
            Some(service) => pair(service, Some(method)),
            None => method,
        };
    }
    if let Some(operation) = lookup.either("graphql.operation.type") {
        return pair(operation, lookup.either("graphql.operation.name"));
    }
    if let Some(system) = lookup.either("db.system.name") {
        return lookup.either("db.query.text").unwrap_or(system);
    }
    lookup.span.name.clone()
}

/// The wire's `type`.
pub(super) fn span_type<'b>(lookup: &Lookup<'_, 'b>) -> Text<'b> {
    lookup.either_tag("span.type").unwrap_or_else(|| {
        let text = match lookup.span.kind {
            Kind::Server => "web",
            Kind::Client => match lookup.either_tag("db.system.name").as_deref() {
                None => "http",
                Some("redis" | "memcached") => "cache",
                Some(_) => "db",
            },
            _ => "custom",
        };
        text.into()
    })
}
