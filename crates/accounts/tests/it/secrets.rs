//! Nothing secret shows.

use std::{
    io,
    sync::{Arc, Mutex},
};

use accounts::AccountKey;
use matrix_client::fake::{Fault, TEST_PASSWORD, TEST_SHARED_SECRET};
use secrecy::ExposeSecret;
use tracing_subscriber::fmt::MakeWriter;

use crate::world::{KEY, REGISTRATION_TOKEN, WAYS, World, agent, bot};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn neither_debug_nor_errors_nor_logs_show_a_secret() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    // For the whole process: what one thread alone listens to, others can switch off before it is heard.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    for way in WAYS {
        let mut world = World::with(way);
        let (mut shown, mut secrets) = (String::new(), Vec::new());
        let accounts = world.accounts();
        for session in [
            world.settle(&accounts).await,
            accounts.session(&bot()).await.unwrap(),
        ] {
            secrets.push(session.token().expose_secret().to_owned());
            shown += &format!("{session:?}");
        }
        world.matrix.log_out_everywhere(&agent());
        world
            .matrix
            .plan(Fault::on("login").refuse(500, "M_UNKNOWN", "Internal server error"));
        shown += &format!("{:?}", world.working_session(&accounts).await.unwrap_err());
        let session = world.working_session(&accounts).await.unwrap();
        secrets.push(session.token().expose_secret().to_owned());
        shown += &format!(
            "{accounts:?} {:?} {:?}",
            world.settings(),
            world.stored(&agent()).await
        );
        world.key = AccountKey::new("not-a-real-account-key-9876543210".into()).unwrap();
        shown += &format!("{:?}", world.accounts().session(&agent()).await.unwrap_err());
        world.lose_the_store();
        shown += &format!("{:?}", world.accounts().session(&agent()).await.unwrap_err());

        let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(
            logged.contains("@agent_001:matrix.test"),
            "something is logged: {logged}"
        );
        secrets.extend([KEY, TEST_PASSWORD, TEST_SHARED_SECRET, REGISTRATION_TOKEN].map(ToOwned::to_owned));
        for key in [AccountKey::new(KEY.into()).unwrap(), world.key.clone()] {
            secrets.push(key.password(&agent()).expose_secret().to_owned());
        }
        for secret in secrets {
            assert!(!logged.contains(&secret), "{secret} in {logged}");
            assert!(!shown.contains(&secret), "{secret} in {shown}");
        }
    }
}

#[tokio::test]
async fn the_store_holds_no_secret_in_the_clear() {
    let world = World::new();
    let accounts = world.accounts();
    let session = world.settle(&accounts).await;
    let password = "not-a-real-adopted-password";
    accounts.adopt(&agent(), &password.into()).await.unwrap();
    let stored = world.stored(&agent()).await.unwrap();
    for (sealed, secret) in [
        (stored.sealed_token.unwrap(), session.token().expose_secret()),
        (stored.sealed_password.unwrap(), password),
    ] {
        assert!(sealed.len() >= secret.len() + 40);
        assert!(
            !sealed
                .windows(secret.len())
                .any(|window| window == secret.as_bytes())
        );
    }
}
