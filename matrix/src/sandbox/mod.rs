pub mod intake;
