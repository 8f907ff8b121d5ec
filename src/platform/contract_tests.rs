//! One contract, kept by both transports.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::platform::{raw::RawTransport, reqwest_transport::ReqwestTransport};

type Connect = fn(RuntimeApi) -> Transport;

fn raw(api: RuntimeApi) -> Transport {
    Transport::Raw(RawTransport::new(api))
}

fn reqwest(api: RuntimeApi) -> Transport {
    Transport::Reqwest(ReqwestTransport::new(api).unwrap())
}

/// A platform that answers from a list, and closes the connection after each answer if told to, or after one that says so.
struct Platform {
    api: RuntimeApi,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Platform {
    async fn start(answers: Vec<&'static str>, close: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = RuntimeApi(listener.local_addr().unwrap().to_string());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        tokio::spawn(async move {
            let mut answers = answers.into_iter();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = Vec::new();
                let mut answered = false;
                'connection: while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
                    while let Some(request) = whole(&mut bytes) {
                        log.lock().unwrap().push(request);
                        // Out of answers: the request waits, as for an event that does not come.
                        let Some(answer) = answers.next() else { continue };
                        stream.write_all(answer.as_bytes()).await.unwrap();
                        answered = true;
                        if !answer.starts_with("HTTP/1.1") || answer.contains("connection: close") {
                            break 'connection;
                        }
                    }
                    if close && answered {
                        break;
                    }
                }
            }
        });
        Self { api, seen }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// Takes one request off the front: its head in lower case and its body.
fn whole(bytes: &mut Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes.clone()).unwrap();
    let (head, rest) = text.split_once("\r\n\r\n")?;
    let head = head.to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |it| it.parse().unwrap());
    let body = rest.get(..length)?;
    bytes.drain(..head.len() + 4 + length);
    Some(format!("{head}\r\n\r\n{body}"))
}

const REGISTERED: &str =
    "HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: id-1\r\ncontent-length: 18\r\n\r\n{\"accountId\":\"12\"}";
const SUBSCRIBED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK";
const SHUTDOWN: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2d\r\n{\"eventType\":\"SHUTDOWN\",\"deadlineMs\":1234567}\r\n0\r\n\r\n";
const REFUSED: &str = "HTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\n\r\nno!";

async fn lifecycle(connect: Connect, close: bool) {
    let platform = Platform::start(vec![REGISTERED, SUBSCRIBED, SHUTDOWN], close).await;
    let mut extensions_api = ExtensionsApi::over(connect(platform.api.clone()));
    let registered = extensions_api.register(Initialization::OnDemand).await.unwrap();
    assert_eq!(
        registered,
        ExtensionRegistration { id: ExtensionId("id-1".to_owned()), account_id: Some("12".to_owned()) }
    );
    let subscription = Subscription { port: 8999, logs: true, initialization: Initialization::OnDemand };
    assert_eq!(extensions_api.subscribe(&registered.id, subscription).await.unwrap(), SubscriptionOutcome::Active);
    assert!(
        matches!(extensions_api.next(&registered.id).await.unwrap(), Event::Shutdown(event) if event.deadline_ms == 1_234_567)
    );

    let seen = platform.seen();
    assert_eq!(seen.len(), 3, "{seen:#?}");
    for (request, parts) in seen.iter().zip([
        &[
            "post /2020-01-01/extension/register http/1.1",
            "lambda-extension-name: datadog-agent",
            "accountid",
            "{\"events\":[\"INVOKE\",\"SHUTDOWN\"]}",
        ][..],
        &["put /2022-07-01/telemetry http/1.1", "lambda-extension-identifier: id-1", "sandbox.localdomain:8999"],
        &["get /2020-01-01/extension/event/next http/1.1", "lambda-extension-identifier: id-1"],
    ]) {
        for part in parts {
            assert!(request.contains(part), "{part} in {request}");
        }
        assert!(request.contains(&format!("host: {}", platform.api)), "{request}");
    }
}

async fn refusals(connect: Connect) {
    let platform = Platform::start(vec![REFUSED, REFUSED, SHUTDOWN], false).await;
    let mut extensions_api = ExtensionsApi::over(connect(platform.api.clone()));
    let error = extensions_api.register(Initialization::OnDemand).await.unwrap_err();
    assert_eq!(error.to_string(), "register: Lambda answered 403 - Response: no!");
    let id = ExtensionId("x".to_owned());
    assert!(matches!(extensions_api.next(&id).await, Err(Error::Status { status: 403, .. })));
    assert!(extensions_api.next(&id).await.is_ok(), "a refusal does not spoil what comes after it");
}

async fn refused_connection(connect: Connect) {
    // Bound, so that nobody else gets the port, but without a listener.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let mut extensions_api = ExtensionsApi::over(connect(RuntimeApi(socket.local_addr().unwrap().to_string())));
    let error = extensions_api.register(Initialization::OnDemand).await.unwrap_err();
    assert!(error.to_string().contains("AWS_LAMBDA_RUNTIME_API"), "{error}");
}

async fn contract(connect: Connect) {
    lifecycle(connect, false).await;
    lifecycle(connect, true).await;
    refusals(connect).await;
    refused_connection(connect).await;
}

#[tokio::test]
async fn the_general_client_keeps_the_contract() {
    crate::intake::tls::install_provider();
    contract(reqwest).await;
}

#[tokio::test]
async fn the_raw_client_keeps_the_contract() {
    contract(raw).await;
}

#[tokio::test]
async fn blocking_connection_resumes_a_partial_exchange() {
    use crate::platform::raw::blocking::Connection;
    for pipelined in [false, true] {
        let platform = Platform::start(vec![REGISTERED, SUBSCRIBED, SHUTDOWN], false).await;
        let api = platform.api.clone();
        let established = tokio::task::spawn_blocking(move || {
            let registering = Connection::register(api, Initialization::OnDemand).unwrap();
            let mut established = registering.registered().unwrap();
            let subscription = Subscription { port: 1, logs: true, initialization: Initialization::OnDemand };
            let (connection, id) = (&mut established.connection, &established.registered.id);
            if pipelined {
                connection.subscribe_and_send_next(id, subscription).unwrap();
                assert_eq!(connection.subscribed().unwrap(), SubscriptionOutcome::Active);
            } else {
                connection.subscribe(id, subscription).unwrap();
                assert_eq!(connection.subscribed().unwrap(), SubscriptionOutcome::Active);
                connection.send_next(id).unwrap();
            }
            established
        })
        .await
        .unwrap();
        let mut extensions_api = ExtensionsApi::resume(platform.api.clone(), Some(established.connection));
        assert!(matches!(extensions_api.next(&established.registered.id).await.unwrap(), Event::Shutdown(_)));
        assert_eq!(platform.seen().len(), 3, "pipelined: {pipelined}");
    }
}

/// A connection on which the subscription and the request for the next event are in flight.
async fn pipelined(platform: &Platform) -> (ExtensionsApi, ExtensionId) {
    use crate::platform::raw::blocking::Connection;
    let api = platform.api.clone();
    let registered = tokio::task::spawn_blocking(move || {
        let mut registered = Connection::register(api, Initialization::OnDemand).unwrap().registered().unwrap();
        let subscription = Subscription { port: 1, logs: true, initialization: Initialization::OnDemand };
        registered.connection.subscribe_and_send_next(&registered.registered.id, subscription).unwrap();
        registered
    });
    let registered = registered.await.unwrap();
    (ExtensionsApi::resume(platform.api.clone(), Some(registered.connection)), registered.registered.id)
}

#[tokio::test]
async fn the_reply_to_a_pipelined_subscription_comes_before_the_event() {
    let platform = Platform::start(vec![REGISTERED, SUBSCRIBED, SHUTDOWN], false).await;
    let (mut extensions_api, id) = pipelined(&platform).await;
    assert_eq!(extensions_api.pending_subscription().await.unwrap(), SubscriptionOutcome::Active);
    assert!(extensions_api.next_is_in_flight());
    assert!(matches!(extensions_api.next(&id).await.unwrap(), Event::Shutdown(_)));
    assert_eq!(platform.seen().len(), 3);
}

#[tokio::test]
async fn a_request_behind_a_connection_that_ends_is_sent_again() {
    const CLOSED: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nOK";
    for (reply, active) in [(CLOSED, true), ("HTTP/1.0 500 Oops\r\n\r\n", false), ("nonsense\r\n\r\n", false)] {
        let platform = Platform::start(vec![REGISTERED, reply, SHUTDOWN], false).await;
        let (mut extensions_api, id) = pipelined(&platform).await;
        let reply = extensions_api.pending_subscription().await;
        assert_eq!(reply.is_ok(), active, "{reply:?}");
        assert!(!extensions_api.next_is_in_flight());
        assert!(matches!(extensions_api.next(&id).await.unwrap(), Event::Shutdown(_)));
    }
}

#[tokio::test]
async fn a_platform_may_have_a_name() {
    let platform = Platform::start(vec![REGISTERED, SUBSCRIBED, SHUTDOWN], false).await;
    let port = platform.api.0.rsplit(':').next().unwrap().to_owned();
    let mut extensions_api = ExtensionsApi::over(raw(RuntimeApi(format!("localhost:{port}"))));
    assert!(extensions_api.register(Initialization::OnDemand).await.is_ok());
}

#[tokio::test]
async fn only_a_raw_transport_has_requests_in_flight() {
    crate::intake::tls::install_provider();
    let mut extensions_api = ExtensionsApi::over(reqwest(RuntimeApi("127.0.0.1:1".to_owned())));
    assert!(!extensions_api.next_is_in_flight());
    assert!(matches!(extensions_api.pending_subscription().await, Err(Error::Transport { call: "subscribe", .. })));
}
