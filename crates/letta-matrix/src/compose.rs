//! The one place where the parts are put together. The demo and the tests use it with other parts.

use std::sync::Arc;

use accounts::{AccountSettings, Accounts, AppserviceAccounts, PasswordAccounts, RegistrationWay};
use agent_events::{BusSettings, EventBus, InProcessBus, RedisBus, RedisSettings};
use agent_sync::{Reconciler, RequestCounts, RequestMeter, SyncConfig};
use async_trait::async_trait;
use conversation::{
    ConversationConfig, ConversationParts, Conversations, Operator,
    rights::Rights,
    ways_in::{Inbox, OwnUsers},
};
use gateway::{EventSink, SinkError};
use letta_client::{LettaApi, http::HttpLetta};
use matrix_client::{HttpMatrix, MatrixApi};
use serde_json::value::RawValue;
use store::{AccountStore, Clock, Store, SystemClock};

use crate::{
    config::{AccountRegistration, AccountsMode, Config, Mode, Talk},
    failure::{self, Failure},
    state::{self, OpenState},
};

/// What a bridge is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Letta.
    pub letta: Arc<dyn LettaApi>,
    /// The homeserver.
    pub matrix: Arc<dyn MatrixApi>,
    /// The users that the bridge acts as.
    pub accounts: Arc<dyn Accounts>,
    /// The state.
    pub store: Arc<dyn Store>,
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
    rights: Rights,
    talk: Talk,
    events: Arc<dyn EventBus>,
    /// Who this is among the instances that share the state, if there can be several.
    instance: Option<String>,
}

impl Bridge {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts, sync: SyncConfig, rights: Rights, talk: Talk) -> Self {
        let events = Arc::new(InProcessBus::new(BusSettings::default(), parts.clock.clone()));
        Self {
            parts,
            sync,
            rights,
            talk,
            events,
            instance: None,
        }
    }

    /// What it is made of.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Tells what agents are doing on the Redis server that is configured, if one is; else only to whoever listens in
    /// this process. Needs a tokio runtime.
    pub(crate) fn share_events(&mut self, config: &Config) -> Result<(), Failure> {
        if let Some(redis) = &config.redis {
            let bus = RedisBus::open(&redis.value, RedisSettings::default(), self.parts.clock.clone())
                .map_err(|error| Failure::new(format!("{} is of no use: {error}", redis.name())))?;
            self.events = Arc::new(bus);
        }
        Ok(())
    }

    /// What agents are doing, as it happens.
    #[must_use]
    pub fn events(&self) -> &Arc<dyn EventBus> {
        &self.events
    }

    /// What keeps agents and Matrix in step.
    #[must_use]
    pub fn reconciler(&self) -> Reconciler {
        let Parts {
            letta,
            matrix,
            accounts,
            store,
            clock,
            meter,
        } = self.parts.clone();
        let reconciler =
            Reconciler::new(letta, matrix, accounts, store, self.sync.clone(), clock).with_meter(meter);
        match &self.instance {
            Some(instance) => reconciler.with_holder(instance.as_str()),
            None => reconciler,
        }
    }

    /// Where events come in.
    #[must_use]
    pub fn inbox(&self) -> Arc<Inbox> {
        let own = OwnUsers::new(self.parts.accounts.bot().to_owned(), self.sync.prefix.clone());
        Arc::new(Inbox::new(
            self.parts.store.clone(),
            self.parts.clock.clone(),
            own,
        ))
    }

    /// What carries messages and answers.
    #[must_use]
    pub fn conversations(&self, inbox: Arc<Inbox>, operator: Arc<dyn Operator>) -> Conversations {
        let Parts {
            letta,
            matrix,
            accounts,
            store,
            clock,
            ..
        } = self.parts.clone();
        let parts = ConversationParts {
            letta,
            matrix,
            accounts,
            store,
            clock,
            operator,
            events: self.events.clone(),
        };
        let holder = self.instance.as_deref().unwrap_or("letta-matrix");
        let mut config = ConversationConfig::new(self.sync.prefix.clone(), holder);
        config.rights = self.rights.clone();
        config.defaults = self.talk.defaults;
        config.admin_room.clone_from(&self.talk.admin_room);
        config.keep = self.talk.keep;
        Conversations::new(parts, config, inbox)
    }
}

/// What the homeserver pushes goes into the inbox.
#[derive(Debug)]
pub(crate) struct IntoInbox(pub(crate) Arc<Inbox>);

#[async_trait]
impl EventSink for IntoInbox {
    async fn accept(&self, events: &[Box<RawValue>]) -> Result<(), SinkError> {
        self.0.accept_raw(events).await.map(drop).map_err(SinkError::new)
    }

    async fn set_aside(&self, raw: &str, reason: &str) -> Result<(), SinkError> {
        self.0.set_aside(raw, reason).await.map_err(SinkError::new)
    }
}

/// The clients of real servers, with this state. Nothing is sent yet.
pub(crate) fn connect(config: &Config, state: Arc<dyn Store>) -> Result<Bridge, Failure> {
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
    let accounts: Arc<dyn Accounts> = match &config.mode {
        Mode::Appservice(mode) => Arc::new(AppserviceAccounts::new(
            Arc::new(matrix.clone()),
            mode.appservice.clone(),
        )),
        Mode::Accounts(mode) => Arc::new(password_accounts(mode, &matrix, state.clone())),
    };
    let parts = Parts {
        letta: Arc::new(letta),
        accounts,
        matrix: Arc::new(matrix),
        store: state,
        clock: Arc::new(SystemClock),
        meter,
    };
    let mut bridge = Bridge::new(
        parts,
        config.sync.clone(),
        config.permissions.clone(),
        config.talk.clone(),
    );
    bridge.instance = state::instance(&config.database.value)?;
    Ok(bridge)
}

/// The accounts of users that no application service speaks for.
pub(crate) fn password_accounts(
    mode: &AccountsMode,
    matrix: &HttpMatrix,
    store: Arc<dyn AccountStore>,
) -> PasswordAccounts {
    let registration = match &mode.registration {
        AccountRegistration::Open => RegistrationWay::Open,
        AccountRegistration::Token(token) => RegistrationWay::Token(token.value.clone()),
        AccountRegistration::SharedSecret(secret) => RegistrationWay::SharedSecret {
            api: Arc::new(matrix.clone()),
            secret: secret.value.clone(),
        },
    };
    let settings = AccountSettings::new(
        mode.bot.value.clone(),
        mode.password.value.clone(),
        registration,
        mode.key.value.clone(),
    );
    PasswordAccounts::new(Arc::new(matrix.clone()), store, Arc::new(SystemClock), settings)
}

/// Opens the state, making it if needed.
pub(crate) async fn open_state(config: &Config) -> Result<OpenState, Failure> {
    OpenState::open(&config.database.value)
        .await
        .map_err(|error| failure::of_store(&error, config))
}

/// Opens the state to look at; `None` when there is none yet.
pub(crate) async fn look_at_state(config: &Config) -> Result<Option<OpenState>, Failure> {
    OpenState::look(&config.database.value)
        .await
        .map_err(|error| failure::of_store(&error, config))
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
