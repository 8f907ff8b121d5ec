use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::*;
use crate::{aggregate::capacity::ENTRY_BYTES, process::dogstatsd::read};

const NOW: i64 = 1_000_009;

fn gathered(lines: &str) -> Contexts {
    let mut contexts = Contexts::default();
    read(lines.as_bytes(), NOW, None, |metric| contexts.push(metric));
    contexts
}

fn described<T>(contexts: &[Context<T>], value: impl Fn(&T) -> String) -> Vec<String> {
    let one = |context: &Context<T>| {
        let tags = context.tags().collect::<Vec<_>>().join(",");
        let buckets: Vec<_> =
            context.buckets.iter().map(|bucket| format!("{}@{}", value(&bucket.value), bucket.second)).collect();
        format!("{} [{tags}] {}", context.name(), buckets.join(" "))
    };
    contexts.iter().map(one).collect()
}

fn numbers(contexts: &[Context<f64>]) -> Vec<String> {
    described(contexts, f64::to_string)
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
fn a_sum_that_would_be_no_number_is_left_as_it_was() {
    let mut contexts = gathered("a:1.5e308|c\na:1.5e308|c\na:-1e308|c");
    assert_eq!(contexts.take_dropped(), 1);
    assert_eq!(numbers(&contexts.drain().counts), [format!("a [] {}@1000000", 0.5e308)]);
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
    assert_eq!(described(&drained.distributions, sketch), ["d [] n=5 sum=13 max=4@1000000"]);
}

#[test]
fn types_of_one_name_do_not_mix() {
    let drained = gathered("a:1|c\na:2|g\na:3|d\na:4|s").drain();
    assert_eq!(numbers(&drained.counts), ["a [] 1@1000000"]);
    assert_eq!(numbers(&drained.gauges), ["a [] 2@1000000", "a [] 1@1000000"]);
    assert_eq!(drained.distributions[0].buckets[0].value.count(), 1);
}

#[test]
fn one_type_alone_is_not_nothing() {
    for line in ["a:1|c", "a:1|g", "a:1|s", "a:1|d"] {
        assert!(!gathered(line).drain().is_empty(), "{line}");
    }
}

#[test]
fn a_drain_leaves_nothing_behind() {
    let mut contexts = gathered("a:1|c\nb:1|g\nc:1|s\nd:1|d");
    assert!(!contexts.drain().is_empty());
    assert!(contexts.drain().is_empty());
    assert_eq!(contexts.capacity.bytes(), 0);
}

#[test]
fn new_entries_are_refused_when_full_and_known_ones_are_not() {
    let lines = (0..10_241).map(|number| format!("a:1|c|#n:{number}")).collect::<Vec<_>>().join("\n");
    let mut contexts = gathered(&lines);
    assert_eq!(contexts.take_dropped(), 1);
    read(b"a:1|c|#n:0\na:1:2|d\nb:1|g", NOW, None, |metric| contexts.push(metric));
    assert_eq!(contexts.take_dropped(), 3);
    let drained = contexts.drain();
    assert_eq!(drained.counts.len(), 10_240);
    let first = drained.counts.iter().find(|context| context.tags().eq(["n:0"])).unwrap();
    assert_eq!(first.buckets, [Bucket { second: 1_000_000, value: 2.0 }]);
    read(b"b:1|g", NOW, None, |metric| contexts.push(metric));
    assert_eq!(contexts.take_dropped(), 0, "a drain makes room");
}

/// Aggregates with this many bytes of capacity left.
fn crowded(left: usize) -> Contexts {
    Contexts { capacity: Capacity::with_bytes_left(left), ..Contexts::default() }
}

fn push(contexts: &mut Contexts, line: &str) {
    read(line.as_bytes(), NOW, None, |metric| contexts.push(metric));
}

#[test]
fn a_set_does_not_grow_without_bound() {
    let mut contexts = crowded(10_000);
    for number in 0..2000 {
        push(&mut contexts, &format!("s:{}|s", number % 1000));
    }
    let members = contexts.sets.values().next().unwrap()[0].value.len();
    assert_eq!(members, (10_000 - ENTRY_BYTES - "s|".len()) / MEMBER_BYTES);
    // Repeated values of known members are not dropped.
    assert_eq!(contexts.take_dropped(), 2000 - 2 * members as u64);
}

#[test]
fn a_distribution_does_not_grow_without_bound() {
    let mut contexts = crowded(10_000);
    for number in 0..2000 {
        push(&mut contexts, &format!("d:{}|d", 1.02_f64.powi(number % 1000)));
    }
    let sketch = &contexts.distributions.values().next().unwrap()[0].value;
    let (bins, counted) = (sketch.bins().len(), sketch.count());
    assert_eq!(bins, (10_000 - ENTRY_BYTES - "d|".len()) / BIN_BYTES);
    assert_eq!(counted + contexts.take_dropped(), 2000);
}

#[test]
fn a_distribution_with_all_its_bins_takes_no_more_of_the_bound() {
    let mut contexts = Contexts::default();
    for number in 0..20_000 {
        push(&mut contexts, &format!("d:{}|d", 1.02_f64.powi(number % 10_000)));
    }
    assert_eq!(contexts.take_dropped(), 0);
    assert_eq!(contexts.capacity.bytes(), ENTRY_BYTES + "d|".len() + 4096 * BIN_BYTES);
}

#[test]
fn absurd_sample_rates_of_counts_and_sets_take_one_entry_each() {
    let mut contexts = Contexts::default();
    for _ in 0..10_000 {
        push(&mut contexts, "c:1|c|@0.000001\ns:x|s|@0.000001");
    }
    assert_eq!(contexts.capacity.bytes(), 2 * (ENTRY_BYTES + "c|".len()) + MEMBER_BYTES);
    let drained = contexts.drain();
    assert!((drained.counts[0].buckets[0].value / 1e10 - 1.0).abs() < 1e-9);
    assert_eq!(numbers(&drained.gauges), ["s [] 1@1000000"]);
}

#[test]
fn metrics_of_mixed_sizes_stay_within_both_bounds_and_every_value_is_accounted_for() {
    let mut random = StdRng::seed_from_u64(12);
    let mut contexts = Contexts::default();
    let mut values = 0_u32;
    for number in 0..60_000_u32 {
        let tag = "t".repeat(1 << random.random_range(0..13));
        let (name, second) = (number % 7_000, random.random_range(0..40));
        let line = match random.random_range(0..4) {
            0 => format!("c{name}:1|c|#{tag}|T{second}"),
            // Each gauge has a name of its own, because a later value replaces an earlier one.
            1 => format!("g{number}:1|g|#{tag}"),
            2 => format!("s{}:{number}|s", name % 3),
            _ => format!("d{}:{}|d|@0.01", name % 5, f64::from(number).exp2().min(1e300)),
        };
        values += 1;
        push(&mut contexts, &line);
    }
    assert!(contexts.capacity.bytes() <= 10 << 20);
    let refused = contexts.take_dropped();
    let drained = contexts.drain();
    let buckets = |contexts: &[Context<f64>]| contexts.iter().map(|context| context.buckets.len()).sum::<usize>();
    assert!(buckets(&drained.counts) + buckets(&drained.gauges) + drained.distributions.len() <= 10_240);
    let sum = |contexts: &[Context<f64>], value: &dyn Fn(f64) -> f64| -> f64 {
        contexts.iter().flat_map(|context| &context.buckets).map(|bucket| value(bucket.value)).sum()
    };
    let sketches = drained.distributions.iter().flat_map(|context| &context.buckets);
    // At this sample rate, each value counts 100 times.
    let distributed = sketches.map(|bucket| bucket.value.count()).sum::<u64>() / 100;
    // A set's value is its number of members, and no member repeats; each gauge has the value 1.
    let kept = sum(&drained.counts, &|sum| sum) + sum(&drained.gauges, &|state| state);
    assert!(refused > 0 && distributed > 0 && kept > 0.0, "{refused} of {values} refused");
    let counted = f64::from(u32::try_from(distributed + refused).unwrap());
    assert!((kept + counted - f64::from(values)).abs() < 1e-9, "{kept} + {counted} of {values}");
}

#[test]
fn long_texts_count_for_what_they_are() {
    let mut contexts = crowded(100_000);
    let text = "x".repeat(8000);
    for number in 0..20 {
        push(&mut contexts, &format!("{text}{number}:1|c"));
    }
    assert_eq!((contexts.counts.len() as u64, contexts.take_dropped()), (11, 9));
}

#[test]
fn nothing_empty_is_left_of_what_was_refused() {
    let mut contexts = crowded(ENTRY_BYTES + 10);
    push(&mut contexts, "d:1|d");
    push(&mut contexts, "s:1|s");
    assert_eq!(contexts.take_dropped(), 2);
    push(&mut contexts, "g:1|g");
    assert_eq!(contexts.take_dropped(), 0, "what was refused takes none of the bound");
    assert_eq!(contexts.drain().gauges.len(), 1);
}
