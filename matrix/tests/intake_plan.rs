//! What a plan makes the fake intake do, as a client feels it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test fails as the test does"
)]

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use matrix::sandbox::intake::{
    Intake, Outage, OutageStart, Plan, Request, RequestOutcome, Route, Rule, RuleResponse, Window,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Long enough for a loaded machine; only a failure waits for it.
const PATIENCE: Duration = Duration::from_mins(1);

async fn start(plan: Plan) -> Intake {
    Intake::start("127.0.0.1:0".parse().unwrap(), plan).await.unwrap()
}

fn request(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: intake\r\nDD-API-KEY: key\r\nDD-PROTOCOL: agent-json\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// One request with a log line on an open connection; the head of the answer.
async fn post(stream: &mut TcpStream, path: &str) -> std::io::Result<String> {
    stream.write_all(request(path, r#"[{"message":"m"}]"#).as_bytes()).await?;
    let mut answer = Vec::new();
    let mut chunk = [0; 1024];
    while !answer.ends_with(b"}") {
        let count = tokio::time::timeout(PATIENCE, stream.read(&mut chunk)).await.expect("an answer")?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&chunk[..count]);
    }
    Ok(String::from_utf8(answer).unwrap())
}

async fn post_once(address: SocketAddr, path: &str) -> std::io::Result<String> {
    post(&mut TcpStream::connect(address).await?, path).await
}

fn code(answer: &str) -> &str {
    &answer[9..12]
}

/// Waits until connecting ends as wanted.
async fn until_connects(address: SocketAddr, wanted: bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let connected = match TcpStream::connect(address).await {
            Ok(_) => Some(true),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Some(false),
            // A connection that was still in the backlog when the listener went.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        };
        if connected == Some(wanted) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

/// Waits until the intake's first request is as wanted.
async fn first_request(intake: &Intake, wanted: impl Fn(&Request) -> bool) -> Request {
    let start = Instant::now();
    loop {
        let first = intake.requests().into_iter().next();
        if let Some(request) = first.as_ref().filter(|request| wanted(request)) {
            return request.clone();
        }
        assert!(start.elapsed() < PATIENCE, "the first request is {first:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A client whose request the intake has read and does not answer for longer than any test takes.
async fn held_client() -> (Intake, TcpStream) {
    let intake = start(Plan::rule(Route::Logs, Window::ALWAYS, RuleResponse::Delay(Duration::from_hours(1)))).await;
    let mut stream = TcpStream::connect(intake.address()).await.unwrap();
    stream.write_all(request("/api/v2/logs", r#"[{"message":"m"}]"#).as_bytes()).await.unwrap();
    let held = first_request(&intake, |_| true).await;
    assert_eq!((held.answer, held.ended), (RequestOutcome::Pending, None));
    (intake, stream)
}

#[tokio::test]
async fn a_delayed_answer_is_not_delivered_before_it_is_written() {
    let (intake, _stream) = held_client().await;
    assert!(intake.delivered().is_empty() && intake.logs().is_empty());
    assert!(intake.requests()[0].is_open_at(time::OffsetDateTime::now_utc()));
}

#[tokio::test]
async fn an_answer_to_a_client_that_has_gone_is_recorded_as_aborted() {
    let (intake, stream) = held_client().await;
    drop(stream);
    let aborted = first_request(&intake, |request| request.ended.is_some()).await;
    assert_eq!(aborted.answer, RequestOutcome::Aborted);
    assert!(!aborted.delivered() && intake.logs().is_empty());
    assert!(aborted.is_open_at(aborted.at) && !aborted.is_open_at(aborted.ended.unwrap()));
}

#[tokio::test]
async fn the_stop_resets_delayed_answers() {
    let (intake, mut stream) = held_client().await;
    intake.stop().await;
    let ended = tokio::time::timeout(PATIENCE, stream.read(&mut [0])).await.expect("the connection ends");
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(first_request(&intake, |request| request.ended.is_some()).await.answer, RequestOutcome::Aborted);
}

/// A client that has its answer can rely on the record: the intake locks it while it writes.
#[tokio::test]
async fn request_is_recorded_before_its_response() {
    let intake = start(Plan::default()).await;
    let mut stream = TcpStream::connect(intake.address()).await.unwrap();
    for count in 1..=50 {
        assert_eq!(code(&post(&mut stream, "/api/v2/logs").await.unwrap()), "202");
        assert_eq!(intake.delivered().len(), count);
    }
}

#[tokio::test]
async fn a_connection_is_kept_and_failures_are_not_delivered() {
    let rule = Rule { route: Route::Logs, window: Window::first(2), response: RuleResponse::status(503) };
    let throttle = RuleResponse::Status {
        code: 429,
        headers: vec![("Retry-After".into(), "1".into())],
        body: r#"{"errors":["slow down"]}"#.into(),
    };
    let late = Rule { route: Route::Logs, window: Window::Requests { skip: 2, take: Some(1) }, response: throttle };
    let intake = start(Plan { rules: vec![rule, late], ..Plan::default() }).await;
    let mut stream = TcpStream::connect(intake.address()).await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(post(&mut stream, "/api/v2/logs").await.unwrap());
    }
    assert_eq!(answers.iter().map(|answer| code(answer)).collect::<Vec<_>>(), ["503", "503", "429", "202"]);
    assert!(answers[2].to_lowercase().contains("retry-after: 1") && answers[2].ends_with(r#"["slow down"]}"#));
    assert!(answers[3].to_lowercase().contains("content-type: application/json") && answers[3].ends_with("{}"));
    assert_eq!(intake.requests().len(), 4);
    assert_eq!(intake.delivered().iter().map(|request| request.number).collect::<Vec<_>>(), [4]);
    assert_eq!(intake.logs().len(), 1);
}

#[tokio::test]
async fn a_reset_reaches_the_client_and_the_next_connection_works() {
    let intake = start(Plan::rule(Route::Any, Window::first(1), RuleResponse::Reset)).await;
    let error = post_once(intake.address(), "/api/v2/logs").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(code(&post_once(intake.address(), "/api/v2/logs").await.unwrap()), "202");
    let requests = intake.requests();
    assert_eq!(requests[0].answer, RequestOutcome::Reset);
    assert_eq!(requests.iter().map(Request::delivered).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn silence_reads_the_request_and_lasts_until_the_stop() {
    let intake = start(Plan::rule(Route::Logs, Window::ALWAYS, RuleResponse::Silence)).await;
    let mut stream = TcpStream::connect(intake.address()).await.unwrap();
    stream.write_all(request("/api/v2/logs", "[]").as_bytes()).await.unwrap();
    let mut byte = [0];
    let silent = first_request(&intake, |_| true).await;
    assert_eq!(silent.answer, RequestOutcome::Silence);
    let answered = tokio::time::timeout(Duration::from_millis(200), stream.read(&mut byte)).await;
    assert!(answered.is_err(), "the intake answered: {answered:?}");
    assert!(intake.delivered().is_empty());
    intake.stop().await;
    let ended =
        tokio::time::timeout(PATIENCE, stream.read(&mut byte)).await.expect("the connection ends with the intake");
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}

#[tokio::test]
async fn a_delay_holds_the_answer_back() {
    let delay = Duration::from_millis(150);
    let intake = start(Plan::rule(Route::Logs, Window::first(1), RuleResponse::Delay(delay))).await;
    let begin = Instant::now();
    assert_eq!(code(&post_once(intake.address(), "/api/v2/logs").await.unwrap()), "202");
    assert!(begin.elapsed() >= delay);
    assert_eq!(intake.delivered()[0].answer, RequestOutcome::Status { code: 202, delay_ms: 150 });
}

#[tokio::test]
async fn a_closed_port_refuses_and_opens_again() {
    let intake = start(Plan::default()).await;
    let mut kept = TcpStream::connect(intake.address()).await.unwrap();
    post(&mut kept, "/api/v2/logs").await.unwrap();

    intake
        .set_plan(Plan { outages: vec![Outage { after: OutageStart::Requests(0), lasting: None }], ..Plan::default() });
    assert!(until_connects(intake.address(), false).await, "the port stays open");
    assert!(post(&mut kept, "/api/v2/logs").await.is_err(), "an idle connection must not outlive the port");

    intake.set_plan(Plan::default());
    assert!(until_connects(intake.address(), true).await, "the port stays closed");
    assert_eq!(code(&post_once(intake.address(), "/api/v2/logs").await.unwrap()), "202");
    assert_eq!(intake.requests().len(), 2);
}

#[tokio::test]
async fn the_port_closes_after_a_request_and_reopens_by_itself() {
    // Long enough to be seen closed on a busy machine, and shorter than a failing test waits.
    let lasting = Duration::from_secs(5);
    let closed = Outage { after: OutageStart::Requests(1), lasting: Some(lasting) };
    let intake = start(Plan { outages: vec![closed], ..Plan::default() }).await;
    assert_eq!(code(&post_once(intake.address(), "/api/v2/logs").await.unwrap()), "202", "its own answer still comes");
    assert!(until_connects(intake.address(), false).await, "the port stays open");
    assert!(until_connects(intake.address(), true).await, "the port stays closed");
    assert_eq!(code(&post_once(intake.address(), "/api/v2/logs").await.unwrap()), "202");
}

#[tokio::test]
async fn it_stops_on_request_and_with_its_last_handle() {
    let intake = start(Plan::default()).await;
    let address = intake.address();
    let second = intake.clone();
    drop(intake);
    assert!(TcpStream::connect(address).await.is_ok(), "one handle is left");
    drop(second);
    assert!(until_connects(address, false).await, "nobody holds it any more");

    let intake = start(Plan::default()).await;
    post_once(intake.address(), "/api/v2/logs").await.unwrap();
    intake.stop().await;
    assert!(TcpStream::connect(intake.address()).await.is_err());
    assert_eq!(intake.logs().len(), 1, "what was received stays readable");
}
