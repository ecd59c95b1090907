//! A served fake and a bare HTTP client.

use letta_client::fake::FakeLetta;
use letta_client::http::{HttpLetta, RetryPolicy};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

use crate::Served;
use crate::letta::{LettaServer, spawn};

pub(super) struct Server {
    pub(super) served: Served,
    pub(super) letta: FakeLetta,
    client: Client,
}

impl Server {
    /// With the agents that all tests share.
    pub(super) async fn start() -> Self {
        Self::of(LettaServer::new(FakeLetta::with_test_agents())).await
    }

    pub(super) async fn of(server: LettaServer) -> Self {
        let served = spawn(server.clone()).await.expect("a free port");
        let client = Client::builder()
            .redirect(Policy::none())
            .build()
            .expect("a client");
        Self {
            served,
            letta: server.letta().clone(),
            client,
        }
    }

    /// The client of our own, that does not retry.
    pub(super) fn client(&self) -> HttpLetta {
        let builder = HttpLetta::builder(self.served.base_url().as_str());
        builder.retry(RetryPolicy::none()).build().expect("a client")
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, self.served.base_url().join(path).expect("a path"))
    }

    pub(super) async fn get(&self, path: &str) -> (StatusCode, Value) {
        json(self.request(Method::GET, path).send().await.expect("an answer")).await
    }

    pub(super) async fn send(&self, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
        json(self.post(method, path, body).await).await
    }

    pub(super) async fn post(&self, method: Method, path: &str, body: &Value) -> Response {
        let request = self
            .request(method, path)
            .header("content-type", "application/json");
        request.body(body.to_string()).send().await.expect("an answer")
    }

    /// Steers the fake as a test in another process would.
    pub(super) async fn control(&self, method: Method, path: &str, body: &Value) {
        let response = self.post(method, path, body).await;
        let status = response.status();
        assert!(status.is_success(), "{status}: {:?}", response.text().await);
    }

    pub(super) async fn stop(self) {
        drop(self.client);
        self.served.stop().await.expect("a clean end");
        self.letta.assert_faults_used();
    }
}

/// Status and JSON of a response; null for none.
pub(super) async fn json(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.expect("a body");
    let json = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).expect("JSON")
    };
    (status, json)
}
