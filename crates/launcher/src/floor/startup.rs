//! All that the floor does.

use extension_protocol::{
    Backoff, Initialization, RUNTIME_API, Request, Subscription,
    reply::{self, EventType},
};

use crate::{
    api::Api,
    connection::{Connection, ReadBuffer},
    idle::sleep,
    process::Process,
    telemetry::Telemetry,
    text::Text,
};

const SUCCESS: i32 = 0;
const FAILURE: i32 = 1;

/// The whole of the program, with its exit code.
#[expect(clippy::needless_pass_by_value, reason = "the launcher's needs all of it, and both are begun in the same way")]
pub fn run(process: Process, buffer: &mut ReadBuffer) -> i32 {
    let api = process.variable(RUNTIME_API).and_then(Api::parse);
    let ended = api.and_then(|api| Floor { api, buffer }.run());
    if ended.is_some() { SUCCESS } else { FAILURE }
}

struct Floor<'a> {
    api: Api<'a>,
    buffer: &'a mut ReadBuffer,
}

impl Floor<'_> {
    /// From the registration to SHUTDOWN. None if the platform has refused it or is gone; nothing is tried again before the first request for an event.
    fn run(&mut self) -> Option<()> {
        let mut connection = Connection::open(&self.api, self.buffer).ok()?;
        connection.send(&self.api, &[Request::Register(Initialization::OnDemand)]).ok()?;
        let telemetry = Telemetry::bind().ok()?;
        let subscription =
            Subscription { port: telemetry.port()?, logs: true, initialization: Initialization::OnDemand };
        // Lambda's have 36 bytes.
        let mut place = [0; 256];
        let mut id = Text::new(&mut place);
        let response = connection.receive(self.buffer).ok()?;
        id.push(reply::registration(&response).ok()?.id.as_bytes());
        let id = Some(id.as_str()).filter(|_| id.is_whole())?;
        connection.send(&self.api, &[Request::Subscribe { id, subscription }, Request::Next { id }]).ok()?;
        self.idle(id, connection, telemetry)
    }

    /// Asks for one event after the other until SHUTDOWN, whatever the platform answers, and takes telemetry while there is none. None if the platform is gone.
    fn idle(&mut self, id: &str, mut connection: Connection, mut telemetry: Telemetry) -> Option<()> {
        let mut backoff = Backoff::default();
        // Its response comes before the first event. Whatever it says, the event comes behind it unless the connection has ended.
        let mut is_subscribing = true;
        loop {
            if !self.buffer.has_more() {
                telemetry.discard_until(&connection);
            }
            let event = connection.receive(self.buffer).map(|response| reply::event_type(&response));
            if core::mem::take(&mut is_subscribing) && !connection.has_ended() {
                continue;
            }
            match event {
                Ok(Some(EventType::Shutdown)) => return Some(()),
                Ok(Some(EventType::Invoke)) => backoff = Backoff::default(),
                Ok(None) | Err(_) => sleep(backoff.pause()),
            }
            if connection.has_ended() {
                connection = Connection::open(&self.api, self.buffer).ok()?;
            }
            // If that fails, so does receiving.
            let _ = connection.send(&self.api, &[Request::Next { id }]);
        }
    }
}
