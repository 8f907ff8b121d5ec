//! Cold starts, one after the other, and what each of them cost.

pub mod sample;
