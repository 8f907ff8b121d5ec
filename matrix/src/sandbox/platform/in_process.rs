//! A runtime on a thread of this process. It uses the Runtime API over HTTP like any other runtime.

use std::io;
use std::net::SocketAddr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use super::{Fatal, Platform};
use crate::sandbox::frames::Record;
use crate::sandbox::function::{Call, Handler, HandlerEnvironment, HandlerOutcome, InitError};
use crate::sandbox::http;
use crate::sandbox::journal::JournalEvent;
use crate::sandbox::setup::Origin;

impl HandlerEnvironment for Platform {
    fn print_line(&self, line: &[u8]) {
        self.print(&Origin::Function, Record::untimed(line));
    }

    fn use_memory(&self, megabytes: u32) {
        self.claim_memory(megabytes);
    }
}

/// An in-process runtime, which runs until its environment ends.
#[derive(Debug)]
pub(crate) struct InProcess {
    stopped: Arc<AtomicBool>,
    go: mpsc::Sender<()>,
}

impl InProcess {
    /// Prepares the thread and its HTTP client, so that neither counts as the function's init.
    pub(crate) fn prepare(
        platform: Arc<Platform>,
        handler: Arc<dyn Handler>,
        runtime_api: SocketAddr,
    ) -> io::Result<Self> {
        let stopped = Arc::new(AtomicBool::new(false));
        let (go, wait) = mpsc::channel();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let client = http::client().map_err(io::Error::other)?;
        let worker = Worker { runtime, client, runtime_api, platform, handler, stopped: Arc::clone(&stopped) };
        thread::Builder::new().name("function".to_owned()).spawn(move || {
            if wait.recv().is_ok() {
                worker.work();
            }
        })?;
        Ok(Self { stopped, go })
    }

    pub(crate) fn go(&self) {
        let _ = self.go.send(());
    }

    /// Makes everything that the thread does from now on ineffective.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Worker {
    runtime: Runtime,
    client: reqwest::Client,
    runtime_api: SocketAddr,
    platform: Arc<Platform>,
    handler: Arc<dyn Handler>,
    stopped: Arc<AtomicBool>,
}

/// How the runtime ends.
enum End {
    Exit(i32),
    OutOfMemory,
    Hang,
}

struct Event {
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Worker {
    fn work(&self) {
        // A panic of the handler is an exit of its runtime, as it would be in a process.
        let end = panic::catch_unwind(AssertUnwindSafe(|| self.run())).unwrap_or(End::Exit(101));
        if self.stopped.load(Ordering::SeqCst) {
            return;
        }
        match end {
            End::Hang => {}
            End::Exit(code) => self.platform.ended(&Origin::Function, format!("exit status: {code}")),
            // Only one failure is reported: a second one might affect the next environment.
            End::OutOfMemory => {
                let status = "signal: 9 (SIGKILL)".to_owned();
                self.platform.journal.write(JournalEvent::Exited { origin: Origin::Function, status });
                self.platform.fail(Fatal::OutOfMemory);
            }
        }
    }

    fn run(&self) -> End {
        match self.handler.init(&self.call("", &[], &HeaderMap::new())) {
            Ok(()) => {}
            Err(InitError::Exit(code)) => return End::Exit(code),
            Err(InitError::Hang) => return End::Hang,
            Err(InitError::Reported(error_type)) => {
                let body = json!({"errorType": error_type, "errorMessage": "the init failed"});
                self.post("init/error", body.to_string().into_bytes(), Some(&error_type));
                return End::Exit(1);
            }
        }
        while let Some(event) = self.next() {
            let id = header(&event.headers, "lambda-runtime-aws-request-id");
            let taken = match self.handler.handle(&self.call(id, &event.body, &event.headers)) {
                HandlerOutcome::Response(body) => self.post(&format!("invocation/{id}/response"), body, None),
                HandlerOutcome::Error { error_type, message } => {
                    let body = json!({"errorType": error_type, "errorMessage": message, "stackTrace": []});
                    self.post(&format!("invocation/{id}/error"), body.to_string().into_bytes(), Some(&error_type))
                }
                HandlerOutcome::Exit(code) => return End::Exit(code),
                HandlerOutcome::OutOfMemory => return End::OutOfMemory,
                HandlerOutcome::Hang => return End::Hang,
            };
            if !taken {
                break;
            }
        }
        // Real runtimes exit if the Runtime API fails.
        End::Exit(1)
    }

    fn call<'a>(&'a self, request_id: &'a str, event: &'a [u8], headers: &'a HeaderMap) -> Call<'a> {
        Call {
            request_id,
            event,
            deadline_ms: header(headers, "lambda-runtime-deadline-ms").parse().unwrap_or_default(),
            trace: header(headers, "lambda-runtime-trace-id"),
            runtime_api: self.runtime_api,
            environment: &*self.platform,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/2018-06-01/runtime/{path}", self.runtime_api)
    }

    fn next(&self) -> Option<Event> {
        if self.stopped.load(Ordering::SeqCst) {
            return None;
        }
        self.runtime.block_on(async {
            let answer = self.client.get(self.url("invocation/next")).send().await.ok()?;
            if !answer.status().is_success() {
                return None;
            }
            let headers = answer.headers().clone();
            Some(Event { headers, body: answer.bytes().await.ok()?.to_vec() })
        })
    }

    /// Returns whether the Runtime API could be reached. A rejected response (of a request that is over, or too large) is not the end of the runtime.
    fn post(&self, path: &str, body: Vec<u8>, error_type: Option<&str>) -> bool {
        self.runtime.block_on(async {
            let mut request = self.client.post(self.url(path)).timeout(Duration::from_mins(1)).body(body);
            if let Some(error_type) = error_type {
                request = request.header("lambda-runtime-function-error-type", error_type);
            }
            request.send().await.is_ok()
        })
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
