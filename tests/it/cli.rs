//! The program as its users run it: its output, its exit codes, its files.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bad_homeserver;
mod bad_letta;
mod configuration;
mod demo;
mod fake;
mod names;
mod program;
mod raw_server;
mod servers;
mod stopping;
mod sync;
