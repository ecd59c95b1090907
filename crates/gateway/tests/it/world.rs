//! A service on fakes behind the endpoints.

use std::sync::Arc;

use accounts::AppserviceAccounts;
use agent_sync::{Reconciler, ServiceConfig, ServiceStatus, SyncConfig, SyncService};
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode, request::Builder},
};
use gateway::{Gateway, router};
use letta_client::fake::FakeLetta;
use matrix_client::fake::FakeMatrix;
use secrecy::SecretString;
use serde_json::Value;
use store::{Clock, MemoryStore, testing::ManualClock};
use tokio::{sync::watch, task::JoinHandle};
use tower::ServiceExt;

pub const SECRET: &str = "not-a-real-secret-webhook";
pub const HS_TOKEN: &str = "not-a-real-secret-hs-token";

pub struct World {
    pub letta: FakeLetta,
    pub matrix: FakeMatrix,
    pub clock: Arc<ManualClock>,
    pub status: watch::Receiver<ServiceStatus>,
    pub router: Router,
    service: Option<SyncService>,
}

impl World {
    /// Three agents that nobody has synced. The service begins with [`start`](Self::start).
    pub fn new() -> Self {
        Self::with(|gateway| {
            gateway
                .with_webhook_secret(SecretString::from(SECRET))
                .with_hs_token(SecretString::from(HS_TOKEN))
        })
    }

    /// The same behind other endpoints.
    pub fn with(configure: impl FnOnce(Gateway) -> Gateway) -> Self {
        let letta = FakeLetta::with_test_agents();
        let matrix = FakeMatrix::builder("matrix.test").test_appservice().build();
        let clock = ManualClock::new();
        let api = Arc::new(matrix.clone());
        let reconciler = Reconciler::new(
            Arc::new(letta.clone()),
            api.clone(),
            Arc::new(AppserviceAccounts::new(api, matrix.test_appservice())),
            Arc::new(MemoryStore::new()),
            SyncConfig::new("matrix.test".try_into().unwrap()),
            clock.clone(),
        );
        let service = SyncService::new(reconciler, ServiceConfig::default(), clock.clone());
        let (trigger, status) = (service.trigger(), service.status());
        let gateway = Gateway::new(trigger, status.clone(), clock.clone());
        Self {
            letta,
            matrix,
            clock,
            status,
            router: router(configure(gateway)),
            service: Some(service),
        }
    }

    /// Lets the service run until the task is aborted or the test ends.
    pub fn start(&mut self) -> JoinHandle<()> {
        let service = self.service.take().unwrap();
        tokio::spawn(async move { service.run(std::future::pending()).await.unwrap() })
    }

    /// Ends a service that was never started.
    pub fn drop_service(&mut self) {
        self.service = None;
    }

    pub async fn until(&mut self, is: impl FnMut(&ServiceStatus) -> bool) {
        self.status.wait_for(is).await.unwrap();
    }

    /// Asks, without a socket.
    pub async fn ask(&self, request: Builder, body: impl Into<Body>) -> Answer {
        let response = self
            .router
            .clone()
            .oneshot(request.body(body.into()).unwrap())
            .await
            .unwrap();
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["content-type"], "application/json");
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(!text.contains("not-a-real-secret"), "a secret was shown: {text}");
        Answer {
            status,
            body: serde_json::from_str(&text).unwrap(),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path), Body::empty()).await
    }

    /// Calls the webhook, signed now.
    pub async fn webhook(&self, path: &str, body: &str) -> Answer {
        let now = self.clock.now().as_second();
        let signature = gateway::sign(&SECRET.into(), now, body.as_bytes());
        let request = Request::post(path).header("X-Letta-Signature", signature);
        self.ask(request, body.to_owned()).await
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

impl Answer {
    #[track_caller]
    pub fn is_error(&self, status: u16, part: &str) {
        assert_eq!(self.status, status, "{self:?}");
        let error = self.body["error"].as_str().unwrap();
        assert!(error.contains(part), "{part:?} is missing in {error:?}");
    }

    #[track_caller]
    pub fn is_matrix_error(&self, status: u16, errcode: &str) {
        assert_eq!(
            (self.status.as_u16(), &self.body["errcode"]),
            (status, &errcode.into()),
            "{self:?}"
        );
        assert!(self.body["error"].is_string(), "{self:?}");
    }
}
