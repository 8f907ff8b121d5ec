//! What the border between the agent and the WAF worker costs, by the size of a body.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use bottlecap::{
    features::APPSEC,
    process::appsec::{Addresses, HttpRequest, Shape},
    waf_client::Waf,
};
use matrix::sample_events;
use serde_json::json;
use tokio::{runtime::Builder, time::sleep};
use waf_protocol::{Reply, Request, Value, WafStatus};

use super::{
    Effort,
    page::{Section, count, median, number},
    random::Lines,
    waf_files::{Process, build_in_process, folder, rules},
    waf_start::{as_agent, settings},
};

/// Asks this program to be the agent: the size of the body, the number of rounds, and the program that evaluates in its own process.
pub const FLAG: &str = "--waf-evaluate=";
/// Sizes of the body in bytes. Of a longer one, no more than the last is looked at.
const SIZES: [usize; 4] = [1 << 10, 16 << 10, 256 << 10, 1 << 20];
/// How long an evaluation may take: less than the second after which the agent takes a worker for dead.
const BUDGET: Duration = Duration::from_millis(900);
/// The same for the yardstick, which nobody ends.
const OWN_BUDGET_US: u64 = 60_000_000;
/// After an evaluation that was cut off, for which the worker may have to be started again.
const RESTART: Duration = Duration::from_millis(1500);

/// Measures bodies of several sizes.
pub fn measure(effort: Effort) -> Section {
    let rows = if APPSEC {
        let program = build_in_process();
        SIZES[..effort.of(SIZES.len(), 2)].iter().map(|size| row(*size, &program, effort)).collect()
    } else {
        Vec::new()
    };
    Section {
        title: "Evaluation of a request",
        about: "A request of an HTTP API without an attack, with a JSON body of short and long texts, as the agent's own client has it evaluated by the worker: encoded, sent, evaluated, sent \
                back and decoded. The yardstick is a program that has the same library in its own process, in turns with it. The goals for what the border of the process adds are \
                60 µs at 1 KiB and 5 % at 1 MiB. Both have just evaluated the same before; none was cut off, as one is in a function after `DD_APPSEC_WAF_TIMEOUT`, 5 ms by default."
            .to_owned(),
        columns: vec!["body, bytes", "message, bytes", "in its own process, µs", "by the worker, µs", "added, µs", "added, %", "ratio"],
        rows,
    }
}

fn row(size: usize, program: &Path, effort: Effort) -> Vec<String> {
    let rounds = effort.of((8 << 20) / (size + (256 << 10)) + 8, 1);
    let numbers = as_agent(&format!("{FLAG}{size},{rounds},{}", program.display()));
    let (head, rounds) = numbers.split_first_chunk::<2>().unwrap();
    let column = |of: fn(&[f64; 2]) -> f64| {
        let (rounds, _) = rounds.as_chunks::<2>();
        median(rounds.iter().map(of).collect())
    };
    let (own, worker) = (column(|[own, _]| *own), column(|[_, worker]| *worker));
    let added = column(|[own, worker]| worker - own);
    let [body, message] = head.map(count);
    let added_percent = format!("{:.1}", column(|[own, worker]| 100.0 * (worker - own) / own));
    let ratio = format!("{:.2}", column(|[own, worker]| own / worker));
    vec![body, message, number(own), number(worker), number(added), added_percent, ratio]
}

/// In the process that is the agent: writes the lengths of body and message, and of each round the microseconds of the medians of both.
pub fn child(arguments: &str) {
    let mut arguments = arguments.splitn(3, ',');
    let mut number = || arguments.next().unwrap().parse::<usize>().unwrap();
    let (size, rounds) = (number(), number());
    let mut own = Process::start(Path::new(arguments.next().unwrap()), folder());
    own.configure(&rules(folder()));

    let body = body(size);
    let addresses = addresses(&body);
    let mut encoded = Vec::new();
    Value::Map(addresses.clone()).write(&mut encoded);
    println!("{} {}", body.len(), encoded.len());

    let times = (4 << 20) / (size + (64 << 10)) + 3;
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let waf = runtime.block_on(async { Waf::start(&settings()).unwrap() });
    runtime.block_on(by_worker(&waf, &addresses, 2));
    in_process(&mut own, &encoded, 2);
    for _ in 0..rounds {
        let own = in_process(&mut own, &encoded, times);
        println!("{own} {}", runtime.block_on(by_worker(&waf, &addresses, times)));
    }
}

/// The median of so many evaluations, in microseconds. One that is cut off because the machine is busy does not count.
async fn by_worker(waf: &Waf, addresses: &Addresses, times: usize) -> f64 {
    let mut took = Vec::new();
    let idle = waf.new_context();
    for attempts in 0.. {
        assert!(attempts < 2 * times + 10, "evaluations do not end within {} ms", BUDGET.as_millis());
        let (context, addresses) = (waf.new_context(), addresses.clone());
        let begin = Instant::now();
        let result = waf.evaluate(context, BUDGET, addresses).await;
        let passed = begin.elapsed().as_secs_f64() * 1e6;
        waf.close(context);
        match result.as_ref().and_then(|result| result.field("timeout")) {
            Some(Value::Bool(false)) => took.push(passed),
            // A worker that did not answer is started again.
            _ => sleep(RESTART).await,
        }
        if took.len() == times {
            break;
        }
        // The worker has forgotten the context once it answers this.
        let _ = waf.evaluate(idle, BUDGET, Addresses::new()).await;
    }
    waf.close(idle);
    median(took)
}

/// The same in a process that has the library itself.
fn in_process(process: &mut Process, addresses: &[u8], times: usize) -> f64 {
    let context = u32::try_from(times).unwrap();
    let reply = process.request(&Request::Evaluate { context, budget: OWN_BUDGET_US, addresses });
    let microseconds = |value: &Value| match value {
        Value::Unsigned(nanoseconds) => Some(*nanoseconds as f64 / 1000.0),
        _ => None,
    };
    let took: Vec<f64> = match &reply {
        // Attributes count as a match, too.
        Reply::Outcome { status: WafStatus::Ok | WafStatus::Match, result: Value::Array(took), .. } => {
            took.iter().filter_map(microseconds).collect()
        }
        _ => Vec::new(),
    };
    assert_eq!(took.len(), times, "{reply:?}");
    median(took)
}

/// An order with so many bytes, in groups of items.
fn body(bytes: usize) -> String {
    let mut lines = Lines::new();
    let mut groups = Vec::new();
    let mut length = 0;
    while length < bytes {
        let mut items = Vec::new();
        while items.len() < 64 && length < bytes {
            let room = bytes - length;
            // One of eight texts is long.
            let wanted = if items.len() % 8 == 7 { 2000 } else { 100 };
            let item = json!({"id": items.len(), "name": format!("item {}", items.len()), "text": lines.line(wanted.min(room))});
            length += item.to_string().len() + 1;
            items.push(item);
        }
        groups.push(json!({"customer": "checkout", "items": items}));
    }
    json!({"groups": groups}).to_string()
}

/// What the agent makes of a request with this body.
fn addresses(body: &str) -> Addresses {
    let mut event: serde_json::Value = serde_json::from_str(sample_events::HTTP_API.text).unwrap();
    event["body"] = json!(body);
    event["isBase64Encoded"] = json!(false);
    event["headers"]["content-type"] = json!("application/json");
    event["requestContext"]["http"]["method"] = json!("POST");
    let addresses = HttpRequest::parse(Shape::HttpApi, &event.to_string()).addresses;
    assert!(addresses.iter().any(|(name, _)| name == b"server.request.body"));
    addresses
}
