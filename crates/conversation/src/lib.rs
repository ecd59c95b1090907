//! Carries a person's message to the agent and the agent's answer back into the room, exactly once.
//!
//! [`ways_in`] takes events in: a homeserver's transactions, or syncs. [`decision`] says what is to be done about an
//! event, and is pure. [`Conversations`] does it: what is owed for an event is written down as a delivery, and each of
//! its steps before it is taken; the same message has the same id in Letta, and a part of an answer the same transaction
//! id at the homeserver. So it can be killed anywhere, and nothing is lost or said twice.
//!
//! The crate knows Letta, Matrix and the store by their traits only.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use std::{sync::Arc, time::Duration};
//!
//! use accounts::AppserviceAccounts;
//! use agent_events::{BusSettings, InProcessBus};
//! use conversation::{
//!     ConversationConfig, ConversationParts, Conversations, Fate, Outcome,
//!     rights::Right,
//!     ways_in::{Inbox, OwnUsers},
//! };
//! use letta_client::fake::FakeLetta;
//! use matrix_client::{MatrixApi, MatrixApiExt, content::Message, fake::FakeMatrix};
//! # use conversation::Operator;
//! # use matrix_client::{LoginRequest, fake::TEST_PASSWORD, ruma::{room_id, user_id}};
//! use store::{Binding, BindingStore, LeaseStore, MemoryStore, SystemClock, Clock};
//! # #[derive(Debug)] struct Nobody;
//! # #[async_trait::async_trait] impl Operator for Nobody {
//! #     async fn sync(&self) -> String { String::new() }
//! #     async fn agents(&self) -> String { String::new() }
//! #     async fn rooms(&self) -> String { String::new() }
//! # }
//!
//! // A Letta server with an agent, a homeserver with its room, and the note of whose room it is.
//! let (letta, matrix) = (FakeLetta::with_test_agents(), Arc::new(FakeMatrix::with_test_data()));
//! let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(SystemClock));
//! let room = room_id!("!testroom:matrix.test");
//! # let now = clock.now();
//! # let lease = store.acquire_lease("sync", "doc", now, Duration::from_secs(9)).await?.unwrap();
//! # let user = user_id!("@agent_001:matrix.test").to_owned();
//! # let alias = "#agent_001:matrix.test".try_into()?;
//! let binding = Binding {
//!     room_id: Some(room.to_owned()),
//!     ..Binding::planned("agent-001".into(), "Agent Alpha".into(), user, alias, now)
//! };
//! store.put_binding(&binding, &lease).await?;
//!
//! // The service, and where events come in.
//! let appservice = matrix.test_appservice();
//! let own = OwnUsers::new(appservice.sender.clone(), "agent_");
//! let inbox = Arc::new(Inbox::new(store.clone(), clock.clone(), own));
//! let parts = ConversationParts {
//!     letta: Arc::new(letta),
//!     matrix: matrix.clone(),
//!     accounts: Arc::new(AppserviceAccounts::new(matrix.clone(), appservice)),
//!     store: store.clone(),
//!     clock,
//!     operator: Arc::new(Nobody),
//!     events: Arc::new(InProcessBus::new(BusSettings::default(), Arc::new(SystemClock))),
//! };
//! let mut config = ConversationConfig::new("agent_", "this instance");
//! config.rights.allow_user(user_id!("@admin:matrix.test").to_owned(), Right::Talk);
//! # config.limits.max_age = Duration::MAX;
//! tokio::spawn(Conversations::new(parts, config, inbox.clone()).run(std::future::pending()));
//!
//! // A person says something, and the homeserver tells of it.
//! # let admin = matrix.login(&LoginRequest::with_password("admin", TEST_PASSWORD.into())).await?;
//! let event = matrix.send_message(&admin, room, "t1".into(), &Message::text("hello")).await?;
//! let told = matrix.get_event(&admin, room, &event).await?.with_room(room.to_owned());
//! inbox.accept_events(vec![told], None).await?;
//!
//! let fate = loop {
//!     match Fate::of(&*store, &event).await? {
//!         Some(fate) if fate.is_settled() => break fate,
//!         _ => tokio::time::sleep(Duration::from_millis(10)).await,
//!     }
//! };
//! assert_eq!(fate.deliveries[0].outcome, Some(Outcome::Answered));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

pub mod commands;
mod control;
pub mod decision;
mod delivery;
mod fate;
mod ids;
mod lanes;
mod notice;
pub mod rights;
pub mod room;
mod service;
pub mod settings;
mod stage;
pub mod text;
mod turn;
pub mod ways_in;

pub use control::Operator;
pub use delivery::Outcome;
pub use fate::{DeliveryFate, Fate};
pub use service::{
    ConversationConfig, ConversationError, ConversationParts, Conversations, DeliveryLimits, LEASE,
};
