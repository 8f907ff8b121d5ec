//! One process, and the socket to it.

use std::{
    io,
    os::{fd::OwnedFd, unix},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};
use waf_protocol::{Frames, Reply};

use super::files::Files;
use crate::os::{thread::run_blocking, timeout::timeout_awake};

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 2 << 10;

/// Why a worker is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("it cannot be started")]
    Start(#[source] io::Error),
    #[error("its socket fails")]
    Socket(#[source] io::Error),
    #[error("it has ended")]
    Ended,
    #[error("it has not answered within {} ms", .0.as_millis())]
    Hangs(Duration),
    #[error("it answers nonsense")]
    Message(#[source] waf_protocol::Error),
    #[error("it answers what nobody has asked")]
    Unexpected,
}

/// A process that is killed when nobody needs it any more.
#[derive(Debug)]
pub struct Worker {
    child: Option<Child>,
    stream: UnixStream,
    frames: Frames,
}

impl Worker {
    /// Starts the process with one end of a socket pair as its standard input, and nothing else: no variables, no output.
    pub async fn start(files: &Files) -> Result<Self, Error> {
        let (ours, theirs) = unix::net::UnixStream::pair().map_err(Error::Start)?;
        ours.set_nonblocking(true).map_err(Error::Start)?;
        let mut command = Command::new(&files.program);
        command.args(&files.arguments).env_clear().current_dir("/");
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(folder) = &files.libraries {
            command.env("LD_LIBRARY_PATH", folder);
        }
        let stream = UnixStream::from_std(ours).map_err(Error::Start)?;
        let started = run_blocking("waf", move || command.spawn()).await;
        let child = started.and_then(|started| started).map_err(Error::Start)?;
        Ok(Self { child: Some(child), stream, frames: Frames::of_replies() })
    }

    /// Sends a message, and waits for the answer to it.
    pub async fn request(&mut self, message: &[u8], limit: Duration) -> Result<Reply, Error> {
        let exchange = async {
            self.stream.write_all(message).await.map_err(Error::Socket)?;
            self.reply().await
        };
        timeout_awake(limit, exchange).await.unwrap_or(Err(Error::Hangs(limit)))
    }

    /// Sends a message that has no answer.
    pub async fn send(&mut self, message: &[u8], limit: Duration) -> Result<(), Error> {
        let written = timeout_awake(limit, self.stream.write_all(message)).await;
        written.ok_or(Error::Hangs(limit))?.map_err(Error::Socket)
    }

    /// Waits until the worker ends, or says something though nobody has asked. May be cancelled.
    pub async fn failure(&mut self) -> Error {
        match self.reply().await {
            Ok(_) => Error::Unexpected,
            Err(error) => error,
        }
    }

    /// The next message. May be cancelled.
    async fn reply(&mut self) -> Result<Reply, Error> {
        let mut chunk = [0; CHUNK_BYTES];
        loop {
            if let Some(frame) = self.frames.take().map_err(Error::Message)? {
                return Reply::read(frame).map_err(Error::Message);
            }
            match self.stream.read(&mut chunk).await.map_err(Error::Socket)? {
                0 => return Err(Error::Ended),
                read => self.frames.push(chunk.get(..read).unwrap_or_default()),
            }
        }
    }

    /// Kills the process and waits for its end.
    pub async fn stop(mut self) {
        let Some(mut child) = self.child.take() else { return };
        let ended = run_blocking("waf", move || {
            let _ = child.kill();
            child.wait()
        });
        match ended.await.and_then(|ended| ended) {
            Ok(status) => tracing::debug!("APPSEC | the WAF worker has ended: {status}"),
            Err(error) => tracing::debug!("APPSEC | the WAF worker cannot be waited for: {error}"),
        }
    }

    #[cfg(test)]
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // The extension is about to end, and with it whoever could wait for the process.
            let _ = child.kill();
        }
    }
}
