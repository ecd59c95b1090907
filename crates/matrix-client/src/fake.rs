//! A stateful in-memory homeserver.
