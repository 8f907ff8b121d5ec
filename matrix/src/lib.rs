pub mod cli;
pub mod invoke;
pub mod sandbox;
