//! A server that names another host gets no request of ours repeated there: neither data nor keys nor signatures.
//!
//! Several sandboxes of one test use the same port, so each test needs networks of their own.

use std::sync::Arc;

use matrix::sandbox::{
    Function, Setup,
    intake::{self, Plan, Route, Window},
};

use crate::{
    stand_in::{EchoWithServers, Reply, Server},
    support::{Run, in_own_network, run_sandbox, setup_with},
};

const CODES: [u16; 5] = [301, 302, 303, 307, 308];

/// Where redirects lead: another host, which would take everything.
fn other(port: u16) -> Arc<Server> {
    Arc::new(Server::new(&format!("127.0.0.2:{port}"), |_, _| Reply::new(200, &[], "{}")))
}

fn target(port: u16) -> String {
    format!("http://user:hunter2@127.0.0.2:{port}/path/hunter2?query=hunter2")
}

fn assert_not_followed(run: &Run, other: &Server, port: u16) {
    run.assert_unharmed();
    assert!(other.requests().is_empty(), "{:?}", other.requests());
    let own = run.own_lines();
    assert!(own.contains(&format!("a redirect to 127.0.0.2:{port}, which is not followed")), "{own}");
    assert!(!own.contains("hunter2"), "{own}");
}

fn redirected(code: u16, window: Window, port: u16) -> (Run, Arc<Server>) {
    let other = other(port);
    let function = Function::InProcess(Arc::new(EchoWithServers(vec![other.clone()])));
    let headers = vec![("location".to_owned(), target(port))];
    let plan = Plan::rule(Route::Any, window, intake::RuleResponse::Status { code, headers, body: String::new() });
    let variables = [("DD_SERVERLESS_FLUSH_STRATEGY", "end")];
    let run = run_sandbox(Setup { intake: Some(plan), ..setup_with(function, &variables) }, 2);
    (run, other)
}

/// The two that say that they are temporary are kept and sent again; after the others the data is dropped, and counted.
#[test]
fn an_intake_that_redirects_is_not_followed() {
    in_own_network(|| {
        const PORT: u16 = 28_170;
        for code in CODES {
            let (run, other) = redirected(code, Window::ALWAYS, PORT);
            assert_not_followed(&run, &other, PORT);
            assert!(run.intake.requests().iter().all(|request| request.method == "POST"), "{code}");
            let own = run.own_lines();
            assert!(own.contains("were dropped or not confirmed"), "{code}: {own}");
            assert_eq!(own.contains("Request was denied by Datadog"), !matches!(code, 302 | 307), "{code}: {own}");
        }
        for code in [302, 307] {
            // The attempt after it is answered with 202, so that there is nothing to be told.
            let (run, other) = redirected(code, Window::first(1), PORT);
            assert!(other.requests().is_empty(), "{:?}", other.requests());
            run.assert_unharmed();
            run.assert_exactly_once();
        }
    });
}

/// A run in which the key comes from a server that redirects.
fn key_from(code: u16, ports: [u16; 2], variables: &[(&str, &str)]) -> (Run, Arc<Server>) {
    let [port, other_port] = ports;
    let other = other(other_port);
    let redirecting = Arc::new(Server::new(&format!("127.0.0.1:{port}"), move |_, _| {
        Reply::new(code, &[("location", &target(other_port))], "")
    }));
    let function = Function::InProcess(Arc::new(EchoWithServers(vec![redirecting.clone(), other.clone()])));
    let url = format!("http://127.0.0.1:{port}");
    let own = [("DD_API_KEY", ""), ("AWS_ENDPOINT_URL", url.as_str()), ("DD_DELEGATED_AUTH_URL", url.as_str())];
    let run = run_sandbox(setup_with(function, &[&own, variables].concat()), 1);
    assert_not_followed(&run, &other, other_port);
    (run, redirecting)
}

#[test]
fn an_aws_service_that_redirects_gets_no_signature_to_the_other_host() {
    in_own_network(|| {
        for code in CODES {
            for (variable, service) in
                [("DD_API_KEY_SECRET_ARN", "secretsmanager"), ("DD_API_KEY_SSM_ARN", "ssm"), ("DD_KMS_API_KEY", "kms")]
            {
                let (run, redirecting) = key_from(code, [28_171, 28_172], &[(variable, "Y2lwaGVy")]);
                assert!(!redirecting.requests().is_empty());
                let own = run.own_lines();
                assert!(own.contains(&format!("Error decrypting key: {service}: {code} ")), "{own}");
            }
        }
    });
}

#[test]
fn delegated_auth_proof_is_not_sent_to_redirect_target() {
    in_own_network(|| {
        for code in CODES {
            let (run, redirecting) = key_from(code, [28_173, 28_174], &[("DD_ORG_UUID", "org-1")]);
            assert!(redirecting.requests().iter().any(|request| request.path == "/api/v2/intake-key"));
            let own = run.own_lines();
            assert!(
                own.contains(&format!("Error getting the API key of DD_ORG_UUID: Datadog answered {code} ")),
                "{own}"
            );
        }
    });
}
