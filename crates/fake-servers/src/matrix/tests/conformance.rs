//! `HttpMatrix` over the served fake is an implementation like any other.

use std::sync::Arc;

use matrix_client::{
    fake::{RecordingEndpoint, TEST_APPSERVICE_ID, TEST_SHARED_SECRET},
    testing::{
        conformance::{CaseResult, Facts, Subject},
        data,
    },
};

use super::House;

async fn subject() -> CaseResult<Subject> {
    let house = House::new().await;
    house
        .matrix
        .attach_appservice(TEST_APPSERVICE_ID, RecordingEndpoint::new());
    let http = Arc::new(house.http.clone());
    Ok(Subject::new(http.clone(), Facts::new(data::server_name()))
        .with_appservice(house.matrix.test_appservice())
        .with_admin(http, TEST_SHARED_SECRET.into())
        .keeping(house))
}

matrix_client::matrix_conformance!(subject);
