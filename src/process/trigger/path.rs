//! Paths of requests as routes: segments that look like ids become parameters, so that a resource stands for many requests.

/// The shape of a UUID: hexadecimal digits in groups of these lengths.
const UUID: [usize; 5] = [8, 4, 4, 4, 12];
const UUID_BYTES: usize = 36;
const ULID_BYTES: usize = 26;

/// The path with `{user_id}` in place of the id in `/users/12345`. A path that has parameters already stays as it is; empty segments vanish.
pub(super) fn parameterize(path: &str) -> String {
    if path.contains('{') && path.contains('}') {
        return path.to_owned();
    }
    let mut route = String::with_capacity(path.len() + 16);
    let mut before: Option<&str> = None;
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        route.push('/');
        if is_id(segment) {
            // An id after an id would otherwise be a name.
            match before.map(|name| name.trim_end_matches('s')).filter(|name| !matches!(*name, "" | "id")) {
                Some(name) => route.push_str(&format!("{{{name}_id}}")),
                None => route.push_str("{id}"),
            }
            before = None;
        } else {
            route.push_str(segment);
            before = Some(segment);
        }
    }
    if route.is_empty() { "/".to_owned() } else { route }
}

fn is_id(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    bytes.iter().all(u8::is_ascii_digit)
        || bytes.windows(UUID_BYTES).any(is_uuid)
        || bytes.windows(ULID_BYTES).any(is_ulid)
}

fn is_uuid(bytes: &[u8]) -> bool {
    let mut groups = bytes.split(|byte| *byte == b'-');
    let is_group = |length: &usize| {
        groups.next().is_some_and(|group| group.len() == *length && group.iter().all(u8::is_ascii_hexdigit))
    };
    UUID.iter().all(is_group)
}

/// Crockford's alphabet is digits and upper-case letters without I, L, O and U.
fn is_ulid(bytes: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_digit() || (byte.is_ascii_uppercase() && !b"ILOU".contains(byte));
    bytes.iter().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_parameters_that_are_named_after_what_they_identify() {
        let uuid = "9f1b7c1e-0a2b-4c3d-8e4f-5a6b7c8d9e0f";
        for (path, route) in [
            ("/users/12345/friends/67890", "/users/{user_id}/friends/{friend_id}"),
            (&format!("/orders/{uuid}"), "/orders/{order_id}"),
            (&format!("/orders/x-{uuid}.json"), "/orders/{order_id}"),
            ("/carts/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/carts/{cart_id}"),
            ("/12345", "/{id}"),
            ("/id/7", "/id/{id}"),
            ("/s/7", "/s/{id}"),
            ("/users/1/2", "/users/{user_id}/{id}"),
            ("/users/{name}/7", "/users/{name}/7"),
            ("//a///b7/", "/a/b7"),
            ("/", "/"),
            ("", "/"),
            ("/class/7", "/class/{cla_id}"),
            ("/v1/größe/7", "/v1/größe/{größe_id}"),
        ] {
            assert_eq!(parameterize(path), route, "{path}");
        }
    }
}
