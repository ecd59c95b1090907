//! The endpoints, without a socket and over one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod appservice;
mod health;
mod over_http;
mod transactions;
mod webhook;
mod world;
