//! The program `letta-matrix`: its command line, its configuration, and the one place where the parts are put together.

mod cli;
pub mod compose;
pub mod config;
mod failure;
mod lock;
mod output;

pub use cli::main;
