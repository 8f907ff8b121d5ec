//! URLs in `http.url`: never with a user's name and password, and on request without the query and the segments that hold digits.
//!
//! What is left is written as the full agent does, which parses a URL and puts it together again: the scheme in lower case, characters that no URL may hold escaped,
//! needless escapes undone, an empty fragment left out.

use std::fmt::Write as _;

use super::Obfuscation;

/// What stands for a URL that can't be parsed where parts of it were to be removed, and for the parts that are.
const REMOVED: &str = "?";

/// The parts of a URL, each with what separates it from the one before.
struct Components<'u> {
    /// With its colon.
    scheme: &'u str,
    /// Without its slashes.
    authority: Option<&'u str>,
    path: &'u str,
    /// With its question mark.
    query: &'u str,
    /// Without its hash sign.
    fragment: &'u str,
}

/// The URL as it may be sent; None if it may as it is.
pub(super) fn clean(url: &str, settings: &Obfuscation) -> Option<String> {
    let removes = settings.http_remove_query_string || settings.http_remove_paths_with_digits;
    if !removes && is_plain(url) {
        return None;
    }
    let parts = Components::of(url);
    let cleaned = if parts.is_valid() {
        parts.join(settings)
    } else if removes && !url.is_empty() {
        REMOVED.to_owned()
    } else {
        parts.without_user(url)
    };
    (cleaned != url).then_some(cleaned)
}

/// Whether a URL has nothing that could be changed: most are seen through at one look.
fn is_plain(url: &str) -> bool {
    let path = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    path.unwrap_or(url).bytes().all(|byte| PLAIN.get(usize::from(byte)) == Some(&true))
}

/// The bytes that stay as they are wherever they stand.
static PLAIN: [bool; 256] = plain_bytes();

#[expect(clippy::indexing_slicing, reason = "a byte is an index of 256 elements, and a constant is made of them")]
const fn plain_bytes() -> [bool; 256] {
    let mut plain = [false; 256];
    let mut byte = 0_u8;
    while byte < u8::MAX {
        plain[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'/' | b'.' | b'-' | b'_' | b'~' | b'=' | b'&' | b'?' | b',' | b';' | b'+');
        byte += 1;
    }
    plain
}

impl<'u> Components<'u> {
    fn of(url: &'u str) -> Self {
        let (url, fragment) = url.split_once('#').unwrap_or((url, ""));
        let (url, query) = url.split_at(url.find('?').unwrap_or(url.len()));
        let (scheme, rest) = url.split_at(scheme_length(url));
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (Some(authority), path)
            }
            None => (None, rest),
        };
        Self { scheme, authority, path, query, fragment }
    }

    /// Host and port, without a user.
    fn host(&self) -> &'u str {
        let authority = self.authority.unwrap_or_default();
        authority.rsplit_once('@').map_or(authority, |(_, host)| host)
    }

    /// A URL that is not valid, without its user's name and password. Nothing is known about its parts but that these would end at an at sign. Where no host stands
    /// before the first slash, question mark or hash sign, that sign may be one of the password's, which ends at the last at sign then; a placeholder for a host is none of
    /// a user.
    fn without_user(&self, url: &str) -> String {
        let slashes = if self.authority.is_some() { "//" } else { "" };
        let may_be_user = self.authority.is_some_and(|authority| !authority.starts_with(['{', '<', '$', ':']));
        let after_user = url.rsplit_once('@').filter(|_| may_be_user && !is_valid_host(self.host()));
        if let Some((_, rest)) = after_user {
            return [self.scheme, slashes, rest].concat();
        }
        let hash = if url.contains('#') { "#" } else { "" };
        [self.scheme, slashes, self.host(), self.path, self.query, hash, self.fragment].concat()
    }

    fn is_valid(&self) -> bool {
        let authority = self.authority.unwrap_or_default();
        let is_control = |byte: u8| byte < 0x20 || byte == 0x7f;
        let has_control =
            [self.scheme, authority, self.path, self.query].iter().any(|part| part.bytes().any(is_control));
        let is_relative = self.scheme.is_empty() && self.authority.is_none();
        // A first segment with a colon would read as a scheme.
        let is_ambiguous = is_relative && self.path.split('/').next().is_some_and(|segment| segment.contains(':'));
        let has_bracket = |part: &str| !needs_escapes(part) && part.contains(['[', ']']);
        let has_bracket = has_bracket(self.path) || (self.fragment.is_ascii() && self.fragment.contains(['[', ']']));
        !has_control
            && !is_ambiguous
            && !has_bracket
            && is_valid_host(self.host())
            && [authority, self.path, self.fragment].iter().all(|part| has_valid_escapes(part))
    }

    fn join(&self, settings: &Obfuscation) -> String {
        let mut joined = self.scheme.to_ascii_lowercase();
        if self.authority.is_some() {
            joined.push_str("//");
            escape(&mut joined, self.host(), &[]);
        }
        if self.authority.is_some() || self.scheme.is_empty() {
            self.join_path(&mut joined, settings.http_remove_paths_with_digits);
        } else {
            // `mailto:` and its like have nothing of what is looked for.
            joined.push_str(self.path);
        }
        if settings.http_remove_query_string && !self.query.is_empty() {
            joined.push_str(REMOVED);
        } else {
            joined.push_str(self.query);
        }
        if !self.fragment.is_empty() {
            joined.push('#');
            let more: &[char] = if self.fragment.is_ascii() { &[] } else { &['\'', '[', ']'] };
            escape(&mut joined, self.fragment, more);
        }
        joined
    }

    fn join_path(&self, joined: &mut String, remove_digits: bool) {
        let more: &[char] = if needs_escapes(self.path) || self.authority.is_some_and(needs_escapes) {
            &['!', '\'', '(', ')', '*', '[', ']']
        } else {
            &[]
        };
        for (index, segment) in self.path.split('/').enumerate() {
            if index > 0 {
                joined.push('/');
            }
            let start = joined.len();
            escape(joined, segment, more);
            let escaped = joined.split_off(start);
            let segment = without_needless_escapes(&escaped);
            joined.push_str(if remove_digits && has_digit(&segment) { REMOVED } else { &segment });
        }
    }
}

/// With its colon; 0 if there is none.
fn scheme_length(url: &str) -> usize {
    let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let length = url.bytes().take_while(|byte| is_scheme(byte)).count();
    let starts_well = url.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    if starts_well && url.as_bytes().get(length) == Some(&b':') { length + 1 } else { 0 }
}

/// A name or an address in brackets, with or without a port.
fn is_valid_host(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.split_once(']'));
    let address = address.map(|(address, after)| (address, after.strip_prefix(':').unwrap_or(after)));
    let (name, port) = address.or_else(|| host.split_once(':')).unwrap_or((host, ""));
    !name.contains(['[', ']']) && port.bytes().all(|byte| byte.is_ascii_digit())
}

fn has_valid_escapes(text: &str) -> bool {
    text.split('%')
        .skip(1)
        .all(|rest| rest.as_bytes().first_chunk::<2>().is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

/// Whether a text has characters that no part of a URL may hold.
fn needs_escapes(text: &str) -> bool {
    text.contains(is_forbidden)
}

fn is_forbidden(char: char) -> bool {
    !char.is_ascii()
        || char.is_ascii_control()
        || matches!(char, '\\' | '^' | '{' | '}' | '|' | '<' | '>' | '`' | ' ' | '"' | '#')
}

fn escape(out: &mut String, text: &str, more: &[char]) {
    for char in text.chars() {
        if is_forbidden(char) || more.contains(&char) {
            let mut bytes = [0; 4];
            for byte in char.encode_utf8(&mut bytes).bytes() {
                let _ = write!(out, "%{byte:02X}");
            }
        } else {
            out.push(char);
        }
    }
}

/// Letters, digits, dot, underscore and tilde need no escape.
fn without_needless_escapes(text: &str) -> String {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(byte) if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~') => {
                out.push(char::from(byte));
                out.push_str(part.get(2..).unwrap_or_default());
            }
            _ => {
                out.push('%');
                out.push_str(part);
            }
        }
    }
    out
}

/// Whether there is a digit that is not part of an escape.
fn has_digit(segment: &str) -> bool {
    let mut parts = segment.split('%');
    let has = |text: &str| text.bytes().any(|byte| byte.is_ascii_digit());
    parts.next().is_some_and(has) || parts.any(|part| part.get(2..).is_some_and(has))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(url: &str, query: bool, digits: bool) -> String {
        let settings = Obfuscation { http_remove_query_string: query, http_remove_paths_with_digits: digits };
        clean(url, &settings).unwrap_or_else(|| url.to_owned())
    }

    #[test]
    fn users_and_passwords_are_always_removed() {
        for (url, expected) in [
            ("http://user:pw@h.example/a/1?t=1#frag", "http://h.example/a/1?t=1#frag"),
            ("//user@h/", "//h/"),
            ("http://a:b@c:d@h:8080", "http://h:8080"),
            ("http://u:p@[::1]:80/x", "http://[::1]:80/x"),
            ("http://u:p@h/%zz", "http://h/%zz"),
            ("http://h/a@b", "http://h/a@b"),
            ("http://h/?m=a@b", "http://h/?m=a@b"),
            ("http://admin:pa#ss@es:9200/_search", "http://es:9200/_search"),
            ("http://admin:pa?ss@es:9200/_search", "http://es:9200/_search"),
            ("http://admin:pa/ss@es:9200/_search", "http://es:9200/_search"),
            ("//admin:p@ss:w#rd@es/", "//es/"),
            ("http://h:8080/#a@b", "http://h:8080/#a@b"),
            ("http://h:port/%zz#f", "http://h:port/%zz#f"),
            ("http://h/%zz?m=a@b", "http://h/%zz?m=a@b"),
            ("http://{host}:{port}/users?email=a@b", "http://{host}:{port}/users?email=a@b"),
            ("mailto:a@b c\u{1}", "mailto:a@b c\u{1}"),
        ] {
            assert_eq!(cleaned(url, false, false), expected, "{url}");
        }
        assert_eq!(cleaned("http://admin:pa#ss@es:9200/_search", true, false), "?");
    }

    #[test]
    fn a_usual_url_is_not_copied() {
        let settings = Obfuscation::default();
        for url in ["", "http://h.example/a/123/b?token=abc&x=1", "/path/1?q", "GET /x", "https://h:443/%2F#f"] {
            if url == "GET /x" {
                assert_eq!(clean(url, &settings).as_deref(), Some("GET%20/x"));
            } else {
                assert_eq!(clean(url, &settings), None, "{url}");
            }
        }
    }

    #[test]
    fn queries_are_removed_on_request() {
        for (url, expected) in [
            ("http://h/a?x=1&y=2#f1", "http://h/a?#f1"),
            ("http://h/a?", "http://h/a?"),
            ("http://h/a", "http://h/a"),
            ("http://h/%zz?secret", "?"),
            ("http://h/a\u{1}", "?"),
            ("mailto:someone?subject=x", "mailto:someone?"),
        ] {
            assert_eq!(cleaned(url, true, false), expected, "{url}");
        }
    }

    #[test]
    fn segments_with_digits_are_removed_on_request() {
        for (url, expected) in [
            ("http://h1:80/id/a1/page/1qwe?q=1#f-1", "http://h1:80/id/?/page/??q=1#f-1"),
            ("/a/%31/b%2Fc/%2F3", "/a/?/b%2Fc/?"),
            ("http://h/none/here", "http://h/none/here"),
            ("http://h:port/1", "?"),
            ("http://h:1:2/1", "?"),
            ("http://h[1/1", "?"),
            ("http://[::1]:80/1", "http://[::1]:80/?"),
        ] {
            assert_eq!(cleaned(url, false, true), expected, "{url}");
        }
    }

    #[test]
    fn urls_are_put_together_as_the_full_agent_does() {
        for (url, expected) in [
            ("HTTP://H/A", "http://H/A"),
            ("http://h/a b(c)", "http://h/a%20b%28c%29"),
            ("http://h/b(c)", "http://h/b(c)"),
            ("http://h/é", "http://h/%C3%A9"),
            ("http://h/%41%2d", "http://h/A%2d"),
            ("http://h/a#", "http://h/a"),
            ("http://h/a#b c", "http://h/a#b%20c"),
        ] {
            assert_eq!(cleaned(url, false, false), expected, "{url}");
        }
    }
}
