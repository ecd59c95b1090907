//! Sessions of the users that speak.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use accounts::Accounts;
use matrix_client::{LoginRequest, MatrixApi, MatrixError, MatrixErrorKind, Session};
use ruma::{OwnedDeviceId, OwnedUserId, UserId};

use super::StageError;

/// The device that an application service's users speak on.
const DEVICE_ID: &str = "LETTAMATRIX";

/// Sessions of the users that speak.
///
/// An application service needs no device, but the homeserver remembers the transaction ids of one over its own
/// restarts. So each user that speaks is given one, where the homeserver lets us: with one login in the life of the
/// process.
#[derive(Debug)]
pub(crate) struct Speakers {
    accounts: Arc<dyn Accounts>,
    matrix: Arc<dyn MatrixApi>,
    /// What came of it. `None`: this user goes without.
    devices: Mutex<HashMap<OwnedUserId, Option<OwnedDeviceId>>>,
}

impl Speakers {
    pub(crate) fn new(accounts: Arc<dyn Accounts>, matrix: Arc<dyn MatrixApi>) -> Self {
        Self {
            accounts,
            matrix,
            devices: Mutex::default(),
        }
    }

    /// The bridge's own user.
    pub(crate) fn bot(&self) -> &UserId {
        self.accounts.bot()
    }

    /// A session of a user.
    pub(crate) async fn session(&self, user: &UserId) -> Result<Session, StageError> {
        let session = self.accounts.session(user).await.map_err(StageError::Account)?;
        if !session.is_appservice() || session.device_id.is_some() || user == self.bot() {
            return Ok(session);
        }
        let known = self.devices().get(user).cloned();
        let device = match known {
            Some(device) => device,
            None => self.make_device(&session).await,
        };
        Ok(match device {
            Some(device) => session.with_device(device),
            None => session,
        })
    }

    async fn make_device(&self, session: &Session) -> Option<OwnedDeviceId> {
        let login = LoginRequest::as_appservice(&*session.user_id, session.token().clone())
            .device_id(DEVICE_ID)
            .initial_device_display_name("letta-matrix");
        let device = match self.matrix.login(&login).await {
            Ok(made) => made.device_id,
            // It may be different the next time.
            Err(error) if error.is_retryable() => return None,
            Err(error) => {
                tracing::debug!(user.id = %session.user_id, %error, "no device for an agent's user: it goes without");
                None
            }
        };
        self.devices().insert(session.user_id.clone(), device.clone());
        device
    }

    /// Whether a refused session can be replaced by asking for it again.
    pub(crate) async fn replaces(&self, session: &Session, error: &MatrixError) -> Result<bool, StageError> {
        if session.device_id.is_some() && error.errcode() == Some("M_UNKNOWN_DEVICE") {
            self.devices().remove(&session.user_id);
            return Ok(true);
        }
        if !matches!(error.kind(), MatrixErrorKind::Unauthorized { .. }) {
            return Ok(false);
        }
        self.accounts.forget(session).await.map_err(StageError::Account)
    }

    fn devices(&self) -> std::sync::MutexGuard<'_, HashMap<OwnedUserId, Option<OwnedDeviceId>>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
