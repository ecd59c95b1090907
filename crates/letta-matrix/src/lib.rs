//! The program `letta-matrix`: its command line, its configuration, and the one place where the parts are put together.

mod cli;
pub mod compose;
pub mod config;
mod demo;
mod failure;
mod fake;
mod lock;
mod operator;
mod output;
mod registration;
mod signals;
mod state;

pub use cli::main;
