//! Deciding about what came in, and writing down what follows.

use std::time::Duration;

use jiff::Timestamp;
use letta_client::AgentId;
use matrix_client::{Event, content};
use ruma::{EventId, OwnedEventId, OwnedUserId, RoomId};
use store::{InboxEvent, NewDelivery};

use super::{
    ConversationError,
    budget::Exceeded,
    engine::{Engine, is_away, lane_of, thread_of},
};
use crate::{
    commands::{self, Command},
    control::Order,
    decision::{self, ApprovalAnswer, Decision, DeclineReason, Forward},
    delivery::{
        Approval,
        record::{Record, Step, Task},
    },
    room::Room,
};

/// How many events are read at once.
const BATCH: u32 = 100;

/// How long what is known of agents is good for, when a change comes in for an unknown room.
const FRESH: Duration = Duration::from_secs(1);

/// How old it may be where an agent is a guest: its home may have moved there.
const SETTLED: Duration = Duration::from_secs(10);

/// How many messages of the history are shown unless somebody says how many.
const HISTORY: u32 = 10;

pub(super) type Result<T, E = store::StoreError> = std::result::Result<T, E>;

/// What was decided about an event, and what follows.
pub(super) struct Plan {
    pub(super) verdict: String,
    pub(super) deliveries: Vec<NewDelivery>,
    /// The approval that is decided with it, as soon as it is written down.
    pub(super) decided: Option<Approval>,
}

impl Plan {
    pub(super) fn nothing(verdict: impl Into<String>) -> Self {
        Self {
            verdict: verdict.into(),
            deliveries: Vec::new(),
            decided: None,
        }
    }
}

/// An event, and what is known about where it happened.
pub(super) struct Scene<'a> {
    pub(super) event: &'a Event,
    pub(super) room_id: &'a RoomId,
    pub(super) room: Option<Room>,
    received_at: Timestamp,
}

impl Engine {
    /// Decides about everything that came in. While the state is away, it is caught up with later.
    pub(super) async fn dispatch(&mut self) -> Result<(), ConversationError> {
        if self.is_behind {
            match self.take_up_open().await {
                Ok(()) => {}
                Err(error) if is_away(&error) => return Ok(()),
                Err(error) => return Err(ConversationError::Store(error)),
            }
        }
        loop {
            let events = match self.parts.store.list_undecided(BATCH).await {
                Ok(events) => events,
                Err(error) if is_away(&error) => {
                    self.fall_behind(&error);
                    return Ok(());
                }
                Err(error) => return Err(ConversationError::Store(error)),
            };
            if events.is_empty() {
                self.is_behind = false;
                return Ok(());
            }
            for event in events {
                match self.decide_about(event).await {
                    Ok(()) => {}
                    Err(error) if error.kind() == store::StoreErrorKind::LeaseLost => return Ok(()),
                    Err(error) if is_away(&error) => {
                        self.fall_behind(&error);
                        return Ok(());
                    }
                    Err(error) => return Err(ConversationError::Store(error)),
                }
            }
        }
    }

    pub(super) fn fall_behind(&mut self, error: &store::StoreError) {
        if !std::mem::replace(&mut self.is_behind, true) {
            tracing::warn!(%error, "the state is away: messages wait");
        }
    }

    async fn decide_about(&mut self, came: InboxEvent) -> Result<()> {
        let arrival = came.arrival;
        let event = match serde_json::from_str::<Event>(&arrival.event) {
            Ok(event) => event,
            Err(error) => {
                let verdict = format!("cannot be read: {error}");
                return self.write(&arrival.event_id, Plan::nothing(verdict)).await;
            }
        };
        if let Some(age) = self.may_be_out_of_date(&arrival.room_id, &event) {
            let now = self.parts.clock.now();
            self.rooms.refresh(&*self.parts.store, now, age).await?;
        }
        let scene = Scene {
            event: &event,
            room_id: &arrival.room_id,
            room: self.rooms.get(&arrival.room_id),
            received_at: arrival.received_at,
        };
        let decision = decision::decide(
            &event,
            scene.room.as_ref(),
            &self.rooms.own,
            &self.config.rights,
            &self.config.defaults,
            &self.config.limits,
            age(&event, arrival.received_at),
        );
        let plan = self.plan(&scene, decision).await?;
        tracing::debug!(event.id = %event.event_id, room.id = %arrival.room_id, verdict = plan.verdict, "decided");
        self.write(&arrival.event_id, plan).await
    }

    /// How old what is known of rooms may be for an event; `None`: as old as it is.
    fn may_be_out_of_date(&self, room: &RoomId, event: &Event) -> Option<Duration> {
        if self.rooms.is_home(room) {
            return None;
        }
        // Many changes of state come in for rooms that are being made; what people say must find its room.
        match (self.rooms.is_known(room), &event.state_key) {
            (false, Some(_)) => Some(FRESH),
            (false, None) => Some(Duration::ZERO),
            (true, Some(_)) => None,
            (true, None) if self.rooms.may_become_home(room) => Some(Duration::ZERO),
            (true, None) => Some(SETTLED),
        }
    }

    /// Writes a plan down and puts its deliveries in their lanes.
    async fn write(&mut self, event: &EventId, plan: Plan) -> Result<()> {
        let now = self.parts.clock.now();
        let deliveries = self
            .parts
            .store
            .decide(event, &plan.verdict, &plan.deliveries, now, &self.lease)
            .await?;
        self.paid.clear();
        if let Some(approval) = plan.decided {
            self.approvals.insert(approval.key.clone(), approval);
        }
        for delivery in deliveries {
            if delivery.is_open {
                let agent = delivery.of.agent_id.to_string();
                let lane = delivery.of.lane.clone();
                self.push(delivery);
                self.start(if lane.starts_with('!') { &lane } else { &agent });
            }
        }
        Ok(())
    }

    async fn plan(&mut self, scene: &Scene<'_>, decision: Decision) -> Result<Plan> {
        Ok(match decision {
            Decision::Ignore(reason) => Plan::nothing(format!("ignored: {reason}")),
            Decision::Forward(messages) => self.forward(scene, messages, 0),
            Decision::Decline { agent, reason } => self.decline(scene, agent, reason).await?,
            Decision::Command { command, agents } => self.command(scene, command, &agents).await?,
            Decision::Answer(answer) => self.answer(scene, &answer),
            Decision::Retry { target } => self.retry(scene, Some(target)).await?,
            Decision::Replace {
                original,
                editor,
                content,
            } => self.replace(scene, &original, &editor, content).await?,
            Decision::TakeBack { original } => self.take_back(&original).await?,
            Decision::Invited {
                agent,
                user,
                is_direct,
                ..
            } => self.invited(scene, agent, &user, is_direct).await?,
            Decision::Uninvited { agent, user } => self.membership(scene, agent, &user, Task::Leave),
            Decision::Joined { agent, .. } => {
                if let Some(agent) = agent {
                    self.change_room(scene, |record| {
                        record.guests.insert(agent);
                    })
                    .await?;
                }
                Plan::nothing("an agent came into the room")
            }
            Decision::Left { agent, .. } => {
                if let Some(agent) = agent {
                    self.change_room(scene, |record| {
                        record.guests.remove(&agent);
                    })
                    .await?;
                }
                Plan::nothing("an agent left the room")
            }
            Decision::SettingsChanged(settings) => {
                self.change_room(scene, |record| record.settings = settings.to_content())
                    .await?;
                Plan::nothing("the room has new settings")
            }
            Decision::Encrypted => {
                self.change_room(scene, |record| record.is_encrypted = true)
                    .await?;
                Plan::nothing("the room is encrypted now")
            }
            Decision::NameChanged(name) => {
                self.change_room(scene, |record| record.name = name).await?;
                Plan::nothing("the room has a new name")
            }
        })
    }

    async fn change_room(
        &mut self,
        scene: &Scene<'_>,
        change: impl FnOnce(&mut super::rooms::RoomRecord),
    ) -> Result<()> {
        let (store, lease) = (self.parts.store.clone(), self.lease.clone());
        self.rooms.change(scene.room_id, &*store, &lease, change).await
    }

    // ---- messages ----

    fn forward(&mut self, scene: &Scene<'_>, messages: Vec<Forward>, attempt: u32) -> Plan {
        let Some(room) = &scene.room else {
            return Plan::nothing("ignored: the room is none of ours");
        };
        let mode = self.config.defaults.resolve(room).conversation;
        let sender = &scene.event.sender;
        let mut plan = Plan::nothing("");
        let mut names = Vec::new();
        for message in messages {
            let lane = lane_of(
                &message.agent,
                room,
                mode,
                sender,
                thread_of(mode, &message, &scene.event.event_id).as_deref(),
            );
            if let Some(why) = self.too_much(scene, &message, &lane) {
                // Whoever is a machine is not answered: that would go on.
                if message.from_agent {
                    names.push(format!("not for {}: {why}", message.agent));
                } else {
                    plan.deliveries.push(self.tell(scene, Some(&message.agent), &why));
                    names.push(format!("declined for {}: {why}", message.agent));
                }
                continue;
            }
            names.push(format!("for {}", message.agent));
            plan.deliveries.push(NewDelivery {
                agent_id: message.agent.clone(),
                attempt,
                lane,
                ..self.delivery(
                    scene,
                    thread_of(mode, &message, &scene.event.event_id),
                    Task::Message(Box::new(message)),
                )
            });
        }
        plan.verdict = names.join("; ");
        plan
    }

    /// Why a message is too much, in words for its sender.
    fn too_much(&mut self, scene: &Scene<'_>, message: &Forward, lane: &str) -> Option<String> {
        let worker = message.agent.as_str();
        if self.lanes.waiting_in(worker, lane) >= self.config.delivery.max_waiting {
            return Some("Too many messages wait here already. Please send this one again later.".to_owned());
        }
        let paid = (scene.event.event_id.clone(), message.agent.clone());
        if self.paid.contains(&paid) {
            return None;
        }
        let sender = &scene.event.sender;
        let taken = if message.from_agent {
            self.budgets.take_between(sender, &message.agent, scene.room_id)
        } else {
            self.budgets.take(sender, scene.room_id)
        };
        let text = match taken {
            Ok(()) => {
                self.paid.insert(paid);
                return None;
            }
            Err(Exceeded::Sender) => {
                "You wrote very much in a short time. Please send this message again in a minute."
            }
            Err(Exceeded::Room) => {
                "Very much was written here in a short time. Please send this message again in a minute."
            }
            Err(Exceeded::Pair) => "these two agents talked enough for now",
        };
        Some(text.to_owned())
    }

    fn delivery(&self, scene: &Scene<'_>, thread: Option<OwnedEventId>, task: Task) -> NewDelivery {
        let record = Record {
            sender: scene.event.sender.clone(),
            sent_at: sent_at(scene.event).unwrap_or(scene.received_at),
            thread,
            task,
            step: Step::Queued,
            posts: Vec::new(),
            asks: None,
        };
        NewDelivery {
            event_id: scene.event.event_id.clone(),
            agent_id: AgentId::new(""),
            attempt: 0,
            lane: format!("!{}", scene.room_id),
            room_id: scene.room_id.to_owned(),
            record: record.write(),
        }
    }

    /// Tells the sender of an event something, as an agent or as the bridge itself.
    fn tell(&self, scene: &Scene<'_>, agent: Option<&AgentId>, text: &str) -> NewDelivery {
        let task = Task::Tell {
            text: text.to_owned(),
        };
        NewDelivery {
            agent_id: self.speaker(scene, agent),
            ..self.delivery(scene, thread_root(scene.event), task)
        }
    }

    pub(super) fn told(&self, scene: &Scene<'_>, agent: Option<&AgentId>, verdict: &str, text: &str) -> Plan {
        Plan {
            verdict: verdict.to_owned(),
            decided: None,
            deliveries: vec![self.tell(scene, agent, text)],
        }
    }

    /// Who speaks when nobody in particular does: an agent of the room, who is there for certain.
    pub(super) fn speaker(&self, scene: &Scene<'_>, agent: Option<&AgentId>) -> AgentId {
        let room = scene.room.as_ref();
        let first = || {
            Some(
                &room
                    .filter(|room| !room.is_admin_room)?
                    .residents
                    .first()?
                    .agent_id,
            )
        };
        agent.or_else(first).cloned().unwrap_or_else(|| AgentId::new(""))
    }

    async fn decline(
        &mut self,
        scene: &Scene<'_>,
        agent: Option<AgentId>,
        reason: DeclineReason,
    ) -> Result<Plan> {
        let verdict = format!("declined: {reason}");
        if reason == DeclineReason::Encrypted {
            if self.rooms.told_encrypted(scene.room_id) {
                return Ok(Plan::nothing(verdict));
            }
            self.change_room(scene, |record| {
                record.is_encrypted = true;
                record.told_encrypted = true;
            })
            .await?;
        }
        Ok(self.told(scene, agent.as_ref(), &verdict, &reason.to_string()))
    }

    // ---- approvals ----

    fn answer(&mut self, scene: &Scene<'_>, answer: &ApprovalAnswer) -> Plan {
        let in_room = |approval: &&Approval| approval.room == scene.room_id;
        let is_reaction = scene.event.event_type.to_string() == "m.reaction";
        let asked = answer.target.as_ref().and_then(|target| {
            self.approvals
                .values()
                .find(|approval| in_room(approval) && approval.asked.as_ref() == Some(target))
        });
        let meant = match asked {
            Some(approval) => Some(approval),
            None if is_reaction => None,
            // A command that replies to something else means what waits.
            None => self
                .approvals
                .values()
                .filter(|approval| {
                    in_room(approval) && approval.is_open() && answer.agents.contains(&approval.agent)
                })
                .max_by_key(|approval| approval.since),
        };
        let Some(approval) = meant.cloned() else {
            return if is_reaction {
                Plan::nothing("ignored: a reaction to what does not wait for a decision")
            } else {
                self.told(
                    scene,
                    None,
                    "nothing waits for a decision",
                    "Nothing here waits for a decision.",
                )
            };
        };
        if !approval.is_open() {
            let text = format!("This is decided already: {}.", approval.state_words());
            return self.told(scene, Some(&approval.agent), "decided already", &text);
        }
        let task = Task::Decision {
            approval: approval.key.clone(),
            approve: answer.approve,
            reason: answer.reason.clone(),
        };
        // Whoever decides next is told so at once, and not only when Letta took the decision.
        let decided = approval.decided_by(&scene.event.sender, answer.approve);
        Plan {
            decided: Some(decided),
            verdict: format!("decides on a tool call of {}", approval.agent),
            deliveries: vec![NewDelivery {
                agent_id: approval.agent,
                lane: approval.lane,
                ..self.delivery(scene, approval.thread, task)
            }],
        }
    }

    // ---- commands ----

    async fn command(&mut self, scene: &Scene<'_>, command: Command, agents: &[AgentId]) -> Result<Plan> {
        let is_admin_room = scene.room.as_ref().is_some_and(|room| room.is_admin_room);
        let first = agents.first();
        let order = match command {
            Command::Help => {
                let right = self.config.rights.right_of(&scene.event.sender);
                let text = right.map_or_else(String::new, |right| commands::help(right, is_admin_room));
                return Ok(self.told(scene, first, "a command: help", &text));
            }
            Command::Settings => {
                let text = match &scene.room {
                    Some(room) => self.config.defaults.resolve(room).to_string(),
                    None => String::new(),
                };
                return Ok(self.told(scene, first, "a command: settings", &text));
            }
            Command::Misused { word, misuse } => {
                let text = format!("`!{word}`: {misuse}");
                return Ok(self.told(scene, first, "a command that cannot be done", &text));
            }
            Command::Unknown { word, nearest } => {
                let hint = nearest.map_or_else(String::new, |nearest| format!(" Did you mean `!{nearest}`?"));
                let word = crate::text::plain_line(&word, 40);
                let text = format!("I do not know `!{word}`.{hint} `!help` says what there is.");
                return Ok(self.told(scene, first, "an unknown command", &text));
            }
            Command::Retry => {
                let target = content::replied_to(&scene.event.content).map(ToOwned::to_owned);
                return self.retry(scene, target).await;
            }
            // Those are answers to what waits, and never come as commands.
            Command::Approve | Command::Deny { .. } => return Ok(Plan::nothing("ignored: no command")),
            Command::Status => Order::Status,
            Command::Stop => Order::Stop,
            Command::New => Order::New,
            Command::History { count } => Order::History {
                count: count.unwrap_or(HISTORY),
            },
            Command::Set(setting) => Order::Set(setting),
            Command::Sync => Order::Sync,
            Command::Agents => Order::Agents,
            Command::Rooms => Order::Rooms,
        };
        let Some(room) = scene.room.clone() else {
            return Ok(Plan::nothing("ignored: the room is none of ours"));
        };
        let mode = self.config.defaults.resolve(&room).conversation;
        let root = thread_root(scene.event);
        let sender = scene.event.sender.clone();
        let agents = self.addressees(&room, agents, |agent| {
            lane_of(agent, &room, mode, &sender, root.as_deref())
        });
        if order == Order::Stop {
            agents.iter().for_each(|agent| self.stop(&agent.agent));
        }
        // Commands wait for each other, not for an agent at work.
        let verdict = format!("a command: {order:?}");
        let speaker = self.speaker(scene, agents.first().map(|agent| &agent.agent));
        Ok(Plan {
            verdict,
            decided: None,
            deliveries: vec![NewDelivery {
                agent_id: speaker,
                ..self.delivery(scene, root, Task::Order { order, agents })
            }],
        })
    }

    // ---- rooms ----

    async fn invited(
        &mut self,
        scene: &Scene<'_>,
        agent: Option<AgentId>,
        user: &OwnedUserId,
        is_direct: bool,
    ) -> Result<Plan> {
        if let Some(agent) = agent.clone() {
            self.change_room(scene, |record| {
                record.is_direct |= is_direct;
                record.guests.insert(agent);
            })
            .await?;
        }
        Ok(self.membership(scene, agent, user, Task::Join))
    }

    fn membership(&self, scene: &Scene<'_>, agent: Option<AgentId>, user: &OwnedUserId, task: Task) -> Plan {
        let agent_id = match agent {
            Some(agent) => agent,
            None if *user == self.rooms.own.bot => AgentId::new(""),
            None => return Plan::nothing("ignored: an invitation of an agent that nobody knows any more"),
        };
        let verdict = match task {
            Task::Join => "an invitation that is taken up",
            _ => "an invitation that is declined",
        };
        Plan {
            verdict: verdict.to_owned(),
            decided: None,
            deliveries: vec![NewDelivery {
                agent_id,
                ..self.delivery(scene, None, task)
            }],
        }
    }
}

fn thread_root(event: &Event) -> Option<OwnedEventId> {
    content::thread_root(&event.content).map(ToOwned::to_owned)
}

fn sent_at(event: &Event) -> Option<Timestamp> {
    let millis = i64::from(event.origin_server_ts.get());
    Timestamp::from_millisecond(millis).ok()
}

/// How long ago an event was sent when it came in. Zero for one of the future.
fn age(event: &Event, received_at: Timestamp) -> Duration {
    sent_at(event)
        .and_then(|sent| Duration::try_from(received_at.duration_since(sent)).ok())
        .unwrap_or_default()
}
