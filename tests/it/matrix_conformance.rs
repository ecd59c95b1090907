//! The contract of `MatrixApi` on everything that claims to keep it.

use std::sync::Arc;

use matrix_client::{
    Appservice, MatrixApi,
    fake::{FakeMatrix, RecordingEndpoint, TEST_APPSERVICE_ID, TEST_AS_TOKEN, TEST_SHARED_SECRET},
    layers::Counted,
    testing::{
        conformance::{CaseResult, Facts, Subject, real_server},
        data,
    },
};

/// A fake with the application service and the registration that the suite expects.
fn fake_server() -> FakeMatrix {
    let server_name = data::server_name();
    FakeMatrix::builder(server_name.as_str()).test_appservice().shared_secret(TEST_SHARED_SECRET.into()).build()
}

/// `api`, which leads to `server` in the end.
fn subject(api: Arc<dyn MatrixApi>, server: FakeMatrix) -> Subject {
    Subject::new(api, Facts::new(data::server_name()))
        .with_appservice(Appservice::new(TEST_APPSERVICE_ID, TEST_AS_TOKEN.into(), data::bot()))
        .with_admin(Arc::new(server), TEST_SHARED_SECRET.into())
}

mod fake {
    use super::*;

    async fn factory() -> CaseResult<Subject> {
        let server = fake_server();
        // Without one a ping has nobody to reach.
        server.attach_appservice(TEST_APPSERVICE_ID, RecordingEndpoint::new());
        Ok(subject(Arc::new(server.clone()), server))
    }

    matrix_client::matrix_conformance!(factory);
}

mod behind_a_pointer {
    use super::*;

    async fn factory() -> CaseResult<Subject> {
        let server = fake_server();
        let inner: Arc<dyn MatrixApi> = Arc::new(server.clone());
        let boxed: Box<dyn MatrixApi> = Box::new(inner);
        Ok(subject(Arc::new(boxed), server))
    }

    matrix_client::matrix_conformance!(factory);
}

mod counted {
    use super::*;

    async fn factory() -> CaseResult<Subject> {
        let server = fake_server();
        Ok(subject(Arc::new(Counted::new(server.clone())), server))
    }

    matrix_client::matrix_conformance!(factory);
}

/// `HttpMatrix` and the homeserver that the environment names.
mod real {
    use super::*;

    async fn factory() -> CaseResult<Subject> {
        real_server()
    }

    matrix_client::matrix_conformance!(factory);
}
