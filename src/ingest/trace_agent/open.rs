//! Counts the requests that are being read or processed.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Counts a request as long as it lives.
#[derive(Debug)]
pub struct OpenRequest(Arc<AtomicUsize>);

impl OpenRequest {
    pub fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
