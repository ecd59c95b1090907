//! Accounts of their own on a real Synapse: made by shared secret and by open registration, kept, lost and found again.

use std::{path::Path, sync::Arc};

use accounts::AccountError;
use accounts::{AccountKey, AccountSettings, DEVICE_ID, PasswordAccounts, RegistrationWay};
use matrix_client::{HttpMatrix, MatrixApi, MatrixErrorKind, Session};
use ruma::{OwnedUserId, UserId};
use secrecy::{ExposeSecret, SecretString};
use store::SystemClock;
use store_sqlite::SqliteStore;

use crate::support::{env, real_services};

struct Server {
    matrix: HttpMatrix,
    key: SecretString,
}

impl Server {
    fn connect() -> Self {
        let matrix = HttpMatrix::new(env("MATRIX_HOMESERVER_URL").parse().unwrap()).unwrap();
        let key = AccountKey::generate().unwrap();
        Self { matrix, key }
    }

    fn user(&self, name: &str) -> OwnedUserId {
        // Servers that are started for playing keep their users. The end of a key that is thrown away is no secret.
        let unique = &self.key.expose_secret()[56..];
        UserId::parse(format!("@real_{name}_{unique}:{}", env("MATRIX_SERVER_NAME"))).unwrap()
    }

    fn shared_secret(&self) -> RegistrationWay {
        RegistrationWay::SharedSecret {
            api: Arc::new(self.matrix.clone()),
            secret: env("MATRIX_REGISTRATION_SHARED_SECRET").into(),
        }
    }

    /// The accounts of a process that has just started.
    async fn accounts(&self, database: &Path, way: &RegistrationWay, key: &SecretString) -> PasswordAccounts {
        let bot = format!("@{}:{}", env("MATRIX_ADMIN_USERNAME"), env("MATRIX_SERVER_NAME"));
        let settings = AccountSettings::new(
            UserId::parse(bot).unwrap(),
            env("MATRIX_ADMIN_PASSWORD").into(),
            way.clone(),
            AccountKey::new(key.clone()).unwrap(),
        );
        let store = SqliteStore::open(database).await.unwrap();
        PasswordAccounts::new(
            Arc::new(self.matrix.clone()),
            Arc::new(store),
            Arc::new(SystemClock),
            settings,
        )
    }

    /// What this costs in requests.
    async fn cost<T>(&self, of: impl Future<Output = T>) -> (T, u64) {
        let before = self.matrix.requests();
        let answer = of.await;
        (answer, self.matrix.requests() - before)
    }

    async fn assert_accepted(&self, session: &Session, user: &UserId) {
        let who = self.matrix.whoami(session).await.unwrap();
        assert_eq!(who.user_id, user);
        assert_eq!(who.device_id.unwrap(), DEVICE_ID);
        assert_eq!(session.device_id().unwrap(), DEVICE_ID);
    }
}

/// Makes a user, restarts, loses the token, loses the database, loses the key. `registration` is what a registration
/// costs in requests, `refused` one of a name that is taken.
async fn live_through_everything(
    server: &Server,
    user: &UserId,
    way: RegistrationWay,
    registration: u64,
    refused: u64,
) {
    let folder = tempfile::tempdir().unwrap();
    let (database, fresh) = (folder.path().join("state.db"), folder.path().join("fresh.db"));
    let accounts = server.accounts(&database, &way, &server.key).await;
    let (made, cost) = server.cost(accounts.register(user)).await;
    assert_eq!((made.unwrap(), cost), (true, registration));
    let (session, cost) = server.cost(accounts.session(user)).await;
    assert_eq!(cost, 0, "no login");
    let first = session.unwrap();
    server.assert_accepted(&first, user).await;

    // Restarted, it goes on with the same token.
    let accounts = server.accounts(&database, &way, &server.key).await;
    let (session, cost) = server.cost(accounts.session(user)).await;
    assert_eq!(cost, 0);
    assert_eq!(
        session.unwrap().token().expose_secret(),
        first.token().expose_secret()
    );

    // Logged out by somebody, it logs in once.
    server.matrix.logout(&first).await.unwrap();
    let error = server.matrix.whoami(&first).await.unwrap_err();
    assert!(matches!(error.kind(), MatrixErrorKind::Unauthorized { .. }));
    assert!(accounts.forget(&first).await.unwrap());
    let (session, cost) = server.cost(accounts.session(user)).await;
    assert_eq!(cost, 1);
    let second = session.unwrap();
    server.assert_accepted(&second, user).await;

    // And not again so soon.
    server.matrix.logout(&second).await.unwrap();
    assert!(!accounts.forget(&second).await.unwrap());
    let (session, cost) = server.cost(accounts.session(user)).await;
    assert_eq!(cost, 0);
    assert!(matches!(session, Err(AccountError::LoginLoop { .. })));

    // Without its database it finds the user again.
    let accounts = server.accounts(&fresh, &way, &server.key).await;
    let (made, cost) = server.cost(accounts.register(user)).await;
    assert_eq!((made.unwrap(), cost), (false, refused + 1), "a login");
    server
        .assert_accepted(&accounts.session(user).await.unwrap(), user)
        .await;

    // With another key nothing can be read, and without the database the user is somebody else's.
    let key = AccountKey::generate().unwrap();
    let accounts = server.accounts(&fresh, &way, &key).await;
    let (session, cost) = server.cost(accounts.session(user)).await;
    assert_eq!(cost, 0);
    assert!(matches!(session, Err(AccountError::Sealed { .. })));
    let other = folder.path().join("other.db");
    let error = server
        .accounts(&other, &way, &key)
        .await
        .register(user)
        .await
        .unwrap_err();
    assert!(matches!(error, AccountError::Foreign { .. }), "{error:?}");
}

#[tokio::test]
async fn accounts_on_a_real_synapse_survive_what_happens_to_them() {
    if !real_services() {
        return;
    }
    let server = Server::connect();
    // A nonce is a request of its own.
    let way = server.shared_secret();
    live_through_everything(&server, &server.user("secret"), way, 2, 2).await;
    // The steps of registration are asked for first. A taken name is refused before that.
    let user = server.user("open");
    live_through_everything(&server, &user, RegistrationWay::Open, 2, 1).await;
}

#[tokio::test]
async fn the_bot_of_a_real_synapse_logs_in_once() {
    if !real_services() {
        return;
    }
    let server = Server::connect();
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("state.db");
    for expected in [1, 0, 0] {
        let way = RegistrationWay::Open;
        let accounts = server.accounts(&database, &way, &server.key).await;
        let bot = accounts.bot().to_owned();
        let (session, cost) = server.cost(accounts.session(&bot)).await;
        assert_eq!(cost, expected);
        server.assert_accepted(&session.unwrap(), &bot).await;
    }
}
