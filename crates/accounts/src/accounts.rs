//! Getting a session of a user: from memory, from the store, by registration, by login; in this order.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use matrix_client::{MatrixApi, Session};
use ruma::UserId;
use secrecy::{ExposeSecret, SecretString};
use store::{Account, AccountStore, Clock, StoreError, StoreErrorKind};

use crate::{
    AccountError, AccountSettings, Accounts,
    attempt::{Attempt, new_account},
    key::Content,
    pace::Gate,
    slots::{Slots, State},
};

pub(crate) type Result<T, E = AccountError> = std::result::Result<T, E>;

/// Users that each have an account, a password and a token of their own.
///
/// What a session costs: nothing once it is in memory, one read of the store after a restart, one registration for a new
/// user, one login for a user whose token was lost or refused.
///
/// What holds logins back:
///
/// - A token is used until the homeserver refuses it, see [`forget`](Self::forget).
/// - Of each user one login is under way at a time; all who wait share its outcome, good or bad. Of all users few are.
/// - No login is made while the store cannot be written: its token would be lost.
/// - A token that is refused within [`login_interval`](AccountSettings::login_interval) after a login is not replaced
///   before that time is over, also not after a restart: [`LoginLoop`](AccountError::LoginLoop).
/// - Failed logins are followed by growing pauses, and a rate limit by what the homeserver asks for. Meanwhile the error
///   is answered again, without a request.
///
/// Several instances may share a store: whoever is refused first makes the login, and the others take the new token from
/// the store. They must share the key.
///
/// # Errors
/// - `Matrix`: the homeserver refused.
/// - `Store`: the store failed. What it did not take is kept in memory and written first with the next call.
/// - `Foreign`: the user exists, and its password is not the one we know.
/// - `Sealed`: what is in the store was encrypted under another key. Nothing is sent then.
/// - `LoginLoop`: see above.
#[derive(Debug)]
pub struct PasswordAccounts {
    pub(crate) matrix: Arc<dyn MatrixApi>,
    store: Arc<dyn AccountStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: AccountSettings,
    slots: Slots,
    pub(crate) gate: Gate,
}

/// A session, and whether its user was made only now.
pub(crate) type Obtained = (Session, bool);

impl PasswordAccounts {
    /// Accounts of this homeserver, whose tokens are kept in this store.
    pub fn new(
        matrix: Arc<dyn MatrixApi>,
        store: Arc<dyn AccountStore>,
        clock: Arc<dyn Clock>,
        settings: AccountSettings,
    ) -> Self {
        let slots = Slots::new(settings.cached_sessions);
        Self {
            matrix,
            store,
            clock,
            settings,
            slots,
            gate: Gate::default(),
        }
    }

    /// The bridge's own user.
    pub fn bot(&self) -> &UserId {
        &self.settings.bot
    }

    /// Makes a user; whether it was made now. One that exists is logged in to, which shows whether it is ours.
    ///
    /// # Errors
    /// See [`PasswordAccounts`].
    pub async fn register(&self, user: &UserId) -> Result<bool> {
        self.obtain(user, true).await.map(|(_, made)| made)
    }

    /// A session of a user. An agent's user that the homeserver no longer knows is made again; the bot is not.
    ///
    /// # Errors
    /// See [`PasswordAccounts`].
    pub async fn session(&self, user: &UserId) -> Result<Session> {
        let may_register = user != self.bot();
        self.obtain(user, may_register).await.map(|(session, _)| session)
    }

    /// Forgets a session that the homeserver refused as unauthorized. Whether [`session`](Self::session) may now answer
    /// one that is not refused: not within the interval after a login.
    ///
    /// A session that was replaced already, by another instance perhaps, changes nothing.
    ///
    /// # Errors
    /// When the store fails. The session is forgotten all the same.
    pub async fn forget(&self, session: &Session) -> Result<bool> {
        let slot = self.slots.get(&session.user_id);
        let mut state = slot.state.lock().await;
        if state
            .session
            .as_ref()
            .is_some_and(|kept| is_same_token(kept, session))
        {
            state.session = None;
        }
        self.flush(&mut state).await?;
        let account = self.store.get_account(&session.user_id).await;
        let Some(mut account) = account.map_err(AccountError::Store)? else {
            return Ok(true);
        };
        if let Some(sealed) = &account.sealed_token {
            match self.open(&account, Content::Token, sealed) {
                Ok(token) if token.expose_secret() == session.token().expose_secret() => {
                    account.sealed_token = None;
                    self.save(&mut state, account.clone()).await?;
                }
                Ok(_) => return Ok(true),
                Err(_) => return Ok(false),
            }
        }
        Ok(!self.was_logged_in_to_just_now(&account))
    }

    /// Takes over an account that somebody else made. Its password is kept, encrypted, and counts before the derived
    /// one. Nothing is sent.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn adopt(&self, user: &UserId, password: &SecretString) -> Result<()> {
        let slot = self.slots.get(user);
        let mut state = slot.state.lock().await;
        self.flush(&mut state).await?;
        let account = self.store.get_account(user).await.map_err(AccountError::Store)?;
        let mut account = account.unwrap_or_else(|| new_account(user));
        account.sealed_password = Some(self.seal(user, Content::Password, password)?);
        state.trouble = None;
        self.save(&mut state, account).await
    }

    /// The session that the store has of a user, if it has one. Nothing is sent or written.
    ///
    /// # Errors
    /// `Store` and `Sealed`.
    pub async fn kept_session(&self, user: &UserId) -> Result<Option<Session>> {
        let account = self.store.get_account(user).await.map_err(AccountError::Store)?;
        account.map_or(Ok(None), |account| self.open_session(&account))
    }

    async fn obtain(&self, user: &UserId, may_register: bool) -> Result<Obtained> {
        let slot = self.slots.get(user);
        let failures = slot.failures();
        let mut state = slot.state.lock().await;
        self.flush(&mut state).await?;
        if let Some(session) = &state.session {
            return Ok((session.clone(), false));
        }
        let account = self.store.get_account(user).await.map_err(AccountError::Store)?;
        if let Some(account) = &account
            && let Some(session) = self.open_session(account)?
        {
            state.session = Some(session.clone());
            return Ok((session, false));
        }
        // Whoever waited while an attempt failed shares its outcome, rather than making the next one.
        let waited = slot.failures() != failures;
        let failed = state
            .trouble
            .as_ref()
            .filter(|trouble| waited || trouble.is_pausing());
        if let Some(trouble) = failed {
            return Err(trouble.cause().into_error(user));
        }
        let attempt = Attempt {
            accounts: self,
            user,
            slot: &slot,
            may_register,
        };
        attempt.run(&mut state, account).await
    }

    /// Writes what could not be written before.
    async fn flush(&self, state: &mut State) -> Result<()> {
        match state.unsaved.clone() {
            Some(account) => self.save(state, account).await,
            None => Ok(()),
        }
    }

    /// Writes a record, and remembers it until the store took it: the caller may be gone before that.
    pub(crate) async fn save(&self, state: &mut State, account: Account) -> Result<()> {
        let account = state.unsaved.insert(account);
        self.store
            .put_account(account)
            .await
            .map_err(AccountError::Store)?;
        state.unsaved = None;
        Ok(())
    }

    pub(crate) fn was_logged_in_to_just_now(&self, account: &Account) -> bool {
        let interval = SignedDuration::try_from(self.settings.login_interval).unwrap_or(SignedDuration::MAX);
        let is_near = |at: Timestamp| self.clock.now().duration_since(at).abs() < interval;
        account.logged_in_at.is_some_and(is_near)
    }

    fn open_session(&self, account: &Account) -> Result<Option<Session>> {
        let Some(sealed) = &account.sealed_token else {
            return Ok(None);
        };
        let token = self.open(account, Content::Token, sealed)?;
        let session = Session::with_access_token(account.user_id.clone(), token);
        Ok(Some(session.with_device(account.device_id.clone())))
    }

    pub(crate) fn open(&self, account: &Account, content: Content, sealed: &[u8]) -> Result<SecretString> {
        let user = &account.user_id;
        let opened = self.settings.key.open(user, content, sealed);
        opened.ok_or_else(|| AccountError::Sealed { user: user.clone() })
    }

    pub(crate) fn seal(&self, user: &UserId, content: Content, secret: &SecretString) -> Result<Vec<u8>> {
        self.settings.key.seal(user, content, secret).map_err(|error| {
            let error = StoreError::new(StoreErrorKind::Unavailable, "a token cannot be encrypted")
                .with_source(error);
            AccountError::Store(error)
        })
    }
}

#[async_trait]
impl Accounts for PasswordAccounts {
    fn bot(&self) -> &UserId {
        self.bot()
    }

    async fn register(&self, user: &UserId) -> Result<bool, AccountError> {
        self.register(user).await
    }

    async fn session(&self, user: &UserId) -> Result<Session, AccountError> {
        self.session(user).await
    }

    async fn forget(&self, session: &Session) -> Result<bool, AccountError> {
        self.forget(session).await
    }
}

fn is_same_token(one: &Session, other: &Session) -> bool {
    one.token().expose_secret() == other.token().expose_secret()
}
