//! Users that an application service speaks for.

use std::sync::Arc;

use async_trait::async_trait;
use matrix_client::{Appservice, MatrixApi, MatrixErrorKind, Registration, Session};
use ruma::UserId;

use crate::{AccountError, Accounts};

/// The users of an application service: it speaks for all of them, and nobody ever logs in.
#[derive(Debug, Clone)]
pub struct AppserviceAccounts {
    matrix: Arc<dyn MatrixApi>,
    appservice: Appservice,
}

impl AppserviceAccounts {
    /// The users of this application service.
    pub fn new(matrix: Arc<dyn MatrixApi>, appservice: Appservice) -> Self {
        Self { matrix, appservice }
    }
}

#[async_trait]
impl Accounts for AppserviceAccounts {
    fn bot(&self) -> &UserId {
        &self.appservice.sender
    }

    async fn register(&self, user: &UserId) -> Result<bool, AccountError> {
        let registration =
            Registration::appservice(user.localpart(), self.appservice.token.clone()).inhibit_login(true);
        match self.matrix.register(&registration).await {
            Ok(_) => Ok(true),
            Err(error) if *error.kind() == MatrixErrorKind::UserInUse => Ok(false),
            Err(error) => Err(AccountError::Matrix(error)),
        }
    }

    async fn session(&self, user: &UserId) -> Result<Session, AccountError> {
        Ok(self.appservice.act_as(user))
    }

    async fn forget(&self, _session: &Session) -> Result<bool, AccountError> {
        Ok(false)
    }
}
