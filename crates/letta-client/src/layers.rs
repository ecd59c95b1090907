//! Decorators: a [`LettaApi`](crate::LettaApi) around a `LettaApi`.
