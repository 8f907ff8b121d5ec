//! One plain connection to Lambda's APIs. Writing and reading are two steps, so that something useful can be done in between.

use extension_protocol::{MAX_RESPONSE_BYTES, ParsedResponse, Request, Response, ResponseError, Sink, response};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    io::Errno,
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with, sockopt},
};

use crate::{api::Api, descriptors::above_standard, log, text::Text};

/// Maximum size of the requests of one write in bytes: with an id of 36 bytes they take 700.
const MAX_REQUEST_BYTES: usize = 2048;

/// Space for what was read: a response of maximum size, and as much again as one call reads.
pub type Space = [u8; MAX_RESPONSE_BYTES + 4096];

/// The bytes that were read and not yet taken.
pub struct ReadBuffer {
    space: &'static mut Space,
    filled: usize,
    /// The bytes at the front that belong to the last response.
    taken: usize,
}

/// A connection. It never opens itself again: once it has failed, or the platform has announced its end, it is of no use.
pub struct Connection {
    socket: OwnedFd,
    ended: bool,
}

/// Why there is no response.
#[derive(Clone, Copy)]
pub enum Cause {
    System(Errno),
    InvalidResponse(ResponseError),
}

impl ReadBuffer {
    pub fn new(space: &'static mut Space) -> Self {
        Self { space, filled: 0, taken: 0 }
    }

    /// Whether something was read that belongs to a later response.
    #[allow(dead_code, reason = "the floor, which waits for more than responses, has to know")]
    pub fn has_more(&self) -> bool {
        self.filled > self.taken
    }

    /// Forgets what another connection has left.
    fn clear(&mut self) {
        (self.filled, self.taken) = (0, 0);
    }

    /// Forgets the last response.
    fn advance(&mut self) {
        self.space.copy_within(self.taken.min(self.filled)..self.filled, 0);
        self.filled = self.filled.saturating_sub(self.taken);
        self.taken = 0;
    }
}

impl Connection {
    /// Connects. Nothing is sent.
    pub fn open(api: &Api<'_>, buffer: &mut ReadBuffer) -> Result<Self, Cause> {
        buffer.clear();
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let socket = above_standard(socket)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        connect(&socket, &api.address)?;
        Ok(Self { socket, ended: false })
    }

    /// Sends requests in one write.
    pub fn send(&mut self, api: &Api<'_>, requests: &[Request<'_>]) -> Result<(), Cause> {
        if self.ended {
            return Err(Errno::NOTCONN.into());
        }
        let mut place = [0; MAX_REQUEST_BYTES];
        let mut text = Text::new(&mut place);
        for request in requests {
            request.write(api.host, &mut text.sink());
        }
        if !text.is_whole() {
            return Err(Errno::MSGSIZE.into());
        }
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match send(&self.socket, rest, SendFlags::NOSIGNAL) {
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(error) => {
                    self.ended = true;
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    /// Waits for the next response, however long that takes.
    pub fn receive<'i>(&mut self, buffer: &'i mut ReadBuffer) -> Result<Response<'i>, Cause> {
        buffer.advance();
        // Unless a response says otherwise, there is nothing more to come.
        self.ended = true;
        let mut no_more = false;
        let bounds = loop {
            let read = buffer.space.get(..buffer.filled).unwrap_or_default();
            if let Some(bounds) = response::find(read, no_more)? {
                break bounds;
            }
            let room = buffer.space.get_mut(buffer.filled..).unwrap_or_default();
            match recv(&self.socket, room, RecvFlags::empty()) {
                Ok((0, _)) => no_more = true,
                Ok((read, _)) => buffer.filled += read,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        };
        let ParsedResponse { response, bytes } = bounds.response(buffer.space.as_mut_slice())?;
        buffer.taken = bytes;
        self.ended = response.closes;
        Ok(response)
    }

    /// Whether it has failed, or the platform has announced its end.
    pub fn has_ended(&self) -> bool {
        self.ended
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Cause {
    /// Writes it for an error message.
    pub fn write(self, out: Sink<'_>) {
        match self {
            Self::System(error) => log::write_system_error(error, out),
            Self::InvalidResponse(error) => {
                out("invalid HTTP/1.1 response: ");
                out(error.reason());
            }
        }
    }
}

impl From<Errno> for Cause {
    fn from(error: Errno) -> Self {
        Self::System(error)
    }
}

impl From<ResponseError> for Cause {
    fn from(error: ResponseError) -> Self {
        Self::InvalidResponse(error)
    }
}
