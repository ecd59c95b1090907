//! The store on a PostgreSQL server.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

#[path = "it/messages.rs"]
mod messages;
#[path = "it/proxy.rs"]
mod proxy;
#[path = "it/real_conversations.rs"]
mod real_conversations;
#[path = "it/real_opening.rs"]
mod real_opening;
#[path = "it/real_outages.rs"]
mod real_outages;
#[path = "it/real_postgres.rs"]
mod real_postgres;
#[path = "it/support.rs"]
mod support;
