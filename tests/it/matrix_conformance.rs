//! The conformance suite of `MatrixApi`, on every subject that is there.

use matrix_client::testing::conformance::{CaseResult, Subject, real_server};

/// `HttpMatrix` and the homeserver that the environment names.
mod http_over_the_real_server {
    use super::*;

    async fn subject() -> CaseResult<Subject> {
        real_server()
    }

    matrix_client::matrix_conformance!(subject);
}
