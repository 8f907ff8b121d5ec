//! What the event of a request gives to the WAF.

use waf_protocol::Value;

use super::{
    Addresses, Fields, Headers, add, body, entries, headers, last, limits, list_map, reported, shortened, texts,
};
use crate::process::{form::percent_decode, trigger::Kind};

/// The shapes of events that bring requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// API Gateway's HTTP APIs, payload format 2.0.
    HttpApi,
    RestApi,
    WebSocket,
    LoadBalancer,
    FunctionUrl,
}

impl Shape {
    /// None for events of other services.
    pub fn of(kind: Option<Kind>) -> Option<Self> {
        match kind? {
            Kind::HttpApi => Some(Self::HttpApi),
            Kind::RestApi => Some(Self::RestApi),
            Kind::WebSocket => Some(Self::WebSocket),
            Kind::LoadBalancer => Some(Self::LoadBalancer),
            Kind::FunctionUrl => Some(Self::FunctionUrl),
            _ => None,
        }
    }

    fn is_format_2(self) -> bool {
        matches!(self, Self::HttpApi | Self::FunctionUrl)
    }
}

/// Headers that become tags whatever is found.
const REPORTED: [&str; 11] = [
    "content-type",
    "user-agent",
    "accept",
    "x-amzn-trace-id",
    "cloudfront-viewer-ja3-fingerprint",
    "cf-ray",
    "x-cloud-trace-context",
    "x-appgw-trace-id",
    "x-sigsci-requestid",
    "x-sigsci-tags",
    "akamai-user-risk",
];

/// Headers that become tags if an attack is found.
const REPORTED_OF_ATTACKS: [&str; 18] = [
    "x-forwarded-for",
    "x-real-ip",
    "true-client-ip",
    "x-client-ip",
    "x-forwarded",
    "forwarded-for",
    "x-cluster-client-ip",
    "fastly-client-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "forwarded",
    "via",
    "content-length",
    "content-encoding",
    "content-language",
    "host",
    "accept-encoding",
    "accept-language",
];

/// A request.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpRequest {
    pub shape: Shape,
    pub addresses: Addresses,
    /// Empty if the event names none.
    pub method: String,
    /// What tells requests of the same kind: the route if the event has one, method and path otherwise.
    pub route: String,
    pub(super) client_ip: Option<String>,
    /// Headers that may become span tags.
    pub(super) headers: Headers,
}

impl HttpRequest {
    /// Reads an event of this shape. Never fails: what is missing or of another type gives no address.
    pub fn parse(shape: Shape, text: &str) -> Self {
        let top = Fields::of(text);
        let context = top.object("requestContext");
        let http = context.object("http");
        let identity = if shape.is_format_2() { context.object("http") } else { context.object("identity") };
        let method =
            http.string("method").or_else(|| context.string("httpMethod")).or_else(|| top.string("httpMethod"));
        let method = method.unwrap_or_default();
        let path = http.string("path").or_else(|| context.string("path")).or_else(|| top.string("path"));
        let path = path.unwrap_or_default();
        let mut request = Self {
            shape,
            addresses: Addresses::new(),
            route: route(shape, &method, &path, &context, &top),
            method,
            client_ip: identity.string("sourceIp"),
            headers: request_headers(shape, &top),
        };
        request.add_addresses(&top, &uri(shape, &context, &path));
        request.shorten();
        request
    }

    /// Leaves out what becomes no tag: a request is kept until its response comes.
    fn shorten(&mut self) {
        self.headers = reported(std::mem::take(&mut self.headers), |name| {
            REPORTED.contains(&name) || REPORTED_OF_ATTACKS.contains(&name)
        });
        for text in [&mut self.method, &mut self.route].into_iter().chain(&mut self.client_ip) {
            *text = shortened(std::mem::take(text));
        }
    }

    /// What is kept of it beside the addresses, in bytes.
    pub fn kept_bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, values)| {
            let values = values.iter().map(|value| size_of::<String>() + value.len());
            size_of::<(String, Vec<String>)>() + name.len() + values.sum::<usize>()
        });
        let ip = self.client_ip.as_ref().map_or(0, String::len);
        size_of::<Self>() + self.method.len() + self.route.len() + ip + headers.sum::<usize>()
    }

    fn add_addresses(&mut self, top: &Fields, uri: &str) {
        let text = |text: &str| (!text.is_empty()).then(|| limits::text(text.as_bytes()));
        let cookies = cookies(self.shape, top, &self.headers);
        let parameters: Vec<_> =
            entries(top.raw("pathParameters")).into_iter().map(|(name, value)| (name, texts(&value))).collect();
        let parameters = parameters.into_iter().filter_map(|(name, values)| {
            Some((limits::cut(name.as_bytes()).to_vec(), limits::text(values.first()?.as_bytes())))
        });
        let body = top.string("body").and_then(|text| body::decode(text, top.is_true("isBase64Encoded")));
        let body = body.and_then(|body| body::parse(last(&self.headers, "content-type"), &body));
        let addresses = &mut self.addresses;
        add(addresses, "server.request.method", text(&self.method));
        add(addresses, "server.request.uri.raw", text(uri));
        add(addresses, "http.client_ip", self.client_ip.as_deref().and_then(text));
        add(addresses, "server.request.headers.no_cookies", Some(list_map(&self.headers, &["cookie"])));
        add(addresses, "server.request.cookies", Some(list_map(&cookies, &[])));
        add(addresses, "server.request.query", Some(list_map(&query(self.shape, top), &[])));
        add(addresses, "server.request.path_params", Some(Value::Map(parameters.collect())));
        add(addresses, "server.request.body", body);
    }

    /// Tags of the client and of headers that are reported.
    pub(super) fn tags(&self, is_attack: bool) -> impl Iterator<Item = (String, String)> {
        let ip = self.client_ip.iter().filter(move |_| is_attack);
        let ip = ip.map(|ip| ("network.client.ip".to_owned(), ip.clone()));
        let is_reported =
            move |name: &str| REPORTED.contains(&name) || (is_attack && REPORTED_OF_ATTACKS.contains(&name));
        let headers = self.headers.iter().filter(move |(name, _)| is_reported(name));
        ip.chain(headers.map(|(name, values)| (format!("http.request.headers.{name}"), values.join(","))))
    }
}

/// As in `GET /users/{id}`.
fn route(shape: Shape, method: &str, path: &str, context: &Fields, top: &Fields) -> String {
    let route = match shape {
        Shape::HttpApi => top.string("routeKey").or_else(|| context.string("routeKey")),
        Shape::WebSocket => context.string("routeKey"),
        Shape::RestApi => context.string("resourcePath").map(|resource| format!("{method} {resource}")),
        Shape::LoadBalancer | Shape::FunctionUrl => None,
    };
    route.unwrap_or_else(|| format!("{method} {path}"))
}

/// Host and path, with the stage of a WebSocket API between them unless it is the default one. An Application Load Balancer does not say.
fn uri(shape: Shape, context: &Fields, path: &str) -> String {
    let domain = context.string("domainName").unwrap_or_default();
    match shape {
        Shape::LoadBalancer => String::new(),
        Shape::WebSocket => {
            let stage = context.string("stage").filter(|stage| !stage.is_empty() && stage != "$default");
            format!("{domain}{}{path}", stage.map(|stage| format!("/{stage}")).unwrap_or_default())
        }
        _ => format!("{domain}{path}"),
    }
}

/// Those with several values if the event has them, otherwise those with one.
fn request_headers(shape: Shape, top: &Fields) -> Headers {
    let several = if shape.is_format_2() { Headers::new() } else { headers(top.raw("multiValueHeaders")) };
    if several.is_empty() { headers(top.raw("headers")) } else { several }
}

/// Cookies by name. Payload format 2.0 lists them; elsewhere they are in a header.
fn cookies(shape: Shape, top: &Fields, headers: &Headers) -> Headers {
    let lists: Vec<String> = if shape.is_format_2() {
        let list: Option<serde_json::Value> = top.raw("cookies").and_then(|list| serde_json::from_str(list).ok());
        list.iter().flat_map(texts).collect()
    } else {
        let values = headers.iter().filter(|(name, _)| name == "cookie").flat_map(|(_, values)| values);
        values.flat_map(|value| value.split(';')).map(str::to_owned).collect()
    };
    let mut cookies = Headers::new();
    for cookie in lists.iter().take(limits::MAX_ENTRIES) {
        let (name, value) = cookie.split_once('=').unwrap_or((cookie, ""));
        let (name, value) = (name.trim(), value.trim().to_owned());
        match cookies.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value),
            None => cookies.push((name.to_owned(), vec![value])),
        }
    }
    cookies
}

/// The query. Load balancers leave it encoded; payload format 2.0 joins several values with commas.
fn query(shape: Shape, top: &Fields) -> Vec<(String, Vec<String>)> {
    let several = if shape.is_format_2() { Vec::new() } else { entries(top.raw("multiValueQueryStringParameters")) };
    let entries = if several.is_empty() { entries(top.raw("queryStringParameters")) } else { several };
    let decoded = |text: &str| String::from_utf8_lossy(&percent_decode(text.as_bytes())).into_owned();
    let pair = |(name, value): (String, serde_json::Value)| {
        let values = texts(&value);
        match shape {
            Shape::HttpApi => {
                let split = values.iter().flat_map(|value| value.split(',')).take(limits::MAX_ENTRIES);
                (name, split.map(str::to_owned).collect())
            }
            Shape::LoadBalancer => (decoded(&name), values.iter().map(|value| decoded(value)).collect()),
            _ => (name, values),
        }
    };
    entries.into_iter().map(pair).collect()
}
