//! What people say reaches the right agent.

use std::{sync::Arc, time::Duration};

use agent_events::{BusSettings, InProcessBus};
use async_trait::async_trait;
use conversation::{
    ConversationConfig, ConversationParts, Conversations, Fate, Operator, Outcome,
    rights::Right,
    ways_in::{Inbox, OwnUsers},
};
use letta_client::{Agent, ConversationRef, HistoryItem, HistoryQuery, LettaApi};
use matrix_client::{Event, MatrixApi, MatrixApiExt, content::Message};
use ruma::{OwnedEventId, OwnedRoomId, OwnedTransactionId};
use store::SystemClock;
use tokio::task::JoinHandle;

use super::stage::Stage;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// The service that carries messages, told of events by whoever has them.
struct Carrier {
    inbox: Arc<Inbox>,
    task: JoinHandle<()>,
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Carrier {
    fn start(stage: &Stage) -> Self {
        let accounts = stage.accounts();
        let clock = Arc::new(SystemClock);
        let own = OwnUsers::new(accounts.bot().to_owned(), stage.config.prefix.clone());
        let inbox = Arc::new(Inbox::new(stage.store.clone(), clock.clone(), own));
        let parts = ConversationParts {
            letta: stage.letta.clone(),
            matrix: stage.matrix.clone(),
            accounts,
            store: stage.store.clone(),
            clock,
            operator: Arc::new(Nobody),
            events: Arc::new(InProcessBus::new(BusSettings::default(), Arc::new(SystemClock))),
        };
        let mut config = ConversationConfig::new(stage.config.prefix.clone(), "test");
        config.rights.allow_user(stage.admin.user_id.clone(), Right::Talk);
        // The fake homeserver has a calendar of its own.
        config.limits.max_age = Duration::MAX;
        let conversations = Conversations::new(parts, config, inbox.clone());
        let task = tokio::spawn(async move {
            conversations.run(std::future::pending()).await.unwrap();
        });
        Self { inbox, task }
    }

    /// Hands an event over, as a homeserver does.
    async fn tell(&self, event: Event) {
        self.inbox.accept_events(vec![event], None).await.unwrap();
    }
}

/// Nobody gives commands here.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Operator for Nobody {
    async fn sync(&self) -> String {
        String::new()
    }

    async fn agents(&self) -> String {
        String::new()
    }

    async fn rooms(&self) -> String {
        String::new()
    }
}

/// The person says something in an agent's room. The event as the homeserver has it.
async fn say(stage: &Stage, room: &OwnedRoomId, text: &str) -> Event {
    stage
        .matrix
        .join_room(&stage.admin, (&**room).into(), &[])
        .await
        .unwrap();
    let transaction = OwnedTransactionId::from(format!("{text}-{room}"));
    let message = Message::text(text);
    let sent = stage
        .matrix
        .send_message(&stage.admin, room, &transaction, &message)
        .await
        .unwrap();
    let event = stage.matrix.get_event(&stage.admin, room, &sent).await.unwrap();
    event.with_room(room.clone())
}

/// What the agent heard people say.
async fn heard(stage: &Stage, agent: &Agent) -> Vec<String> {
    let of = ConversationRef::agent(agent.id.clone());
    let history = stage
        .letta
        .list_messages(&of, &HistoryQuery::default())
        .await
        .unwrap();
    let said = history
        .messages
        .into_iter()
        .filter_map(|message| match message.item {
            HistoryItem::User { text, .. } => Some(text),
            _ => None,
        });
    said.collect()
}

/// The message is answered: the answer's events are in the room, said by the agent's user.
async fn assert_answered(stage: &Stage, agent: &Agent, event: &OwnedEventId) {
    let fate = async {
        loop {
            match Fate::of(&*stage.store, event).await.unwrap() {
                Some(fate) if fate.is_settled() => return fate,
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let fate = tokio::time::timeout(PATIENCE, fate).await.unwrap();
    let [delivery] = fate.deliveries.as_slice() else {
        panic!("{fate:?}")
    };
    assert_eq!(delivery.outcome, Some(Outcome::Answered), "{fate:?}");
    assert_eq!(delivery.agent, agent.id);
    assert!(!delivery.said.is_empty());
    let binding = stage.binding(&agent.id).await;
    for event_id in &delivery.said {
        let room = binding.room_id.as_ref().unwrap();
        let event = stage
            .matrix
            .get_event(&stage.admin, room, event_id)
            .await
            .unwrap();
        assert_eq!(event.sender, binding.user_id);
        let body = event.content["body"].as_str().unwrap();
        assert!(!body.trim().is_empty());
    }
}

pub async fn route_message_to_correct_agent(stage: &Stage) {
    let [alpha, beta] = stage.create_agents(["Agent Alpha", "Agent Beta"]).await;
    stage.sync().await;
    let carrier = Carrier::start(stage);
    let room = stage.binding(&alpha.id).await.room_id.unwrap();
    let event = say(stage, &room, "Remember the green umbrella").await;
    let event_id = event.event_id.clone();
    // A homeserver may say everything twice.
    carrier.tell(event.clone()).await;
    carrier.tell(event).await;
    assert_answered(stage, &alpha, &event_id).await;
    let is_it = |text: &String| text.contains("green umbrella");
    assert_eq!(
        heard(stage, &alpha)
            .await
            .iter()
            .filter(|text| is_it(text))
            .count(),
        1
    );
    assert!(
        !heard(stage, &beta).await.iter().any(is_it),
        "the other one heard nothing"
    );
}

pub async fn multiple_agents_concurrent_messages(stage: &Stage) {
    let agents = stage
        .create_agents(["Agent Alpha", "Agent Beta", "Agent Gamma"])
        .await;
    stage.sync().await;
    let carrier = Carrier::start(stage);
    let mut events = Vec::new();
    for (n, agent) in agents.iter().enumerate() {
        let room = stage.binding(&agent.id).await.room_id.unwrap();
        events.push(say(stage, &room, &format!("The secret number is {n}{n}{n}")).await);
    }
    for event in &events {
        carrier.tell(event.clone()).await;
    }
    for (n, (agent, event)) in agents.iter().zip(&events).enumerate() {
        assert_answered(stage, agent, &event.event_id).await;
        let heard = heard(stage, agent).await;
        let secrets: Vec<_> = heard
            .iter()
            .filter(|text| text.contains("secret number"))
            .collect();
        assert_eq!(secrets.len(), 1, "{heard:?}");
        assert!(secrets[0].contains(&format!("{n}{n}{n}")), "{secrets:?}");
    }
}
