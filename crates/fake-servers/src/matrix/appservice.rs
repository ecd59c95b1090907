//! Deliveries to application services over HTTP, and their ping.

use std::sync::Arc;

use async_trait::async_trait;
use axum::{Router, extract::Path, routing::post};
use matrix_client::fake::{AppserviceEndpoint, EndpointAnswer, FakeMatrix, PushedTransaction};
use reqwest::{Client, Method, redirect::Policy};
use serde_json::{Value, json};

use super::ask::{Ask, Reply, Routes, reply, text};

pub(super) fn router() -> Router<FakeMatrix> {
    Routes::new()
        .exact("/_matrix/client/v1/appservice/{id}/ping", post(ping))
        .0
}

async fn ping(Path(id): Path<String>, ask: Ask) -> Reply {
    let body = ask.object_or_nothing()?;
    let took = ask
        .matrix
        .ping_as(&ask.credentials, &id, text(&body, "transaction_id"))
        .await?;
    // A real network takes longer, and mautrix takes 0 for a failure.
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    reply(json!({ "duration_ms": millis }))
}

/// Delivers to each registered application service at the address in its registration, from now on. Needs a tokio
/// runtime; [`serve`](super::serve) and [`spawn`](super::spawn) do it.
pub fn push_to_appservices(matrix: &FakeMatrix) {
    for (id, url, hs_token) in matrix.appservice_addresses() {
        match HttpEndpoint::new(&url, hs_token) {
            Ok(endpoint) => matrix.attach_appservice(&id, Arc::new(endpoint)),
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                appservice.id = id,
                "nothing will be delivered to this application service"
            ),
        }
    }
}

/// An application service at its address.
struct HttpEndpoint {
    client: Client,
    url: String,
    hs_token: String,
}

impl HttpEndpoint {
    fn new(url: &str, hs_token: String) -> Result<Self, reqwest::Error> {
        // A redirection is a failure, as it is for Synapse; a proxy has no business on the way to loopback.
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .user_agent("fake-servers")
            .build()?;
        Ok(Self {
            client,
            url: url.trim_end_matches('/').to_owned(),
            hs_token,
        })
    }

    async fn request(&self, method: Method, path: &str, body: Option<&Value>) -> EndpointAnswer {
        let url = format!("{}/_matrix/app/v1/{path}", self.url);
        let mut request = self.client.request(method, url).bearer_auth(&self.hs_token);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        match request.send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                match response.text().await {
                    Ok(body) => EndpointAnswer::Answered { status, body },
                    Err(error) => EndpointAnswer::Unreachable(error.to_string()),
                }
            }
            Err(error) => EndpointAnswer::Unreachable(innermost(&error)),
        }
    }
}

/// The cause that says most: the one at the bottom.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn encoded(id: &str) -> String {
    url::form_urlencoded::byte_serialize(id.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

#[async_trait]
impl AppserviceEndpoint for HttpEndpoint {
    async fn transaction(&self, transaction: &PushedTransaction) -> EndpointAnswer {
        let path = format!("transactions/{}", transaction.id);
        self.request(Method::PUT, &path, Some(&transaction.body)).await
    }

    async fn ping(&self, transaction_id: Option<&str>) -> EndpointAnswer {
        let body = match transaction_id {
            Some(id) => json!({ "transaction_id": id }),
            None => json!({}),
        };
        self.request(Method::POST, "ping", Some(&body)).await
    }

    async fn query_user(&self, user_id: &str) -> EndpointAnswer {
        self.request(Method::GET, &format!("users/{}", encoded(user_id)), None)
            .await
    }

    async fn query_alias(&self, alias: &str) -> EndpointAnswer {
        self.request(Method::GET, &format!("rooms/{}", encoded(alias)), None)
            .await
    }
}
