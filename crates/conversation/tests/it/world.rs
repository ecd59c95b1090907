//! A Letta server, a homeserver that pushes, and the service between them, in virtual time.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use accounts::AppserviceAccounts;
use agent_events::{
    AgentEvent, Audience, Breach, BusSettings, Delivery, EventBus, EventId, Filter, InProcessBus, check_turns,
};
use async_trait::async_trait;
use conversation::{
    ConversationConfig, ConversationParts, Conversations, Operator,
    rights::Right,
    ways_in::{Inbox, OwnUsers},
};
use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;
use letta_client::{AgentId, fake::FakeLetta};
use matrix_client::{
    Event, MatrixApi, Session, content,
    content::Message,
    fake::{AppserviceEndpoint, EndpointAnswer, FakeMatrix, PushedTransaction},
};
use ruma::{OwnedEventId, OwnedRoomId, OwnedTransactionId, OwnedUserId, owned_room_id, owned_user_id};
use serde_json::{Value, value::RawValue};
use store::{Binding, Clock, ConversationStore, MemoryStore, RoomFacts};
use tokio::{sync::watch, task::JoinHandle, time::Instant};

/// How long anything is waited for, in virtual time.
const PATIENCE: Duration = Duration::from_secs(3 * 60 * 60);

/// Agent Alpha's room `!testroom:matrix.test`, with Agent Alpha and @admin in it; and Agent Beta's.
pub struct World {
    pub letta: FakeLetta,
    pub matrix: FakeMatrix,
    pub store: Arc<dyn ConversationStore>,
    /// The same store as the service reaches it.
    pub service_store: Arc<dyn ConversationStore>,
    pub config: ConversationConfig,
    pub clock: Arc<TestClock>,
    pub admin: Session,
    pub events: Arc<InProcessBus>,
    service: Mutex<Option<Service>>,
}

struct Service {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill();
        if !std::thread::panicking() {
            self.check_events();
        }
    }
}

impl World {
    /// With the service at work.
    pub async fn new() -> Self {
        Self::with(FakeLetta::with_test_agents()).await
    }

    pub async fn with(letta: FakeLetta) -> Self {
        let mut world = Self::asleep(letta, Arc::new(MemoryStore::new())).await;
        world.start();
        world
    }

    /// With the service not started yet.
    pub async fn asleep(letta: FakeLetta, store: Arc<dyn ConversationStore>) -> Self {
        let matrix = FakeMatrix::with_test_data();
        let appservice = matrix.test_appservice();
        let beta = matrix.add_appservice_user(&appservice.id, "agent_002");
        matrix.add_room(beta_room().as_str(), "@admin:matrix.test", &[beta.as_str()]);
        let admin = matrix
            .login(&matrix_client::LoginRequest::with_password(
                "admin",
                matrix_client::fake::TEST_PASSWORD.into(),
            ))
            .await
            .unwrap();
        let mut config = ConversationConfig::new("agent_", "test");
        config.rights.allow_user(admin.user_id.clone(), Right::Admin);
        // The fake homeserver has a calendar of its own.
        config.limits.max_age = Duration::MAX;
        let clock = Arc::new(TestClock::default());
        bind(&*store, &clock, "agent-001", "Agent Alpha", alpha(), alpha_room()).await;
        bind(&*store, &clock, "agent-002", "Agent Beta", beta, beta_room()).await;
        Self {
            // The servers' clocks go together.
            letta: letta.with_epoch(clock.now()),
            matrix,
            service_store: store.clone(),
            store,
            config,
            events: Arc::new(InProcessBus::new(BusSettings::default(), clock.clone())),
            clock,
            admin,
            service: Mutex::default(),
        }
    }

    // ---- the service ----

    pub fn start(&mut self) {
        self.start_service();
    }

    fn start_service(&self) {
        let parts = ConversationParts {
            letta: Arc::new(self.letta.clone()),
            matrix: Arc::new(self.matrix.clone()),
            accounts: Arc::new(AppserviceAccounts::new(
                Arc::new(self.matrix.clone()),
                self.matrix.test_appservice(),
            )),
            store: self.service_store.clone(),
            clock: self.clock.clone(),
            operator: Arc::new(NoOperator),
            events: self.events.clone(),
        };
        let own = OwnUsers::new(self.matrix.test_appservice().sender, "agent_");
        let inbox = Arc::new(Inbox::new(self.service_store.clone(), self.clock.clone(), own));
        let conversations = Conversations::new(parts, self.config.clone(), inbox.clone());
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let stopped = async move {
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            conversations.run(stopped).await.unwrap();
        });
        let id = self.matrix.test_appservice().id;
        self.matrix.attach_appservice(&id, Arc::new(Pushed(inbox)));
        *self.service.lock().unwrap() = Some(Service { stop, task });
    }

    /// Ends it without a warning, wherever it is.
    pub fn kill(&mut self) {
        self.kill_service();
    }

    fn kill_service(&self) {
        let id = self.matrix.test_appservice().id;
        self.matrix.detach_appservice(&id);
        if let Some(service) = self.service.lock().unwrap().take() {
            service.task.abort();
        }
    }

    /// Tells it to stop, and waits until it did.
    pub async fn stop(&mut self) {
        let service = self.service.lock().unwrap().take();
        if let Some(service) = service {
            service.stop.send_replace(true);
            service.task.await.unwrap();
        }
        let id = self.matrix.test_appservice().id;
        self.matrix.detach_appservice(&id);
    }

    /// Kills it and starts it again with the same state, as a supervisor would.
    pub async fn restart(&mut self) {
        self.crash(|| {}).await;
    }

    /// The same while people go on. `between` is done when the process is gone, and before it is back.
    pub async fn crash(&self, between: impl FnOnce()) {
        self.kill_service();
        // The aborted task is gone, with all its own, when others had their turn.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        between();
        self.start_service();
    }

    // ---- those who watch ----

    /// Everything that was told to those who watch; `None` when it was too much to be retained.
    pub fn events(&self) -> Option<Vec<Arc<AgentEvent>>> {
        let everything = self
            .events
            .subscribe(Some(EventId::ZERO), Filter::new(Audience::All));
        let mut told = everything.now_or_never().unwrap().unwrap();
        let mut events = Vec::new();
        while let Some(Some(delivery)) = told.next().now_or_never() {
            match delivery {
                Delivery::Event(event) => events.push(event),
                Delivery::Gap { .. } | Delivery::Closed(_) => return None,
            }
        }
        Some(events)
    }

    /// That each turn was told in order. Some may wait for a decision.
    fn check_events(&self) {
        let events = self.events().unwrap_or_default();
        match check_turns(events.iter().map(|event| &**event)) {
            Ok(()) => {}
            Err(error) if error.breach == Breach::NotEnded => {}
            Err(error) => {
                let of_turn = events
                    .iter()
                    .filter(|event| event.turn.correlation_id == error.correlation_id);
                let kinds: Vec<_> = of_turn.map(|event| &event.kind).collect();
                panic!("{error}: {}: {kinds:#?}", error.breach);
            }
        }
    }

    // ---- people ----

    /// @admin says something.
    pub async fn says(&self, room: &OwnedRoomId, message: &Message) -> OwnedEventId {
        self.sends(room, "m.room.message", &message.to_content()).await
    }

    /// @admin says this in Agent Alpha's room.
    pub async fn says_text(&self, text: &str) -> OwnedEventId {
        self.says(&alpha_room(), &Message::text(text)).await
    }

    pub async fn sends(&self, room: &OwnedRoomId, event_type: &str, content: &Value) -> OwnedEventId {
        self.sends_as(&self.admin, room, event_type, content).await
    }

    pub async fn sends_as(
        &self,
        who: &Session,
        room: &OwnedRoomId,
        event_type: &str,
        content: &Value,
    ) -> OwnedEventId {
        let transaction_id: OwnedTransactionId =
            format!("person.{}", self.matrix.timeline(room).len()).into();
        self.matrix
            .send_message_event(who, room, &event_type.into(), &transaction_id, content)
            .await
            .unwrap()
    }

    pub async fn reacts(&self, room: &OwnedRoomId, to: &OwnedEventId, key: &str) -> OwnedEventId {
        self.sends(room, "m.reaction", &content::reaction(to, key)).await
    }

    /// @admin says this in Agent Alpha's room, and everything that follows is over.
    pub async fn talk(&self, text: &str) -> OwnedEventId {
        let event = self.says_text(text).await;
        self.settled().await;
        event
    }

    // ---- waiting ----

    /// Waits until it is so.
    pub async fn until(&self, what: &str, mut is: impl AsyncFnMut() -> bool) {
        let began = Instant::now();
        while !is().await {
            assert!(
                began.elapsed() < PATIENCE,
                "waited in vain until {what}; the rooms: {:#?} {:#?}; open: {:#?}",
                self.heard_in(&alpha_room()),
                self.heard_in(&beta_room()),
                self.store.list_open_deliveries().await,
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until nothing is left to do.
    pub async fn settled(&self) {
        let id = self.matrix.test_appservice().id;
        self.until("everything is settled", async || {
            self.matrix.backlog(&id) == 0
                && self.store.list_undecided(1).await.unwrap().is_empty()
                && self.store.list_open_deliveries().await.unwrap().is_empty()
        })
        .await;
        // What nobody waits for: the end of typing and the like.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    // ---- what can be seen ----

    /// What Agent Alpha said in its room as a person sees it now: message type and text, edits applied.
    pub fn heard(&self) -> Vec<(String, String)> {
        self.heard_in(&alpha_room())
    }

    /// What agents said in a room as a person sees it now.
    pub fn heard_in(&self, room: &OwnedRoomId) -> Vec<(String, String)> {
        let events = self.agents_events(room);
        let edits: Vec<_> = events
            .iter()
            .filter_map(|event| Some((content::edited_event(&event.content)?.to_owned(), event)))
            .collect();
        events
            .iter()
            .filter(|event| content::edited_event(&event.content).is_none())
            .map(|event| {
                let latest = edits
                    .iter()
                    .rfind(|(of, edit)| *of == event.event_id && edit.sender == event.sender);
                let content = latest.map_or(&event.content, |(_, edit)| &edit.content["m.new_content"]);
                (
                    text_of(content, "msgtype"),
                    without_headers(&text_of(content, "body")),
                )
            })
            .collect()
    }

    /// Every message event of agents in a room, edits included.
    pub fn agents_events(&self, room: &OwnedRoomId) -> Vec<Event> {
        let mut events = self.matrix.messages(room);
        events.retain(|event| event.sender.localpart().starts_with("agent_"));
        events
    }

    /// What agents said in answer, without notices.
    pub fn answers_in(&self, room: &OwnedRoomId) -> Vec<String> {
        let said = self.heard_in(room).into_iter();
        said.filter(|(kind, _)| kind == "m.text")
            .map(|(_, text)| text)
            .collect()
    }

    /// The notices in a room.
    pub fn notices_in(&self, room: &OwnedRoomId) -> Vec<String> {
        let said = self.heard_in(room).into_iter();
        said.filter(|(kind, _)| kind == "m.notice")
            .map(|(_, text)| text)
            .collect()
    }

    /// How often an agent heard something with these words, whatever stands around them.
    pub async fn times_heard(&self, agent: &str, words: &str) -> usize {
        use letta_client::{ConversationRef, HistoryItem, HistoryQuery, LettaApi};
        let query = HistoryQuery {
            limit: 1000,
            ..HistoryQuery::default()
        };
        let page = self
            .letta
            .list_messages(&ConversationRef::agent(agent), &query)
            .await
            .unwrap();
        let heard = page.messages.iter().filter(|message| match &message.item {
            HistoryItem::User { text, .. } => text.contains(words),
            _ => false,
        });
        heard.count()
    }

    /// The one event with this text.
    #[track_caller]
    pub fn event_with(&self, room: &OwnedRoomId, text: &str) -> Event {
        let mut events = self.matrix.messages(room);
        events.retain(|event| without_headers(&text_of(&event.content, "body")).contains(text));
        match events.as_slice() {
            [event, ..] => event.clone(),
            [] => panic!("nobody said {text:?}: {:#?}", self.heard_in(room)),
        }
    }

    /// What was decided about an event.
    pub async fn verdict(&self, event: &OwnedEventId) -> Option<String> {
        self.store.get_event(event).await.unwrap()?.verdict
    }
}

fn text_of(content: &Value, field: &str) -> String {
    content[field].as_str().unwrap_or_default().to_owned()
}

/// What an agent says that repeats what it heard, without the header that stands before a person's words.
fn without_headers(text: &str) -> String {
    let mut rest = text;
    let mut words = String::new();
    while let Some((before, after)) = rest.split_once("[matrix {") {
        words.push_str(before);
        rest = after.split_once("}]\n").map_or("", |(_, after)| after);
    }
    words + rest
}

pub fn alpha_room() -> OwnedRoomId {
    owned_room_id!("!testroom:matrix.test")
}

pub fn beta_room() -> OwnedRoomId {
    owned_room_id!("!beta:matrix.test")
}

pub fn alpha() -> OwnedUserId {
    owned_user_id!("@agent_001:matrix.test")
}

/// Writes down whose room is whose, as a sync does.
pub async fn bind(
    store: &dyn ConversationStore,
    clock: &TestClock,
    agent: &str,
    name: &str,
    user: OwnedUserId,
    room: impl Into<Option<OwnedRoomId>>,
) {
    let now = clock.now();
    let lease = store
        .acquire_lease("sync", "test", now, Duration::from_secs(60))
        .await
        .unwrap()
        .unwrap();
    let alias = format!("#{}:matrix.test", user.localpart()).try_into().unwrap();
    let binding = Binding {
        user_registered: true,
        display_name: Some(name.to_owned()),
        room_id: room.into(),
        room: RoomFacts::default(),
        ..Binding::planned(AgentId::new(agent), name.to_owned(), user, alias, now)
    };
    store.put_binding(&binding, &lease).await.unwrap();
}

/// A clock that goes with tokio's, which a test may pause.
#[derive(Debug)]
pub struct TestClock {
    began: Instant,
    epoch: Timestamp,
}

impl Default for TestClock {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            epoch: "2026-06-01T12:00:00Z".parse().unwrap(),
        }
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.epoch + self.began.elapsed()
    }
}

/// The service's side of what the homeserver pushes to.
struct Pushed(Arc<Inbox>);

#[async_trait]
impl AppserviceEndpoint for Pushed {
    async fn transaction(&self, transaction: &PushedTransaction) -> EndpointAnswer {
        let events = transaction.body["events"].as_array().into_iter().flatten();
        let events: Vec<_> = events
            .map(|event| RawValue::from_string(event.to_string()).unwrap())
            .collect();
        match self.0.accept_raw(&events).await {
            Ok(_) => EndpointAnswer::ok(),
            Err(_) => EndpointAnswer::status(503),
        }
    }

    async fn ping(&self, _transaction_id: Option<&str>) -> EndpointAnswer {
        EndpointAnswer::ok()
    }

    async fn query_user(&self, _user_id: &str) -> EndpointAnswer {
        EndpointAnswer::status(404)
    }

    async fn query_alias(&self, _alias: &str) -> EndpointAnswer {
        EndpointAnswer::status(404)
    }
}

/// Nobody runs this bridge.
#[derive(Debug)]
struct NoOperator;

#[async_trait]
impl Operator for NoOperator {
    async fn sync(&self) -> String {
        "Synced.".to_owned()
    }

    async fn agents(&self) -> String {
        "Agents.".to_owned()
    }

    async fn rooms(&self) -> String {
        "Rooms.".to_owned()
    }
}
