//! Everything up to the first request for an event, and then the agent.

use core::ffi::CStr;

use extension_protocol::{
    Handover, INITIALIZATION_TYPE, Initialization, RUNTIME_API, Request, Subscription, SubscriptionState,
    handover::{SPARE_DESCRIPTORS, VARIABLE},
    listeners::WEB_ADAPTER_PROXY,
};
use rustix::{io::Errno, process::getpid};

use crate::{
    agent,
    api::Api,
    connection::{Cause, Connection, ReadBuffer},
    descriptors::{find_spare, keep_open},
    idle::{InFlight, idle},
    listeners::Listeners,
    log,
    process::{self, Process},
    registration::PendingRegistration,
    text::Text,
};

const SUCCESS: i32 = 0;
const FAILURE: i32 = 1;

/// The whole of the program. Comes back only if the agent cannot be executed, with the exit code.
pub fn run(mut process: Process, buffer: &mut ReadBuffer) -> i32 {
    // A person asks something, which the agent answers. Lambda gives no arguments.
    if process.has_arguments() {
        let error = execute_agent(&mut process, None);
        log::error("The agent cannot be started: ", Some(error));
        return FAILURE;
    }
    let start = process::monotonic_ns();
    process::block_signals();
    let initialization = Initialization::parse(process.variable(INITIALIZATION_TYPE));
    let api = process.variable(RUNTIME_API).and_then(Api::parse);
    // Where nobody waits for the start there is nothing to be gained by doing it in two steps, and a name is resolved by the agent. This comes back only if
    // it fails.
    // The Lambda Web Adapter registers through the agent's proxy, which has to be there as early as the adapter.
    let at_once = initialization.is_ahead()
        || api.is_none()
        || process.variable(WEB_ADAPTER_PROXY).is_some_and(|it| !it.is_empty());
    let error = at_once.then(|| execute_agent(&mut process, None));
    let Some(api) = api else {
        let text = "AWS_LAMBDA_RUNTIME_API is no IPv4 address with a port, and the agent cannot be started: ";
        log::error(text, error);
        return FAILURE;
    };
    let (mut id, mut account_id, mut failure) = ([0; 512], [0; 64], [0; 1024]);
    let mut registration = PendingRegistration {
        api,
        initialization,
        buffer,
        id: Text::new(&mut id),
        account_id: Text::new(&mut account_id),
        failure: Text::new(&mut failure),
    };
    register_and_become_agent(&mut process, &mut registration, start, error)
}

/// `start`: when the program began. `error`: why the agent could not be executed at once, where that was tried.
fn register_and_become_agent(
    process: &mut Process,
    registration: &mut PendingRegistration<'_>,
    start: u64,
    error: Option<Errno>,
) -> i32 {
    let sent = registration.send();
    let listeners = Listeners::bind();
    let bound = process::monotonic_ns();
    let Ok(mut connection) = registration.finish(sent) else {
        log::error(registration.failure.as_str(), None);
        return FAILURE;
    };
    let registered = process::monotonic_ns();
    let PendingRegistration { api, initialization, buffer, id, account_id, .. } = registration;
    let id = id.as_str();
    // Whether datadog.yaml alone turns logs off is not known here; the agent drops the lines then.
    let (logs, initialization) = (process.wants_logs(), *initialization);
    let subscription = listeners.telemetry_port().map(|port| Subscription { port, logs, initialization });
    let sent = subscribe_and_send_next(&mut connection, api, id, subscription);
    let next_sent = process::monotonic_ns();
    let in_flight = sent.unwrap_or(InFlight::Nothing);
    // The agent, or what is done without it, opens another one.
    let connection = sent.is_ok().then_some(connection);
    // A program that is linked dynamically ends before its `main` without them, and Lambda restarts the environment.
    let error = error.or_else(|| find_spare(SPARE_DESCRIPTORS).err());
    let error = error.unwrap_or_else(|| {
        let is_pending = in_flight == InFlight::SubscriptionAndNext;
        let handover = Handover {
            id,
            account_id: Some(account_id.as_str()).filter(|account_id| !account_id.is_empty()),
            subscription: if is_pending { SubscriptionState::Pending } else { SubscriptionState::Missing },
            connection: connection.as_ref().and_then(keep_open),
            sockets: listeners.keep_open(),
            times: [start, bound, registered, next_sent, process::monotonic_ns()],
        };
        hand_over(process, &handover)
    });
    // Nobody is going to answer: senders learn that at once.
    drop(listeners);
    log::error("The agent cannot be started, nothing will be collected: ", Some(error));
    idle(api, id, connection, in_flight, buffer);
    SUCCESS
}

/// Sends the subscription and the request for the next event in one write. The platform answers the requests of one connection in their order, so that it
/// knows of the subscription before it may consider the extension ready.
fn subscribe_and_send_next(
    connection: &mut Connection,
    api: &Api<'_>,
    id: &str,
    subscription: Option<Subscription>,
) -> Result<InFlight, Cause> {
    let next = Request::Next { id };
    let Some(subscription) = subscription else {
        return connection.send(api, &[next]).map(|()| InFlight::Next);
    };
    let sent = connection.send(api, &[Request::Subscribe { id, subscription }, next]);
    sent.map(|()| InFlight::SubscriptionAndNext)
}

/// Becomes the agent, which goes on from here. Comes back only if that is refused.
fn hand_over(process: &mut Process, handover: &Handover<'_>) -> Errno {
    // Room for the longest id, account and numbers.
    let mut place = [0; 1024];
    let mut variable = Text::new(&mut place);
    let pid = getpid().as_raw_nonzero().get().unsigned_abs();
    variable.push(VARIABLE.as_bytes());
    variable.push(b"=");
    handover.write(pid, &mut variable.sink());
    variable.as_c_str().map_or(Errno::TOOBIG, |variable| execute_agent(process, Some(variable)))
}

/// Becomes the agent. Comes back only if that is refused.
fn execute_agent(process: &mut Process, handover: Option<&CStr>) -> Errno {
    let mut place = [0; agent::MAX_PATH_BYTES];
    let mut space = Text::new(&mut place);
    let path = agent::path(process.program(), &mut space);
    process.execute(path, VARIABLE, handover)
}
