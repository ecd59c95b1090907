//! What the bridge answers when it is called over HTTP.
//!
//! | endpoint | who calls it | what it does |
//! |---|---|---|
//! | `POST /webhook/new-agent` | whoever makes agents, with a [signature](sign) | asks for a sync |
//! | `GET /health` | a supervisor | 200 while the service lives |
//! | `GET /ready` | a supervisor | 200 while syncs come about and the state can be written, else 503 and why |
//! | `GET /health/agent-provisioning` | monitoring | how many agents have no home |
//! | `PUT /_matrix/app/v1/transactions/{txnId}` | the homeserver, with the `hs_token` | 200 once the [`EventSink`] keeps the events |
//! | `POST /_matrix/app/v1/ping` | the homeserver, with the `hs_token` | 200 |
//! | `GET /_matrix/app/v1/{users,rooms}/…` | the homeserver, with the `hs_token` | 404: users and rooms are made by syncs alone |
//! | `/transactions/…`, `/users/…`, `/rooms/…` | an older homeserver, with the `hs_token` | the same as below `/_matrix/app/v1` |
//!
//! A homeserver pushes a transaction again until it is answered with a success, and everything behind it waits. So it is
//! answered with one when all of it is kept, with an error when it cannot be kept now, and never with an error because
//! of what is in it. Without a sink nobody would keep the events: they are refused, and stay in the homeserver's queue.
//!
//! [`router`] needs no socket:
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! # use std::sync::Arc;
//! # use accounts::AppserviceAccounts;
//! # use agent_sync::{Reconciler, ServiceConfig, SyncConfig, SyncService};
//! # use letta_client::fake::FakeLetta;
//! # use matrix_client::fake::FakeMatrix;
//! # use store::{MemoryStore, SystemClock};
//! use axum::{body::Body, http::Request};
//! use gateway::{Gateway, router};
//! use tower::ServiceExt;
//!
//! # let matrix = FakeMatrix::builder("matrix.test").test_appservice().build();
//! # let appservice = matrix.test_appservice();
//! # let matrix = Arc::new(matrix);
//! # let accounts = Arc::new(AppserviceAccounts::new(matrix.clone(), appservice));
//! # let config = SyncConfig::new("matrix.test".try_into()?);
//! # let (letta, store) = (Arc::new(FakeLetta::new()), Arc::new(MemoryStore::new()));
//! # let reconciler = Reconciler::new(letta, matrix, accounts, store, config, Arc::new(SystemClock));
//! # let service = SyncService::new(reconciler, ServiceConfig::default(), Arc::new(SystemClock));
//! let gateway = Gateway::new(service.trigger(), service.status(), Arc::new(SystemClock));
//! let response = router(gateway)
//!     .oneshot(Request::get("/health").body(Body::empty())?)
//!     .await?;
//! assert_eq!(response.status(), 200);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod appservice;
mod events;
mod health;
mod reply;
mod serve;
mod signature;
mod transaction;
mod webhook;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use agent_sync::{ServiceStatus, Trigger};
use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    middleware::{Next, from_fn},
    response::Response,
    routing::{get, post},
};
use secrecy::SecretString;
use store::Clock;
use tokio::{sync::watch, time::timeout};

pub use self::{
    events::{EventSink, SinkError},
    serve::serve,
    signature::sign,
};
use crate::reply::refuse;

/// How long a request may take with everything: longer than anybody waits for a sync.
const REQUEST_TIME: Duration = Duration::from_secs(90);

/// What the endpoints know and ask.
#[derive(Debug)]
pub struct Gateway {
    trigger: Trigger,
    status: watch::Receiver<ServiceStatus>,
    clock: Arc<dyn Clock>,
    hs_token: Option<SecretString>,
    webhook_secret: Option<SecretString>,
    events: Option<Arc<dyn EventSink>>,
    ready_within: Duration,
    /// Why the state cannot be written, while it cannot.
    state: Option<watch::Receiver<Option<String>>>,
    /// What was logged already: a homeserver that pushes does so for ever.
    told_of_push: AtomicBool,
    told_of_no_events: AtomicBool,
    told_of_failure: AtomicBool,
    told_of_token: AtomicBool,
}

impl Gateway {
    /// The endpoints of a service. Without an `hs_token` the homeserver is refused, without a secret the webhook.
    #[must_use]
    pub fn new(trigger: Trigger, status: watch::Receiver<ServiceStatus>, clock: Arc<dyn Clock>) -> Self {
        Self {
            trigger,
            status,
            clock,
            hs_token: None,
            webhook_secret: None,
            events: None,
            ready_within: Duration::from_secs(10 * 60),
            state: None,
            told_of_push: AtomicBool::new(false),
            told_of_no_events: AtomicBool::new(false),
            told_of_failure: AtomicBool::new(false),
            told_of_token: AtomicBool::new(false),
        }
    }

    /// The `hs_token` of the application service's registration, which the homeserver shows.
    #[must_use]
    pub fn with_hs_token(mut self, token: SecretString) -> Self {
        self.hs_token = Some(token);
        self
    }

    /// What keeps the events that the homeserver pushes. Without it they are refused and stay in its queue.
    #[must_use]
    pub fn with_events(mut self, sink: Arc<dyn EventSink>) -> Self {
        self.events = Some(sink);
        self
    }

    /// The secret that calls of the webhook are signed with.
    #[must_use]
    pub fn with_webhook_secret(mut self, secret: SecretString) -> Self {
        self.webhook_secret = Some(secret);
        self
    }

    /// How long ago the last sync that came about may have ended for the service to count as ready.
    #[must_use]
    pub fn with_ready_within(mut self, limit: Duration) -> Self {
        self.ready_within = limit;
        self
    }

    /// Who knows why the state cannot be written: while it cannot (`Some`), the service is not ready. Everybody may read
    /// the words.
    #[must_use]
    pub fn with_state(mut self, trouble: watch::Receiver<Option<String>>) -> Self {
        self.state = Some(trouble);
        self
    }
}

/// All endpoints.
pub fn router(gateway: Gateway) -> Router {
    let gateway = Arc::new(gateway);
    Router::new()
        .route("/health", get(health::live))
        .route("/ready", get(health::ready))
        .route("/health/agent-provisioning", get(health::agent_provisioning))
        .route("/webhook/new-agent", post(webhook::new_agent))
        .nest("/_matrix/app", appservice::router(&gateway))
        .merge(appservice::legacy_router(&gateway))
        .fallback(|| async { reply::unrecognized(StatusCode::NOT_FOUND) })
        .method_not_allowed_fallback(|| async { reply::unrecognized(StatusCode::METHOD_NOT_ALLOWED) })
        .layer(from_fn(bounded))
        .with_state(gateway)
}

/// Nobody keeps us busy for ever, and nobody keeps our answers.
async fn bounded(request: Request, next: Next) -> Response {
    let mut response = match timeout(REQUEST_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => refuse(StatusCode::REQUEST_TIMEOUT, "the request took too long"),
    };
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
