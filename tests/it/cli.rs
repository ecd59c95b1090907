//! The program as its users run it: its output, its exit codes, its files.

mod bad_homeserver;
mod bad_letta;
mod configuration;
mod program;
mod raw_server;
