//! Tests across crates. One binary: modules inside.

mod cli;
mod letta_conformance;
mod matrix_conformance;
mod real_sync;
mod support;
