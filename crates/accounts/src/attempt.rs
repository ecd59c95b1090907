//! One attempt to get a session of a user that has no token.

use jiff::Timestamp;
use matrix_client::{
    LoginRequest, MatrixError, MatrixErrorKind, Registered, Registration, Session, SharedSecretRegistration,
};
use ruma::{OwnedDeviceId, UserId};
use secrecy::SecretString;
use store::Account;

use crate::{
    AccountError, DEVICE_ID, PasswordAccounts, RegistrationWay,
    accounts::{Obtained, Result},
    key::Content,
    pace::Cause,
    settings::DEVICE_NAME,
    slots::{Slot, State},
};

pub(crate) struct Attempt<'a> {
    pub(crate) accounts: &'a PasswordAccounts,
    pub(crate) user: &'a UserId,
    pub(crate) slot: &'a Slot,
    /// Whether the user may be made.
    pub(crate) may_register: bool,
}

/// How a registration ended.
enum SignedUp {
    /// The user was made, and this is its session.
    Session(Session),
    /// The user was made, and the homeserver gave no session.
    WithoutSession,
    /// There is such a user already.
    Taken,
}

/// What is known about the user before the login.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existence {
    /// We had it once: it is in the store.
    Remembered,
    /// The operator says so.
    Claimed,
    /// The homeserver says so, now.
    Confirmed,
    /// We made it, now.
    Made,
}

impl Attempt<'_> {
    /// Whoever is in the store existed once: a login will do. Others are registered first, since a refused login does
    /// not tell whether there is such a user.
    pub(crate) async fn run(&self, state: &mut State, account: Option<Account>) -> Result<Obtained> {
        let is_new = account.is_none();
        let account = account.unwrap_or_else(|| new_account(self.user));
        if self.accounts.was_logged_in_to_just_now(&account) {
            let user = self.user.to_owned();
            return Err(AccountError::LoginLoop { user });
        }
        let password = self.password(&account)?;
        let existence = match (is_new, self.may_register) {
            (false, _) => Existence::Remembered,
            (true, false) => Existence::Claimed,
            (true, true) => match self.sign_up(&account, &password).await {
                Ok(SignedUp::Session(session)) => return self.keep_new(state, account, session).await,
                Ok(SignedUp::WithoutSession) => Existence::Made,
                Ok(SignedUp::Taken) => Existence::Confirmed,
                Err(error) => return Err(self.fail(state, Cause::Matrix(error))),
            },
        };
        let error = match self.log_in(state, &account, &password).await? {
            Ok(session) => {
                tracing::info!(user.id = %self.user, "logged in: there was no token, or it was refused");
                let now = self.accounts.clock.now();
                let session = self.keep(state, account, session, Some(now)).await?;
                return Ok((session, existence == Existence::Made));
            }
            Err(error) => error,
        };
        match existence {
            _ if *error.kind() != MatrixErrorKind::Forbidden => Err(self.fail(state, Cause::Matrix(error))),
            Existence::Confirmed => Err(self.fail(state, Cause::Foreign)),
            Existence::Remembered if self.may_register => {
                self.log_in_refused(state, account, &password, error).await
            }
            _ => Err(self.fail(state, Cause::Matrix(error))),
        }
    }

    /// The password of a user we had once is wrong, or there is no such user any more. Registration tells which.
    async fn log_in_refused(
        &self,
        state: &mut State,
        account: Account,
        password: &SecretString,
        refusal: MatrixError,
    ) -> Result<Obtained> {
        let cause = match self.sign_up(&account, password).await {
            Ok(SignedUp::Session(session)) => return self.keep_new(state, account, session).await,
            Ok(SignedUp::Taken) => Cause::Foreign,
            Err(error) if error.is_retryable() => Cause::Matrix(error),
            Ok(SignedUp::WithoutSession) | Err(_) => Cause::Matrix(refusal),
        };
        Err(self.fail(state, cause))
    }

    /// A password that is kept counts before the derived one.
    fn password(&self, account: &Account) -> Result<SecretString> {
        let settings = &self.accounts.settings;
        if let Some(sealed) = &account.sealed_password {
            return self.accounts.open(account, Content::Password, sealed);
        }
        Ok(if *self.user == *settings.bot {
            settings.bot_password.clone()
        } else {
            settings.key.password(self.user)
        })
    }

    async fn sign_up(&self, account: &Account, password: &SecretString) -> Result<SignedUp, MatrixError> {
        let (localpart, password) = (self.user.localpart(), password.clone());
        let registration = match &self.accounts.settings.registration {
            RegistrationWay::SharedSecret { api, secret } => {
                let registration = SharedSecretRegistration::new(localpart, password)
                    .device_id(account.device_id.clone())
                    .initial_device_display_name(DEVICE_NAME);
                return self.signed_up(api.register_with_shared_secret(secret, &registration).await);
            }
            RegistrationWay::Open => Registration::dummy(localpart, password),
            RegistrationWay::Token(token) => Registration::with_token(localpart, password, token.clone()),
        };
        let registration = registration
            .device_id(account.device_id.clone())
            .initial_device_display_name(DEVICE_NAME);
        self.signed_up(self.accounts.matrix.register(&registration).await)
    }

    fn signed_up(&self, answer: matrix_client::Result<Registered>) -> Result<SignedUp, MatrixError> {
        match answer {
            Ok(registered) => {
                self.check_user("register", &registered.user_id)?;
                Ok(registered
                    .session
                    .map_or(SignedUp::WithoutSession, SignedUp::Session))
            }
            Err(error) if *error.kind() == MatrixErrorKind::UserInUse => Ok(SignedUp::Taken),
            Err(error) => Err(error),
        }
    }

    /// The outer error is why there was no login at all.
    async fn log_in(
        &self,
        state: &mut State,
        account: &Account,
        password: &SecretString,
    ) -> Result<Result<Session, MatrixError>> {
        let accounts = self.accounts;
        let turn = accounts.gate.enter().await;
        let _turn = turn.map_err(|error| self.fail(state, Cause::Matrix(error)))?;
        // A store that does not take this will not take the token: then there is no login.
        accounts.save(state, account.clone()).await?;
        let trouble = state.trouble.get_or_insert_default();
        trouble.begin_login(accounts.settings.login_interval);
        let request = LoginRequest::with_password(self.user, password.clone())
            .device_id(account.device_id.clone())
            .initial_device_display_name(DEVICE_NAME);
        let answer = accounts.matrix.login(&request).await;
        if let Err(error) = &answer {
            accounts.gate.close(error);
        }
        Ok(answer.and_then(|session| {
            self.check_user("login", &session.user_id)?;
            Ok(session)
        }))
    }

    /// Homeservers change the case of letters, and call it the same name.
    fn check_user(&self, call: &'static str, answered: &UserId) -> Result<(), MatrixError> {
        if answered == self.user {
            return Ok(());
        }
        let message = format!("the homeserver answered {answered} instead of {}", self.user);
        Err(MatrixError::new(MatrixErrorKind::InvalidUsername, message).with_call(call))
    }

    async fn keep_new(&self, state: &mut State, account: Account, session: Session) -> Result<Obtained> {
        let logged_in_at = account.logged_in_at;
        let session = self.keep(state, account, session, logged_in_at).await?;
        Ok((session, true))
    }

    /// Keeps the session: in memory at once, since the caller may be gone before the store took it.
    async fn keep(
        &self,
        state: &mut State,
        mut account: Account,
        session: Session,
        logged_in_at: Option<Timestamp>,
    ) -> Result<Session> {
        if let Some(device_id) = &session.device_id {
            account.device_id = device_id.clone();
        }
        let session = session.with_device(account.device_id.clone());
        state.session = Some(session.clone());
        state.trouble = None;
        account.sealed_token = Some(self.accounts.seal(self.user, Content::Token, session.token())?);
        account.logged_in_at = logged_in_at;
        self.accounts.save(state, account).await?;
        Ok(session)
    }

    fn fail(&self, state: &mut State, cause: Cause) -> AccountError {
        self.slot.count_failure();
        let trouble = state.trouble.get_or_insert_default();
        trouble.fail(cause.clone(), self.accounts.settings.login_interval);
        cause.into_error(self.user)
    }
}

/// A user of which nothing is known yet.
pub(crate) fn new_account(user: &UserId) -> Account {
    Account {
        user_id: user.to_owned(),
        device_id: OwnedDeviceId::from(DEVICE_ID),
        sealed_token: None,
        sealed_password: None,
        logged_in_at: None,
    }
}
