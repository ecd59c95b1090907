//! `HttpLetta` against servers that answer by script, down to the byte.

mod agents;
mod clock;
mod failures;
mod history;
mod server;
mod turns;
