//! Delivery to application services.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::Instant,
};

use super::{FakeMatrix, Shared, lock, refusal::Refusal, requester::Requester};
use crate::Event;

/// How long Synapse waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The longest pause between two tries is 2 to this power, in seconds.
const MOST_BACKOFF: u32 = 9;

/// Where an application service is told of events. Over HTTP it is the address in its registration.
#[async_trait]
pub trait AppserviceEndpoint: Send + Sync {
    /// `PUT /_matrix/app/v1/transactions/{txnId}`
    async fn transaction(&self, transaction: &PushedTransaction) -> EndpointAnswer;

    /// `POST /_matrix/app/v1/ping`
    async fn ping(&self, transaction_id: Option<&str>) -> EndpointAnswer;

    /// `GET /_matrix/app/v1/users/{userId}`: someone invited a user of its namespace that does not exist.
    async fn query_user(&self, user_id: &str) -> EndpointAnswer;

    /// `GET /_matrix/app/v1/rooms/{roomAlias}`: someone looks for an alias of its namespace that does not exist.
    async fn query_alias(&self, alias: &str) -> EndpointAnswer;
}

/// Events for an application service.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PushedTransaction {
    /// The same for every try.
    pub id: String,
    /// `{"events": [...], "ephemeral": [...]}`
    pub body: Value,
}

impl PushedTransaction {
    /// The events in it.
    pub fn events(&self) -> Vec<Event> {
        let events = self.body["events"].as_array().into_iter().flatten();
        events
            .filter_map(|event| serde_json::from_value(event.clone()).ok())
            .collect()
    }
}

/// What an application service answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointAnswer {
    /// A status and a body.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: String,
    },
    /// No connection.
    Unreachable(String),
}

impl EndpointAnswer {
    /// `200 {}`
    pub fn ok() -> Self {
        Self::Answered {
            status: 200,
            body: "{}".to_owned(),
        }
    }

    /// A status and an empty object.
    pub fn status(status: u16) -> Self {
        Self::Answered {
            status,
            body: "{}".to_owned(),
        }
    }

    /// Synapse takes 2xx with a JSON body for success, and nothing else.
    fn is_success(&self) -> bool {
        match self {
            Self::Answered {
                status: 200..=299,
                body,
            } => serde_json::from_str::<Value>(body).is_ok(),
            _ => false,
        }
    }
}

#[derive(Default)]
pub(super) struct Pushers {
    attached: Mutex<BTreeMap<String, Attached>>,
}

struct Attached {
    endpoint: Arc<dyn AppserviceEndpoint>,
    flush: Arc<Notify>,
    task: AbortHandle,
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeMatrix {
    /// Delivers the events of an application service to this endpoint from now on, in the background: one
    /// transaction at a time, again after 2, 4, 8 … up to 512 seconds when it fails, in order.
    ///
    /// # Panics
    /// Outside of a tokio runtime, and when no application service has this id.
    pub fn attach_appservice(&self, id: &str, endpoint: Arc<dyn AppserviceEndpoint>) {
        {
            let mut server = self.server();
            let appservice = server
                .appservices
                .iter_mut()
                .find(|appservice| appservice.id == id);
            let Some(appservice) = appservice else {
                panic!("no application service `{id}` is registered")
            };
            appservice.is_pushed_to = true;
        }
        let flush = Arc::new(Notify::new());
        let delivery = Delivery {
            shared: Arc::downgrade(&self.shared),
            id: id.to_owned(),
            endpoint: Arc::clone(&endpoint),
            flush: Arc::clone(&flush),
            news: self.shared.news.subscribe(),
        };
        let task = tokio::spawn(delivery.run()).abort_handle();
        lock(&self.shared.pushers.attached).insert(
            id.to_owned(),
            Attached {
                endpoint,
                flush,
                task,
            },
        );
    }

    /// Delivers to no endpoint any more. Events are still queued.
    pub fn detach_appservice(&self, id: &str) {
        lock(&self.shared.pushers.attached).remove(id);
    }

    /// Whether an application service of this id is registered.
    pub fn has_appservice(&self, id: &str) -> bool {
        self.server()
            .appservices
            .iter()
            .any(|appservice| appservice.id == id)
    }

    /// Registers an application service with a server that is there already.
    ///
    /// # Panics
    /// When a namespace is not a regular expression, or the id or a token is taken.
    pub fn register_appservice(&self, registration: &ruma::api::appservice::Registration) {
        let mut server = self.server();
        let new = super::appservice::Appservice::new(registration, &server.settings.server_name);
        let taken =
            |other: &super::appservice::Appservice| other.id == new.id || other.as_token == new.as_token;
        assert!(
            !server.appservices.iter().any(taken),
            "the application service `{}` is there already",
            new.id
        );
        server.appservices.push(new);
        server.settings.appservices.push(registration.clone());
    }

    /// How many events an application service has not got yet.
    pub fn backlog(&self, id: &str) -> usize {
        self.server().backlog(id)
    }

    /// Registrations of application services that have an address: id, address and `hs_token`.
    pub fn appservice_addresses(&self) -> Vec<(String, String, String)> {
        let server = self.server();
        let with_url = server.appservices.iter().filter_map(|appservice| {
            Some((
                appservice.id.clone(),
                appservice.url.clone()?,
                appservice.hs_token.clone(),
            ))
        });
        with_url.collect()
    }

    fn endpoint_of(&self, id: &str) -> Option<(Arc<dyn AppserviceEndpoint>, Arc<Notify>)> {
        let attached = lock(&self.shared.pushers.attached);
        attached
            .get(id)
            .map(|attached| (Arc::clone(&attached.endpoint), Arc::clone(&attached.flush)))
    }

    /// Asks an application service whether it knows an alias that nobody made yet.
    pub(super) async fn ask_for_alias(&self, alias: &str) -> bool {
        let owner = self.server().owner_of_unknown_alias(alias);
        let endpoint = owner.and_then(|id| self.endpoint_of(&id));
        match endpoint {
            Some((endpoint, _)) => endpoint.query_alias(alias).await.is_success(),
            None => false,
        }
    }

    /// `POST /appservice/{appserviceId}/ping`: asks the application service for a sign of life, and delivers at once
    /// what waits for it. Answers how long it took.
    ///
    /// # Errors
    /// The refusal of the homeserver, which says what the application service answered.
    pub async fn ping(
        &self,
        who: &Requester,
        id: &str,
        transaction_id: Option<&str>,
    ) -> Result<Duration, Refusal> {
        match &who.appservice_id {
            None => {
                let words = "Only application services can use the /appservice/ping endpoint";
                return Err(Refusal::forbidden(words));
            }
            Some(own) if own != id => {
                return Err(Refusal::forbidden("Mismatching application service ID in path"));
            }
            Some(_) => {}
        }
        let has_address = self
            .server()
            .speaker(who)
            .is_some_and(|appservice| appservice.is_pushed_to);
        if !has_address {
            let words = "The application service does not have a URL set";
            return Err(Refusal::new(400, "M_URL_NOT_SET", words));
        }
        let started = Instant::now();
        let answer = match self.endpoint_of(id) {
            Some((endpoint, flush)) => {
                let answer = tokio::time::timeout(TIMEOUT, endpoint.ping(transaction_id)).await;
                if answer.as_ref().is_ok_and(EndpointAnswer::is_success) {
                    flush.notify_waiters();
                }
                answer
            }
            None => Ok(EndpointAnswer::Unreachable("Connection refused".to_owned())),
        };
        match answer {
            Ok(answer) if answer.is_success() => Ok(started.elapsed()),
            Ok(EndpointAnswer::Answered { status, body }) => {
                let words = format!("HTTP {status}");
                let refusal = Refusal::new(502, "M_BAD_STATUS", words);
                Err(refusal.with("status", json!(status)).with("body", json!(body)))
            }
            Ok(EndpointAnswer::Unreachable(why)) => Err(Refusal::new(502, "M_CONNECTION_FAILED", why)),
            Err(_) => Err(Refusal::new(
                504,
                "M_CONNECTION_TIMEOUT",
                "Timed out waiting for response",
            )),
        }
    }
}

/// The task that delivers to one application service.
struct Delivery {
    shared: Weak<Shared>,
    id: String,
    endpoint: Arc<dyn AppserviceEndpoint>,
    flush: Arc<Notify>,
    news: watch::Receiver<super::News>,
}

impl Delivery {
    async fn run(mut self) {
        // 0 while all is well.
        let mut backoff = 0;
        loop {
            if self.news.wait_for(|news| !news.down).await.is_err() {
                return;
            }
            self.news.borrow_and_update();
            if let Some(user_id) = self.with_server(super::Homeserver::next_unknown_user).flatten() {
                self.endpoint.query_user(&user_id).await;
                continue;
            }
            let Some(next) = self.with_server(super::Homeserver::next_transaction) else {
                return;
            };
            let Some(transaction) = next else {
                backoff = 0;
                if self.news.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let pushed = PushedTransaction {
                id: transaction.id.to_string(),
                body: transaction.body,
            };
            let answer = tokio::time::timeout(TIMEOUT, self.endpoint.transaction(&pushed)).await;
            if answer.is_ok_and(|answer| answer.is_success()) {
                self.with_server(|server, id| server.delivered(id, transaction.id));
                backoff = backoff.min(1);
            } else {
                self.with_server(super::Homeserver::not_delivered);
                backoff = (backoff + 1).min(MOST_BACKOFF);
                let flushed = self.flush.notified();
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1 << backoff)) => {}
                    () = flushed => {}
                }
            }
        }
    }

    fn with_server<T>(&self, f: impl FnOnce(&mut super::Homeserver, &str) -> T) -> Option<T> {
        let shared = self.shared.upgrade()?;
        let mut server = shared.server();
        Some(f(&mut server, &self.id))
    }
}

/// An application service that writes down what it is told, for tests.
#[derive(Debug)]
pub struct RecordingEndpoint {
    received: watch::Sender<Vec<PushedTransaction>>,
    answer: Mutex<EndpointAnswer>,
    queries: Mutex<Vec<String>>,
    pings: watch::Sender<usize>,
}

impl RecordingEndpoint {
    /// One that takes everything.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            received: watch::Sender::new(Vec::new()),
            answer: Mutex::new(EndpointAnswer::ok()),
            queries: Mutex::default(),
            pings: watch::Sender::new(0),
        })
    }

    /// Answers like this from now on.
    pub fn answer_with(&self, answer: EndpointAnswer) {
        *lock(&self.answer) = answer;
    }

    /// All tries, in order, whatever was answered.
    pub fn transactions(&self) -> Vec<PushedTransaction> {
        self.received.borrow().clone()
    }

    /// All events of all tries.
    pub fn events(&self) -> Vec<Event> {
        self.received
            .borrow()
            .iter()
            .flat_map(PushedTransaction::events)
            .collect()
    }

    /// Users and aliases it was asked for.
    pub fn queries(&self) -> Vec<String> {
        lock(&self.queries).clone()
    }

    /// How often it was pinged.
    pub fn pings(&self) -> usize {
        *self.pings.borrow()
    }

    /// Waits until there were so many tries.
    pub async fn wait_for_transactions(&self, count: usize) -> Vec<PushedTransaction> {
        let mut received = self.received.subscribe();
        // The sender lives in `self`: waiting cannot fail.
        let _ = received.wait_for(|received| received.len() >= count).await;
        self.transactions()
    }

    /// Waits until an event came that this accepts.
    pub async fn wait_for_event(&self, wanted: impl Fn(&Event) -> bool + Send) {
        let mut received = self.received.subscribe();
        let found = |all: &Vec<PushedTransaction>| {
            all.iter()
                .flat_map(PushedTransaction::events)
                .any(|event| wanted(&event))
        };
        let _ = received.wait_for(found).await;
    }
}

#[async_trait]
impl AppserviceEndpoint for RecordingEndpoint {
    async fn transaction(&self, transaction: &PushedTransaction) -> EndpointAnswer {
        let answer = lock(&self.answer).clone();
        self.received
            .send_modify(|received| received.push(transaction.clone()));
        answer
    }

    async fn ping(&self, _transaction_id: Option<&str>) -> EndpointAnswer {
        self.pings.send_modify(|pings| *pings += 1);
        lock(&self.answer).clone()
    }

    async fn query_user(&self, user_id: &str) -> EndpointAnswer {
        lock(&self.queries).push(user_id.to_owned());
        EndpointAnswer::status(404)
    }

    async fn query_alias(&self, alias: &str) -> EndpointAnswer {
        lock(&self.queries).push(alias.to_owned());
        EndpointAnswer::status(404)
    }
}
