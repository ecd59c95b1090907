//! The contract of `MatrixApi` on everything that claims to keep it.

use std::sync::Arc;

use matrix_client::{
    Appservice, HttpMatrix, MatrixApi,
    fake::{
        FakeMatrix, FakeMatrixBuilder, RecordingEndpoint, RegistrationPolicy, TEST_APPSERVICE_ID,
        TEST_AS_TOKEN, TEST_SHARED_SECRET,
    },
    layers::Counted,
    testing::{
        conformance::{CaseResult, Facts, Failure, OpenTo, Subject, real_server},
        data,
    },
};

/// A fake with the application service and the registration that the suite expects.
fn fake_server() -> FakeMatrix {
    fake_builder().build()
}

fn fake_builder() -> FakeMatrixBuilder {
    let server_name = data::server_name();
    FakeMatrix::builder(server_name.as_str())
        .test_appservice()
        .shared_secret(TEST_SHARED_SECRET.into())
}

/// `api`, which leads to `server` in the end.
fn subject(api: Arc<dyn MatrixApi>, server: FakeMatrix) -> Subject {
    subject_with(Facts::new(data::server_name()), api, server)
}

fn subject_with(facts: Facts, api: Arc<dyn MatrixApi>, server: FakeMatrix) -> Subject {
    Subject::new(api, facts)
        .with_appservice(Appservice::new(
            TEST_APPSERVICE_ID,
            TEST_AS_TOKEN.into(),
            data::bot(),
        ))
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

mod fake_with_a_registration_token {
    use super::*;

    async fn factory() -> CaseResult<Subject> {
        let server = fake_builder()
            .registration(RegistrationPolicy::Token(TOKEN.into()))
            .build();
        let mut facts = Facts::new(data::server_name());
        facts.registration = OpenTo::Token(TOKEN.into());
        Ok(subject_with(facts, Arc::new(server.clone()), server))
    }

    const TOKEN: &str = "registration-token-for-tests";

    matrix_client::matrix_conformance!(factory);
}

mod fake_with_closed_registration {
    use super::*;

    async fn factory() -> CaseResult<Subject> {
        let server = fake_builder().registration(RegistrationPolicy::Closed).build();
        let mut facts = Facts::new(data::server_name());
        facts.registration = OpenTo::Nobody;
        Ok(subject_with(facts, Arc::new(server.clone()), server))
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

/// `HttpMatrix` and the fake behind a socket.
mod http_over_the_served_fake {
    use super::*;

    async fn factory() -> CaseResult<Subject> {
        let server = fake_server();
        server.attach_appservice(TEST_APPSERVICE_ID, RecordingEndpoint::new());
        let served = fake_servers::matrix::spawn(server)
            .await
            .map_err(Failure::failed)?;
        let http = Arc::new(HttpMatrix::new(served.base_url().clone())?);
        let subject = Subject::new(http.clone(), Facts::new(data::server_name()))
            .with_appservice(Appservice::new(
                TEST_APPSERVICE_ID,
                TEST_AS_TOKEN.into(),
                data::bot(),
            ))
            .with_admin(http, TEST_SHARED_SECRET.into());
        Ok(subject.keeping(served))
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
