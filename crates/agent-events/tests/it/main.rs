//! The events, their order, and the buses that carry them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod crowd;
mod in_process;
mod order;
mod real_redis;
mod real_redis_outages;
mod redis_server;
mod schema;
mod values;
