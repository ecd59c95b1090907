//! Tests across crates. One binary: modules inside.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod cli;
mod fourteen;
mod letta_conformance;
mod matrix_conformance;
mod real_accounts;
mod real_doctor;
mod real_import;
mod real_run;
mod real_sync;
mod support;
