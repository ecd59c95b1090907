//! The program telling on a Redis server what agents are doing.

use std::{sync::Arc, time::Duration};

use agent_events::{Audience, Delivery, EventBus, EventType, Filter, RedisBus, RedisSettings, check_turns};
use futures_util::StreamExt;
use store::SystemClock;
use url::Url;

use super::{
    person::Person,
    run::running::{Running, until},
    servers::Servers,
};
use crate::support::{env, real_services};

#[tokio::test]
async fn real_other_programs_hear_what_agents_are_doing() {
    if !real_services() {
        return;
    }
    // A database of its own.
    let mut url = Url::parse(&env("REAL_REDIS_URL")).unwrap();
    url.set_path("/9");
    let mut servers = Servers::start().await;
    servers.program.set("REDIS_URL", url.as_str());
    servers.program.set("MATRIX_AGENT_SYNC_INTERVAL", "24h");
    let running = Running::start(&mut servers.program).await;
    until("the first sync is done", async || {
        running.get("/ready").await.0 == 200
    })
    .await;
    let person = Person::in_the_room_of("Agent Alpha", &servers.matrix).await;

    let bus = RedisBus::open(
        &url.as_str().into(),
        RedisSettings::default(),
        Arc::new(SystemClock),
    )
    .unwrap();
    let mut told = bus.subscribe(None, Filter::new(Audience::All)).await.unwrap();
    let question = person.says("hello").await;
    person.hears_at_last("echo: hello").await;
    let mut events = Vec::new();
    while events.last().is_none_or(|event: &Arc<agent_events::AgentEvent>| {
        event.kind.event_type() != EventType::AgentCompleted
    }) {
        let next = tokio::time::timeout(Duration::from_secs(20), told.next()).await;
        match next {
            Ok(Some(Delivery::Event(event))) => events.push(event),
            other => panic!("{other:?} after {events:#?}"),
        }
    }
    check_turns(events.iter().map(|event| &**event)).unwrap();
    assert!(
        events
            .iter()
            .all(|event| event.turn.correlation_id == question && event.turn.agent.name == "Agent Alpha"),
        "{events:#?}"
    );
    assert!(bus.list_states().await.unwrap().is_empty());
    bus.close();
    running.terminated().await;
}
