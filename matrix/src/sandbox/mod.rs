pub mod function;
pub mod intake;
