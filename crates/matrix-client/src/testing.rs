//! For tests: shared names, the error bodies of a homeserver, and the conformance suite of
//! [`MatrixApi`](crate::MatrixApi).

pub mod conformance;
pub mod data;
pub mod errors;
