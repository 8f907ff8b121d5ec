//! API keys that AWS keeps, from a small stand-in for AWS in the sandbox's network.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use matrix::sandbox::{
    Function, Setup,
    function::{Answer, Call, Handler, InitError},
    setup::Initialization,
};
use serde_json::{Value, json};

use crate::support::{Life, echo, live, setup_with};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// One call as AWS hears it.
#[derive(Clone, Debug)]
struct Heard {
    path: String,
    operation: String,
    authorization: String,
    token: String,
    body: Value,
}

/// None: no answer at all.
type Replying = dyn Fn(usize, &Heard) -> Option<(u16, Value)> + Send + Sync;

/// A function that echoes, beside an AWS that answers as it is told.
struct Aws {
    port: u16,
    reply: Arc<Replying>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Aws {
    fn new(port: u16, reply: impl Fn(usize, &Heard) -> Option<(u16, Value)> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { port, reply: Arc::new(reply), heard: Arc::default() })
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// A life in which the key is to be found with these variables.
    fn live(self: &Arc<Self>, variables: &[(&str, &str)], initialization: Initialization, times: usize) -> Life {
        let url = format!("http://127.0.0.1:{}", self.port);
        let own = [("DD_API_KEY", ""), ("AWS_ENDPOINT_URL", url.as_str()), ("DD_SERVERLESS_FLUSH_STRATEGY", "end")];
        let setup = setup_with(Function::InProcess(self.clone()), &[&own, variables].concat());
        live(Setup { initialization, timeout: Duration::from_secs(30), ..setup }, times)
    }
}

impl Handler for Aws {
    fn init(&self, _: &Call<'_>) -> Result<(), InitError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        let (reply, heard) = (self.reply.clone(), self.heard.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &*reply, &heard);
            }
        });
        Ok(())
    }

    fn handle(&self, call: &Call<'_>) -> Answer {
        call.print(format!("{} {}", String::from_utf8_lossy(call.event), call.request_id));
        Answer::Response(call.event.to_vec())
    }
}

fn serve(stream: TcpStream, reply: &Replying, heard: &Mutex<Vec<Heard>>) {
    let mut reader = BufReader::new(stream);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        headers.push(line);
    }
    let header = |wanted: &str| {
        let mut pairs = headers.iter().filter_map(|line| line.split_once(':'));
        let found = pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let call = Heard {
        path: headers.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned(),
        operation: header("x-amz-target"),
        authorization: header("authorization"),
        token: header("x-amz-security-token"),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let number = heard.lock().unwrap().len();
    let answer = reply(number, &call);
    heard.lock().unwrap().push(call);
    let mut stream = reader.into_inner();
    match answer {
        Some((status, json)) => {
            let json = json.to_string();
            let length = json.len();
            let _ =
                write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{json}");
        }
        None => drop(thread::spawn(move || {
            thread::sleep(Duration::from_mins(1));
            drop(stream);
        })),
    }
}

fn assert_delivered_under_the_key(life: &Life) {
    life.assert_unharmed();
    life.assert_exactly_once();
    assert!(life.intake.requests().iter().all(|request| request.api_key.as_deref() == Some(KEY)));
}

/// Wherever a key is copied from, it comes with blanks and ends of lines.
#[test]
fn a_plain_key_is_cleaned_before_it_is_used() {
    for written in [format!("{KEY}\n\n"), format!(" {} {} ", &KEY[..7], &KEY[7..])] {
        assert_delivered_under_the_key(&live(setup_with(echo(), &[("DD_API_KEY", &written)]), 2));
    }
}

#[test]
fn secrets_manager_is_asked_once_in_the_secrets_own_region() {
    let aws = Aws::new(28_130, |_, _| Some((200, json!({"SecretString": format!("{{\"dd_api_key\":\"{KEY}\\n\"}}")}))));
    let arn = "arn:aws:secretsmanager:eu-north-1:1:secret:s";
    let life = aws.live(&[("DD_API_KEY_SECRET_ARN", arn)], Initialization::OnDemand, 3);
    assert_delivered_under_the_key(&life);
    let [call] = &aws.heard()[..] else { panic!("{:?}\n{}", aws.heard(), life.own_lines()) };
    assert_eq!((call.operation.as_str(), &call.body), ("secretsmanager.GetSecretValue", &json!({"SecretId": arn})));
    assert!(call.authorization.contains("/eu-north-1/secretsmanager/aws4_request"), "{call:?}");
    assert!(call.authorization.contains("Credential=sandbox-access-key-id/"), "{call:?}");
    assert_eq!(call.token, "sandbox-session-token");
}

#[test]
fn a_parameter_may_be_named_without_its_region() {
    let aws = Aws::new(28_131, |_, _| Some((200, json!({"Parameter": {"Value": KEY}}))));
    let life = aws.live(&[("DD_API_KEY_SSM_ARN", "/datadog/key")], Initialization::OnDemand, 2);
    assert_delivered_under_the_key(&life);
    let call = &aws.heard()[0];
    assert_eq!(call.operation, "AmazonSSM.GetParameter");
    assert_eq!(call.body, json!({"Name": "/datadog/key", "WithDecryption": true}));
    assert!(call.authorization.contains("/us-east-1/ssm/aws4_request"), "{call:?}");
}

#[test]
fn a_parameter_is_asked_for_in_its_own_region() {
    let aws = Aws::new(28_137, |_, _| Some((200, json!({"Parameter": {"Value": KEY}}))));
    let arn = "arn:aws:ssm:eu-west-3:1:parameter/key";
    let life = aws.live(&[("DD_API_KEY_SSM_ARN", arn)], Initialization::OnDemand, 1);
    assert_delivered_under_the_key(&life);
    let call = &aws.heard()[0];
    assert_eq!(call.body["Name"], arn);
    assert!(call.authorization.contains("/eu-west-3/ssm/aws4_request"), "{call:?}");
}

/// The calls for a key among those that were heard: metrics go to the same place.
fn for_a_key(heard: &[Heard]) -> Vec<&Heard> {
    heard.iter().filter(|call| call.path == "/api/v2/intake-key").collect()
}

#[test]
fn an_organization_that_trusts_the_functions_role_gives_its_key() {
    let datadog = Aws::new(28_138, |_, call| match call.path.as_str() {
        "/api/v2/intake-key" => Some((200, json!({"data": {"attributes": {"api_key": KEY}}}))),
        _ => Some((202, json!({}))),
    });
    let variables = [("DD_ORG_UUID", "org-1"), ("DD_DD_URL", "http://127.0.0.1:28138"), ("DD_KMS_API_KEY", "unasked")];
    let life = datadog.live(&variables, Initialization::OnDemand, 2);
    life.assert_unharmed();
    assert_eq!(life.count_messages("REPORT "), 2, "{}", life.own_lines());
    assert!(life.intake.requests().iter().all(|request| request.api_key.as_deref() == Some(KEY)));
    let heard = datadog.heard();
    let [call] = for_a_key(&heard)[..] else { panic!("{heard:?}\n{}", life.own_lines()) };
    let proof = call.authorization.strip_prefix("Delegated ").unwrap();
    assert_eq!(proof.split('|').count(), 4, "{proof}");
}

#[test]
fn an_organization_that_does_not_trust_it_costs_the_function_nothing_but_its_data() {
    let datadog = Aws::new(28_139, |_, _| Some((403, json!({"errors": ["no such role"]}))));
    let variables = [("DD_ORG_UUID", "org-1"), ("DD_DD_URL", "http://127.0.0.1:28139")];
    let life = datadog.live(&variables, Initialization::OnDemand, 2);
    life.assert_unharmed();
    assert!(life.intake.requests().is_empty() && !for_a_key(&datadog.heard()).is_empty());
    let own = life.own_lines();
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
    let life = aws.live(&[("DD_KMS_API_KEY", "Y2lwaGVy")], Initialization::OnDemand, 2);
    assert_delivered_under_the_key(&life);
    let [first, second] = &aws.heard()[..] else { panic!("{:?}\n{}", aws.heard(), life.own_lines()) };
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
    let life = aws.live(&[("DD_API_KEY_SECRET_ARN", "s")], Initialization::SnapStart, 2);
    life.assert_unharmed();
    assert_eq!(life.count_messages("REPORT "), 2, "{}", life.own_lines());
    assert!(life.intake.requests().iter().all(|request| request.api_key.as_deref() == Some(KEY)));
    let [call] = &aws.heard()[..] else { panic!("{:?}\n{}", aws.heard(), life.own_lines()) };
    assert!(call.authorization.contains("Credential="), "{call:?}");
    assert!(!call.authorization.contains("Credential=/"), "{call:?}");
}

#[test]
fn what_cannot_be_sent_yet_waits_until_the_key_is_known() {
    let aws = Aws::new(28_134, |number, _| match number {
        0 => Some((400, json!({"__type": "AccessDeniedException", "message": "not yours"}))),
        1 => Some((500, json!("?"))),
        2 => Some((200, json!({"Parameter": {}}))),
        _ => Some((200, json!({"Parameter": {"Value": KEY}}))),
    });
    let life = aws.live(&[("DD_API_KEY_SSM_ARN", "p")], Initialization::OnDemand, 3);
    assert_delivered_under_the_key(&life);
    assert!(aws.heard().len() >= 4, "{:?}", aws.heard());
    let own = life.own_lines();
    assert!(own.contains("Error decrypting key: ssm: "), "{own}");
}

#[test]
fn an_aws_that_never_answers_costs_the_function_nothing_but_its_data() {
    let aws = Aws::new(28_135, |_, _| None);
    let life = aws.live(&[("DD_API_KEY_SECRET_ARN", "s")], Initialization::OnDemand, 4);
    life.assert_unharmed();
    assert!(life.intake.requests().is_empty());
    for invocation in &life.invocations[1..] {
        assert!(invocation.duration < Duration::from_secs(5), "only the first may wait: {:?}", life.invocations);
    }
    let own = life.own_lines();
    assert!(own.contains("Skipping flushing: Failed to resolve API key"), "{own}");
    assert!(own.contains("were dropped or not confirmed"), "{own}");
}

#[test]
fn a_key_that_is_old_is_asked_for_again_and_stays_if_there_is_no_answer() {
    const OTHER: &str = "fedcba9876543210fedcba9876543210";
    let aws = Aws::new(28_136, |number, _| match number {
        0 => Some((200, json!({"SecretString": KEY}))),
        1 => Some((400, json!({"__type": "AccessDeniedException"}))),
        _ => Some((200, json!({"SecretString": OTHER}))),
    });
    let variables = [("DD_API_KEY_SECRET_ARN", "s"), ("DD_API_KEY_SECRET_RELOAD_INTERVAL", "1")];
    let sandbox = {
        let url = format!("http://127.0.0.1:{}", aws.port);
        let own = [("DD_API_KEY", ""), ("AWS_ENDPOINT_URL_SECRETS_MANAGER", url.as_str())];
        matrix::sandbox::Sandbox::start(setup_with(Function::InProcess(aws.clone()), &[&own, &variables[..]].concat()))
            .unwrap()
    };
    let mut invocations = crate::support::invoke(&sandbox, 0..1);
    for number in 1..5 {
        thread::sleep(Duration::from_millis(1100));
        invocations.extend(crate::support::invoke(&sandbox, number..number + 1));
    }
    let life = crate::support::end(sandbox, invocations);
    life.assert_unharmed();
    life.assert_exactly_once();
    let keys: Vec<_> = life.intake.requests().iter().filter_map(|request| request.api_key.clone()).collect();
    assert!(keys.starts_with(&[KEY.to_owned()]) && keys.ends_with(&[OTHER.to_owned()]), "{keys:?}");
}

/// The old key is good enough for as long as it takes.
#[test]
fn a_key_reload_that_hangs_holds_no_invocation() {
    let aws = Aws::new(28_139, |number, _| (number == 0).then(|| (200, json!({"SecretString": KEY}))));
    let url = format!("http://127.0.0.1:{}", aws.port);
    let variables = [
        ("DD_API_KEY", ""),
        ("AWS_ENDPOINT_URL", url.as_str()),
        ("DD_API_KEY_SECRET_ARN", "s"),
        ("DD_API_KEY_SECRET_RELOAD_INTERVAL", "1"),
        ("DD_SERVERLESS_FLUSH_STRATEGY", "end"),
    ];
    let setup = setup_with(Function::InProcess(aws.clone()), &variables);
    let sandbox = matrix::sandbox::Sandbox::start(Setup { timeout: Duration::from_secs(30), ..setup }).unwrap();
    let mut invocations = crate::support::invoke(&sandbox, 0..1);
    // Until the key is old and a new one has been asked for, which is never answered.
    while aws.heard().len() < 2 {
        invocations.extend(crate::support::invoke(&sandbox, invocations.len()..invocations.len() + 1));
    }
    // Waiting for the answer would mean waiting for the end of that call, after which there is another.
    for _ in 0..3 {
        invocations.extend(crate::support::invoke(&sandbox, invocations.len()..invocations.len() + 1));
    }
    assert_eq!(aws.heard().len(), 2);
    let life = crate::support::end(sandbox, invocations);
    assert_delivered_under_the_key(&life);
}
