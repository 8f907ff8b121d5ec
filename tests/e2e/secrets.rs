//! API keys that AWS keeps, from a small stand-in for AWS in the sandbox's network.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use matrix::sandbox::{
    Function, Sandbox, Setup,
    function::{Call, Handler, HandlerOutcome, InitError},
    journal::JournalEvent,
    setup::{Initialization, Network},
};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{
    stand_in::{EchoWithServers, Reply, Request, Server},
    support::{self, Run, eventually, invoke_next, run_sandbox, setup_with},
};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// A request that AWS has received.
#[derive(Clone, Debug)]
struct AwsCall {
    path: String,
    operation: String,
    authorization: String,
    token: String,
    body: Value,
}

impl AwsCall {
    fn of(request: &Request) -> Self {
        Self {
            path: request.path.clone(),
            operation: request.header("x-amz-target").to_owned(),
            authorization: request.header("authorization").to_owned(),
            token: request.header("x-amz-security-token").to_owned(),
            body: request.json(),
        }
    }
}

/// A function that echoes, beside an AWS that answers as it is told.
struct Aws {
    port: u16,
    server: Arc<Server>,
}

impl Aws {
    /// None: no answer at all.
    fn new(port: u16, reply: impl Fn(usize, &AwsCall) -> Option<(u16, Value)> + Send + Sync + 'static) -> Self {
        Self::replying(port, move |number, request| match reply(number, &AwsCall::of(request)) {
            Some((status, json)) => Reply::json(status, &json),
            None => Reply::Silence,
        })
    }

    fn replying(port: u16, reply: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        Self { port, server: Arc::new(Server::new(&format!("127.0.0.1:{port}"), reply)) }
    }

    fn heard(&self) -> Vec<AwsCall> {
        self.server.requests().iter().map(AwsCall::of).collect()
    }

    /// What a sandbox is made of in which the key is to be found with these variables.
    fn setup(&self, variables: &[(&str, &str)]) -> Setup {
        let url = format!("http://127.0.0.1:{}", self.port);
        let own = [("DD_API_KEY", ""), ("AWS_ENDPOINT_URL", url.as_str()), ("DD_SERVERLESS_FLUSH_STRATEGY", "end")];
        let function = Function::InProcess(Arc::new(EchoWithServers(vec![self.server.clone()])));
        Setup { timeout: Duration::from_secs(30), ..setup_with(function, &[&own, variables].concat()) }
    }

    /// A run of such a sandbox.
    fn run_sandbox(&self, variables: &[(&str, &str)], initialization: Initialization, times: usize) -> Run {
        run_sandbox(Setup { initialization, ..self.setup(variables) }, times)
    }
}

fn assert_delivered_under_the_key(run: &Run) {
    run.assert_unharmed();
    run.assert_exactly_once();
    assert!(run.intake.requests().iter().all(|request| request.api_key.as_deref() == Some(KEY)));
}

/// Wherever a key is copied from, it comes with blanks and ends of lines.
#[test]
fn a_plain_key_is_cleaned_before_it_is_used() {
    for written in [format!("{KEY}\n\n"), format!(" {} {} ", &KEY[..7], &KEY[7..])] {
        assert_delivered_under_the_key(&run_sandbox(
            setup_with(crate::support::echo(), &[("DD_API_KEY", &written)]),
            2,
        ));
    }
}

#[test]
fn secrets_manager_is_asked_once_in_the_secrets_own_region() {
    let aws = Aws::new(28_130, |_, _| Some((200, json!({"SecretString": format!("{{\"dd_api_key\":\"{KEY}\\n\"}}")}))));
    let arn = "arn:aws:secretsmanager:eu-north-1:1:secret:s";
    let run = aws.run_sandbox(&[("DD_API_KEY_SECRET_ARN", arn)], Initialization::OnDemand, 3);
    assert_delivered_under_the_key(&run);
    let [call] = &aws.heard()[..] else { panic!("{:?}\n{}", aws.heard(), run.own_lines()) };
    assert_eq!((call.operation.as_str(), &call.body), ("secretsmanager.GetSecretValue", &json!({"SecretId": arn})));
    assert!(call.authorization.contains("/eu-north-1/secretsmanager/aws4_request"), "{call:?}");
    assert!(call.authorization.contains("Credential=sandbox-access-key-id/"), "{call:?}");
    assert_eq!(call.token, "sandbox-session-token");
}

#[test]
fn a_parameter_may_be_named_without_its_region() {
    let aws = Aws::new(28_131, |_, _| Some((200, json!({"Parameter": {"Value": KEY}}))));
    let run = aws.run_sandbox(&[("DD_API_KEY_SSM_ARN", "/datadog/key")], Initialization::OnDemand, 2);
    assert_delivered_under_the_key(&run);
    let call = &aws.heard()[0];
    assert_eq!(call.operation, "AmazonSSM.GetParameter");
    assert_eq!(call.body, json!({"Name": "/datadog/key", "WithDecryption": true}));
    assert!(call.authorization.contains("/us-east-1/ssm/aws4_request"), "{call:?}");
}

#[test]
fn a_parameter_is_asked_for_in_its_own_region() {
    let aws = Aws::new(28_137, |_, _| Some((200, json!({"Parameter": {"Value": KEY}}))));
    let arn = "arn:aws:ssm:eu-west-3:1:parameter/key";
    let run = aws.run_sandbox(&[("DD_API_KEY_SSM_ARN", arn)], Initialization::OnDemand, 1);
    assert_delivered_under_the_key(&run);
    let call = &aws.heard()[0];
    assert_eq!(call.body["Name"], arn);
    assert!(call.authorization.contains("/eu-west-3/ssm/aws4_request"), "{call:?}");
}

/// The calls for a key among those that were heard.
fn for_a_key(heard: &[AwsCall]) -> Vec<&AwsCall> {
    heard.iter().filter(|call| call.path == "/api/v2/intake-key").collect()
}

#[test]
fn an_organization_that_trusts_the_functions_role_gives_its_key() {
    let datadog = Aws::new(28_138, |_, call| match call.path.as_str() {
        "/api/v2/intake-key" => Some((200, json!({"data": {"attributes": {"api_key": KEY}}}))),
        _ => Some((202, json!({}))),
    });
    let variables =
        [("DD_ORG_UUID", "org-1"), ("DD_DELEGATED_AUTH_URL", "http://127.0.0.1:28138"), ("DD_KMS_API_KEY", "unasked")];
    let run = datadog.run_sandbox(&variables, Initialization::OnDemand, 2);
    run.assert_unharmed();
    assert_eq!(run.count_messages("REPORT "), 2, "{}", run.own_lines());
    assert!(run.intake.requests().iter().all(|request| request.api_key.as_deref() == Some(KEY)));
    let heard = datadog.heard();
    let [call] = for_a_key(&heard)[..] else { panic!("{heard:?}\n{}", run.own_lines()) };
    let proof = call.authorization.strip_prefix("Delegated ").unwrap();
    assert_eq!(proof.split('|').count(), 4, "{proof}");
}

#[test]
fn rejected_delegated_auth_leaves_function_unharmed() {
    let datadog = Aws::new(28_139, |_, _| Some((403, json!({"errors": ["no such role"]}))));
    let variables = [("DD_ORG_UUID", "org-1"), ("DD_DELEGATED_AUTH_URL", "http://127.0.0.1:28139")];
    let run = datadog.run_sandbox(&variables, Initialization::OnDemand, 2);
    run.assert_unharmed();
    assert!(run.intake.requests().is_empty() && !for_a_key(&datadog.heard()).is_empty());
    let own = run.own_lines();
    assert!(own.contains("Error getting the API key of DD_ORG_UUID: Datadog answered 403"), "{own}");
    assert!(!own.contains("no such role"), "{own}");
}

#[test]
fn kms_is_asked_again_with_the_functions_name_if_it_refuses() {
    let aws = Aws::new(28_132, |number, _| {
        if number == 0 {
            return Some((400, json!({"__type": "InvalidCiphertextException"})));
        }
        // The key in base64.
        Some((200, json!({"Plaintext": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="})))
    });
    let run = aws.run_sandbox(&[("DD_KMS_API_KEY", "Y2lwaGVy")], Initialization::OnDemand, 2);
    assert_delivered_under_the_key(&run);
    let [first, second] = &aws.heard()[..] else { panic!("{:?}\n{}", aws.heard(), run.own_lines()) };
    assert_eq!(
        (first.operation.as_str(), &first.body),
        ("TrentService.Decrypt", &json!({"CiphertextBlob": "Y2lwaGVy"}))
    );
    let context = json!({"LambdaFunctionName": "function"});
    assert_eq!(second.body, json!({"CiphertextBlob": "Y2lwaGVy", "EncryptionContext": context}));
}

#[test]
fn a_sandbox_from_a_snapshot_asks_with_the_credentials_of_its_container() {
    let aws = Aws::new(28_133, |_, _| Some((200, json!({"SecretString": KEY}))));
    let run = aws.run_sandbox(&[("DD_API_KEY_SECRET_ARN", "s")], Initialization::SnapStart, 2);
    run.assert_unharmed();
    assert_eq!(run.count_messages("REPORT "), 2, "{}", run.own_lines());
    assert!(run.intake.requests().iter().all(|request| request.api_key.as_deref() == Some(KEY)));
    let [call] = &aws.heard()[..] else { panic!("{:?}\n{}", aws.heard(), run.own_lines()) };
    assert!(call.authorization.contains("Credential=container-access-key-id/"), "{call:?}");
    assert_eq!(call.token, "container-session-token");
}

#[test]
fn what_cannot_be_sent_yet_waits_until_the_key_is_known() {
    let aws = Aws::new(28_134, |number, _| match number {
        0 => Some((400, json!({"__type": "AccessDeniedException", "message": "not yours"}))),
        1 => Some((500, json!("?"))),
        2 => Some((200, json!({"Parameter": {}}))),
        _ => Some((200, json!({"Parameter": {"Value": KEY}}))),
    });
    let run = aws.run_sandbox(&[("DD_API_KEY_SSM_ARN", "p")], Initialization::OnDemand, 3);
    assert_delivered_under_the_key(&run);
    assert!(aws.heard().len() >= 4, "{:?}", aws.heard());
    let own = run.own_lines();
    assert!(own.contains("Error decrypting key: ssm: "), "{own}");
}

/// When something first happened in the sandbox.
fn first_moment(sandbox: &Sandbox, is_it: impl Fn(&JournalEvent) -> bool) -> OffsetDateTime {
    sandbox.journal().iter().find(|entry| is_it(&entry.what)).unwrap().wall
}

/// AWS answers a second after it was asked, and no event ever comes.
#[test]
fn the_key_is_asked_for_after_the_first_next_and_not_waited_for() {
    support::in_own_network(|| {
        for initialization in [Initialization::OnDemand, Initialization::ProvisionedConcurrency] {
            let answers = Arc::new(Mutex::new(Vec::new()));
            let answered = answers.clone();
            let aws = Aws::new(28_166, move |_, _| {
                thread::sleep(Duration::from_secs(1));
                answered.lock().unwrap().push(OffsetDateTime::now_utc());
                Some((200, json!({"SecretString": KEY})))
            });
            aws.server.start();
            let setup = aws.setup(&[("DD_API_KEY_SECRET_ARN", "s")]);
            let setup = Setup { function: Function::null(), network: Network::Host, initialization, ..setup };
            let sandbox = Sandbox::start(Setup { freeze: false, ..setup }).unwrap();
            eventually("the key is asked for", || !aws.heard().is_empty());
            let next = first_moment(&sandbox, |what| matches!(what, JournalEvent::ExtensionNext { .. }));
            let answers = answers.lock().unwrap().clone();
            assert!(next < answers[0], "{initialization:?}: {next} came after {}", answers[0]);
            let run = support::end(sandbox, Vec::new());
            run.assert_orderly_end();
            assert_eq!(aws.heard().len(), 1, "{}", run.own_lines());
        }
    });
}

/// A function that takes its time to be ready, which is longer than a question needs to be asked.
struct SlowStart;

impl Handler for SlowStart {
    fn init(&self, _: &Call<'_>) -> Result<(), InitError> {
        thread::sleep(Duration::from_millis(500));
        Ok(())
    }

    fn handle(&self, _: &Call<'_>) -> HandlerOutcome {
        HandlerOutcome::Response(b"null".to_vec())
    }
}

/// It would be old when the snapshot is restored.
#[test]
fn the_key_is_not_asked_for_before_the_snapshot() {
    support::in_own_network(|| {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let heard = calls.clone();
        let aws = Aws::new(28_167, move |_, _| {
            heard.lock().unwrap().push(OffsetDateTime::now_utc());
            Some((200, json!({"SecretString": KEY})))
        });
        aws.server.start();
        let setup = aws.setup(&[("DD_API_KEY_SECRET_ARN", "s")]);
        let setup = Setup { function: Function::InProcess(Arc::new(SlowStart)), network: Network::Host, ..setup };
        let sandbox = Sandbox::start(Setup { initialization: Initialization::SnapStart, ..setup }).unwrap();
        let invocations = support::invoke(&sandbox, 0..1);
        let restored = first_moment(&sandbox, |what| *what == JournalEvent::RestoreStarted);
        let run = support::end(sandbox, invocations);
        run.assert_unharmed();
        let calls = calls.lock().unwrap().clone();
        assert!(!calls.is_empty() && calls.iter().all(|call| *call > restored), "{calls:?} and {restored}");
    });
}

#[test]
fn hanging_aws_endpoint_leaves_function_unharmed() {
    let aws = Aws::new(28_135, |_, _| None);
    let run = aws.run_sandbox(&[("DD_API_KEY_SECRET_ARN", "s")], Initialization::OnDemand, 4);
    run.assert_unharmed();
    assert!(run.intake.requests().is_empty());
    for invocation in &run.invocations[1..] {
        assert!(invocation.duration < Duration::from_secs(5), "only the first may wait: {:?}", run.invocations);
    }
    let own = run.own_lines();
    assert!(own.contains("Skipping flushing: Failed to resolve API key"), "{own}");
    assert!(own.contains("were dropped or not confirmed"), "{own}");
}

#[test]
fn stale_api_key_refreshed_and_kept_on_failure() {
    const OTHER: &str = "fedcba9876543210fedcba9876543210";
    let aws = Aws::new(28_136, |number, _| match number {
        0 => Some((200, json!({"SecretString": KEY}))),
        1 => Some((400, json!({"__type": "AccessDeniedException"}))),
        _ => Some((200, json!({"SecretString": OTHER}))),
    });
    let variables = [("DD_API_KEY_SECRET_ARN", "s"), ("DD_API_KEY_SECRET_RELOAD_INTERVAL", "1")];
    let sandbox = matrix::sandbox::Sandbox::start(aws.setup(&variables)).unwrap();
    let mut invocations = crate::support::invoke(&sandbox, 0..1);
    for number in 1..5 {
        thread::sleep(Duration::from_millis(1100));
        invocations.extend(crate::support::invoke(&sandbox, number..number + 1));
    }
    let run = crate::support::end(sandbox, invocations);
    run.assert_unharmed();
    run.assert_exactly_once();
    let keys: Vec<_> = run.intake.requests().iter().filter_map(|request| request.api_key.clone()).collect();
    assert!(keys.starts_with(&[KEY.to_owned()]) && keys.ends_with(&[OTHER.to_owned()]), "{keys:?}");
}

/// The old key is good enough for as long as it takes.
#[test]
fn a_key_reload_that_hangs_holds_no_invocation() {
    let aws = Aws::new(28_165, |number, _| (number == 0).then(|| (200, json!({"SecretString": KEY}))));
    let variables = [("DD_API_KEY_SECRET_ARN", "s"), ("DD_API_KEY_SECRET_RELOAD_INTERVAL", "1")];
    let sandbox = matrix::sandbox::Sandbox::start(aws.setup(&variables)).unwrap();
    let mut invocations = crate::support::invoke(&sandbox, 0..1);
    eventually("the extension asks for a new key, and gets no response", || {
        invoke_next(&sandbox, &mut invocations);
        aws.heard().len() >= 2
    });
    for _ in 0..3 {
        invoke_next(&sandbox, &mut invocations);
    }
    assert!(aws.server.client_timeouts().is_empty(), "an invocation waited until that request timed out");
    assert_eq!(aws.heard().len(), 2);
    let run = crate::support::end(sandbox, invocations);
    assert_delivered_under_the_key(&run);
}

/// The message can quote the request as AWS has read it, with the session token. The type may come with a namespace or a URL.
#[test]
fn an_error_of_aws_is_logged_without_its_message() {
    const MESSAGE: &str =
        "The Canonical String should have been 'POST\n/\n\nx-amz-security-token:sandbox-session-token\n'";
    for (port, error_type, shown) in [
        (28_160, "com.amazonaws.kms#InvalidSignatureException", "InvalidSignatureException"),
        (28_161, "sandbox-session-token with blanks", "unknown"),
    ] {
        let aws = Aws::replying(port, move |_, _| {
            let json = json!({"__type": error_type, "message": MESSAGE, "Message": MESSAGE}).to_string();
            Reply::new(400, &[("x-amzn-RequestId", "0a1b-2c3d")], &json)
        });
        let run = aws.run_sandbox(&[("DD_API_KEY_SECRET_ARN", "s")], Initialization::OnDemand, 1);
        run.assert_unharmed();
        let own = run.own_lines();
        let line = format!("Error decrypting key: secretsmanager: 400 Bad Request: {shown}, request id 0a1b-2c3d");
        assert!(own.contains(&line), "{own}");
        assert!(!own.contains("sandbox-session-token") && !own.contains("Canonical"), "{own}");
    }
}

/// Two gigabytes would be the end of any sandbox.
#[test]
fn an_answer_without_end_is_not_read_to_its_end() {
    let endless = |_: usize, _: &Request| Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec());
    let aws = Aws::replying(28_162, endless);
    let run = aws.run_sandbox(&[("DD_API_KEY_SSM_ARN", "p")], Initialization::OnDemand, 2);
    run.assert_unharmed();
    let own = run.own_lines();
    assert!(own.contains("Error decrypting key: ssm: an answer of more than 524288 bytes"), "{own}");
    let datadog = Aws::replying(28_163, endless);
    let variables = [("DD_ORG_UUID", "org-1"), ("DD_DELEGATED_AUTH_URL", "http://127.0.0.1:28163")];
    let run = datadog.run_sandbox(&variables, Initialization::OnDemand, 2);
    run.assert_unharmed();
    let own = run.own_lines();
    assert!(own.contains("the API key of DD_ORG_UUID: an answer of more than 524288 bytes"), "{own}");
}

/// Whatever a request to Datadog may take. The function is invoked until the client has hung up.
#[test]
fn a_call_to_aws_ends_after_five_seconds() {
    let aws = Aws::new(28_164, |_, _| None);
    let variables = [("DD_API_KEY_SECRET_ARN", "s"), ("DD_FLUSH_TIMEOUT", "600")];
    let sandbox = matrix::sandbox::Sandbox::start(aws.setup(&variables)).unwrap();
    let mut invocations = Vec::new();
    eventually("the client closes the connection", || {
        invoke_next(&sandbox, &mut invocations);
        !aws.server.client_timeouts().is_empty()
    });
    // The server starts its clock later than the client.
    assert!(aws.server.client_timeouts()[0] >= Duration::from_secs(4), "{:?}", aws.server.client_timeouts());
    invoke_next(&sandbox, &mut invocations);
    let run = crate::support::end(sandbox, invocations);
    run.assert_unharmed();
    assert!(run.own_lines().contains("secretsmanager: no answer within 5s"), "{}", run.own_lines());
}
