//! Calls that wait for something: news, an application service, or their own second half.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Credentials, Failure, FakeMatrix, Homeserver, Object, Request, Requester,
    refusal::Answer,
    run::Begun,
    sync::{SyncCall, SyncQuery},
};
use crate::MatrixErrorKind;

impl FakeMatrix {
    /// Waits until there is news or the time is over.
    async fn poll(
        &self,
        credentials: &Credentials,
        call: &SyncCall,
        begun: &Begun,
    ) -> Result<Answer<Object>, Failure> {
        let prepare = |server: &mut Homeserver| {
            let who = server.authenticate(credentials)?;
            server.drop_fetched_to_device(&who, call.since.as_deref());
            let filter = match &call.filter {
                None => Object::new(),
                Some(filter) => server.sync_filter(&who, filter)?,
            };
            let query = SyncQuery {
                since: call.since.clone(),
                filter,
                full_state: call.full_state,
            };
            Ok((who, query))
        };
        match self.apply(prepare) {
            Ok((who, query)) => {
                self.sync_until(credentials, &who, &query, call.timeout, begun)
                    .await
            }
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// The long poll, on the level of JSON.
    async fn sync_until(
        &self,
        credentials: &Credentials,
        who: &Requester,
        query: &SyncQuery,
        timeout: Duration,
        begun: &Begun,
    ) -> Result<Answer<Object>, Failure> {
        let deadline = tokio::time::Instant::now() + timeout;
        let mut news = self.shared.news.subscribe();
        loop {
            news.borrow_and_update();
            if self.was_cut(begun) {
                return Err(Failure::of_kind(MatrixErrorKind::Interrupted, None));
            }
            let answer =
                self.apply(|server| (server.sync(who, query), server.authenticate(credentials).is_ok()));
            let (answer, has_news) = match answer {
                (Ok((answer, has_news)), logged_in) => (answer, has_news || !logged_in),
                (Err(refusal), _) => return Ok(Err(refusal)),
            };
            let late = tokio::time::Instant::now() >= deadline;
            if has_news || late || query.since.is_none() || query.full_state {
                return Ok(Ok(answer));
            }
            // Waking up in vain is as good as not waking up: the deadline stays.
            let _ = tokio::time::timeout_at(deadline, news.changed()).await;
        }
    }

    /// `POST /createRoom` in its two halves, between which others may do something.
    ///
    /// # Errors
    /// The server's refusal, or what the fault plan has for this call.
    pub async fn create_room_as(&self, credentials: &Credentials, config: Object) -> Result<String, Failure> {
        let request = Request::new("create_room", Value::Object(config.clone())).by(credentials.clone());
        let begun = self.begin(request).await?;
        let plan = self.apply(|server| {
            let who = server.authenticate(credentials)?;
            Ok((server.plan_room(&who, config)?, who))
        });
        let answer = match plan {
            Ok((plan, who)) => {
                tokio::task::yield_now().await;
                self.apply(|server| match begun.half_made {
                    true => server.begin_room(&who, &plan),
                    false => server.make_room(&who, &plan),
                })
            }
            Err(refusal) => Err(refusal),
        };
        self.end(begun, true, answer).await
    }

    /// `GET /sync` with its waiting.
    ///
    /// # Errors
    /// The server's refusal, or what the fault plan has for this call.
    pub async fn sync_as(&self, credentials: &Credentials, call: &SyncCall) -> Result<Object, Failure> {
        let timeout = u64::try_from(call.timeout.as_millis()).unwrap_or(u64::MAX);
        let arguments = json!({ "since": call.since, "timeout": timeout });
        let begun = self
            .begin(Request::new("sync", arguments).by(credentials.clone()))
            .await?;
        let answer = self.poll(credentials, call, &begun).await?;
        self.end(begun, false, answer).await
    }

    /// `GET /directory/room/{roomAlias}`, which asks an application service if the alias is in its namespace and does
    /// not exist.
    ///
    /// # Errors
    /// The server's refusal, or what the fault plan has for this call.
    pub async fn resolve_alias_as(&self, credentials: &Credentials, alias: &str) -> Result<String, Failure> {
        let request = Request::new("resolve_alias", json!({ "alias": alias })).by(credentials.clone());
        let begun = self.begin(request).await?;
        let authenticate = |server: &mut Homeserver| match &credentials.token {
            Some(_) => server.authenticate(credentials).map(|_| ()),
            None => Ok(()),
        };
        let resolve = |server: &mut Homeserver| {
            authenticate(server)?;
            server.resolve_alias(alias)
        };
        let mut answer = self.apply(resolve);
        if answer.as_ref().is_err_and(|refusal| refusal.status == 404) && self.ask_for_alias(alias).await {
            answer = self.apply(resolve);
        }
        self.end(begun, false, answer).await
    }

    /// `POST /appservice/{appserviceId}/ping`
    ///
    /// # Errors
    /// The server's refusal, or what the fault plan has for this call.
    pub async fn ping_as(
        &self,
        credentials: &Credentials,
        id: &str,
        transaction_id: Option<&str>,
    ) -> Result<Duration, Failure> {
        let arguments = json!({ "appservice_id": id, "transaction_id": transaction_id });
        let request = Request::new("ping_appservice", arguments).by(credentials.clone());
        let begun = self.begin(request).await?;
        let who = self.apply(|server| server.authenticate(credentials));
        let answer = match who {
            Ok(who) => self.ping(&who, id, transaction_id).await,
            Err(refusal) => Err(refusal),
        };
        // The application service's failure says nothing about the homeserver having done anything.
        self.end(begun, false, answer).await
    }
}
