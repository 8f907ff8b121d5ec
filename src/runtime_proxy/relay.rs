//! The proxy of an agent that does nothing else any more: bytes are passed on as they come, on threads.

use std::{
    io,
    net::{Shutdown, TcpListener, TcpStream},
    thread::sleep,
    time::Duration,
};

use crate::{os::thread::start, platform::RuntimeApi};

/// Between two attempts to accept a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections for ever.
pub fn run(listener: &TcpListener, api: &RuntimeApi) {
    for runtime in listener.incoming() {
        match runtime {
            Ok(runtime) => {
                if let Err(error) = relay(runtime, api) {
                    tracing::debug!("PROXY | a connection of the runtime is closed: {error}");
                }
            }
            Err(_) => sleep(PAUSE),
        }
    }
}

fn relay(runtime: TcpStream, api: &RuntimeApi) -> io::Result<()> {
    let lambda = TcpStream::connect(api.0.as_str())?;
    for stream in [&runtime, &lambda] {
        stream.set_nodelay(true)?;
    }
    let (to_runtime, to_lambda) = (runtime.try_clone()?, lambda.try_clone()?);
    start("relay", move || pass(runtime, to_lambda))?;
    start("relay", move || pass(lambda, to_runtime))?;
    Ok(())
}

/// Passes on until one side ends, and tells the other.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
