//! What agents are doing, as it happens.
//!
//! Whoever runs a turn publishes [events](AgentEvent) on an [`EventBus`]; pages, programs and operators subscribe to it.
//! Each turn is told in the same order, which [`TurnRules`] checks:
//!
//! `agent_started` → `agent_thinking` → for each tool that runs `tool_executing` → `tool_completed` → `agent_completed`
//!
//! Events have increasing [ids](EventId). Whoever reconnects resumes after the last one it saw, misses nothing that is
//! retained, and is told when something is not. A subscriber that reads slowly is cut loose and slows nobody. What
//! somebody may see follows from the rooms they are in: there is no [`Filter`] without an [`Audience`].
//!
//! [`InProcessBus`] is the default. `RedisBus`, with the feature `redis`, shares the events with other programs and
//! other instances. With the feature `testing`, `testing` holds the conformance suite that both pass.
//!
//! ```
//! use std::sync::Arc;
//!
//! use agent_events::{
//!     AgentRef, Audience, BusSettings, Delivery, EventBus, EventId, EventKind, Filter, InProcessBus, Turn,
//! };
//! use futures_util::StreamExt;
//! use ruma::{event_id, room_id, user_id};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bus = InProcessBus::new(BusSettings::default(), Arc::new(store::SystemClock));
//! let turn = Turn {
//!     agent: AgentRef { id: "agent-1".into(), name: "Ada".to_owned() },
//!     room_id: room_id!("!room:example.org").to_owned(),
//!     thread: None,
//!     sender: user_id!("@ann:example.org").to_owned(),
//!     run_id: None,
//!     correlation_id: event_id!("$question").to_owned(),
//! };
//!
//! let first = bus.publish(turn.event(EventKind::AgentStarted { resumed: false })).await?;
//! let mut events = bus.subscribe(Some(first), Filter::new(Audience::All)).await?;
//! bus.publish(turn.event(EventKind::AgentThinking { text: None })).await?;
//!
//! let Some(Delivery::Event(event)) = events.next().await else { panic!("no event") };
//! assert!(event.id > first);
//! assert_eq!(serde_json::to_value(&event.kind)?["type"], "agent_thinking");
//! assert_eq!(bus.list_states().await?[0].agent.name, "Ada");
//! # Ok(())
//! # }
//! ```

mod bus;
mod error;
mod event;
mod excerpt;
mod filter;
mod id;
mod in_process;
mod log;
#[cfg(feature = "redis")]
mod redis_bus;
mod rules;
mod schema;
mod settings;
mod state;
#[cfg(feature = "testing")]
pub mod testing;

pub use bus::{CloseReason, Delivery, EventBus, Subscription};
pub use error::{BusError, BusErrorKind};
pub use event::{
    AgentEvent, AgentRef, EventDraft, EventKind, EventType, FailureReason, SchemaVersion, Tokens, Turn,
    UnknownEventType,
};
pub use excerpt::Excerpt;
pub use filter::{Audience, Filter};
pub use id::{EventId, InvalidEventId};
pub use in_process::InProcessBus;
#[cfg(feature = "redis")]
pub use redis_bus::{RedisBus, RedisSettings};
pub use rules::{Breach, TurnBreach, TurnRules, check_turns};
pub use schema::json_schema;
pub use settings::BusSettings;
pub use state::{AgentState, Expiry, LiveState};
