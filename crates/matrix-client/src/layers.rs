//! Decorators: implementations of [`MatrixApi`] around another one. References and smart pointers to an
//! implementation are implementations as well.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ruma::{OwnedUserId, UserId};

use crate::{MatrixApi, MatrixError, MatrixErrorKind, Result, Session};

mod forward;

/// Lets calls that only read through, and refuses all others with the error
/// [`ReadOnly`](MatrixErrorKind::ReadOnly). What was refused is recorded, so it can be shown what would have been done.
///
/// [`sync`](MatrixApi::sync) counts as reading.
///
/// ```
/// # async fn example<M: matrix_client::MatrixApi>(matrix: M, session: matrix_client::Session) {
/// use matrix_client::{MatrixApi, MatrixErrorKind, NewRoom, layers::ReadOnly};
///
/// let dry = ReadOnly::new(matrix);
/// let error = dry.create_room(&session, &NewRoom::room()).await.expect_err("refused");
/// assert_eq!(error.kind(), &MatrixErrorKind::ReadOnly);
/// assert_eq!(dry.refused()[0].call, "create_room");
/// # }
/// ```
#[derive(Debug)]
pub struct ReadOnly<T> {
    inner: T,
    refused: Mutex<Vec<RefusedCall>>,
}

/// A call that [`ReadOnly`] refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedCall {
    /// The call, such as `create_room`.
    pub call: &'static str,
    /// Who would have acted; registrations and logins have no session yet.
    pub user_id: Option<OwnedUserId>,
}

impl<T> ReadOnly<T> {
    /// Only lets calls through to `inner` that read.
    pub fn new(inner: T) -> Self {
        Self {
            inner,
            refused: Mutex::new(Vec::new()),
        }
    }

    /// What was refused so far, in order.
    pub fn refused(&self) -> Vec<RefusedCall> {
        lock(&self.refused).clone()
    }

    /// The implementation inside.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

/// Counts the calls by name, whatever comes of them.
///
/// Calls, not requests: an implementation may send several requests for a call. See
#[cfg_attr(
    feature = "http",
    doc = "[`HttpMatrix::requests`](crate::HttpMatrix::requests) for those."
)]
#[cfg_attr(not(feature = "http"), doc = "`HttpMatrix::requests` for those.")]
#[derive(Debug)]
pub struct Counted<T> {
    inner: T,
    calls: Mutex<BTreeMap<&'static str, u64>>,
}

impl<T> Counted<T> {
    /// Counts the calls to `inner`.
    pub fn new(inner: T) -> Self {
        Self {
            inner,
            calls: Mutex::new(BTreeMap::new()),
        }
    }

    /// How often each call was made so far. Calls that were never made are not in it.
    pub fn calls(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.calls).clone()
    }

    /// How many calls were made so far.
    pub fn total(&self) -> u64 {
        lock(&self.calls).values().sum()
    }

    /// The implementation inside.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

/// Nothing that holds one of these locks can leave the value half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call on its way to the inner implementation.
#[derive(Clone, Copy, Debug)]
struct Call<'a> {
    name: &'static str,
    changes: bool,
    user_id: Option<&'a UserId>,
}

impl<'a> Call<'a> {
    fn read(name: &'static str, session: Option<&'a Session>) -> Self {
        Self {
            name,
            changes: false,
            user_id: session.map(|session| &*session.user_id),
        }
    }

    fn change(name: &'static str, session: Option<&'a Session>) -> Self {
        Self {
            changes: true,
            ..Self::read(name, session)
        }
    }
}

/// What stands in front of an implementation: the calls of [`MatrixApi`] are written once, in [`forward`].
trait Layer: Send + Sync {
    type Inner: MatrixApi + ?Sized;

    fn inner(&self) -> &Self::Inner;

    /// Sees each call before it goes on, and may stop it.
    fn before(&self, call: Call<'_>) -> Result<()>;
}

impl<T: MatrixApi> Layer for ReadOnly<T> {
    type Inner = T;

    fn inner(&self) -> &T {
        &self.inner
    }

    fn before(&self, call: Call<'_>) -> Result<()> {
        if !call.changes {
            return Ok(());
        }
        let user_id = call.user_id.map(ToOwned::to_owned);
        lock(&self.refused).push(RefusedCall {
            call: call.name,
            user_id,
        });
        Err(MatrixError::new(MatrixErrorKind::ReadOnly, "").with_call(call.name))
    }
}

impl<T: MatrixApi> Layer for Counted<T> {
    type Inner = T;

    fn inner(&self) -> &T {
        &self.inner
    }

    fn before(&self, call: Call<'_>) -> Result<()> {
        *lock(&self.calls).entry(call.name).or_default() += 1;
        Ok(())
    }
}

macro_rules! transparent {
    ($pointer:ty) => {
        impl<T: MatrixApi + ?Sized> Layer for $pointer {
            type Inner = T;

            fn inner(&self) -> &T {
                self
            }

            fn before(&self, _call: Call<'_>) -> Result<()> {
                Ok(())
            }
        }

        forward::matrix_api!([T: MatrixApi + ?Sized] $pointer);
    };
}

transparent!(&T);
transparent!(Box<T>);
transparent!(Arc<T>);
forward::matrix_api!([T: MatrixApi] ReadOnly<T>);
forward::matrix_api!([T: MatrixApi] Counted<T>);

#[cfg(all(test, feature = "mock"))]
mod tests {
    use ruma::{owned_user_id, room_id};
    use serde_json::json;

    use super::*;
    use crate::{MockMatrixApi, NewRoom, StateEventType, Versions};

    fn session() -> Session {
        Session::with_access_token(owned_user_id!("@admin:matrix.test"), "token-for-tests".into())
    }

    fn mock() -> MockMatrixApi {
        let mut mock = MockMatrixApi::new();
        mock.expect_versions()
            .returning(|| Box::pin(async { Ok(Versions::default()) }));
        mock.expect_get_state_event()
            .returning(|_, _, _, _| Box::pin(async { Ok(json!({ "name": "x" })) }));
        mock
    }

    #[tokio::test]
    async fn read_only_lets_reads_through_and_records_what_it_refuses() {
        let dry = ReadOnly::new(mock());
        dry.versions().await.expect("versions");
        let room = room_id!("!testroom:matrix.test");
        let state = dry
            .get_state_event(&session(), room, &StateEventType::RoomName, "")
            .await
            .expect("state");
        assert_eq!(state, json!({ "name": "x" }));
        // The mock would panic if one of these came through.
        let created = dry
            .create_room(&session(), &NewRoom::room())
            .await
            .expect_err("refused");
        let named = dry
            .set_state_event(&session(), room, &StateEventType::RoomName, "", &state)
            .await;
        for (error, call) in [
            (created, "create_room"),
            (named.expect_err("refused"), "set_state_event"),
        ] {
            assert_eq!(
                (error.kind(), error.call()),
                (&MatrixErrorKind::ReadOnly, Some(call))
            );
            assert!(!error.is_retryable() && !error.may_have_applied());
        }
        let user_id = Some(session().user_id);
        let refused = |call| RefusedCall {
            call,
            user_id: user_id.clone(),
        };
        assert_eq!(
            dry.refused(),
            [refused("create_room"), refused("set_state_event")]
        );
    }

    #[tokio::test]
    async fn counted_counts_by_name() {
        let counted = Counted::new(Arc::new(mock()));
        counted.versions().await.expect("versions");
        counted.versions().await.expect("versions");
        let room = room_id!("!testroom:matrix.test");
        counted
            .get_state_event(&session(), room, &StateEventType::RoomName, "")
            .await
            .expect("state");
        assert_eq!(
            counted.calls(),
            BTreeMap::from([("get_state_event", 1), ("versions", 2)])
        );
        assert_eq!(counted.total(), 3);
    }

    #[tokio::test]
    async fn pointers_to_an_implementation_are_implementations() {
        async fn ask(matrix: impl MatrixApi) {
            matrix.versions().await.expect("versions");
        }
        let shared: Arc<dyn MatrixApi> = Arc::new(mock());
        ask(&shared).await;
        ask(Arc::clone(&shared)).await;
        ask(Box::new(shared) as Box<dyn MatrixApi>).await;
    }
}
