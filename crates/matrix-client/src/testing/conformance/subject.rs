use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    Any, Appservice, Arc, CaseResult, Failure, MatrixApi, MatrixApiExt, NewRoom, OwnedRoomAliasId,
    OwnedRoomId, OwnedServerName, OwnedTransactionId, Registration, RoomAliasId, RoomId, RoomPreset,
    RoomVersionId, SecretString, Session, SharedSecretRegistration, SynapseAdminApi, UserId,
};
use crate::content::Message;

/// What the suite runs on: an implementation, and what it needs to know of the server behind it.
#[derive(Debug)]
pub struct Subject {
    api: Arc<dyn MatrixApi>,
    facts: Facts,
    appservice: Option<Appservice>,
    admin: Option<(Arc<dyn SynapseAdminApi>, SecretString)>,
    guards: Vec<Box<dyn Guard>>,
}

/// Something that only has to live as long as the subject.
trait Guard: Any + Send + Sync + std::fmt::Debug {}
impl<T: Any + Send + Sync + std::fmt::Debug> Guard for T {}

/// What the suite takes for granted about a server. The defaults are those of the servers that this workspace starts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Facts {
    /// The server's name.
    pub server_name: OwnedServerName,
    /// Who may register.
    pub registration: OpenTo,
    /// What the localparts of the application service's users begin with; nobody else may have such names.
    pub user_prefix: String,
    /// The same for aliases. `None`: it has none.
    pub alias_prefix: Option<String>,
    /// The version of rooms when none is asked for.
    pub default_room_version: RoomVersionId,
}

/// Who may register at a server, other than application services.
#[derive(Clone, Debug)]
pub enum OpenTo {
    /// Anybody.
    Anybody,
    /// Whoever has this registration token.
    Token(SecretString),
    /// Nobody.
    Nobody,
}

impl Facts {
    /// A server of this name, with everything else as this workspace's test servers have it.
    pub fn new(server_name: OwnedServerName) -> Self {
        Self {
            server_name,
            registration: OpenTo::Anybody,
            user_prefix: "agent_".to_owned(),
            alias_prefix: Some("agent_".to_owned()),
            default_room_version: RoomVersionId::V12,
        }
    }
}

impl Subject {
    /// An implementation, and the server behind it.
    pub fn new(api: Arc<dyn MatrixApi>, facts: Facts) -> Self {
        Self {
            api,
            facts,
            appservice: None,
            admin: None,
            guards: Vec::new(),
        }
    }

    /// The server knows this application service.
    #[must_use]
    pub fn with_appservice(mut self, appservice: Appservice) -> Self {
        self.appservice = Some(appservice);
        self
    }

    /// The server has Synapse's administration API and this registration secret.
    #[must_use]
    pub fn with_admin(mut self, api: Arc<dyn SynapseAdminApi>, shared_secret: SecretString) -> Self {
        self.admin = Some((api, shared_secret));
        self
    }

    /// Keeps something alive as long as the subject, such as the server it talks to.
    #[must_use]
    pub fn keeping(mut self, guard: impl Any + Send + Sync + std::fmt::Debug) -> Self {
        self.guards.push(Box::new(guard));
        self
    }

    // ---- for the cases ----

    pub(super) fn api(&self) -> &dyn MatrixApi {
        &*self.api
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(super) fn appservice(&self) -> CaseResult<&Appservice> {
        self.appservice
            .as_ref()
            .ok_or_else(|| Failure::skipped("no application service"))
    }

    pub(super) fn admin(&self) -> CaseResult<(&dyn SynapseAdminApi, &SecretString)> {
        let missing = || Failure::skipped("no administration API with a registration secret");
        self.admin
            .as_ref()
            .map(|(api, secret)| (&**api, secret))
            .ok_or_else(missing)
    }

    /// A name that was never used before, on this server or any other.
    pub(super) fn unique(&self, what: &str) -> String {
        static RUN: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
        static NEXT: AtomicU64 = AtomicU64::new(0);
        format!("{what}_{:x}_{}", *RUN, NEXT.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn txn(&self) -> OwnedTransactionId {
        self.unique("txn").into()
    }

    pub(super) fn password(&self) -> SecretString {
        "password-for-tests".into()
    }

    /// A new ordinary user.
    pub(super) async fn user(&self) -> CaseResult<Session> {
        self.user_named(&self.unique("user")).await
    }

    pub(super) async fn user_named(&self, localpart: &str) -> CaseResult<Session> {
        let registered = if let Some((admin, secret)) = &self.admin {
            let registration = SharedSecretRegistration::new(localpart, self.password());
            admin.register_with_shared_secret(secret, &registration).await?
        } else {
            let registration = match &self.facts.registration {
                OpenTo::Anybody => Registration::dummy(localpart, self.password()),
                OpenTo::Token(token) => Registration::with_token(localpart, self.password(), token.clone()),
                OpenTo::Nobody => return Err(Failure::skipped("a way to make an ordinary user")),
            };
            self.api.register(&registration).await?
        };
        super::some(registered.session, "session")
    }

    /// A new server administrator.
    pub(super) async fn server_admin(&self) -> CaseResult<Session> {
        let (admin, secret) = self.admin()?;
        let registration = SharedSecretRegistration::admin(self.unique("boss"), self.password());
        let registered = admin.register_with_shared_secret(secret, &registration).await?;
        super::some(registered.session, "session")
    }

    /// A new user of the application service.
    pub(super) async fn agent(&self) -> CaseResult<Session> {
        let appservice = self.appservice()?;
        let localpart = self.agent_localpart()?;
        let registration = Registration::appservice(localpart, appservice.token.clone());
        let registered = self.api.register(&registration).await?;
        Ok(appservice.act_as(&registered.user_id))
    }

    /// A localpart in the application service's namespace.
    pub(super) fn agent_localpart(&self) -> CaseResult<String> {
        self.appservice()?;
        Ok(format!("{}{}", self.facts.user_prefix, self.unique("x")))
    }

    pub(super) fn user_id(&self, localpart: &str) -> CaseResult<ruma::OwnedUserId> {
        let id = UserId::parse(format!("@{localpart}:{}", self.facts.server_name));
        id.or_else(|error| super::fail(format!("@{localpart}: {error}")))
    }

    pub(super) fn alias(&self, localpart: &str) -> CaseResult<OwnedRoomAliasId> {
        let alias = RoomAliasId::parse(format!("#{localpart}:{}", self.facts.server_name));
        alias.or_else(|error| super::fail(format!("#{localpart}: {error}")))
    }

    /// A private room.
    pub(super) async fn room(&self, creator: &Session) -> CaseResult<OwnedRoomId> {
        Ok(self
            .api
            .create_room(creator, &NewRoom::room().preset(RoomPreset::PrivateChat))
            .await?)
    }

    /// A room that anybody may join.
    pub(super) async fn public_room(&self, creator: &Session) -> CaseResult<OwnedRoomId> {
        Ok(self
            .api
            .create_room(creator, &NewRoom::room().preset(RoomPreset::PublicChat))
            .await?)
    }

    pub(super) async fn invite(&self, inviter: &Session, room: &RoomId, invitee: &Session) -> CaseResult {
        Ok(self
            .api
            .invite_user(inviter, room, &invitee.user_id, None)
            .await?)
    }

    pub(super) async fn join(&self, session: &Session, room: &RoomId) -> CaseResult {
        self.api.join_room(session, room.into(), &[]).await?;
        Ok(())
    }

    /// Invites and joins.
    pub(super) async fn bring(&self, inviter: &Session, room: &RoomId, invitee: &Session) -> CaseResult {
        self.invite(inviter, room, invitee).await?;
        self.join(invitee, room).await
    }

    pub(super) async fn say(
        &self,
        session: &Session,
        room: &RoomId,
        text: &str,
    ) -> CaseResult<ruma::OwnedEventId> {
        Ok(self
            .api
            .send_message(session, room, &self.txn(), &Message::text(text))
            .await?)
    }
}

/// The real server that the environment names.
///
/// `REAL_SERVICES_AVAILABLE=1`, `MATRIX_HOMESERVER_URL`, `MATRIX_SERVER_NAME`, and where it has them `MATRIX_AS_TOKEN` (of
/// an application service `letta-bridge`, or `REAL_APPSERVICE_ID`, with the sender `letta_bot` and the namespaces
/// `@agent_.*` and `#agent_.*`) and `MATRIX_REGISTRATION_SHARED_SECRET`.
///
/// # Errors
/// `Skipped` when the environment names none, `Failed` when what it names is not usable.
#[cfg(feature = "http")]
pub fn real_server() -> CaseResult<Subject> {
    use crate::HttpMatrix;

    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if variable("REAL_SERVICES_AVAILABLE").as_deref() != Some("1") {
        return Err(Failure::skipped(
            "set REAL_SERVICES_AVAILABLE=1 to run it on a real homeserver",
        ));
    }
    let required = |name: &str| super::some(variable(name), name);
    let url = required("MATRIX_HOMESERVER_URL")?.parse();
    let url = url.or_else(|error| super::fail(format!("MATRIX_HOMESERVER_URL: {error}")))?;
    let server_name = OwnedServerName::try_from(required("MATRIX_SERVER_NAME")?);
    let server_name = server_name.or_else(|error| super::fail(format!("MATRIX_SERVER_NAME: {error}")))?;
    let http = Arc::new(HttpMatrix::new(url)?);
    let mut subject = Subject::new(http.clone(), Facts::new(server_name));
    if let Some(token) = variable("MATRIX_AS_TOKEN") {
        let sender = subject.user_id("letta_bot")?;
        let id = variable("REAL_APPSERVICE_ID").unwrap_or_else(|| "letta-bridge".to_owned());
        subject = subject.with_appservice(Appservice::new(id, token.into(), sender));
    }
    if let Some(secret) = variable("MATRIX_REGISTRATION_SHARED_SECRET") {
        subject = subject.with_admin(http, secret.into());
    }
    Ok(subject)
}
