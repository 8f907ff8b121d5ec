use super::*;

fn dogsketch(values: &[f64], bins: &[(i32, u32)]) -> wire::Dogsketch {
    let sum: f64 = values.iter().sum();
    let count = i32::try_from(values.len()).unwrap();
    wire::Dogsketch {
        ts: 1_700_000_000,
        cnt: i64::from(count),
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        avg: sum / f64::from(count),
        sum,
        k: bins.iter().map(|bin| bin.0).collect(),
        n: bins.iter().map(|bin| bin.1).collect(),
    }
}

fn body(dogsketch: wire::Dogsketch) -> Vec<u8> {
    let sketch = wire::Sketch {
        metric: "app.latency".into(),
        tags: vec!["env:dev".into()],
        dogsketches: vec![dogsketch],
        ..wire::Sketch::default()
    };
    wire::SketchPayload { sketches: vec![sketch] }.encode_to_vec()
}

fn problems_of(dogsketch: wire::Dogsketch) -> Vec<String> {
    let mut problems = Vec::new();
    decode(&body(dogsketch), &mut problems).unwrap();
    problems
}

#[test]
fn keys_stand_for_the_values_that_the_agent_gives_them() {
    for (value, key) in [(1e-9, 1), (0.001, 892), (0.5, 1293), (1.0, 1338), (3.15, 1412), (1000.0, 1784), (1e12, 3120)]
    {
        let low = Bin::new(key, 1).low;
        assert!((low / value).ln().abs() <= GAMMA.ln() / 2.0 * 1.000_001, "key {key} stands for {low}, not {value}");
        assert!((Bin::new(-key, 1).low + low).abs() < f64::EPSILON * low.max(1.0));
    }
    assert!(Bin::new(0, 1).low.abs() < f64::MIN_POSITIVE);
    assert!(Bin::new(32_767, 1).low.is_infinite());
}

#[test]
fn a_sound_sketch_has_no_problems() {
    assert_eq!(problems_of(dogsketch(&[3.15], &[(1412, 1)])), [""; 0]);
    assert_eq!(
        problems_of(dogsketch(&[-1.0, 0.0, 1.0, 10.0, 10.0], &[(-1338, 1), (0, 1), (1338, 1), (1487, 2)])),
        [""; 0]
    );
    // A count above 65,535 takes several bins of the same key.
    let values = vec![42.0; 70_000];
    assert_eq!(problems_of(dogsketch(&values, &[(1579, 4465), (1579, 65_535)])), [""; 0]);
}

#[test]
fn a_count_that_the_bins_do_not_hold_is_a_problem() {
    let problems = problems_of(dogsketch(&[1.0, 1.0], &[(1338, 1)]));
    assert!(problems.iter().any(|problem| problem == "app.latency: 2 samples but 1 in the bins"), "{problems:?}");
}

#[test]
fn a_sum_that_the_bins_do_not_add_up_to_is_a_problem() {
    let wrong = wire::Dogsketch { sum: 40.0, avg: 20.0, ..dogsketch(&[10.0, 10.0], &[(1487, 2)]) };
    let problems = problems_of(wrong);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("the sum 40 is not what its bins add up to"));
}

#[test]
fn an_average_that_does_not_fit_the_sum_is_a_problem() {
    let problems = problems_of(wire::Dogsketch { avg: 11.0, ..dogsketch(&[10.0, 10.0], &[(1487, 2)]) });
    assert_eq!(problems, ["app.latency: avg 11 times 2 samples is not the sum 20"]);
}

#[test]
fn extremes_outside_their_bins_and_disorder_are_problems() {
    let problems = problems_of(wire::Dogsketch { max: 12.0, ..dogsketch(&[1.0, 10.0], &[(1487, 1), (1338, 1)]) });
    assert!(problems.iter().any(|problem| problem.contains("not in ascending order")), "{problems:?}");
    assert!(problems.iter().any(|problem| problem.contains("max 12 is not in its bin")), "{problems:?}");
}

#[test]
fn uneven_keys_and_counts_are_a_problem() {
    let uneven = wire::Dogsketch { n: vec![1, 1], ..dogsketch(&[1.0], &[(1338, 1)]) };
    assert_eq!(problems_of(uneven), ["app.latency: 1 bin keys but 2 bin counts"]);
}

#[test]
fn a_field_that_the_schema_does_not_have_is_a_problem() {
    let mut bytes = body(dogsketch(&[1.0], &[(1338, 1)]));
    // Field 12, varint 1.
    bytes.extend_from_slice(&[0x60, 0x01]);
    let mut problems = Vec::new();
    decode(&bytes, &mut problems).unwrap();
    assert_eq!(problems, ["unknown protobuf field 12"]);
}
