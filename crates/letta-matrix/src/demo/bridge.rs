//! The bridge of the demo: the same composition as in front of real servers, with the homeserver's events pushed to it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use agent_sync::{Reconciler, SyncError, SyncReport};
use async_trait::async_trait;
use conversation::{BoundRoom, Directory, Outcome, Permissions, Relay, RelayError, Role};
use matrix_client::{
    Event,
    fake::{AppserviceEndpoint, EndpointAnswer, FakeMatrix, PushedTransaction},
    ruma::{OwnedEventId, OwnedRoomId},
};
use store::{BindingStore, SystemClock};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::servers::{CallMeter, Servers};
use crate::compose::{Bridge, Parts};

/// What became of a message.
pub(super) type Done = (OwnedEventId, Result<Outcome, RelayError>);

pub(super) struct DemoBridge {
    bridge: Bridge,
    reconciler: Reconciler,
    inbox: Arc<Inbox>,
    matrix: FakeMatrix,
    appservice_id: String,
    done: UnboundedReceiver<Done>,
    rooms: Vec<BoundRoom>,
}

impl DemoBridge {
    pub(super) fn new(servers: &Servers, store: Arc<dyn BindingStore>) -> Self {
        let mut permissions = Permissions::default();
        permissions.allow_user(servers.person.user_id.clone(), Role::Admin);
        let config = servers.sync_config();
        let appservice_id = config.appservice.id.clone();
        let parts = Parts {
            letta: Arc::new(servers.letta.clone()),
            matrix: Arc::new(servers.matrix.clone()),
            store,
            clock: Arc::new(SystemClock),
            meter: Arc::new(CallMeter::new(servers)),
        };
        let bridge = Bridge::new(parts, config, permissions);
        let (done_sender, done) = unbounded_channel();
        let inbox = Arc::new(Inbox {
            relay: Arc::new(bridge.relay()),
            state: Mutex::default(),
            done: done_sender,
        });
        let reconciler = bridge.reconciler();
        Self {
            bridge,
            reconciler,
            inbox,
            matrix: servers.matrix.clone(),
            appservice_id,
            done,
            rooms: Vec::new(),
        }
    }

    /// Brings the agents home, and listens to their rooms from then on.
    pub(super) async fn sync(&mut self) -> Result<SyncReport, SyncError> {
        let report = self.reconciler.run().await?;
        let directory = self.bridge.directory().await.map_err(SyncError::Store)?;
        self.rooms = directory.rooms().cloned().collect();
        self.rooms.sort_by(|a, b| a.agent_name.cmp(&b.agent_name));
        let first = self
            .inbox
            .state()
            .directory
            .replace(Arc::new(directory))
            .is_none();
        if first {
            self.matrix
                .attach_appservice(&self.appservice_id, self.inbox.clone());
        }
        Ok(report)
    }

    /// The agents' rooms, by name.
    pub(super) fn rooms(&self) -> &[BoundRoom] {
        &self.rooms
    }

    /// Waits until the bridge is done with a message.
    pub(super) async fn done_with(&mut self, event_id: &OwnedEventId) -> Option<Result<Outcome, RelayError>> {
        while let Some((done, outcome)) = self.done.recv().await {
            if done == *event_id {
                return Some(outcome);
            }
        }
        None
    }
}

/// Takes the homeserver's transactions, and works on them afterwards: the homeserver never waits for an agent. Rooms do
/// not wait for each other.
struct Inbox {
    relay: Arc<Relay>,
    state: Mutex<InboxState>,
    done: UnboundedSender<Done>,
}

#[derive(Default)]
struct InboxState {
    directory: Option<Arc<Directory>>,
    lanes: HashMap<OwnedRoomId, UnboundedSender<(Event, Arc<Directory>)>>,
}

impl Inbox {
    fn state(&self) -> std::sync::MutexGuard<'_, InboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(&self, event: Event) {
        let Some(room_id) = event.room_id.clone() else {
            return;
        };
        let mut state = self.state();
        let Some(directory) = state.directory.clone() else {
            return;
        };
        let lane = state.lanes.entry(room_id).or_insert_with(|| {
            let (sender, mut events) = unbounded_channel::<(Event, Arc<Directory>)>();
            let (relay, done) = (self.relay.clone(), self.done.clone());
            tokio::spawn(async move {
                while let Some((event, directory)) = events.recv().await {
                    let outcome = relay.handle(&event, &directory).await;
                    if done.send((event.event_id, outcome)).is_err() {
                        return;
                    }
                }
            });
            sender
        });
        // A lane ends only when nobody waits for its results any more.
        let _ = lane.send((event, directory));
    }
}

#[async_trait]
impl AppserviceEndpoint for Inbox {
    async fn transaction(&self, transaction: &PushedTransaction) -> EndpointAnswer {
        transaction
            .events()
            .into_iter()
            .for_each(|event| self.accept(event));
        EndpointAnswer::ok()
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
