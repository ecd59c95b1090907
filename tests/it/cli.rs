//! The program as its users run it: its output, its exit codes, its files.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod accounts;
mod bad_homeserver;
mod bad_letta;
mod configuration;
mod demo;
mod disk;
mod doctor;
mod fake;
mod import;
mod init;
mod large;
mod looking;
mod names;
mod person;
mod program;
mod prune;
mod raw_server;
mod real_postgres;
mod real_redis;
pub mod run;
mod servers;
mod stopping;
mod sync;
mod talk;

pub use program::Program;
