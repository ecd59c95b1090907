mod control;
mod pushes;
mod wire;

use matrix_client::{
    HttpMatrix, RetryPolicy, Session,
    fake::{FakeMatrix, TEST_SHARED_SECRET},
};
use reqwest::{Client, Method, Response};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::{Served, matrix};

/// A served homeserver, with everything that a test needs to talk to it.
#[derive(Debug)]
struct House {
    matrix: FakeMatrix,
    served: Served,
    http: HttpMatrix,
    client: Client,
}

impl House {
    async fn new() -> Self {
        Self::with(FakeMatrix::builder("matrix.test").test_appservice()).await
    }

    async fn with(builder: matrix_client::fake::FakeMatrixBuilder) -> Self {
        let matrix = builder
            .shared_secret(SecretString::from(TEST_SHARED_SECRET))
            .build();
        let served = matrix::spawn(matrix.clone()).await.unwrap();
        // What a fault does is seen only by whoever does not try again.
        let http = HttpMatrix::builder(served.base_url().clone())
            .retry(RetryPolicy::none())
            .build()
            .unwrap();
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self {
            matrix,
            served,
            http,
            client,
        }
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        session: Option<&Session>,
        body: Option<&str>,
    ) -> reqwest::Result<Response> {
        let url = self.served.base_url().join(path).unwrap();
        let mut request = self.client.request(method, url);
        if let Some(session) = session {
            request = request.bearer_auth(session.token().expose_secret());
        }
        if let Some(body) = body {
            request = request.body(body.to_owned());
        }
        request.send().await
    }

    /// Status and body of an answer.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        session: Option<&Session>,
        body: Option<&str>,
    ) -> (u16, Value) {
        let response = self.request(method, path, session, body).await.unwrap();
        let status = response.status().as_u16();
        (
            status,
            serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default(),
        )
    }

    async fn get(&self, path: &str, session: Option<&Session>) -> (u16, Value) {
        self.ask(Method::GET, path, session, None).await
    }
}
