//! The program `letta-matrix`: its command line, its configuration, and the one place where the parts are put together.

mod cli;
pub mod compose;
pub mod config;
mod demo;
mod failure;
mod fake;
mod lock;
mod output;
mod signals;

pub use cli::main;
