//! The bridge of the demo: the same composition as in front of real servers, with the homeserver's events pushed to it.

use std::{sync::Arc, time::Duration};

use accounts::AppserviceAccounts;
use agent_sync::{Reconciler, RunOptions, SyncError, SyncReport};
use async_trait::async_trait;
use conversation::{
    Fate,
    rights::{Right, Rights},
    settings::Defaults,
    ways_in::Inbox,
};
use letta_client::AgentId;
use matrix_client::{
    fake::{AppserviceEndpoint, EndpointAnswer, FakeMatrix, PushedTransaction},
    ruma::{EventId, OwnedRoomId, OwnedUserId},
};
use serde_json::value::to_raw_value;
use store::{Store, StoreError, SystemClock};
use tokio::task::JoinHandle;

use super::servers::{CallMeter, Servers};
use crate::{
    compose::{Bridge, Parts},
    config::Talk,
    operator::Caretaker,
};

/// How often it is looked whether a message is dealt with.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// An agent's room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AgentRoom {
    pub(super) room_id: OwnedRoomId,
    pub(super) agent_id: AgentId,
    pub(super) agent_name: String,
    pub(super) agent_user: OwnedUserId,
}

pub(super) struct DemoBridge {
    bridge: Bridge,
    reconciler: Reconciler,
    matrix: FakeMatrix,
    appservice_id: String,
    talk: Option<JoinHandle<()>>,
    rooms: Vec<AgentRoom>,
}

impl Drop for DemoBridge {
    fn drop(&mut self) {
        if let Some(talk) = &self.talk {
            talk.abort();
        }
    }
}

impl DemoBridge {
    pub(super) fn new(servers: &Servers, store: Arc<dyn Store>) -> Self {
        let mut rights = Rights::default();
        rights.allow_user(servers.person.user_id.clone(), Right::Admin);
        let appservice = servers.appservice();
        let appservice_id = appservice.id.clone();
        let matrix = Arc::new(servers.matrix.clone());
        let parts = Parts {
            letta: Arc::new(servers.letta.clone()),
            accounts: Arc::new(AppserviceAccounts::new(matrix.clone(), appservice)),
            matrix,
            store,
            clock: Arc::new(SystemClock),
            meter: Arc::new(CallMeter::new(servers)),
        };
        let talk = Talk {
            // A terminal shows whole messages.
            defaults: Defaults {
                streaming: false,
                ..Defaults::default()
            },
            admin_room: None,
            keep: Duration::from_hours(24),
        };
        let bridge = Bridge::new(parts, servers.sync_config(), rights, talk);
        Self {
            reconciler: bridge.reconciler(),
            bridge,
            matrix: servers.matrix.clone(),
            appservice_id,
            talk: None,
            rooms: Vec::new(),
        }
    }

    /// Brings the agents home, and carries messages from then on.
    pub(super) async fn sync(&mut self) -> Result<SyncReport, SyncError> {
        let report = self.reconciler.run(RunOptions::default()).await?;
        let bindings = self.bridge.parts().store.list_bindings().await;
        let rooms = bindings
            .map_err(SyncError::Store)?
            .into_iter()
            .filter_map(|binding| {
                Some(AgentRoom {
                    room_id: binding.room_id?,
                    agent_id: binding.agent_id,
                    agent_name: binding.display_name.unwrap_or(binding.agent_name),
                    agent_user: binding.user_id,
                })
            });
        self.rooms = rooms.collect();
        self.rooms.sort_by(|a, b| a.agent_name.cmp(&b.agent_name));
        if self.talk.is_none() {
            self.talk = Some(self.carry());
        }
        Ok(report)
    }

    fn carry(&self) -> JoinHandle<()> {
        let inbox = self.bridge.inbox();
        let operator = Caretaker::new(self.bridge.parts().store.clone(), None);
        let conversations = self.bridge.conversations(inbox.clone(), Arc::new(operator));
        self.matrix
            .attach_appservice(&self.appservice_id, Arc::new(Pushed(inbox)));
        tokio::spawn(async move {
            if let Err(error) = Box::pin(conversations.run(std::future::pending())).await {
                tracing::error!(%error, "the demo's bridge ended");
            }
        })
    }

    /// The agents' rooms, by name.
    pub(super) fn rooms(&self) -> &[AgentRoom] {
        &self.rooms
    }

    /// Waits until the bridge is done with a message; `None` when it ended by itself.
    pub(super) async fn done_with(&self, event: &EventId) -> Result<Option<Fate>, StoreError> {
        let store = self.bridge.parts().store.clone();
        loop {
            match Fate::of(&*store, event).await? {
                Some(fate) if fate.is_settled() => return Ok(Some(fate)),
                _ if self.talk.as_ref().is_none_or(JoinHandle::is_finished) => return Ok(None),
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }
}

/// Takes the homeserver's transactions.
struct Pushed(Arc<Inbox>);

#[async_trait]
impl AppserviceEndpoint for Pushed {
    async fn transaction(&self, transaction: &PushedTransaction) -> EndpointAnswer {
        let events = transaction.body["events"].as_array().into_iter().flatten();
        let events: Vec<_> = events.filter_map(|event| to_raw_value(event).ok()).collect();
        match self.0.accept_raw(&events).await {
            Ok(_) => EndpointAnswer::ok(),
            Err(error) => {
                tracing::warn!(%error, "the homeserver's events cannot be kept now");
                EndpointAnswer::status(503)
            }
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
