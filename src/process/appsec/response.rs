//! What the response of a function gives to the WAF.

use waf_protocol::Value;

use super::{
    Addresses, Fields, Headers, add, body, headers, last,
    limits::{self, Budget},
    list_map,
    request::Shape,
};

/// Headers that become tags whatever is found.
const REPORTED: [&str; 4] = ["content-length", "content-type", "content-encoding", "content-language"];

/// A response.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HttpResponse {
    pub addresses: Addresses,
    /// 0 if the response names none.
    pub status: u16,
    pub(super) headers: Headers,
}

impl HttpResponse {
    /// Reads what the handler has returned for a request of this shape. Never fails: from what is no response nothing is learnt.
    pub fn parse(shape: Shape, text: &str) -> Self {
        let mut response = Self::default();
        let addresses = &mut response.addresses;
        if shape == Shape::WebSocket {
            add(addresses, "server.response.body", limits::json_or_text(text.as_bytes(), &mut Budget::default()));
            return response;
        }
        let top = Fields::of(text);
        response.status = top.raw("statusCode").and_then(|status| status.trim_matches('"').parse().ok()).unwrap_or(0);
        let several = headers(top.raw("multiValueHeaders"));
        response.headers = if several.is_empty() { headers(top.raw("headers")) } else { several };
        addresses.push((b"server.response.status".to_vec(), Value::Unsigned(response.status.into())));
        add(addresses, "server.response.headers.no_cookies", Some(list_map(&response.headers, &["set-cookie"])));
        let bytes = top.string("body").and_then(|text| body::decode(text, top.is_true("isBase64Encoded")));
        let parsed = bytes.and_then(|bytes| body::parse(last(&response.headers, "content-type"), &bytes));
        add(addresses, "server.response.body", parsed);
        response
    }

    /// Tags of headers that are reported.
    pub(super) fn header_tags(&self) -> impl Iterator<Item = (String, String)> {
        let reported = self.headers.iter().filter(|(name, _)| REPORTED.contains(&name.as_str()));
        reported.map(|(name, values)| (format!("http.response.headers.{name}"), values.join(",")))
    }
}
