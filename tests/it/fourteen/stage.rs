//! What a scenario plays on: fakes or real servers, seen through the same traits.

use std::{collections::BTreeMap, sync::Arc};

use accounts::{
    AccountKey, AccountSettings, Accounts, AppserviceAccounts, PasswordAccounts, RegistrationWay,
};
use agent_sync::{Reconciler, Rule, RunOptions, Selection, SyncConfig, SyncReport};
use letta_client::{Agent, AgentId, AgentUpdate, LettaApi, NewAgent, fake::FakeLetta, http::HttpLetta};
use matrix_client::{
    Appservice, Event, HttpMatrix, LoginRequest, MatrixApi, Registration, Session, SynapseAdminApi,
    admin::RoomsRequest,
    fake::{FakeMatrix, TEST_AS_TOKEN},
    layers::Counted,
};
use ruma::{OwnedRoomId, OwnedUserId, UserId};
use secrecy::SecretString;
use store::{Binding, BindingStore, MemoryStore, SystemClock};

use crate::support::{embedding, env, model};

type Matrix = Counted<Arc<dyn MatrixApi>>;

/// A Letta server and a homeserver, an application service, and a person who looks at everything.
pub struct Stage {
    pub letta: Arc<dyn LettaApi>,
    pub matrix: Arc<Matrix>,
    /// A homeserver that is not there.
    nowhere: Arc<dyn MatrixApi>,
    admin_api: Arc<dyn SynapseAdminApi>,
    acting: Acting,
    /// The person who is invited, an administrator of the homeserver.
    pub admin: Session,
    pub store: Arc<MemoryStore>,
    pub config: SyncConfig,
    /// What this scenario's agents are tagged with.
    tag: String,
    made_as: NewAgent,
}

/// How the bridge acts for its users.
#[derive(Debug, Clone)]
enum Acting {
    /// As an application service.
    Appservice(Appservice),
    /// With an account for each, made by open registration. The bot has its own.
    Accounts { bot: OwnedUserId, key: AccountKey },
}

/// The password of the bot's account, on a server that is thrown away.
const BOT_PASSWORD: &str = "not-a-real-password-of-the-bot";

impl Acting {
    fn bot(&self) -> &UserId {
        match self {
            Self::Appservice(appservice) => &appservice.sender,
            Self::Accounts { bot, .. } => bot,
        }
    }

    /// The accounts of a process that has just started with this state.
    fn accounts(&self, matrix: Arc<dyn MatrixApi>, store: &Arc<MemoryStore>) -> Arc<dyn Accounts> {
        match self {
            Self::Appservice(appservice) => Arc::new(AppserviceAccounts::new(matrix, appservice.clone())),
            Self::Accounts { bot, key } => {
                let settings = AccountSettings::new(
                    bot.clone(),
                    BOT_PASSWORD.into(),
                    RegistrationWay::Open,
                    key.clone(),
                );
                let clock = Arc::new(SystemClock);
                Arc::new(PasswordAccounts::new(matrix, store.clone(), clock, settings))
            }
        }
    }
}

impl Stage {
    pub async fn on_fakes(scenario: &str) -> Self {
        let matrix = FakeMatrix::builder("matrix.test").test_appservice().build();
        let sender = UserId::parse("@letta_bot:matrix.test").unwrap();
        let appservice = Appservice::new("letta-bridge", TEST_AS_TOKEN.into(), sender);
        Self::on_fake(scenario, &matrix, Acting::Appservice(appservice))
    }

    /// Where nobody may install an application service.
    pub async fn on_fakes_without_appservice(scenario: &str) -> Self {
        let matrix = FakeMatrix::new("matrix.test");
        let acting = Self::accounts_on(&matrix, "bot", "matrix.test").await;
        Self::on_fake(scenario, &matrix, acting)
    }

    fn on_fake(scenario: &str, matrix: &FakeMatrix, acting: Acting) -> Self {
        let admin = matrix.add_admin("admin");
        let nowhere = FakeMatrix::new("matrix.test");
        nowhere.down();
        Self::new(
            scenario,
            Arc::new(FakeLetta::new().lenient()),
            Arc::new(matrix.clone()),
            Arc::new(nowhere),
            Arc::new(matrix.clone()),
            acting,
            admin,
            NewAgent::default(),
        )
    }

    pub async fn on_real_servers(scenario: &str) -> Self {
        // Each scenario has a user of its own in place of the bridge's: by it, a space is found again.
        let localpart = format!("agent_bot_{scenario}_{}", std::process::id());
        let matrix = HttpMatrix::new(env("MATRIX_HOMESERVER_URL").parse().unwrap()).unwrap();
        let as_token = SecretString::from(env("MATRIX_AS_TOKEN"));
        let registration = Registration::appservice(&localpart, as_token.clone()).inhibit_login(true);
        matrix.register(&registration).await.unwrap();
        let sender = UserId::parse(format!("@{localpart}:{}", env("MATRIX_SERVER_NAME"))).unwrap();
        let appservice = Appservice::new("letta-matrix", as_token, sender);
        Self::on_real(scenario, matrix, Acting::Appservice(appservice)).await
    }

    /// As if nobody had installed an application service.
    pub async fn on_real_servers_without_appservice(scenario: &str) -> Self {
        let matrix = HttpMatrix::new(env("MATRIX_HOMESERVER_URL").parse().unwrap()).unwrap();
        let localpart = format!("bot_{scenario}_{}", std::process::id());
        let acting = Self::accounts_on(&matrix, &localpart, &env("MATRIX_SERVER_NAME")).await;
        let mut stage = Self::on_real(scenario, matrix, acting).await;
        // What the application service has for itself is not ours.
        stage.config.prefix = "letta_agent_".to_owned();
        stage.config.space.alias_localpart = format!("space_{}", stage.tag);
        stage
    }

    /// Makes the bot's account, as an operator would.
    async fn accounts_on(matrix: &dyn MatrixApi, localpart: &str, server_name: &str) -> Acting {
        let registration = Registration::dummy(localpart, BOT_PASSWORD.into());
        matrix.register(&registration).await.unwrap();
        Acting::Accounts {
            bot: UserId::parse(format!("@{localpart}:{server_name}")).unwrap(),
            key: AccountKey::new(AccountKey::generate().unwrap()).unwrap(),
        }
    }

    async fn on_real(scenario: &str, matrix: HttpMatrix, acting: Acting) -> Self {
        let letta = HttpLetta::new(env("LETTA_API_URL"), Some(env("LETTA_TOKEN").into())).unwrap();
        let login = LoginRequest::with_password(
            env("MATRIX_ADMIN_USERNAME").as_str(),
            SecretString::from(env("MATRIX_ADMIN_PASSWORD")),
        );
        let admin = matrix.login(&login).await.unwrap();
        let nowhere = HttpMatrix::new("http://127.0.0.1:1".parse().unwrap()).unwrap();
        let made_as = NewAgent {
            model: Some(model()),
            embedding: Some(embedding()),
            ..NewAgent::default()
        };
        Self::new(
            scenario,
            Arc::new(letta),
            Arc::new(matrix.clone()),
            Arc::new(nowhere),
            Arc::new(matrix),
            acting,
            admin,
            made_as,
        )
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts that differ between fakes and real servers"
    )]
    fn new(
        scenario: &str,
        letta: Arc<dyn LettaApi>,
        matrix: Arc<dyn MatrixApi>,
        nowhere: Arc<dyn MatrixApi>,
        admin_api: Arc<dyn SynapseAdminApi>,
        acting: Acting,
        admin: Session,
        made_as: NewAgent,
    ) -> Self {
        let tag = format!("{scenario}-{}", std::process::id());
        let server_name = acting.bot().server_name().to_owned();
        let mut config = SyncConfig::new(server_name).invite([admin.user_id.clone()]);
        // An application service may only take aliases of its own namespace.
        config.space.alias_localpart = format!("agent_space_{tag}");
        config.select = Selection {
            include: vec![Rule::Tag(tag.clone())],
            exclude: Vec::new(),
        };
        config.bot_name = None;
        Self {
            letta,
            matrix: Arc::new(Counted::new(matrix)),
            nowhere,
            admin_api,
            acting,
            admin,
            store: Arc::new(MemoryStore::new()),
            config,
            tag,
            made_as,
        }
    }

    // ---- Letta ----

    pub async fn create_agent(&self, name: &str) -> Agent {
        let agent = NewAgent {
            name: name.to_owned(),
            tags: vec![self.tag.clone()],
            ..self.made_as.clone()
        };
        self.letta.create_agent(&agent).await.unwrap()
    }

    pub async fn create_agents<const N: usize>(&self, names: [&str; N]) -> [Agent; N] {
        let mut agents = Vec::new();
        for name in names {
            agents.push(self.create_agent(name).await);
        }
        agents.try_into().unwrap()
    }

    pub async fn rename(&self, agent: &AgentId, name: &str) {
        let update = AgentUpdate::rename(name);
        self.letta.update_agent(agent, &update).await.unwrap();
    }

    // ---- syncing ----

    fn reconciler_at(&self, matrix: Arc<dyn MatrixApi>, store: &Arc<MemoryStore>) -> Reconciler {
        Reconciler::new(
            self.letta.clone(),
            matrix.clone(),
            self.acting.accounts(matrix, store),
            store.clone(),
            self.config.clone(),
            Arc::new(SystemClock),
        )
    }

    /// A reconciler as the next start of the program would make it.
    pub fn reconciler(&self) -> Reconciler {
        self.reconciler_at(self.matrix.clone(), &self.store)
    }

    /// The same, with a state of its own.
    pub fn reconciler_without_state(&self) -> Reconciler {
        self.reconciler_at(self.matrix.clone(), &Arc::default())
    }

    /// A run that must succeed.
    pub async fn sync(&self) -> SyncReport {
        let report = self.reconciler().run(RunOptions::default()).await.unwrap();
        assert!(report.is_success(), "{report:#?}");
        report
    }

    /// The same, reading every room.
    pub async fn check(&self) -> SyncReport {
        let options = RunOptions {
            check: true,
            ..RunOptions::default()
        };
        let report = self.reconciler().run(options).await.unwrap();
        assert!(report.is_success(), "{report:#?}");
        report
    }

    /// A run while the homeserver is not there.
    pub async fn sync_with_nowhere(&self) -> Result<SyncReport, agent_sync::SyncError> {
        let reconciler = self.reconciler_at(self.nowhere.clone(), &self.store);
        reconciler.run(RunOptions::default()).await
    }

    // ---- what is there ----

    /// How often each call was made since this was last asked.
    pub fn calls_since(&self, before: &BTreeMap<&'static str, u64>) -> BTreeMap<&'static str, u64> {
        let mut calls = self.matrix.calls();
        for (call, count) in &mut calls {
            *count -= before.get(call).copied().unwrap_or_default();
        }
        calls.retain(|_, count| *count > 0);
        calls
    }

    pub async fn binding(&self, agent: &AgentId) -> Binding {
        self.store.get_binding(agent).await.unwrap().unwrap()
    }

    pub async fn bindings(&self) -> Vec<Binding> {
        self.store.list_bindings().await.unwrap()
    }

    pub fn user_of(&self, agent: &AgentId) -> OwnedUserId {
        self.config.user_id(agent).unwrap()
    }

    /// The users that the bridge acts as.
    pub fn accounts(&self) -> Arc<dyn Accounts> {
        self.acting.accounts(self.matrix.clone(), &self.store)
    }

    pub async fn ghost_of(&self, agent: &AgentId) -> Session {
        self.accounts().session(&self.user_of(agent)).await.unwrap()
    }

    /// The display name of a user, as the homeserver's administrator sees it. The user must exist.
    pub async fn display_name(&self, user: &UserId) -> Option<String> {
        let info = self.admin_api.get_user(&self.admin, user).await;
        let info = info.unwrap_or_else(|error| panic!("no user {user}: {error}"));
        assert!(!info.deactivated);
        info.display_name
    }

    pub async fn has_user(&self, user: &UserId) -> bool {
        self.admin_api.get_user(&self.admin, user).await.is_ok()
    }

    /// All rooms on the server that this user made.
    pub async fn rooms_made_by(&self, user: &UserId) -> Vec<OwnedRoomId> {
        let mut rooms = Vec::new();
        let mut request = RoomsRequest::new().limit(100);
        loop {
            let page = self.admin_api.list_rooms(&self.admin, &request).await.unwrap();
            let made = page
                .rooms
                .into_iter()
                .filter(|room| room.creator.as_deref() == Some(user));
            rooms.extend(made.map(|room| room.room_id));
            match page.next_batch {
                Some(next) => request = RoomsRequest::new().limit(100).from(next),
                None => return rooms,
            }
        }
    }

    pub async fn state(&self, agent: &AgentId, room: &OwnedRoomId) -> Vec<Event> {
        self.matrix
            .get_room_state(&self.ghost_of(agent).await, room)
            .await
            .unwrap()
    }

    /// The text of a state event of an agent's room.
    pub async fn text(&self, agent: &AgentId, event_type: &str, field: &str) -> Option<String> {
        let room = self.binding(agent).await.room_id.unwrap();
        let state = self.state(agent, &room).await;
        let event = state
            .iter()
            .find(|event| event.event_type.to_string() == event_type)?;
        Some(event.content.get(field)?.as_str()?.to_owned())
    }

    /// How a person stands in an agent's room, as the server says it.
    pub async fn membership(&self, agent: &AgentId, person: &UserId) -> Option<String> {
        let room = self.binding(agent).await.room_id.unwrap();
        let state = self.state(agent, &room).await;
        let event = state.iter().find(|event| {
            event.event_type.to_string() == "m.room.member"
                && event.state_key.as_deref() == Some(person.as_str())
        })?;
        Some(event.content.get("membership")?.as_str()?.to_owned())
    }

    /// The rooms that the space lists.
    pub async fn rooms_in_space(&self) -> Vec<OwnedRoomId> {
        let space = self.store.get_space().await.unwrap().unwrap().room_id;
        let bot = self.accounts().session(self.acting.bot()).await.unwrap();
        let state = self.matrix.get_room_state(&bot, &space).await.unwrap();
        state
            .into_iter()
            .filter(|event| event.event_type.to_string() == "m.space.child")
            .filter(|event| event.content.get("via").is_some())
            .map(|event| event.state_key.unwrap().try_into().unwrap())
            .collect()
    }

    /// One user and one room for the agent, named so, and the record says the same.
    pub async fn assert_home(&self, agent: &AgentId, name: &str) {
        let (user, binding) = (self.user_of(agent), self.binding(agent).await);
        assert_eq!(self.display_name(&user).await.as_deref(), Some(name), "{user}");
        let room = binding.room_id.clone().unwrap();
        assert_eq!(
            self.rooms_made_by(&user).await,
            std::slice::from_ref(&room),
            "rooms of {user}"
        );
        assert_eq!(
            self.text(agent, "m.room.name", "name").await.as_deref(),
            Some(name)
        );
        let alias = self.config.room_alias(agent).unwrap();
        let target = self
            .matrix
            .resolve_alias(&self.ghost_of(agent).await, &alias)
            .await
            .unwrap();
        assert_eq!(target, room);
        assert!(
            self.rooms_in_space().await.contains(&room),
            "{user}'s room is in the space"
        );
        assert_eq!((binding.user_id, binding.agent_name.as_str()), (user, name));
        assert_eq!(
            (binding.display_name.as_deref(), binding.last_error),
            (Some(name), None)
        );
        assert!(binding.user_registered);
    }

    /// Deletes the agents, so that the next one who lists them has less to read.
    pub async fn clear(&self) {
        for binding in self.bindings().await {
            self.letta.delete_agent(&binding.agent_id).await.ok();
        }
    }
}
