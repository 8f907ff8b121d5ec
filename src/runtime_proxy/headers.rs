//! Headers that are about one connection only, and are not passed on to the next.

use hyper::{HeaderMap, header};

/// Source: RFC 9110, section 7.6.1. `Transfer-Encoding` and `Trailer` stay: the HTTP library frames the body by them as it came.
const OF_ONE_CONNECTION: [&str; 7] =
    ["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "upgrade"];

/// Removes them, and those that `Connection` names.
pub fn clean(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        // They say how long the body is, whoever names them.
        .filter(|name| !["transfer-encoding", "content-length", "trailer", "host"].contains(&name.as_str()))
        .collect();
    for name in OF_ONE_CONNECTION.into_iter().chain(named.iter().map(String::as_str)) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn headers_of_the_connection_are_removed_and_all_others_stay() {
        let mut headers = HeaderMap::new();
        let of_connection =
            ["keep-alive", "upgrade", "te", "proxy-connection", "proxy-authenticate", "proxy-authorization", "x-hop"];
        let others = ["lambda-runtime-aws-request-id", "transfer-encoding", "trailer", "content-type", "host"];
        for name in of_connection.into_iter().chain(others) {
            headers.insert(name, HeaderValue::from_static("v"));
        }
        headers.append("connection", HeaderValue::from_static("close, X-Hop"));
        headers.append("connection", HeaderValue::from_static("Transfer-Encoding"));
        clean(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(hyper::header::HeaderName::as_str).collect();
        left.sort_unstable();
        let mut expected = others;
        expected.sort_unstable();
        assert_eq!(left, expected);
    }
}
