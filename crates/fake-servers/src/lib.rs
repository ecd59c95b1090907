//! The fakes over HTTP, for anybody's tests: an LLM provider, a Letta server, a Matrix homeserver.
//!
//! Each module has the same three ways in:
//!
//! - `router(state) -> axum::Router`, for tests without a socket and for mounting elsewhere;
//! - `serve(listener, state, shutdown) -> io::Result<()>`, where the caller owns the listener and the shutdown;
//! - `spawn(state) -> io::Result<Served>`, which binds a free port of 127.0.0.1 and stops with the returned
//!   [`Served`].
//!
//! The state is cheap to clone; the test keeps a clone and plans faults or reads the journal through it, a test in
//! another process does the same over HTTP under `/_fake/`.

mod body;
mod connections;
pub mod letta;
pub mod llm;
pub mod matrix;
mod served;

pub use served::Served;
