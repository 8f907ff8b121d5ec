//! Tells a batch that Lambda sends again from one that only looks like it.
//!
//! Lambda sends a batch again if it has not seen the answer. Equal bytes alone prove nothing: a function that prints the same lines within the same millisecond
//! fills several batches with them.

use std::{
    collections::{VecDeque, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
    net::SocketAddr,
};

/// How many answers are remembered. Further ones push the oldest out.
const MAX_ANSWERS: usize = 16;

/// Batches that were answered, where nothing shows that the answer arrived.
#[derive(Debug, Default)]
pub struct UnconfirmedBatches(VecDeque<AnsweredBatch>);

#[derive(Debug)]
struct AnsweredBatch {
    /// The sender's end of the connection on which it was given.
    connection: SocketAddr,
    /// Of the batch's bytes.
    hash: u64,
}

impl UnconfirmedBatches {
    /// Another request begins on a connection, or its sender closes it in order: what was answered on it has arrived, for otherwise the sender would have left it.
    pub fn confirm(&mut self, connection: SocketAddr) {
        self.0.retain(|answer| answer.connection != connection);
    }

    /// Whether a batch, which is answered next, is no repetition.
    pub fn is_new(&mut self, connection: SocketAddr, body: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let hash = hasher.finish();
        let known = self.0.iter().position(|answer| answer.hash == hash);
        if let Some(index) = known {
            self.0.remove(index);
        } else if self.0.len() == MAX_ANSWERS {
            self.0.pop_front();
        }
        self.0.push_back(AnsweredBatch { connection, hash });
        known.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(port: u16) -> SocketAddr {
        (std::net::Ipv4Addr::LOCALHOST, port).into()
    }

    #[test]
    fn a_batch_on_another_connection_is_a_repetition_until_the_answer_is_confirmed() {
        let mut answers = UnconfirmedBatches::default();
        assert!(answers.is_new(connection(1), b"a"));
        assert!(!answers.is_new(connection(2), b"a"));
        assert!(!answers.is_new(connection(3), b"a"), "that answer may have been lost too");
        answers.confirm(connection(1));
        assert!(!answers.is_new(connection(4), b"a"), "the last one counts");
        answers.confirm(connection(4));
        assert!(answers.is_new(connection(4), b"a"));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_are_forgotten() {
        let mut answers = UnconfirmedBatches::default();
        for number in 0..1_000_u16 {
            assert!(answers.is_new(connection(number), &number.to_be_bytes()));
            assert!(answers.0.len() <= MAX_ANSWERS);
        }
        assert!(!answers.is_new(connection(1), &999_u16.to_be_bytes()));
        assert!(answers.is_new(connection(1), &0_u16.to_be_bytes()));
    }
}
