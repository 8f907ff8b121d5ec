use super::*;
use crate::process::dogstatsd::read;

const NOW: i64 = 1_000_009;

fn gathered(lines: &str) -> Contexts {
    let mut contexts = Contexts::default();
    read(lines.as_bytes(), NOW, None, |metric| contexts.push(metric));
    contexts
}

fn told<T>(contexts: &[Context<T>], value: impl Fn(&T) -> String) -> Vec<String> {
    let one = |context: &Context<T>| {
        let tags = context.tags().collect::<Vec<_>>().join(",");
        let buckets: Vec<_> =
            context.buckets.iter().map(|bucket| format!("{}@{}", value(&bucket.value), bucket.second)).collect();
        format!("{} [{tags}] {}", context.name(), buckets.join(" "))
    };
    contexts.iter().map(one).collect()
}

fn numbers(contexts: &[Context<f64>]) -> Vec<String> {
    told(contexts, f64::to_string)
}

#[test]
fn counts_add_up_by_name_tags_and_bucket() {
    let lines =
        "a:1|c|#x:1,y:2\na:2:3|c|#y:2,x:1\na:1|c|@0.5\na:7|c|T1000000\na:9|c|T999999.2|#x:1,y:2\nb:1|c|#x:1,y:2";
    let drained = gathered(lines).drain();
    assert_eq!(numbers(&drained.counts), ["a [] 9@1000000", "a [x:1,y:2] 9@999990 6@1000000", "b [x:1,y:2] 1@1000000"]);
    assert!(drained.gauges.is_empty() && drained.distributions.is_empty());
}

#[test]
fn gauges_keep_the_last_state_and_sets_count_members_once() {
    let drained = gathered("g:1|g\ng:5:3|g\ns:x|s\ns:y|s\ns:x|s\nt:1:2|s\nt:1|s").drain();
    assert_eq!(numbers(&drained.gauges), ["g [] 3@1000000", "s [] 2@1000000", "t [] 2@1000000"]);
}

#[test]
fn distributions_histograms_and_timings_are_one() {
    let drained = gathered("d:1:2|d\nd:3|h|@0.5\nd:4|ms").drain();
    let sketch = |sketch: &Sketch| format!("n={} sum={} max={}", sketch.count(), sketch.sum(), sketch.max());
    assert_eq!(told(&drained.distributions, sketch), ["d [] n=5 sum=13 max=4@1000000"]);
}

#[test]
fn types_of_one_name_do_not_mix() {
    let drained = gathered("a:1|c\na:2|g\na:3|d\na:4|s").drain();
    assert_eq!(numbers(&drained.counts), ["a [] 1@1000000"]);
    assert_eq!(numbers(&drained.gauges), ["a [] 2@1000000", "a [] 1@1000000"]);
    assert_eq!(drained.distributions[0].buckets[0].value.count(), 1);
}

#[test]
fn a_drain_leaves_nothing_behind() {
    let mut contexts = gathered("a:1|c\nb:1|g\nc:1|s\nd:1|d");
    assert!(!contexts.drain().is_empty());
    assert!(contexts.drain().is_empty());
    assert_eq!(contexts.room.bytes, 0);
}

#[test]
fn new_entries_are_refused_when_full_and_known_ones_are_not() {
    let lines = (0..=MAX_BUCKETS).map(|number| format!("a:1|c|#n:{number}")).collect::<Vec<_>>().join("\n");
    let mut contexts = gathered(&lines);
    assert_eq!(contexts.take_refused(), 1);
    read(b"a:1|c|#n:0\na:1:2|d\nb:1|g", NOW, None, |metric| contexts.push(metric));
    assert_eq!(contexts.take_refused(), 3);
    let drained = contexts.drain();
    assert_eq!(drained.counts.len(), MAX_BUCKETS);
    let sum: f64 = drained.counts.iter().map(|context| context.buckets[0].value).sum();
    assert!((sum - (MAX_BUCKETS + 1) as f64).abs() < f64::EPSILON);
    read(b"b:1|g", NOW, None, |metric| contexts.push(metric));
    assert_eq!(contexts.take_refused(), 0, "a drain makes room");
}

#[test]
fn neither_sets_nor_distributions_nor_texts_grow_without_bound() {
    let set = (0..600_000).map(|number| format!("s:{number}|s")).collect::<Vec<_>>().join("\n");
    let mut contexts = gathered(&set);
    let members = contexts.sets.values().next().unwrap()[0].value.len();
    assert!(members * ELEMENT_BYTES <= MAX_BYTES && members * ELEMENT_BYTES > MAX_BYTES / 2);
    assert_eq!(members as u64 + contexts.take_refused(), 600_000);

    let text = "x".repeat(8000);
    let long = (0..2000).map(|number| format!("{text}{number}:1|c")).collect::<Vec<_>>().join("\n");
    let mut contexts = gathered(&long);
    let kept: usize = contexts.counts.keys().map(|text| text.len()).sum();
    assert!(kept <= MAX_BYTES && contexts.take_refused() > 500);

    let mut contexts = Contexts::default();
    for number in 0..600 {
        let wide = (1..1000).map(|step| format!("{}", 1.02_f64.powi(step))).collect::<Vec<_>>().join(":");
        read(format!("d{number}:{wide}|d").as_bytes(), NOW, None, |metric| contexts.push(metric));
    }
    assert!(contexts.distributions.values().all(|all| all[0].value.count() > 0));
    let bins: usize = contexts.distributions.values().map(|all| all[0].value.bins().count()).sum();
    assert!(bins * ELEMENT_BYTES <= MAX_BYTES);
    let counted: u64 = contexts.distributions.values().map(|all| all[0].value.count()).sum();
    assert_eq!(counted + contexts.take_refused(), 600 * 999);
}
