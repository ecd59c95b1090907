//! The events, their order, and the buses that carry them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod crowd;
mod in_process;
mod on_redis;
mod order;
mod redis_outages;
mod redis_server;
mod schema;
mod values;
