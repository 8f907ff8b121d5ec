//! The least of a tracer: writes spans as tracers do and sends them to the trace agent beside the function.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::intake::msgpack::{Value, encode};
use super::intake::{ClientStats, Span, StatsGroup};

/// Where tracers send to unless they are told otherwise.
pub const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8126);

/// Where they report the start and the end of invocations to.
pub const LIFECYCLE_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8124);

/// How long an answer may take. Much longer than a loaded machine needs.
const PATIENCE: Duration = Duration::from_mins(1);

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// As it was written, without the status line.
    pub headers: String,
    pub body: String,
}

/// A request on a connection of its own.
#[derive(Clone, Debug)]
pub struct Request<'r> {
    pub method: &'r str,
    /// With the query.
    pub path: &'r str,
    pub headers: &'r [(&'r str, &'r str)],
    pub body: &'r [u8],
}

impl Request<'_> {
    /// Sends it to the trace agent and waits for the answer.
    pub fn send(&self) -> io::Result<Reply> {
        self.send_to(ADDRESS)
    }

    /// Sends it and waits for the answer.
    pub fn send_to(&self, address: SocketAddr) -> io::Result<Reply> {
        let mut connection = TcpStream::connect(address)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.write_all(&self.bytes())?;
        reply(&mut connection)
    }

    /// What is written to the connection.
    pub fn bytes(&self) -> Vec<u8> {
        let Self { method, path, headers, body } = self;
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:8126\r\nconnection: close\r\n");
        for (name, value) in *headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        [head.as_bytes(), body].concat()
    }
}

/// Reads the answer on a connection that is closed behind it.
pub fn reply(connection: &mut TcpStream) -> io::Result<Reply> {
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let (line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Reply { status, headers: headers.to_owned(), body: body.to_owned() })
}

/// The body of a request to `/v0.4/traces`: each span is a map.
pub fn v04(traces: &[Vec<Span>]) -> Vec<u8> {
    let trace = |spans: &Vec<Span>| Value::List(spans.iter().map(span_map).collect());
    encode(&Value::List(traces.iter().map(trace).collect()))
}

fn span_map(span: &Span) -> Value {
    let texts = |tags: &BTreeMap<String, String>| {
        Value::Map(tags.iter().map(|(key, value)| (text(key), text(value))).collect())
    };
    map([
        ("service", text(&span.service)),
        ("name", text(&span.name)),
        ("resource", text(&span.resource)),
        ("type", text(&span.kind)),
        ("trace_id", Value::Integer(span.trace_id.into())),
        ("span_id", Value::Integer(span.span_id.into())),
        ("parent_id", Value::Integer(span.parent_id.into())),
        ("start", Value::Integer(span.start.into())),
        ("duration", Value::Integer(span.duration.into())),
        ("error", Value::Integer(span.error.into())),
        ("meta", texts(&span.meta)),
        ("metrics", Value::Map(span.metrics.iter().map(|(key, value)| (text(key), Value::Float(*value))).collect())),
    ])
}

/// The body of a request to `/v0.5/traces`: texts stand in a table, and each span is a list of twelve.
pub fn v05(traces: &[Vec<Span>]) -> Vec<u8> {
    let mut table = Table::default();
    let traces = traces.iter().map(|spans| Value::List(spans.iter().map(|span| table.span(span)).collect())).collect();
    encode(&Value::List(vec![Value::List(table.texts), Value::List(traces)]))
}

#[derive(Default)]
struct Table {
    texts: Vec<Value>,
    known: BTreeMap<String, i128>,
}

impl Table {
    fn index(&mut self, content: &str) -> Value {
        let next = i128::try_from(self.texts.len()).unwrap_or(i128::MAX);
        let index = *self.known.entry(content.to_owned()).or_insert(next);
        if index == next {
            self.texts.push(text(content));
        }
        Value::Integer(index)
    }

    fn span(&mut self, span: &Span) -> Value {
        let meta = span.meta.iter().map(|(key, value)| (self.index(key), self.index(value))).collect();
        let metrics = span.metrics.iter().map(|(key, value)| (self.index(key), Value::Float(*value))).collect();
        Value::List(vec![
            self.index(&span.service),
            self.index(&span.name),
            self.index(&span.resource),
            Value::Integer(span.trace_id.into()),
            Value::Integer(span.span_id.into()),
            Value::Integer(span.parent_id.into()),
            Value::Integer(span.start.into()),
            Value::Integer(span.duration.into()),
            Value::Integer(span.error.into()),
            Value::Map(meta),
            Value::Map(metrics),
            self.index(&span.kind),
        ])
    }
}

/// The body of a request to `/v0.6/stats`. Sketches are left empty.
pub fn stats(client: &ClientStats) -> Vec<u8> {
    let buckets = client.buckets.iter().map(|bucket| {
        map([
            ("Start", Value::Integer(bucket.start.into())),
            ("Duration", Value::Integer(bucket.duration.into())),
            ("Stats", Value::List(bucket.groups.iter().map(group).collect())),
        ])
    });
    encode(&map([
        ("Hostname", text(&client.hostname)),
        ("Env", text(&client.env)),
        ("Version", text(&client.version)),
        ("Lang", text(&client.lang)),
        ("TracerVersion", text(&client.tracer_version)),
        ("RuntimeID", text(&client.runtime_id)),
        ("Sequence", Value::Integer(client.sequence.into())),
        ("Service", text(&client.service)),
        ("Stats", Value::List(buckets.collect())),
    ]))
}

fn group(group: &StatsGroup) -> Value {
    map([
        ("Service", text(&group.service)),
        ("Name", text(&group.name)),
        ("Resource", text(&group.resource)),
        ("Type", text(&group.kind)),
        ("SpanKind", text(&group.span_kind)),
        ("HTTPStatusCode", Value::Integer(group.http_status.into())),
        ("Hits", Value::Integer(group.hits.into())),
        ("Errors", Value::Integer(group.errors.into())),
        ("TopLevelHits", Value::Integer(group.top_level_hits.into())),
        ("Duration", Value::Integer(group.duration.into())),
        ("OkSummary", Value::Bytes(Vec::new())),
        ("ErrorSummary", Value::Bytes(Vec::new())),
        ("PeerTags", Value::List(group.peer_tags.iter().map(|tag| text(tag)).collect())),
        ("Synthetics", Value::Bool(group.synthetics)),
    ])
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn map<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Map(fields.into_iter().map(|(key, value)| (text(key), value)).collect())
}
