//! What a program is made of: packages of cargo, and parts that come from no package.

pub mod packages;
pub mod parts;
pub mod purl;
pub mod system;
