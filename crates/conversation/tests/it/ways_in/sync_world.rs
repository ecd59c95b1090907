//! A homeserver without an application service, and a reader of its accounts.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use accounts::{AccountKey, AccountSettings, Accounts, PasswordAccounts, RegistrationWay};
use conversation::ways_in::{Backoff, Inbox, OwnUsers, SyncReader, SyncSettings};
use matrix_client::{
    MatrixApiExt, Session,
    content::Message,
    fake::{FakeMatrix, TEST_PASSWORD},
};
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId, owned_user_id, user_id};
use store::{MemoryStore, testing::ManualClock};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::double::TestInbox;

pub struct World {
    pub matrix: FakeMatrix,
    pub admin: Session,
    pub clock: Arc<ManualClock>,
    pub store: Arc<TestInbox>,
    pub accounts: Arc<PasswordAccounts>,
    pub settings: SyncSettings,
    pub users: watch::Sender<BTreeSet<OwnedUserId>>,
    sent: std::cell::Cell<u32>,
}

impl World {
    /// Agents Alpha and Beta have accounts; Alpha is to be read.
    pub async fn new() -> Self {
        let matrix = FakeMatrix::new("matrix.test");
        matrix.add_user("bot");
        let admin = matrix.add_user("admin");
        let clock = ManualClock::new();
        let settings = AccountSettings::new(
            owned_user_id!("@bot:matrix.test"),
            TEST_PASSWORD.into(),
            RegistrationWay::Open,
            AccountKey::new("not-a-real-account-key-0123456789".into()).unwrap(),
        );
        let api = Arc::new(matrix.clone());
        let accounts = PasswordAccounts::new(api, Arc::new(MemoryStore::new()), clock.clone(), settings);
        for agent in [alpha(), beta()] {
            accounts.register(agent).await.unwrap();
        }
        clock.advance(Duration::from_secs(3600));
        Self {
            matrix,
            admin,
            clock,
            store: Arc::default(),
            accounts: Arc::new(accounts),
            settings: SyncSettings::default(),
            users: watch::Sender::new(BTreeSet::from([alpha().to_owned()])),
            sent: std::cell::Cell::new(0),
        }
    }

    /// A room with the admin and these agents.
    pub fn room(&self, members: &[&UserId]) -> OwnedRoomId {
        let members: Vec<&str> = members.iter().map(|member| member.as_str()).collect();
        self.matrix
            .add_room("!tea:matrix.test", "@admin:matrix.test", &members)
    }

    pub async fn says(&self, room: &RoomId, text: &str) {
        self.say(&self.admin, room, &Message::text(text)).await;
    }

    pub async fn say(&self, session: &Session, room: &RoomId, message: &Message) {
        self.sent.set(self.sent.get() + 1);
        let id = format!("t{}", self.sent.get());
        let sent = self
            .matrix
            .send_message(session, room, id.as_str().into(), message)
            .await;
        sent.unwrap();
    }

    /// The admin counts.
    pub async fn counts(&self, room: &RoomId, numbers: std::ops::Range<u32>) -> Vec<String> {
        let mut texts = Vec::new();
        for number in numbers {
            texts.push(number.to_string());
            self.says(room, &number.to_string()).await;
        }
        texts
    }

    /// Starts the reader of a new process, with the same store.
    pub fn start(&self) -> Running {
        let own = OwnUsers::new(owned_user_id!("@bot:matrix.test"), "agent_");
        let inbox = Inbox::new(self.store.clone(), self.clock.clone(), own);
        let reader = SyncReader::new(
            Arc::new(self.matrix.clone()),
            self.accounts.clone(),
            Arc::new(inbox),
            self.clock.clone(),
            Backoff::new(|wait| wait),
            self.settings.clone(),
        );
        let (stop, stopped) = oneshot::channel::<()>();
        let users = self.users.subscribe();
        let task = tokio::spawn(reader.run(users, async { stopped.await.unwrap_or_default() }));
        Running { stop, task }
    }

    /// Reads what there is once and stops, so that all that comes later is new.
    pub async fn first_sync(&self) {
        let running = self.start();
        self.until(|| self.cursor().is_some()).await;
        running.stop().await;
    }

    pub fn cursor(&self) -> Option<String> {
        self.store.cursor("sync:@agent_001:matrix.test")
    }

    /// Waits for something, five minutes at most.
    pub async fn until(&self, is: impl Fn() -> bool) {
        let waiting = async {
            while !is() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        if timeout(Duration::from_secs(300), waiting).await.is_err() {
            panic!("it does not come about: {:#?}", self.store);
        }
    }

    /// Waits until these messages have come in, and a while longer: no others do.
    pub async fn hears(&self, texts: &[impl AsRef<str>]) {
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        self.until(|| self.store.bodies().len() >= texts.len()).await;
        sleep(Duration::from_secs(70)).await;
        assert_eq!(self.store.bodies(), texts);
    }

    pub async fn session(&self, user: &UserId) -> Session {
        Accounts::session(&*self.accounts, user).await.unwrap()
    }

    /// The memberships that came in: state key, membership, sender.
    pub fn memberships(&self) -> Vec<(String, String, OwnedUserId)> {
        let arrivals = self.store.arrivals();
        let events = arrivals.iter().map(|arrival| {
            let event: matrix_client::Event = serde_json::from_str(&arrival.event).unwrap();
            assert_eq!(event.room_id.as_ref(), Some(&arrival.room_id));
            assert_eq!(event.event_id, arrival.event_id);
            event
        });
        events
            .filter_map(|event| {
                let membership = event.content["membership"].as_str()?.to_owned();
                Some((event.state_key?, membership, event.sender))
            })
            .collect()
    }
}

pub struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

pub fn alpha() -> &'static UserId {
    user_id!("@agent_001:matrix.test")
}

pub fn beta() -> &'static UserId {
    user_id!("@agent_002:matrix.test")
}
