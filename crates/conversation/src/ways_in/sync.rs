//! Asking for the news of accounts, where nobody pushes.

mod answer;
mod outage;
mod user;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use accounts::Accounts;
use futures_util::FutureExt;
use matrix_client::MatrixApi;
use ruma::OwnedUserId;
use store::Clock;
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::sleep,
};

use self::{outage::Outages, user::UserReader};
use super::{Backoff, Inbox};

/// How long a reader that failed by a mistake in the program is left alone.
const PANIC_PAUSE: Duration = Duration::from_secs(60);

/// How syncs are made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SyncSettings {
    /// How long the homeserver is to wait for news.
    pub poll: Duration,
    /// How many events of a room one answer may have.
    pub timeline: u32,
    /// How many events are asked for at once when an answer left some out.
    pub page: u32,
    /// How many such pages of a room are read at most.
    pub pages: u32,
    /// How old the remembered place may become while nothing happens. Only what happened since is read again after a
    /// restart, so this saves writes and loses nothing.
    pub remember_every: Duration,
}

impl Default for SyncSettings {
    /// Polls of 30 seconds, 50 events, pages of 100 events and 50 of them, ten minutes.
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(30),
            timeline: 50,
            page: 100,
            pages: 50,
            remember_every: Duration::from_secs(10 * 60),
        }
    }
}

/// Reads the news of each agent's account with a long poll of its own, and puts them into the inbox.
///
/// - **At first** nothing old is taken: what was said before the first sync of an account is not for its agent. Pending
///   invitations are.
/// - **After that** nothing is lost. The place that was read up to is written together with the events, so that it goes
///   on right there after a restart. Where an answer leaves events out, they are read from the room's history before
///   the place moves; if they are too many, the oldest are given up, with a warning.
/// - **What was said before the agent joined** a room is not for it, even if it may be read.
/// - **An invitation** has no id. It becomes an `m.room.member` event with one that is derived from room, users and
///   place, with what is known of the room in `unsigned.invite_room_state`.
/// - **A homeserver that does not know the place any more**, because its database was set back, is read as if for the
///   first time: what was said between the last answer and then is not seen.
///
/// Several agents in a room each read the same event; the inbox has it once.
#[derive(Debug)]
pub struct SyncReader {
    parts: Arc<Parts>,
}

/// What all readers share.
#[derive(Debug)]
struct Parts {
    matrix: Arc<dyn MatrixApi>,
    accounts: Arc<dyn Accounts>,
    inbox: Arc<Inbox>,
    clock: Arc<dyn Clock>,
    backoff: Backoff,
    settings: SyncSettings,
    outages: Outages,
}

impl SyncReader {
    /// A reader of these accounts. What fails is tried again with these waits.
    pub fn new(
        matrix: Arc<dyn MatrixApi>,
        accounts: Arc<dyn Accounts>,
        inbox: Arc<Inbox>,
        clock: Arc<dyn Clock>,
        backoff: Backoff,
        settings: SyncSettings,
    ) -> Self {
        Self {
            parts: Arc::new(Parts {
                matrix,
                accounts,
                inbox,
                clock,
                backoff,
                settings,
                outages: Outages::default(),
            }),
        }
    }

    /// Reads until `stop` is ready. A user that is added to the set is read from then on, one that is gone no longer.
    pub async fn run(
        self,
        mut users: watch::Receiver<BTreeSet<OwnedUserId>>,
        stop: impl Future<Output = ()>,
    ) {
        let mut stop = pin!(stop);
        let mut tasks = JoinSet::new();
        let mut handles: BTreeMap<OwnedUserId, AbortHandle> = BTreeMap::new();
        loop {
            let wanted = users.borrow_and_update().clone();
            handles.retain(|user, handle| {
                let is_wanted = wanted.contains(user);
                if !is_wanted {
                    handle.abort();
                    self.parts.outages.forget(user);
                }
                is_wanted
            });
            for user in wanted {
                let reader = || UserReader::new(Arc::clone(&self.parts), user.clone());
                handles
                    .entry(user.clone())
                    .or_insert_with(|| tasks.spawn(read(reader())));
            }
            // They end only when they are aborted.
            while tasks.try_join_next().is_some() {}
            tokio::select! {
                () = &mut stop => break,
                changed = users.changed() => if changed.is_err() {
                    stop.as_mut().await;
                    break;
                }
            }
        }
        tasks.shutdown().await;
    }
}

/// Reads for ever.
async fn read(mut reader: UserReader) {
    loop {
        if AssertUnwindSafe(reader.read()).catch_unwind().await.is_err() {
            tracing::error!(user.id = %reader.user(), "reading an account's news was ended by a mistake in the program");
            sleep(PANIC_PAUSE).await;
        }
    }
}
