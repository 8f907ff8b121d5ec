//! The responses of HTTP/1.1 on one connection, from bytes that come in any pieces. No I/O.

use std::io;

use extension_protocol::{ParsedResponse, ResponseError, response};

use super::requests::Response;

/// Takes bytes and gives responses, one after the other on the same connection.
#[derive(Debug, Default)]
pub struct Parser {
    buffer: Vec<u8>,
}

impl Parser {
    /// Takes what has been read. Fails if there is no memory for it.
    pub fn feed(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.try_reserve(bytes.len())?;
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// The next whole response; None if it is not all there. `ended`: no more bytes will come.
    pub fn response(&mut self, ended: bool) -> Result<Option<Response>, ResponseError> {
        let Some(ParsedResponse { response, bytes }) = response::parse(&mut self.buffer, ended)? else {
            return Ok(None);
        };
        let response = response.into();
        self.buffer.drain(..bytes);
        Ok(Some(response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_that_come_together_are_given_one_by_one() {
        const RESPONSES: [&str; 2] = [
            "HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: id-1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nO\r\n1\r\nK\r\n0\r\n\r\n",
            "HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno",
        ];
        let mut parser = Parser::default();
        parser.feed(RESPONSES.concat().as_bytes()).unwrap();
        let ok = Response { status: 200, identifier: Some("id-1".to_owned()), body: b"OK".to_vec(), closes: false };
        let refused = Response { status: 403, identifier: None, body: b"no".to_vec(), closes: true };
        assert_eq!(parser.response(false), Ok(Some(ok)));
        assert_eq!(parser.response(false), Ok(Some(refused)));
        assert_eq!(parser.response(false), Ok(None));
    }
}
