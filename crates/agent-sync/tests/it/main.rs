//! The reconciler without a socket.

mod crash;
mod mocks;
mod plan;
mod support;
mod sync;
mod world;
