//! What is at work, and what waits.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use letta_client::AgentId;
use ruma::{OwnedEventId, OwnedRoomId, RoomId};
use serde_json::json;
use store::{Delivery, Lease, StoreError};
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};

use super::{ConversationConfig, ConversationError, ConversationParts, budget::Budgets, rooms::Rooms};
use crate::{
    control::Addressee,
    decision::Forward,
    delivery::{
        Approval, Deliverer, Finished, Interrupted, Outcome, Setting,
        record::{Record, Step, Task},
    },
    lanes::{Lanes, Waiting},
    room::{Own, Room},
    settings::ConversationMode,
    stage::{Speakers, Stage},
    turn::Recovery,
};

/// The kind of the records that say what failed last in a room.
const FAILED: &str = "failed";

/// A delivery that ended, or did not.
pub(super) type Ended = Result<(Of, Result<Finished, Interrupted>), JoinError>;

/// Which delivery it is.
#[derive(Debug, Clone)]
pub(super) struct Of {
    pub(super) id: i64,
    pub(super) worker: String,
    pub(super) agent: AgentId,
    pub(super) lane: String,
    pub(super) event_id: OwnedEventId,
    pub(super) room_id: OwnedRoomId,
}

/// What waits for its turn.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) of: Of,
    pub(super) since: Timestamp,
    /// Whether its sender need not be told any more that it waits.
    pub(super) is_told: bool,
}

/// What is at work, and what waits.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) parts: ConversationParts,
    pub(super) config: ConversationConfig,
    pub(super) lease: Lease,
    pub(super) rooms: Rooms,
    pub(super) lanes: Lanes,
    pub(super) budgets: Budgets,
    /// For which messages something was taken out of the budgets already: those of an event that is decided about again,
    /// because the decision could not be written down.
    pub(super) paid: HashSet<(OwnedEventId, AgentId)>,
    /// Everything that waits for a decision, and what did not long ago.
    pub(super) approvals: BTreeMap<String, Approval>,
    /// What failed last in a room.
    pub(super) failed: HashMap<OwnedRoomId, OwnedEventId>,
    /// Events that could not be decided about because the state was away.
    pub(super) is_behind: bool,
    pub(super) pending: BTreeMap<i64, Pending>,
    pub(super) deliverer: Arc<Deliverer>,
    speakers: Arc<Speakers>,
    pub(super) tasks: JoinSet<(Of, Result<Finished, Interrupted>)>,
    of_task: HashMap<tokio::task::Id, Of>,
    /// When it was looked last whether decisions are still waited for.
    pub(super) checked_at: Timestamp,
    /// By which a delivery at work is told that somebody stopped it.
    stops: HashMap<i64, watch::Sender<bool>>,
}

impl Engine {
    /// What was left to do.
    pub(super) async fn load(
        parts: &ConversationParts,
        config: &ConversationConfig,
        own: Own,
        lease: Lease,
    ) -> Result<Self, StoreError> {
        let store = &*parts.store;
        let rooms = Rooms::load(store, own, config.admin_room.clone(), parts.clock.now()).await?;
        let mut engine = Self {
            rooms,
            lanes: Lanes::default(),
            budgets: Budgets::new(&config.delivery),
            paid: HashSet::new(),
            approvals: BTreeMap::new(),
            failed: HashMap::new(),
            is_behind: false,
            pending: BTreeMap::new(),
            deliverer: Arc::new(Deliverer {
                letta: parts.letta.clone(),
                store: parts.store.clone(),
                clock: parts.clock.clone(),
                lease: lease.clone(),
                recovery: Recovery {
                    letta: parts.letta.clone(),
                    clock: parts.clock.clone(),
                    grace: config.delivery.grace,
                    patience: config.delivery.run_patience,
                },
                limits: config.delivery.clone(),
                operator: parts.operator.clone(),
                events: parts.events.clone(),
            }),
            speakers: Arc::new(Speakers::new(parts.accounts.clone(), parts.matrix.clone())),
            tasks: JoinSet::new(),
            of_task: HashMap::new(),
            stops: HashMap::new(),
            checked_at: parts.clock.now(),
            parts: parts.clone(),
            config: config.clone(),
            lease,
        };
        for (key, record) in store.list_records(crate::delivery::APPROVAL).await? {
            match serde_json::from_value::<Approval>(record) {
                Ok(approval) => engine.note_approval(approval),
                Err(error) => tracing::warn!(key, %error, "a request for a decision cannot be read"),
            }
        }
        for (room, record) in store.list_records(FAILED).await? {
            let event = serde_json::from_value(record).ok();
            if let (Ok(room), Some(event)) = (OwnedRoomId::try_from(room), event) {
                engine.failed.insert(room, event);
            }
        }
        let open = store.list_open_deliveries().await?;
        if !open.is_empty() {
            tracing::info!("{} messages and commands of before are gone on with", open.len());
        }
        for delivery in open {
            engine.push(delivery);
        }
        Ok(engine)
    }

    /// Takes up what is owed and in no lane: a store that fails may have kept what it was given all the same.
    pub(super) async fn take_up_open(&mut self) -> Result<(), StoreError> {
        for delivery in self.parts.store.list_open_deliveries().await? {
            let worker = worker_of(&delivery);
            if !self.lanes.has(&worker, delivery.id) {
                self.push(delivery);
                self.start(&worker);
            }
        }
        Ok(())
    }

    // ---- lanes ----

    /// Puts a delivery where it waits for its turn.
    pub(super) fn push(&mut self, delivery: Delivery) {
        let record = match Record::read(&delivery) {
            Ok(record) => record,
            Err(error) => {
                tracing::error!(delivery = delivery.id, %error, "a delivery cannot be read: it is left alone");
                return;
            }
        };
        let of = Of {
            id: delivery.id,
            worker: worker_of(&delivery),
            agent: delivery.of.agent_id,
            lane: delivery.of.lane,
            event_id: delivery.of.event_id,
            room_id: delivery.of.room_id,
        };
        // What was begun may be what asks for the decision that its lane waits for.
        let is_begun = record.step != Step::Queued;
        let waiting = Waiting {
            lane: of.lane.clone(),
            goes_first: matches!(record.task, Task::Decision { .. }) || is_begun,
        };
        self.lanes.push(&of.worker, of.id, waiting);
        let pending = Pending {
            of,
            since: self.parts.clock.now(),
            is_told: is_begun || !matches!(record.task, Task::Message(_)),
        };
        self.pending.insert(delivery.id, pending);
    }

    /// Starts whatever can be started.
    pub(super) fn start_all(&mut self) {
        for worker in self.lanes.workers() {
            self.start(&worker);
        }
    }

    /// Starts what this worker is to do next, if it does nothing.
    pub(super) fn start(&mut self, worker: &str) {
        let Some(id) = self.lanes.start(worker) else {
            return;
        };
        let Some(Pending { of, .. }) = self.pending.remove(&id) else {
            return;
        };
        let setting = self.setting_of(&of);
        let (deliverer, store) = (self.deliverer.clone(), self.parts.store.clone());
        let noted = of.clone();
        let (stop, stopped) = watch::channel(false);
        self.stops.insert(id, stop);
        let handle = self.tasks.spawn(async move {
            let read = deliverer.persist("a delivery", || store.get_delivery(id)).await;
            let delivery = match read {
                Ok(Some(delivery)) if delivery.is_open => delivery,
                Ok(_) => return (of, Ok(Finished::default())),
                Err(error) => return (of, Err(error)),
            };
            let finished = match setting {
                Some(setting) => deliverer.deliver(delivery, &setting, stopped).await,
                None => {
                    deliverer
                        .give_up(delivery, "its agent has no user any more")
                        .await
                }
            };
            (of, finished)
        });
        self.of_task.insert(handle.id(), noted);
    }

    /// The next delivery that ended.
    pub(super) async fn ended(&mut self) -> Option<Ended> {
        match self.tasks.join_next_with_id().await? {
            Ok((id, ended)) => {
                self.of_task.remove(&id);
                Some(Ok(ended))
            }
            Err(error) => Some(Err(error)),
        }
    }

    /// Notes that a delivery ended, and starts what comes after it. `false`: somebody else does the work now.
    pub(super) async fn note_end(&mut self, ended: Ended) -> Result<bool, ConversationError> {
        let (of, result) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                // It is gone on with at the next start, and would end so again before that.
                let of = self.of_task.remove(&error.id());
                tracing::error!(%error, delivery = of.as_ref().map(|of| of.id), "a delivery ended by a mistake in the program");
                if let Some(of) = of {
                    self.stops.remove(&of.id);
                    self.lanes.done(&of.worker);
                    self.start(&of.worker);
                }
                return Ok(true);
            }
        };
        self.stops.remove(&of.id);
        self.lanes.done(&of.worker);
        match result {
            Ok(finished) => self.note_finished(&of, finished).await?,
            Err(Interrupted::LeaseLost) => {
                tracing::warn!("another instance carries the messages now");
                return Ok(false);
            }
            Err(error @ Interrupted::Corrupt(_)) => {
                tracing::error!(delivery = of.id, %error, "a delivery is left alone");
            }
        }
        self.start(&of.worker);
        Ok(true)
    }

    async fn note_finished(&mut self, of: &Of, finished: Finished) -> Result<(), ConversationError> {
        let mut free = Vec::new();
        for key in finished.closed {
            if let Ok(Some(approval)) = self.deliverer.find_approval(&key).await {
                free.push(approval.agent.to_string());
                self.note_approval(approval);
            }
        }
        // What asks now is noted before anything starts that would have to wait for it.
        if let Some(approval) = finished.asks {
            self.note_approval(approval);
        }
        for worker in free {
            self.start(&worker);
        }
        match finished.outcome {
            Some(Outcome::Failed { .. } | Outcome::Stopped) => {
                self.note_failed(&of.room_id, Some(of.event_id.clone())).await;
            }
            Some(_) if self.failed.get(&of.room_id) == Some(&of.event_id) => {
                self.note_failed(&of.room_id, None).await;
            }
            Some(_) => {}
            // It comes after a decision.
            None => match self.parts.store.get_delivery(of.id).await {
                Ok(Some(delivery)) if delivery.is_open => self.push(delivery),
                Ok(_) => {}
                Err(error) => self.fall_behind(&error),
            },
        }
        Ok(())
    }

    /// Notes what failed last in a room, or that it was answered after all. It is only what `!retry` alone means: if it
    /// cannot be written down, somebody has to say it more exactly.
    async fn note_failed(&mut self, room: &RoomId, event: Option<OwnedEventId>) {
        if self.failed.get(room) == event.as_ref() {
            return;
        }
        let record = event.as_ref().map(|event| json!(event));
        let store = &self.parts.store;
        if let Err(error) = store
            .put_record(FAILED, room.as_str(), record.as_ref(), &self.lease)
            .await
        {
            tracing::debug!(%error, "what failed last in a room could not be written down");
        }
        match event {
            Some(event) => self.failed.insert(room.to_owned(), event),
            None => self.failed.remove(room),
        };
    }

    /// Notes how a request for a decision stands: as long as it is open its lane waits.
    pub(super) fn note_approval(&mut self, approval: Approval) {
        let worker = approval.agent.to_string();
        let lane = approval.lane.clone();
        self.approvals.insert(approval.key.clone(), approval);
        let is_blocked = self
            .approvals
            .values()
            .any(|approval| approval.lane == lane && approval.is_open());
        self.lanes.set_blocked(&worker, &lane, is_blocked);
    }

    // ---- the end ----

    /// Lets deliveries come to their end for a moment; what does not is gone on with at the next start.
    pub(super) async fn end(&mut self, drain: Duration, may_drain: bool) {
        if may_drain && !self.tasks.is_empty() {
            tracing::info!(
                "{} messages are being answered: waiting for them",
                self.tasks.len()
            );
            let all = async { while self.tasks.join_next().await.is_some() {} };
            if tokio::time::timeout(drain, all).await.is_err() {
                tracing::info!("{} answers go on at the next start", self.tasks.len());
            }
        }
        self.tasks.shutdown().await;
    }

    // ---- rooms ----

    /// Where a delivery is done; `None` when its agent is gone.
    pub(super) fn setting_of(&self, of: &Of) -> Option<Setting> {
        let room = self
            .rooms
            .get(&of.room_id)
            .unwrap_or_else(|| Room::new(of.room_id.clone()));
        let stage = self.stage_of(&of.room_id, &of.agent)?;
        let name = self.rooms.agent(&of.agent).map(|agent| agent.agent_name.clone());
        let others = room
            .residents
            .iter()
            .filter(|resident| resident.agent_id != of.agent)
            .map(|resident| (resident.user_id.clone(), resident.agent_name.clone()))
            .collect();
        Some(Setting {
            stage,
            agent_name: name.unwrap_or_else(|| "The bridge".to_owned()),
            room_name: room.name.clone(),
            is_reply: room.home_of.as_ref() != Some(&of.agent) && !room.is_direct,
            effective: self.config.defaults.resolve(&room),
            others,
            settings: room.settings,
        })
    }

    /// A room as an agent sees it, or (without one) the bridge itself.
    pub(super) fn stage_of(&self, room: &RoomId, agent: &AgentId) -> Option<Stage> {
        let user_id = if agent.as_str().is_empty() {
            self.speakers.bot().to_owned()
        } else {
            self.rooms.agent(agent)?.user_id.clone()
        };
        Some(Stage {
            matrix: self.parts.matrix.clone(),
            speakers: self.speakers.clone(),
            room_id: room.to_owned(),
            user_id,
        })
    }

    /// A delivery no longer waits.
    pub(super) fn drop_waiting(&mut self, worker: &str, id: i64) {
        self.lanes.remove(worker, id);
        self.pending.remove(&id);
    }

    /// Tells the delivery that an agent does now that somebody stopped it: if Letta does not have it yet, it never will.
    pub(super) fn stop(&self, agent: &AgentId) {
        let at_work = self.lanes.at_work(agent.as_str());
        if let Some(stop) = at_work.and_then(|(id, _)| self.stops.get(&id)) {
            stop.send_replace(true);
        }
    }

    /// Ends what an agent does in a lane.
    pub(super) fn cancel(&self, agent: AgentId, lane: String) {
        self.stop(&agent);
        let deliverer = self.deliverer.clone();
        tokio::spawn(async move {
            let Ok(to) = deliverer.conversation_of(&agent, &lane).await else {
                return;
            };
            if let Err(error) = deliverer.letta.cancel(&to, None).await {
                tracing::info!(%error, agent.id = %agent, "an agent cannot be stopped");
            }
        });
    }

    /// The agents of a room, for a command of somebody in it.
    pub(super) fn addressees(
        &self,
        room: &Room,
        agents: &[AgentId],
        lane: impl Fn(&AgentId) -> String,
    ) -> Vec<Addressee> {
        room.residents
            .iter()
            .filter(|resident| agents.contains(&resident.agent_id))
            .map(|resident| {
                let worker = resident.agent_id.as_str();
                Addressee {
                    agent: resident.agent_id.clone(),
                    name: resident.agent_name.clone(),
                    user: resident.user_id.clone(),
                    lane: lane(&resident.agent_id),
                    at_work: self.lanes.at_work(worker).map(|(_, lane)| lane.to_owned()),
                    waiting: self.lanes.waiting_for(worker),
                    asks: self
                        .approvals
                        .values()
                        .filter(|approval| {
                            approval.is_open()
                                && approval.agent == resident.agent_id
                                && approval.room == room.room_id
                        })
                        .map(|approval| approval.key.clone())
                        .collect(),
                }
            })
            .collect()
    }
}

/// The lane of a message.
pub(super) fn lane_of(
    agent: &AgentId,
    room: &Room,
    mode: ConversationMode,
    sender: &ruma::UserId,
    thread: Option<&ruma::EventId>,
) -> String {
    let is_home = room.home_of.as_ref() == Some(agent);
    match (mode, thread) {
        (ConversationMode::Person, _) => format!("{agent}|person:{}:{sender}", room.room_id),
        (ConversationMode::Thread, Some(root)) => format!("{agent}|thread:{root}"),
        // The agent's own conversation is that of its own room.
        _ if is_home => format!("{agent}|"),
        _ => format!("{agent}|room:{}", room.room_id),
    }
}

/// The root of the thread that an answer belongs into.
pub(super) fn thread_of(
    mode: ConversationMode,
    message: &Forward,
    event: &ruma::EventId,
) -> Option<OwnedEventId> {
    match mode {
        ConversationMode::Thread => Some(message.thread.clone().unwrap_or_else(|| event.to_owned())),
        _ => message.thread.clone(),
    }
}

/// Who does a delivery: its agent, or (commands and the like) nobody who waits for an agent.
fn worker_of(delivery: &Delivery) -> String {
    if delivery.of.lane.starts_with('!') {
        delivery.of.lane.clone()
    } else {
        delivery.of.agent_id.to_string()
    }
}

/// Whether the state is only away for now.
pub(super) fn is_away(error: &StoreError) -> bool {
    error.is_retryable()
}
