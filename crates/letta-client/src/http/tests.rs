//! `HttpLetta` against servers that answer by script, down to the byte.

mod agents;
mod failures;
mod history;
mod server;
mod turns;
