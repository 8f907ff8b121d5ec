use std::fmt::Write as _;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::*;

const NOW: i64 = 1_700_000_000;

fn metric(line: &str) -> Metric<'_> {
    match parse(line.as_bytes(), NOW) {
        Ok(DogStatsdLine::Metric(metric)) => metric,
        other => panic!("{line}: {other:?}"),
    }
}

fn distribution(values: &[f64], weight: u32) -> Value<'static> {
    Value::Distribution { values: values.to_vec(), weight }
}

#[test]
fn every_type_has_its_meaning() {
    for (line, expected) in [
        ("page.views:1|c", Value::Count(1.0)),
        ("page.views:-2.5|c", Value::Count(-2.5)),
        ("fuel.level:0.5|g", Value::Gauge(0.5)),
        ("fuel.level:+5|g", Value::Gauge(5.0)),
        ("fuel.level:-5|g", Value::Gauge(-5.0)),
        ("song.length:240|h", distribution(&[240.0], 1)),
        ("song.length:240|d", distribution(&[240.0], 1)),
        ("song.length:1e3|ms", distribution(&[1000.0], 1)),
        ("users.uniques:1234|s", Value::Set("1234")),
        ("users.uniques:a:b c|s", Value::Set("a:b c")),
    ] {
        let metric = metric(line);
        assert_eq!(metric.value, expected, "{line}");
        assert_eq!(metric.name, line.split(':').next().unwrap());
        assert_eq!((metric.tags.len(), metric.second), (0, NOW));
    }
}

#[test]
fn all_packed_values_count() {
    assert_eq!(metric("a:1:2:3|c").value, Value::Count(6.0));
    assert_eq!(metric("a:1:2:3|g").value, Value::Gauge(3.0));
    assert_eq!(metric("a:1:2:3|d").value, distribution(&[1.0, 2.0, 3.0], 1));
    assert_eq!(metric("a:1:2|ms|@0.5").value, distribution(&[1.0, 2.0], 2));
}

#[test]
fn what_was_not_sampled_is_made_up_for() {
    assert_eq!(metric("a:1:2|c|@0.1").value, Value::Count(30.0));
    assert_eq!(metric("a:5|h|@0.3").value, distribution(&[5.0], 3));
    assert_eq!(metric("a:5|d|@1").value, distribution(&[5.0], 1));
    assert_eq!(metric("a:5|d|@1e-300").value, distribution(&[5.0], 1_000_000));
    assert_eq!(metric("a:5|g|@0.1").value, Value::Gauge(5.0), "a state is not sampled");
    assert_eq!(metric("a:5|c|@20").value, Value::Count(5.0), "more than all is all");
}

#[test]
fn tags_are_sorted_and_each_there_once() {
    let tags = |text: &str| metric(&format!("a:1|c|#{text}")).tags.join(" ");
    assert_eq!(tags("b:2,a:1,b:2"), "a:1 b:2");
    assert_eq!(tags("env:prod,lonely,k:,url:http://x:1"), "env:prod k lonely url:http://x:1");
    assert_eq!(tags(",,a:1,:,"), "a:1");
    assert_eq!(tags("Größe:XL"), "Größe:XL");
    assert_eq!(metric("a:1|c|#x:1|#y:2").tags, ["y:2"], "a later field replaces an earlier one");
    let hundred = (0..100).map(|number| format!("t{number}")).collect::<Vec<_>>().join(",");
    assert_eq!(metric(&format!("a:1|c|#{hundred}")).tags.len(), 100);
    assert_eq!(parse(format!("a:1|c|#{hundred},x").as_bytes(), NOW), Err(ParseError::Tags));
}

#[test]
fn times_are_taken_unless_they_are_to_come() {
    let second = |field: &str| metric(&format!("a:1|g|{field}")).second;
    assert_eq!(second("T1656581400"), 1_656_581_400);
    assert_eq!(second("T1656581399.7"), 1_656_581_400);
    assert_eq!(second("T99999999999999999999"), NOW);
    assert_eq!(second("T-5"), 0);
}

#[test]
fn fields_come_in_any_order_and_unknown_ones_are_passed_over() {
    let metric = metric("a:1|c|T5|e:it-false,cn-x|c:ci-abc|card:low||x|#b:1|@0.5|q:z");
    assert_eq!((metric.value, metric.tags, metric.second), (Value::Count(2.0), vec!["b:1"], 5));
}

#[test]
fn events_service_checks_and_invocations_are_recognised() {
    assert_eq!(parse(b"_e{5,4}:title|text|t:info", NOW), Ok(DogStatsdLine::Event));
    assert_eq!(parse(b"_sc|Redis connection|2|m:\xff", NOW), Ok(DogStatsdLine::ServiceCheck));
    assert_eq!(parse(b"aws.lambda.enhanced.invocations:1|d", NOW), Ok(DogStatsdLine::Invocations));
    assert!(matches!(parse(b"_events:1|c", NOW), Ok(DogStatsdLine::Metric(_))));
}

#[test]
fn invalid_lines_are_rejected_with_the_reason() {
    for (line, expected) in [
        ("a", ParseError::Name),
        ("a:1", ParseError::NoType),
        (":1|c", ParseError::Name),
        ("a|c", ParseError::Name),
        ("|", ParseError::Name),
        ("a:1|", ParseError::Type),
        ("a:1|x", ParseError::Type),
        ("a:1|cc", ParseError::Type),
        ("a:1|C", ParseError::Type),
        ("a:|c", ParseError::Value),
        ("a:one|c", ParseError::Value),
        ("a: 1|c", ParseError::Value),
        ("a:1:|c", ParseError::Value),
        ("a:1:x:3|d", ParseError::Value),
        ("a:nan|g", ParseError::Value),
        ("a:inf|d", ParseError::Value),
        ("a:1e999|g", ParseError::Value),
        ("a:1e308|c|@0.001", ParseError::Value),
        ("a:|s", ParseError::Value),
        ("a:1|c|@", ParseError::Rate),
        ("a:1|c|@half", ParseError::Rate),
        ("a:1|c|@0", ParseError::Rate),
        ("a:1|c|@-1", ParseError::Rate),
        ("a:1|c|T", ParseError::Time),
        ("a:1|c|Tomorrow", ParseError::Time),
    ] {
        assert_eq!(parse(line.as_bytes(), NOW), Err(expected), "{line}");
    }
    assert_eq!(parse(b"a\xff:1|c", NOW), Err(ParseError::Encoding));
}

/// Encodes a metric as DogStatsD clients do.
fn written(metric: &Metric) -> String {
    let packed = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>().join(":");
    let (values, kind) = match &metric.value {
        Value::Count(count) => (count.to_string(), "c"),
        Value::Gauge(state) => (state.to_string(), "g"),
        Value::Set(member) => ((*member).to_owned(), "s"),
        Value::Distribution { values, .. } => (packed(values), "d"),
    };
    let mut line = format!("{}:{values}|{kind}", metric.name);
    if let Value::Distribution { weight, .. } = metric.value {
        write!(line, "|@{}", 1.0 / f64::from(weight)).unwrap();
    }
    if !metric.tags.is_empty() {
        write!(line, "|#{}", metric.tags.join(",")).unwrap();
    }
    write!(line, "|T{}", metric.second).unwrap();
    line
}

fn text(random: &mut StdRng, from: &[char], longest: usize) -> String {
    (0..random.random_range(1..=longest)).map(|_| from[random.random_range(0..from.len())]).collect()
}

fn any_number(random: &mut StdRng) -> f64 {
    let number = f64::from_bits(random.random());
    if number.is_finite() { number } else { 0.0 }
}

#[test]
fn what_is_written_down_reads_the_same() {
    let letters: Vec<char> = "abcXYZ019._-/ @#Tü€".chars().collect();
    let mut random = StdRng::seed_from_u64(8125);
    for _ in 0..5000 {
        let name = text(&mut random, &letters, 30);
        let member = text(&mut random, &letters, 10);
        let value = match random.random_range(0..4) {
            0 => Value::Count(any_number(&mut random)),
            1 => Value::Gauge(any_number(&mut random)),
            2 => Value::Set(&member),
            _ => Value::Distribution {
                values: (0..random.random_range(1..5)).map(|_| any_number(&mut random)).collect(),
                weight: random.random_range(1..=1000),
            },
        };
        let texts: Vec<_> = (0..random.random_range(0..8))
            .map(|_| format!("{}:{}", text(&mut random, &letters, 5), text(&mut random, &letters, 5)))
            .collect();
        let mut tags: Vec<&str> = texts.iter().map(String::as_str).collect();
        tags.sort_unstable();
        tags.dedup();
        let metric = Metric { name: (&*name).into(), value, tags, second: random.random_range(0..=NOW) };
        let line = written(&metric);
        assert_eq!(parse(line.as_bytes(), NOW), Ok(DogStatsdLine::Metric(metric.clone())), "{line}");
    }
}

#[test]
fn no_bytes_bring_it_down() {
    let pieces: [&[u8]; 16] = [
        b"a",
        b":",
        b"|",
        b"1",
        b"c",
        b"ms",
        b"d",
        b"#",
        b",",
        b"@0.5",
        b"T1",
        b"\n",
        b"_e{",
        b"\xff",
        b"-1e309",
        b"\xc3\xa9",
    ];
    let mut random = StdRng::seed_from_u64(53);
    for _ in 0..20_000 {
        let bytes: Vec<u8> = if random.random() {
            (0..random.random_range(0..60)).map(|_| random.random()).collect()
        } else {
            (0..random.random_range(0..20))
                .flat_map(|_| pieces[random.random_range(0..pieces.len())].to_vec())
                .collect()
        };
        let mut metrics = 0;
        let tally = read(&bytes, NOW, None, |metric| {
            metrics += 1;
            assert!((0..=NOW).contains(&metric.second) && !metric.name.is_empty());
            assert!(metric.tags.is_sorted() && metric.tags.iter().all(|tag| !tag.is_empty()));
        });
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count() as u64;
        assert_eq!(metrics + tally.events + tally.service_checks + tally.malformed, lines, "{bytes:?}");
    }
}
