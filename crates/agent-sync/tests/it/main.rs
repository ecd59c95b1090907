//! The reconciler without a socket.

mod mocks;
mod plan;
mod support;
