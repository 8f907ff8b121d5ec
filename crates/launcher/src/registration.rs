//! The registration, and who the extension is to the platform after it.

use extension_protocol::{
    Backoff, IDENTIFIER, INIT_RETRIES, Initialization, Request, Response, Sink, ascii, decimal,
    log_line::write_excerpt,
    reply::{self, Refusal, Registration},
};

use crate::{
    api::Api,
    connection::{Cause, Connection, ReadBuffer},
    idle::sleep,
    text::Text,
};

/// Of a refusal's body, which is logged.
const MAX_LOGGED_BYTES: usize = 512;

/// A registration, from its request on. Its parts stay where they are, because moving them would take more code than filling them.
pub struct PendingRegistration<'a> {
    pub api: Api<'a>,
    pub initialization: Initialization,
    pub buffer: &'a mut ReadBuffer,
    /// The extension's id.
    pub id: Text<'a>,
    /// The account that owns the function; empty where the platform does not say it.
    pub account_id: Text<'a>,
    /// Why the registration has failed, for the log.
    pub failure: Text<'a>,
}

/// Whether a failed registration may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    Temporary,
    Permanent,
}

impl PendingRegistration<'_> {
    /// Connects, and sends the registration.
    pub fn send(&mut self) -> Result<Connection, FailureKind> {
        let opened = Connection::open(&self.api, self.buffer);
        let mut connection = opened.map_err(|cause| self.no_response("connect", cause))?;
        let request = Request::Register(self.initialization);
        let sent = connection.send(&self.api, &[request]);
        sent.map_err(|cause| self.no_response(request.call(), cause))?;
        Ok(connection)
    }

    /// Waits for the response, and repeats a registration that has failed for now.
    pub fn finish(&mut self, sent: Result<Connection, FailureKind>) -> Result<Connection, FailureKind> {
        let mut result = sent.and_then(|connection| self.receive(connection));
        for pause in Backoff::default().take(INIT_RETRIES) {
            if !matches!(result, Err(FailureKind::Temporary)) {
                break;
            }
            sleep(pause);
            result = self.send().and_then(|connection| self.receive(connection));
        }
        result
    }

    fn receive(&mut self, mut connection: Connection) -> Result<Connection, FailureKind> {
        const CALL: &str = "register";
        let response = match connection.receive(self.buffer) {
            Ok(response) => response,
            Err(cause) => return Err(self.no_response(CALL, cause)),
        };
        let refusal = match reply::registration(&response) {
            // An id that has no room here would be none that Lambda gives.
            Ok(Registration { id, account_id }) => {
                self.id.push(id.as_bytes());
                self.account_id.push(account_id.unwrap_or_default().as_bytes());
                if self.id.is_whole() {
                    return Ok(connection);
                }
                // Lambda's have 36 bytes. Part of one would be refused for ever.
                Refusal::NoIdentifier
            }
            Err(refusal) => refusal,
        };
        self.failure.clear();
        write_refusal(CALL, refusal, &response, &mut self.failure.sink());
        Err(match refusal {
            Refusal::Status(status) if reply::is_temporary(status) => FailureKind::Temporary,
            Refusal::Status(_) | Refusal::NoIdentifier => FailureKind::Permanent,
        })
    }

    fn no_response(&mut self, call: &str, cause: Cause) -> FailureKind {
        self.failure.clear();
        let out = &mut self.failure.sink();
        out(call);
        out(": no answer from Lambda at ");
        out(self.api.host);
        out("; is AWS_LAMBDA_RUNTIME_API set? (");
        cause.write(out);
        out(")");
        FailureKind::Temporary
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

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
    };

    use super::*;
    use crate::connection::Space;

    /// The result of a registration that gets these responses, each on a connection of its own; the id, the account and the error.
    fn register(responses: &[String]) -> (Result<(), FailureKind>, [String; 3]) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let mut buffer = ReadBuffer::new(Box::leak(vec![0; size_of::<Space>()].into_boxed_slice().try_into().unwrap()));
        let (mut id, mut account_id, mut failure) = ([0; 512], [0; 64], [0; 1024]);
        let mut registration = PendingRegistration {
            api: Api::parse(&host).unwrap(),
            initialization: Initialization::OnDemand,
            buffer: &mut buffer,
            id: Text::new(&mut id),
            account_id: Text::new(&mut account_id),
            failure: Text::new(&mut failure),
        };
        let result = std::thread::scope(|scope| {
            scope.spawn(|| {
                for response in responses {
                    let (mut stream, _) = listener.accept().unwrap();
                    assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
                    stream.write_all(response.as_bytes()).unwrap();
                }
            });
            let sent = registration.send();
            registration.finish(sent).map(drop)
        });
        let PendingRegistration { id, account_id, failure, .. } = registration;
        (result, [id, account_id, failure].map(|text| text.as_str().replace(&host, "API")))
    }

    fn registered(id: &str) -> String {
        format!(
            "HTTP/1.1 200 OK\r\nlambda-extension-identifier: {id}\r\ncontent-length: 18\r\n\r\n{{\"accountId\":\"12\"}}"
        )
    }

    #[test]
    fn a_registration_that_fails_for_now_is_repeated() {
        let responses = ["nonsense\r\n\r\n", "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", ""].map(str::to_owned);
        let (result, [id, account_id, _]) = register(&[&responses[..], &[registered("id-1")]].concat());
        assert_eq!((result, id.as_str(), account_id.as_str()), (Ok(()), "id-1", "12"));
    }

    #[test]
    fn a_refused_registration_is_not_repeated() {
        let refused = "HTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\n\r\nno!".to_owned();
        let (result, [.., failure]) = register(&[refused]);
        assert_eq!(
            (result, failure.as_str()),
            (Err(FailureKind::Permanent), "register: Lambda answered 403 - Response: no!")
        );
    }

    #[test]
    fn an_id_of_any_length_is_used_whole_or_refused() {
        let (result, [id, ..]) = register(&[registered(&"x".repeat(500))]);
        assert_eq!((result, id.len()), (Ok(()), 500));
        let (result, [.., failure]) = register(&[registered(&"x".repeat(600))]);
        let expected = "register: Lambda's answer makes no sense: no header lambda-extension-identifier";
        assert_eq!((result, failure.as_str()), (Err(FailureKind::Permanent), expected));
    }
}
