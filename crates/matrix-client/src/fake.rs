//! A stateful in-memory homeserver.
//!
//! [`FakeMatrix`] is a model of a Synapse: it keeps users, rooms, events, media and application services, enforces the
//! rules that a real homeserver enforces, and answers with the very errors that `HttpMatrix` makes of a real server's
//! refusals. It implements [`MatrixApi`](crate::MatrixApi) and [`SynapseAdminApi`](crate::SynapseAdminApi); a clone is
//! the same server.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> matrix_client::Result<()> {
//! use matrix_client::{MatrixApi, MatrixApiExt, NewRoom, fake::FakeMatrix};
//!
//! let matrix = FakeMatrix::new("matrix.test");
//! let alice = matrix.add_user("alice");
//! let room_id = matrix.create_room(&alice, &NewRoom::room().name("Tea")).await?;
//! matrix.set_room_name(&alice, &room_id, "Tea and cake").await?;
//!
//! assert_eq!(matrix.room(&room_id).unwrap().name.as_deref(), Some("Tea and cake"));
//! assert_eq!(matrix.count("create_room"), 1);
//! # Ok(()) }
//! ```
//!
//! Beyond being a server it can misbehave ([`Fault`], [`FakeMatrix::down`], [`FakeMatrix::restart`]), remembers what it
//! was asked ([`FakeMatrix::calls`]), and shows what it holds ([`FakeMatrix::room`], [`FakeMatrix::users`] …). Its clock
//! is tokio's, so paused tests stand still; its ids and tokens are the same for the same seed and the same calls.
//!
//! What it does not model: other servers, end-to-end encryption, presence, knocking beyond its states, search, SSO.

mod account_data;
mod accounts;
mod admin;
mod admin_api;
mod aliases;
mod api;
mod appservice;
mod bodies;
mod builder;
mod clock;
mod convert;
mod create_room;
mod devices;
mod ephemeral;
mod events;
mod failure;
mod faults;
mod filter;
mod homeserver;
mod ids;
mod invariants;
mod journal;
mod limits;
mod long_calls;
mod media;
mod membership;
mod messages;
mod power;
mod profiles;
mod push;
mod pusher;
mod refusal;
mod registration;
mod relations;
mod requester;
mod room_version;
mod rooms;
mod run;
mod settings;
mod spaces;
mod state;
mod sync;
mod test_data;
#[cfg(test)]
mod tests;
mod transactions;
mod upgrade;
mod validation;
mod views;
mod wire_fault;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool};

use tokio::sync::watch;

pub use self::{
    builder::FakeMatrixBuilder,
    create_room::RoomPlan,
    failure::Failure,
    faults::{Fault, Hold, METHODS},
    homeserver::Homeserver,
    journal::{Call, Outcome},
    media::StoredMedia,
    messages::{HistoryRequest, Sending},
    profiles::ProfileField,
    pusher::{AppserviceEndpoint, EndpointAnswer, PushedTransaction, RecordingEndpoint},
    refusal::{Answer, Object, Refusal},
    relations::Page,
    requester::{Credentials, Requester},
    run::Request,
    settings::{ProfilePropagation, RateLimits, RegistrationPolicy},
    spaces::HierarchyQuery,
    sync::SyncCall,
    test_data::{
        TEST_APPSERVICE_ID, TEST_AS_TOKEN, TEST_HS_TOKEN, TEST_PASSWORD, TEST_SHARED_SECRET,
        test_registration,
    },
    views::{RoomView, UserView},
    wire_fault::WireFault,
};
use self::{faults::FaultPlan, journal::Journal, pusher::Pushers};

/// The fake homeserver. A clone is the same server.
#[derive(Clone)]
pub struct FakeMatrix {
    shared: Arc<Shared>,
}

struct Shared {
    server: Mutex<Homeserver>,
    faults: Mutex<FaultPlan>,
    journal: Mutex<Journal>,
    pushers: Pushers,
    news: watch::Sender<News>,
    /// Whether a task does what is due later.
    scheduled: AtomicBool,
}

/// What those who wait for something watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct News {
    /// How far the stream has come.
    position: u64,
    /// How often connections were cut.
    cuts: u64,
    /// Whether the server does not answer.
    down: bool,
}

impl std::fmt::Debug for FakeMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeMatrix")
            .field("server", &*self.server())
            .finish_non_exhaustive()
    }
}

impl FakeMatrix {
    /// A homeserver of this name: open registration, no limits, no users, and no application service.
    ///
    /// # Panics
    /// When the name is not a server name.
    pub fn new(server_name: &str) -> Self {
        Self::builder(server_name).build()
    }

    /// A homeserver to be described further.
    pub fn builder(server_name: &str) -> FakeMatrixBuilder {
        FakeMatrixBuilder::new(server_name)
    }

    fn with(server: Homeserver) -> Self {
        let news = News {
            position: server.position,
            ..News::default()
        };
        Self {
            shared: Arc::new(Shared {
                server: Mutex::new(server),
                faults: Mutex::default(),
                journal: Mutex::default(),
                pushers: Pushers::default(),
                news: watch::Sender::new(news),
                scheduled: AtomicBool::new(false),
            }),
        }
    }

    fn server(&self) -> MutexGuard<'_, Homeserver> {
        self.shared.server()
    }

    fn plan_lock(&self) -> MutexGuard<'_, FaultPlan> {
        lock(&self.shared.faults)
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        lock(&self.shared.journal)
    }

    /// The largest upload in bytes.
    pub fn max_upload_bytes(&self) -> u64 {
        self.server().max_upload_bytes()
    }

    // ---- misbehaviour ----

    /// Queues a fault.
    ///
    /// # Panics
    /// When the fault does not say what happens.
    pub fn plan(&self, fault: Fault) {
        self.plan_lock().add(fault);
    }

    /// Queues a fault that exists only on the wire, for the next requests with this method and path (`*` at the end
    /// of the path stands for anything). Only a served fake meets it.
    pub fn plan_wire(&self, method: &str, path: &str, times: Option<u32>, fault: WireFault) {
        self.plan_lock()
            .wire
            .push(wire_fault::PlannedWireFault::new(method, path, times, fault));
    }

    /// Takes the wire fault that is planned for a request.
    pub fn take_wire_fault(&self, method: &str, path: &str) -> Option<WireFault> {
        self.plan_lock()
            .wire
            .iter_mut()
            .find_map(|fault| fault.strike(method, path))
    }

    /// The faults that no call, or not enough calls, met.
    pub fn unused_faults(&self) -> Vec<String> {
        self.plan_lock().unused()
    }

    /// Takes all planned faults back.
    pub fn clear_faults(&self) {
        self.plan_lock().clear();
    }

    /// # Panics
    /// When a planned fault was not met.
    #[track_caller]
    pub fn assert_faults_used(&self) {
        let unused = self.unused_faults();
        assert!(unused.is_empty(), "planned faults that no call met: {unused:#?}");
    }

    /// Stops answering: calls fail with `Connect`, and those that wait are cut.
    pub fn down(&self) {
        self.shared.news.send_modify(|news| {
            news.down = true;
            news.cuts += 1;
        });
    }

    /// Answers again after [`down`](Self::down).
    pub fn up(&self) {
        self.shared.news.send_modify(|news| news.down = false);
    }

    /// Whether it does not answer.
    pub fn is_down(&self) -> bool {
        self.shared.news.borrow().down
    }

    /// Restarts: calls that wait are cut, and what Synapse holds in memory alone is forgotten: transaction ids of
    /// application services that assert no device, rate limits, nonces, typing notices. Everything else stays.
    pub fn restart(&self) {
        self.server().restart();
        self.shared.news.send_modify(|news| news.cuts += 1);
        self.announce();
    }

    /// Starts over as an empty server with the same settings, as after a reset of its database: users, rooms and
    /// tokens are gone, and transactions to application services count from 1 again.
    pub fn wipe(&self) {
        {
            let mut server = self.server();
            let settings = server.settings.clone();
            let clock = server.clock;
            *server = Homeserver::new(settings);
            server.clock = clock;
            // Not the same ids once more: the new rooms are other rooms.
            server.settings.seed = server.settings.seed.wrapping_add(1);
            server.ids = ids::Ids::new(server.settings.seed);
        }
        self.shared.news.send_modify(|news| news.cuts += 1);
        self.announce();
    }

    // ---- the journal ----

    /// All calls, in the order in which they came.
    pub fn calls(&self) -> Vec<Call> {
        self.journal().calls().to_vec()
    }

    /// The calls of a method.
    pub fn calls_of(&self, method: &str) -> Vec<Call> {
        self.journal()
            .calls()
            .iter()
            .filter(|call| call.method == method)
            .cloned()
            .collect()
    }

    /// How often a method was called.
    pub fn count(&self, method: &str) -> usize {
        self.journal()
            .calls()
            .iter()
            .filter(|call| call.method == method)
            .count()
    }

    /// How many calls there were at all.
    pub fn call_count(&self) -> usize {
        self.journal().calls().len()
    }

    /// Forgets the calls so far.
    pub fn clear_journal(&self) {
        self.journal().clear();
    }

    /// Wakes those who wait for news, if there are any.
    fn announce(&self) {
        self.shared.announce();
    }
}

impl Shared {
    fn server(&self) -> MutexGuard<'_, Homeserver> {
        lock(&self.server)
    }

    fn announce(&self) {
        let position = self.server().position;
        self.news.send_if_modified(|news| {
            let changed = news.position != position;
            news.position = position;
            changed
        });
    }
}

/// A poisoned lock means that a test has failed already; its own message is the one to show.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
