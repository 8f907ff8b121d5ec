use std::sync::Arc;

use prost::Message as _;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::*;
use crate::{
    aggregate::{Contexts, Sketch, points},
    config::{ApiKey, Config, Endpoint},
    process::dogstatsd::read,
};

#[path = "wire_tests.rs"]
mod wire;

fn distribution(second: i64) -> Distribution {
    let mut sketch = Sketch::default();
    sketch.insert(2.0);
    sketch.insert(4.0);
    let tags = Arc::from(["cold_start:true".to_owned(), "a:1".to_owned()]);
    Distribution { series: points::Series { name: "aws.lambda.enhanced.duration", tags, second }, sketch }
}

fn enhanced(seconds: std::ops::Range<i64>) -> MetricSnapshot {
    MetricSnapshot { enhanced: seconds.map(distribution).collect(), ..MetricSnapshot::default() }
}

fn custom(lines: &str) -> MetricSnapshot {
    let mut contexts = Contexts::default();
    read(lines.as_bytes(), 25, None, |metric| contexts.push(metric));
    MetricSnapshot { custom: contexts.drain(), ..MetricSnapshot::default() }
}

fn function_tags() -> [String; 3] {
    ["a:1", "b:2", "region:eu"].map(str::to_owned)
}

fn settings() -> Metrics {
    Config::default().metrics
}

fn sketches(drafts: &[UnsealedPayload]) -> Vec<wire::Sketch> {
    let of_kind = drafts.iter().filter(|draft| draft.kind == Kind::Sketches);
    of_kind.flat_map(|draft| wire::SketchPayload::decode(&draft.body[..]).unwrap().sketches).collect()
}

fn series(drafts: &[UnsealedPayload]) -> Vec<wire::MetricSeries> {
    let of_kind = drafts.iter().filter(|draft| draft.kind == Kind::Series);
    of_kind.flat_map(|draft| wire::MetricPayload::decode(&draft.body[..]).unwrap().series).collect()
}

#[test]
fn an_entry_carries_both_kinds_of_tags_and_the_whole_sketch() {
    let decoded = sketches(&unsealed(&enhanced(10..11), &function_tags(), &settings()));
    let sketch = &decoded[0];
    assert_eq!(sketch.metric, "aws.lambda.enhanced.duration");
    assert_eq!(sketch.tags, ["a:1", "b:2", "cold_start:true", "region:eu"]);
    let dogsketch = &sketch.dogsketches[0];
    assert_eq!((dogsketch.ts, dogsketch.cnt), (10, 2));
    assert_eq!((dogsketch.min, dogsketch.max, dogsketch.avg, dogsketch.sum), (2.0, 4.0, 3.0, 6.0));
    assert_eq!((&dogsketch.k[..], &dogsketch.n[..]), (&[1383, 1427][..], &[1, 1][..]));
}

#[test]
fn the_functions_tags_are_there_however_many_they_are() {
    let many: Vec<String> = (0..150).map(|number| format!("tag{number:03}:x")).collect();
    for tags in [
        &sketches(&unsealed(&enhanced(10..11), &many, &settings()))[0].tags,
        &series(&unsealed(&custom("c:2|c"), &many, &settings()))[0].tags,
    ] {
        assert!(many.iter().all(|tag| tags.contains(tag)), "{} of {}", tags.len(), many.len());
    }
}

#[test]
fn counts_and_gauges_have_the_types_of_the_api() {
    let measured = custom("c:2|c|#own:x\nc:1|c|T3|#own:x\ng:7|g\nd:1|d");
    let decoded = series(&unsealed(&measured, &function_tags(), &settings()));
    let [count, gauge] = &decoded[..] else { panic!("{decoded:?}") };
    assert_eq!((count.metric.as_str(), count.kind, count.interval), ("c", 1, 10));
    assert_eq!(count.tags, ["a:1", "b:2", "own:x", "region:eu"]);
    let points: Vec<_> = count.points.iter().map(|point| (point.timestamp, point.value)).collect();
    assert_eq!(points, [(0, 1.0), (20, 2.0)]);
    assert_eq!((gauge.metric.as_str(), gauge.kind, gauge.interval), ("g", 3, 0));
    assert_eq!(gauge.tags, function_tags());
    let origin = gauge.metadata.as_ref().unwrap().origin.as_ref().unwrap();
    assert_eq!((origin.product, origin.category, origin.service), (1, 38, 472));
}

#[test]
fn excluded_tags_are_left_out_of_the_customers_metrics_only() {
    let mut measured = custom("c:1|c|#region:mine\nd:1|d");
    measured.enhanced.push(distribution(10));
    let settings = Metrics { excluded_tags: vec!["region".to_owned(), "b".to_owned()], ..settings() };
    let drafts = unsealed(&measured, &function_tags(), &settings);
    assert_eq!(series(&drafts)[0].tags, ["a:1", "region:mine"]);
    let tags: Vec<_> = sketches(&drafts).into_iter().map(|sketch| sketch.tags.join(" ")).collect();
    assert_eq!(tags, ["a:1 b:2 cold_start:true region:eu", "a:1"]);
}

#[test]
fn a_resource_is_no_tag() {
    let measured = custom("c:1|c|#dd.internal.resource:database_instance:orders:1,x:y");
    let entry = &series(&unsealed(&measured, &[], &settings()))[0];
    assert_eq!(entry.tags, ["x:y"]);
    let resource = &entry.resources[0];
    assert_eq!((resource.kind.as_str(), resource.name.as_str()), ("database_instance", "orders:1"));
}

#[test]
fn payloads_hold_at_most_a_thousand_entries_without_loss() {
    let all = unsealed(&enhanced(0..2001), &[], &settings());
    assert_eq!(all.iter().map(|draft| draft.items).collect::<Vec<_>>(), [1000, 1000, 1]);
    let seconds: Vec<_> = sketches(&all).iter().map(|sketch| sketch.dogsketches[0].ts).collect();
    assert_eq!(seconds, (0..2001).collect::<Vec<_>>());

    let lines: Vec<_> = (0..2500).map(|number| format!("m{number}:1|c")).collect();
    let all = unsealed(&custom(&lines.join("\n")), &[], &settings());
    assert_eq!(all.iter().map(|draft| draft.items).collect::<Vec<_>>(), [1000, 1000, 500]);
    assert_eq!(series(&all).len(), 2500);
}

#[test]
fn requests_stay_within_their_bytes() {
    let tag = "t".repeat(8000);
    for (kind, max_bytes) in [("c", 5 << 20), ("d", 5 << 20)] {
        let lines: Vec<_> = (0..900).map(|number| format!("m{number}:1|{kind}|#{tag}")).collect();
        let all = unsealed(&custom(&lines.join("\n")), &[], &settings());
        assert_eq!(all.len(), 2);
        assert!(all.iter().all(|draft| draft.body.len() <= max_bytes));
        assert!(all[0].body.len() > max_bytes - 9000, "as full as it can be");
        assert_eq!(series(&all).len() + sketches(&all).len(), 900);
    }
}

#[test]
fn requests_of_entries_of_mixed_sizes_stay_within_both_bounds_and_none_is_lost() {
    let mut random = StdRng::seed_from_u64(12);
    let settings = settings();
    for longest in [20, 2_000, 200_000] {
        let max_bytes = 100_000;
        let mut requests = batches(max_bytes);
        let names: Vec<_> = (0..3_000).map(|_| "m".repeat(random.random_range(1..longest))).collect();
        for metric in &names {
            push(&mut requests, &series::Entry { metric: metric.clone(), ..series::Entry::default() });
        }
        let all = payloads(Kind::Series, requests, &settings);
        for draft in &all {
            assert!(draft.items <= 1000 && (draft.body.len() <= max_bytes || draft.items == 1));
        }
        assert!(series(&all).into_iter().map(|series| series.metric).eq(names));
    }
}

#[test]
fn an_entry_that_is_too_large_goes_alone() {
    let settings = settings();
    let mut requests = batches(10);
    for metric in ["a", "far longer than ten bytes", "b"] {
        push(&mut requests, &series::Entry { metric: metric.to_owned(), ..series::Entry::default() });
    }
    let all = payloads(Kind::Series, requests, &settings);
    assert_eq!(all.iter().map(|draft| draft.items).collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(series(&all).len(), 3);
}

#[test]
fn a_request_may_be_as_long_as_the_bound_and_no_longer() {
    let (settings, entry) = (settings(), series::Entry { metric: "a".to_owned(), ..series::Entry::default() });
    let drafts_within = |max_bytes: usize| {
        let mut requests = batches(max_bytes);
        push(&mut requests, &entry);
        push(&mut requests, &entry);
        payloads(Kind::Series, requests, &settings)
    };
    let both = drafts_within(1000)[0].body.len();
    assert_eq!((drafts_within(both).len(), drafts_within(both - 1).len()), (1, 2));
}

#[test]
fn every_draft_goes_to_the_additional_endpoints_too() {
    let endpoint = Endpoint { url: "https://a.example".to_owned(), api_key: ApiKey::clean("key").unwrap() };
    let settings = Metrics { additional_endpoints: vec![Arc::new(endpoint)], ..settings() };
    let all = unsealed(&custom("c:1|c\nd:1|d"), &[], &settings);
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|draft| draft.to == Target::all(&settings.additional_endpoints)));
}

#[test]
fn nothing_makes_no_payload() {
    assert!(unsealed(&MetricSnapshot::default(), &function_tags(), &settings()).is_empty());
}
