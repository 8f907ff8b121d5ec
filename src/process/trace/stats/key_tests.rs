use super::*;
use crate::{
    config::Config,
    platform::environment::Environment,
    process::{
        tags::FunctionTags,
        trace::{stats::groups::Groups, tags::common_tags},
    },
};

fn common(keys: &Keys) -> CommonTags {
    common_tags(&FunctionTags::collect(&Environment::read(|_| None), None, &Config::default()), |key| keys.uses(key))
}

fn span(tags: &[(&'static str, &'static str)]) -> Span<'static> {
    let meta = tags.iter().map(|(key, value)| (*key, (*value).into())).collect();
    let (service, name, resource) = ("svc".into(), "op".into(), "res".into());
    Span { span_id: 2, parent_id: 1, service, name, resource, kind: "web".into(), meta, ..Span::default() }
}

fn with_key<T>(span: &Span<'_>, keys: &Keys, see: impl FnOnce(Key<'_>) -> T) -> T {
    let common = common(keys);
    see(Key::of(span, &KeyTags::of(span, &common), &common, keys))
}

fn peers(tags: &[(&'static str, &'static str)]) -> Vec<String> {
    let owned = |key: Key<'_>| key.peer_tags.iter().map(|tag| tag.clone().into_owned()).collect();
    with_key(&span(tags), &Keys::default(), owned)
}

#[test]
fn a_key_survives_being_written() {
    let mut span = span(&[
        ("span.kind", "client"),
        ("http.method", "GET"),
        ("http.route", "/r"),
        ("http.endpoint", "/e"),
        ("http.status_code", "404"),
        ("_dd.svc_src", "src"),
        ("grpc.code", "NOT_FOUND"),
        ("out.host", "db"),
        ("region2", "x"),
    ]);
    span.parent_id = 0;
    let keys = Keys::new(&["region2".to_owned(), "missing".to_owned()]);
    with_key(&span, &keys, |key| {
        let mut bytes = Writer::default();
        key.write(&mut bytes);
        assert_eq!(Key::read(bytes.as_bytes()), Ok(key.clone()));
        assert_eq!([&key.service, &key.name, &key.resource, &key.kind], ["svc", "op", "res", "web"]);
        assert_eq!(
            [&key.span_kind, &key.http_method, &key.http_endpoint, &key.service_source],
            ["client", "GET", "/e", "src"]
        );
        assert_eq!((key.http_status, key.grpc_status, key.is_root), (404, Some(5), IsRoot::Yes));
        assert_eq!(
            (&*key.peer_tags[0], &*key.additional_tags[0], key.additional_tags.len()),
            ("out.host:db", "region2:x", 1)
        );
    });
}

#[test]
fn statuses_are_found_wherever_tracers_put_them() {
    let status = |tags: &[(&'static str, &'static str)], metrics: &[(&'static str, f64)]| {
        let mut span = span(tags);
        span.metrics = metrics.iter().copied().collect();
        with_key(&span, &Keys::default(), |key| (key.http_status, key.grpc_status))
    };
    assert_eq!(status(&[("http.status_code", "500")], &[]), (500, None));
    assert_eq!(status(&[("http.status_code", "500")], &[("http.status_code", 200.0)]), (200, None));
    assert_eq!(status(&[("http.status_code", "x")], &[]), (0, None));
    assert_eq!(status(&[("grpc.status.code", "StatusCode.data_loss")], &[]), (0, Some(15)));
    assert_eq!(status(&[("grpc.code", "nonsense"), ("grpc.status.code", "3")], &[]), (0, Some(3)));
    assert_eq!(status(&[], &[("rpc.grpc.status_code", 2.0)]), (0, Some(2)));
    assert_eq!(status(&[], &[("rpc.grpc.status_code", 2.5), ("grpc.code", 300.0)]), (0, None));
    assert_eq!(status(&[("http.route", "/r")], &[]), (0, None));
}

#[test]
fn only_outgoing_spans_have_peer_tags() {
    let tags =
        [("peer.service", "p"), ("db.instance", "i"), ("out.host", "10.0.0.1"), ("_dd.base_service", "b"), ("x", "y")];
    for kind in ["client", "Producer", "CONSUMER"] {
        let all = [&[("span.kind", kind)][..], &tags].concat();
        let expected = ["_dd.base_service:b", "db.instance:i", "out.host:blocked-ip-address", "peer.service:p"];
        assert_eq!(peers(&all), expected, "{kind}");
    }
    for kind in ["server", "internal", ""] {
        let all = [&[("span.kind", kind)][..], &tags].concat();
        assert_eq!(peers(&all), ["_dd.base_service:b"], "{kind}");
    }
    assert!(peers(&[("span.kind", "server"), ("peer.service", "p")]).is_empty());
}

#[test]
fn spans_that_say_something_about_a_service_are_counted() {
    let counted = |tags: &[(&'static str, &'static str)], metrics: &[(&'static str, f64)]| {
        let mut span = span(tags);
        span.metrics = metrics.iter().copied().collect();
        let mut groups = Groups::new(0);
        groups.add(&span, &common(&Keys::default()), &Keys::default());
        groups.hits() == 1
    };
    assert!(!counted(&[], &[]));
    assert!(counted(&[], &[("_top_level", 1.0)]) && counted(&[], &[("_dd.top_level", 1.0)]));
    assert!(counted(&[], &[("_dd.measured", 1.0)]) && !counted(&[], &[("_dd.measured", 0.0)]));
    for kind in ["client", "CONSUMER", "Producer", "server"] {
        assert!(counted(&[("span.kind", kind)], &[]), "{kind}");
        assert!(!counted(&[("span.kind", kind)], &[("_dd.partial_version", 1.0)]), "it is sent again when it ends");
    }
    assert!(!counted(&[("span.kind", "internal")], &[]));
    assert!(counted(&[], &[("_top_level", 1.0), ("_dd.partial_version", -1.0)]));
}

#[test]
fn additional_tags_are_few_and_distinct() {
    let many: Vec<String> = (0..40).map(|number| format!("k{}", number / 2)).chain([String::new()]).collect();
    assert_eq!(Keys::new(&many).additional.len(), MAX_ADDITIONAL_TAGS);
    assert!(Keys::new(&many).uses("k3") && !Keys::new(&[]).uses("k3") && Keys::new(&[]).uses("span.kind"));
}

#[test]
fn times_of_spans_make_a_bounded_number_of_buckets() {
    let mut groups = Groups::new(1_700_000_000_000_000_000);
    for index in -5000..5000 {
        let mut span = span(&[("span.kind", "server")]);
        span.start = 1_700_000_000_000_000_000 + index * 60_000_000_000;
        groups.add(&span, &common(&Keys::default()), &Keys::default());
    }
    assert_eq!((groups.hits(), groups.buckets.len()), (10_000, 61), "one a minute for an hour");
    groups.add(
        &Span { start: i64::MIN, ..span(&[("span.kind", "server")]) },
        &common(&Keys::default()),
        &Keys::default(),
    );
}
