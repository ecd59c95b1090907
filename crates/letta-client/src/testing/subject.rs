//! What the conformance suite is run on.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;

use super::{CaseError, CaseResult};
use crate::{
    Agent, AgentId, ConversationRef, LettaApi, LettaApiExt, LettaError, LettaErrorKind, NewAgent, Otid,
    TurnEvent, TurnEventKind, TurnInput, TurnOptions, TurnOutcome, TurnStream,
};

/// Something that not every implementation has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Ability {
    /// Turns can be joined again, and one conversation takes one turn at a time. (A real server needs Redis.)
    KeepsEvents,
    /// Ids that can not be ids are refused. (Fakes may be lenient.)
    StrictIds,
    /// The model understands `[context]`.
    ContextMarker,
}

/// Why the suite does not run on a subject here and now.
#[derive(Debug, Clone)]
pub struct Skip(pub String);

/// An implementation under test, and what the cases need to know about it.
pub struct Subject {
    name: String,
    api: Arc<dyn LettaApi>,
    model: Option<String>,
    embedding: Option<String>,
    tools: Option<(String, String)>,
    prefix: String,
    lacks: BTreeMap<Ability, String>,
    counter: AtomicU64,
    made: Mutex<Vec<AgentId>>,
    _keep: Option<Box<dyn std::any::Any + Send + Sync>>,
}

impl Subject {
    /// An implementation that can do everything and needs no model to be named.
    pub fn new(name: impl Into<String>, api: Arc<dyn LettaApi>) -> Self {
        Self {
            name: name.into(),
            api,
            model: None,
            embedding: None,
            tools: None,
            prefix: "case".to_owned(),
            lacks: BTreeMap::new(),
            counter: AtomicU64::new(0),
            made: Mutex::default(),
            _keep: None,
        }
    }

    /// The model that new agents get: the fake one.
    #[must_use]
    pub fn with_model(mut self, handle: impl Into<String>) -> Self {
        self.model = Some(handle.into());
        self
    }

    /// The embedding model that new agents get.
    #[must_use]
    pub fn with_embedding(mut self, handle: impl Into<String>) -> Self {
        self.embedding = Some(handle.into());
        self
    }

    /// A tool every agent has, and arguments (JSON) with which a call of it succeeds. Without this,
    /// `conversation_search`, one of Letta's base tools.
    #[must_use]
    pub fn with_tool(mut self, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        self.tools = Some((name.into(), arguments.into()));
        self
    }

    /// What the names and ids of this run begin with. On a server that outlives the test it must be new every time.
    /// Letters, digits, spaces, hyphens and underscores only.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Something that lives as long as the case, e.g. a server in this process.
    #[must_use]
    pub fn keeping(mut self, kept: impl std::any::Any + Send + Sync) -> Self {
        self._keep = Some(Box::new(kept));
        self
    }

    /// Says what the subject can not do, and why; cases that need it are skipped.
    #[must_use]
    pub fn without(mut self, ability: Ability, why: impl Into<String>) -> Self {
        self.lacks.insert(ability, why.into());
        self
    }

    /// What it is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The implementation.
    #[must_use]
    pub fn api(&self) -> &dyn LettaApi {
        &*self.api
    }

    /// Why the subject can not do something, if so.
    #[must_use]
    pub fn lacks(&self, ability: Ability) -> Option<&str> {
        self.lacks.get(&ability).map(String::as_str)
    }

    /// A name nobody else has.
    pub fn unique(&self, stem: &str) -> String {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        format!("{} {stem} {number}", self.prefix)
    }

    /// An otid nobody else has.
    pub fn otid(&self) -> Otid {
        Otid::new(self.unique("otid").replace(' ', "-"))
    }

    /// A tool every agent has, and arguments with which a call of it succeeds.
    #[must_use]
    pub fn tool(&self) -> (&str, &str) {
        match &self.tools {
            Some((name, arguments)) => (name, arguments),
            None => ("conversation_search", r#"{"query": "nothing in particular"}"#),
        }
    }

    /// Text that makes the model call that tool.
    #[must_use]
    pub fn tool_prompt(&self) -> String {
        let (name, arguments) = self.tool();
        format!("[tool:{name} {arguments}] please")
    }

    /// An agent to make, with the subject's models.
    pub fn new_agent(&self, name: impl Into<String>) -> NewAgent {
        NewAgent {
            name: name.into(),
            model: self.model.clone(),
            embedding: self.embedding.clone(),
            ..NewAgent::default()
        }
    }

    /// Makes an agent that is deleted when the case is over.
    ///
    /// # Errors
    /// Those of [`LettaApi::create_agent`].
    pub async fn make(&self, agent: &NewAgent) -> crate::Result<Agent> {
        let made = self.api.create_agent(agent).await?;
        self.made
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(made.id.clone());
        Ok(made)
    }

    /// A plain agent to talk with.
    ///
    /// # Errors
    /// Those of [`LettaApi::create_agent`].
    pub async fn agent(&self) -> crate::Result<Agent> {
        self.make(&self.new_agent(self.unique("agent"))).await
    }

    /// Says something to an agent's default conversation and waits for the turn to end.
    ///
    /// # Errors
    /// Those of [`LettaApi::send`] and of the stream.
    pub async fn say(&self, agent: &Agent, text: &str) -> crate::Result<TurnOutcome> {
        self.say_in(&ConversationRef::agent(agent.id.clone()), text).await
    }

    /// Says something in a conversation and waits for the turn to end.
    ///
    /// # Errors
    /// Those of [`LettaApi::send`] and of the stream.
    pub async fn say_in(&self, to: &ConversationRef, text: &str) -> crate::Result<TurnOutcome> {
        let input = TurnInput::text(self.otid(), text);
        self.api.send_and_wait(to, &input, &TurnOptions::default()).await
    }

    /// Starts a turn in an agent's default conversation.
    ///
    /// # Errors
    /// Those of [`LettaApi::send`].
    pub async fn start(&self, agent: &Agent, text: &str, options: &TurnOptions) -> crate::Result<TurnStream> {
        let to = ConversationRef::agent(agent.id.clone());
        self.api
            .send(&to, &TurnInput::text(self.otid(), text), options)
            .await
    }

    /// Deletes what the case made. What is gone already is fine.
    pub(super) async fn clean_up(&self) -> Result<(), LettaError> {
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        for id in made {
            match self.api.delete_agent(&id).await {
                Err(error) if error.kind() != &LettaErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("name", &self.name)
            .field("api", &self.api)
            .field("lacks", &self.lacks)
            .finish_non_exhaustive()
    }
}

/// All events of a turn; an error is the case's.
pub(super) async fn events(mut stream: TurnStream) -> CaseResult<Vec<TurnEvent>> {
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push(event?);
    }
    Ok(events)
}

/// Reads a turn up to the first event that is looked for.
pub(super) async fn read_until(
    stream: &mut TurnStream,
    found: impl Fn(&TurnEventKind) -> bool,
) -> CaseResult<Vec<TurnEvent>> {
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        let event = event?;
        let is_it = found(&event.kind);
        events.push(event);
        if is_it {
            return Ok(events);
        }
    }
    Err(CaseError::new(format!(
        "the turn ended before it came: {events:#?}"
    )))
}

/// Asks again until the answer is there, for things that become visible a moment later.
pub(super) async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> CaseResult<T>
where
    F: Future<Output = CaseResult<Option<T>>>,
{
    for _ in 0..200 {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(CaseError::new(format!("{what}: not within 20 seconds")))
}
