//! The one place where the parts are put together. The demo and the tests use it with other parts.

use std::{path::Path, sync::Arc};

use agent_sync::{Reconciler, RequestCounts, RequestMeter, SyncConfig};
use conversation::{BoundRoom, Directory, Permissions, Relay};
use letta_client::{LettaApi, http::HttpLetta};
use matrix_client::{HttpMatrix, MatrixApi};
use store::{BindingStore, Clock, StoreError, SystemClock};
use store_sqlite::SqliteStore;

use crate::{
    config::Config,
    failure::{self, Failure},
};

/// What a bridge is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Letta.
    pub letta: Arc<dyn LettaApi>,
    /// The homeserver.
    pub matrix: Arc<dyn MatrixApi>,
    /// The state.
    pub store: Arc<dyn BindingStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Counts the requests of `letta` and `matrix`.
    pub meter: Arc<dyn RequestMeter>,
}

/// The parts, put together.
#[derive(Debug, Clone)]
pub struct Bridge {
    parts: Parts,
    sync: SyncConfig,
    permissions: Permissions,
}

impl Bridge {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts, sync: SyncConfig, permissions: Permissions) -> Self {
        Self {
            parts,
            sync,
            permissions,
        }
    }

    /// What keeps agents and Matrix in step.
    #[must_use]
    pub fn reconciler(&self) -> Reconciler {
        let Parts {
            letta,
            matrix,
            store,
            clock,
            meter,
        } = self.parts.clone();
        Reconciler::new(letta, matrix, store, self.sync.clone(), clock).with_meter(meter)
    }

    /// What carries messages and answers.
    #[must_use]
    pub fn relay(&self) -> Relay {
        let Parts { letta, matrix, .. } = self.parts.clone();
        Relay::new(
            letta,
            matrix,
            self.sync.appservice.clone(),
            self.permissions.clone(),
        )
    }

    /// Which room belongs to which agent, as the state has it now.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn directory(&self) -> Result<Directory, StoreError> {
        let bindings = self.parts.store.list_bindings().await?;
        let rooms = bindings.into_iter().filter_map(|binding| {
            Some(BoundRoom {
                room_id: binding.room_id?,
                agent_id: binding.agent_id,
                agent_name: binding.display_name.unwrap_or(binding.agent_name),
                agent_user: binding.user_id,
            })
        });
        Ok(Directory::new(self.sync.appservice.sender.clone(), &self.sync.prefix).with_rooms(rooms))
    }
}

/// The clients of real servers, with this state. Nothing is sent yet.
pub(crate) fn connect(config: &Config, store: Arc<dyn BindingStore>) -> Result<Bridge, Failure> {
    let user_agent = concat!("letta-matrix/", env!("CARGO_PKG_VERSION"));
    let letta = HttpLetta::builder(config.letta_url.value.as_str())
        .maybe_token(config.letta_token.as_ref().map(|token| token.value.clone()))
        .user_agent(user_agent)
        .build()
        .map_err(|error| failure::of_letta(&error, config))?;
    let matrix = HttpMatrix::builder(config.homeserver_url.value.clone())
        .user_agent(user_agent)
        .build()
        .map_err(|error| failure::of_matrix(&error, config))?;
    let meter = Arc::new(HttpMeter {
        letta: letta.clone(),
        matrix: matrix.clone(),
    });
    let parts = Parts {
        letta: Arc::new(letta),
        matrix: Arc::new(matrix),
        store,
        clock: Arc::new(SystemClock),
        meter,
    };
    Ok(Bridge::new(
        parts,
        config.sync.clone(),
        config.permissions.clone(),
    ))
}

/// Opens the state, making it if needed.
pub(crate) async fn open_state(config: &Config) -> Result<SqliteStore, Failure> {
    open_sqlite(&config.database.value)
        .await
        .map_err(|error| failure::of_store(&error, config))
}

pub(crate) async fn open_sqlite(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path).await
}

/// Counts what the clients send.
#[derive(Debug)]
struct HttpMeter {
    letta: HttpLetta,
    matrix: HttpMatrix,
}

impl RequestMeter for HttpMeter {
    fn requests(&self) -> RequestCounts {
        RequestCounts {
            matrix: self.matrix.requests(),
            letta: self.letta.requests(),
        }
    }
}
