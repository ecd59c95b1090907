//! A homeserver, a store, a clock, and the accounts of a process that uses them.

use std::{sync::Arc, time::Duration};

use accounts::AccountError;
use accounts::{AccountKey, AccountSettings, PasswordAccounts, RegistrationWay};
use matrix_client::{
    MatrixApi, MatrixErrorKind, Session,
    fake::{FakeMatrix, RegistrationPolicy, TEST_PASSWORD, TEST_SHARED_SECRET},
};
use ruma::{OwnedUserId, UserId};
use store::{Account, AccountStore, testing::ManualClock};

use crate::flaky::FlakyStore;

pub const KEY: &str = "not-a-real-account-key-0123456789";
pub const REGISTRATION_TOKEN: &str = "not-a-real-registration-token";

/// The three ways in which accounts come into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Open,
    Token,
    SharedSecret,
}

pub const WAYS: [Way; 3] = [Way::Open, Way::Token, Way::SharedSecret];

impl Way {
    /// The call that makes a user.
    pub fn call(self) -> &'static str {
        match self {
            Self::Open | Self::Token => "register",
            Self::SharedSecret => "register_with_shared_secret",
        }
    }
}

#[derive(Debug, Clone)]
pub struct World {
    pub matrix: FakeMatrix,
    pub store: Arc<FlakyStore>,
    pub clock: Arc<ManualClock>,
    pub way: Way,
    pub key: AccountKey,
}

impl World {
    /// A homeserver with open registration and the bot's account.
    pub fn new() -> Self {
        Self::with(Way::Open)
    }

    /// A homeserver on which accounts can be made in this way only.
    pub fn with(way: Way) -> Self {
        let builder = FakeMatrix::builder("matrix.test");
        let matrix = match way {
            Way::Open => builder,
            Way::Token => builder.registration(RegistrationPolicy::Token(REGISTRATION_TOKEN.into())),
            Way::SharedSecret => builder
                .registration(RegistrationPolicy::Closed)
                .shared_secret(TEST_SHARED_SECRET.into()),
        }
        .build();
        matrix.add_user("bot");
        Self {
            matrix,
            store: Arc::default(),
            clock: ManualClock::new(),
            way,
            key: AccountKey::new(KEY.into()).unwrap(),
        }
    }

    pub fn settings(&self) -> AccountSettings {
        let way = match self.way {
            Way::Open => RegistrationWay::Open,
            Way::Token => RegistrationWay::Token(REGISTRATION_TOKEN.into()),
            Way::SharedSecret => RegistrationWay::SharedSecret {
                api: Arc::new(self.matrix.clone()),
                secret: TEST_SHARED_SECRET.into(),
            },
        };
        AccountSettings::new(bot(), TEST_PASSWORD.into(), way, self.key.clone())
    }

    /// The accounts of a process that has just started.
    pub fn accounts(&self) -> PasswordAccounts {
        self.accounts_with(self.settings())
    }

    pub fn accounts_with(&self, settings: AccountSettings) -> PasswordAccounts {
        PasswordAccounts::new(
            Arc::new(self.matrix.clone()),
            Arc::clone(&self.store) as _,
            Arc::clone(&self.clock) as _,
            settings,
        )
    }

    /// The same homeserver with an empty store.
    pub fn lose_the_store(&mut self) {
        self.store = Arc::default();
    }

    /// Makes an agent's user with these accounts, and forgets that there were requests.
    pub async fn settle(&self, accounts: &PasswordAccounts) -> Session {
        assert!(accounts.register(&agent()).await.unwrap(), "a new user");
        let session = accounts.session(&agent()).await.unwrap();
        self.matrix.clear_journal();
        session
    }

    /// How many users were made or tried to be made, and how many logins there were.
    pub fn requests(&self) -> (usize, usize) {
        let made = self.matrix.count("register") + self.matrix.count("register_with_shared_secret");
        (made, self.matrix.count("login"))
    }

    /// Whether the homeserver takes the session, which must be the user's own on the one device.
    pub async fn is_accepted(&self, session: &Session) -> bool {
        match self.matrix.whoami(session).await {
            Ok(who) => {
                assert_eq!(who.user_id, session.user_id);
                assert_eq!(who.device_id, session.device_id);
                assert_eq!(session.device_id().unwrap(), accounts::DEVICE_ID);
                true
            }
            Err(error) => {
                assert!(
                    matches!(error.kind(), MatrixErrorKind::Unauthorized { .. }),
                    "{error:?}"
                );
                false
            }
        }
    }

    /// A session that the homeserver takes, in the way in which callers get one.
    pub async fn working_session(&self, accounts: &PasswordAccounts) -> Result<Session, AccountError> {
        let session = accounts.session(&agent()).await?;
        if self.is_accepted(&session).await {
            return Ok(session);
        }
        accounts.forget(&session).await?;
        let session = accounts.session(&agent()).await?;
        assert!(self.is_accepted(&session).await, "a fresh session");
        Ok(session)
    }

    /// What the store has of a user.
    pub async fn stored(&self, user: &UserId) -> Option<Account> {
        self.store.get_account(user).await.unwrap()
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

pub fn bot() -> OwnedUserId {
    UserId::parse("@bot:matrix.test").unwrap()
}

pub fn agent() -> OwnedUserId {
    UserId::parse("@agent_001:matrix.test").unwrap()
}
