use std::sync::Arc;

use secrecy::SecretString;

use crate::{
    fake::{FakeMatrix, RecordingEndpoint, TEST_APPSERVICE_ID, TEST_SHARED_SECRET},
    testing::{
        conformance::{CaseResult, Facts, Subject},
        data,
    },
};

async fn subject() -> CaseResult<Subject> {
    let secret = SecretString::from(TEST_SHARED_SECRET);
    let matrix = FakeMatrix::builder("matrix.test")
        .test_appservice()
        .shared_secret(secret.clone())
        .build();
    matrix.attach_appservice(TEST_APPSERVICE_ID, RecordingEndpoint::new());
    let api = Arc::new(matrix.clone());
    Ok(Subject::new(api.clone(), Facts::new(data::server_name()))
        .with_appservice(matrix.test_appservice())
        .with_admin(api, secret))
}

crate::matrix_conformance!(subject);
