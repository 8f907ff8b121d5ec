//! The registration, and who the extension is to the platform after it.

use extension_protocol::{
    Backoff, IDENTIFIER, INIT_RETRIES, Initialization, Request, Response, Sink, ascii, decimal,
    log_line::write_excerpt,
    reply::{self, Refusal, Registration},
};

use crate::{
    api::Api,
    connection::{Cause, Connection, Inbox},
    idle::sleep,
    text::Text,
};

/// Of a refusal's body, which is logged.
const MAX_LOGGED_BYTES: usize = 512;

/// A registration, from its request on. Its parts stay where they are, because moving them would take more code than filling them.
pub struct Registering<'a> {
    pub api: Api<'a>,
    pub initialization: Initialization,
    pub inbox: &'a mut Inbox,
    /// The extension's id.
    pub id: Text<'a>,
    /// The account that owns the function; empty where the platform does not say it.
    pub account_id: Text<'a>,
    /// Why the registration has failed, for the log.
    pub failure: Text<'a>,
}

/// Whether what has failed may succeed later.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    ForNow,
    ForGood,
}

impl Registering<'_> {
    /// Connects, and sends the registration.
    pub fn send(&mut self) -> Result<Connection, Failed> {
        let opened = Connection::open(&self.api, self.inbox);
        let mut connection = opened.map_err(|cause| self.no_response("connect", cause))?;
        let request = Request::Register(self.initialization);
        let sent = connection.send(&self.api, &[request]);
        sent.map_err(|cause| self.no_response(request.call(), cause))?;
        Ok(connection)
    }

    /// Waits for the response, and repeats a registration that has failed for now.
    pub fn finish(&mut self, sent: Result<Connection, Failed>) -> Result<Connection, Failed> {
        let mut result = sent.and_then(|connection| self.receive(connection));
        for pause in Backoff::default().take(INIT_RETRIES) {
            if !matches!(result, Err(Failed::ForNow)) {
                break;
            }
            sleep(pause);
            result = self.send().and_then(|connection| self.receive(connection));
        }
        result
    }

    fn receive(&mut self, mut connection: Connection) -> Result<Connection, Failed> {
        const CALL: &str = "register";
        let response = match connection.receive(self.inbox) {
            Ok(response) => response,
            Err(cause) => return Err(self.no_response(CALL, cause)),
        };
        let refusal = match reply::registration(&response) {
            // An id that has no room here would be none that Lambda gives.
            Ok(Registration { id, account_id }) => {
                self.id.push(id.as_bytes());
                self.account_id.push(account_id.unwrap_or_default().as_bytes());
                return Ok(connection);
            }
            Err(refusal) => refusal,
        };
        self.failure.clear();
        write_refusal(CALL, refusal, &response, &mut self.failure.sink());
        Err(match refusal {
            Refusal::Status(status) if reply::is_temporary(status) => Failed::ForNow,
            Refusal::Status(_) | Refusal::NoIdentifier => Failed::ForGood,
        })
    }

    fn no_response(&mut self, call: &str, cause: Cause) -> Failed {
        self.failure.clear();
        let out = &mut self.failure.sink();
        out(call);
        out(": no answer from Lambda at ");
        out(self.api.host);
        out("; is AWS_LAMBDA_RUNTIME_API set? (");
        cause.write(out);
        out(")");
        Failed::ForNow
    }
}

fn write_refusal(call: &str, refusal: Refusal, response: &Response<'_>, out: Sink<'_>) {
    out(call);
    match refusal {
        Refusal::Status(status) => {
            out(": Lambda answered ");
            decimal::write(u64::from(status), out);
            out(" - Response: ");
            write_excerpt(ascii::prefix(response.body), MAX_LOGGED_BYTES, out);
        }
        Refusal::NoIdentifier => {
            out(": Lambda's answer makes no sense: no header ");
            out(IDENTIFIER);
        }
    }
}
