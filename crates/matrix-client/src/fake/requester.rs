//! Who asks, and by what right.

use super::{
    homeserver::Homeserver,
    refusal::{Answer, Refusal},
};

/// What a request carries to say who asks: its token, and what an application service adds to it.
#[derive(Clone, Default)]
pub struct Credentials {
    /// The access token or the application service's token.
    pub token: Option<String>,
    /// `?user_id=`
    pub user_id: Option<String>,
    /// `?device_id=`
    pub device_id: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("user_id", &self.user_id)
            .field("device_id", &self.device_id)
            .finish()
    }
}

/// Who asks, as the server found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requester {
    /// The user.
    pub user_id: String,
    /// The device, where there is one.
    pub device_id: Option<String>,
    /// The id of the application service that speaks for the user.
    pub appservice_id: Option<String>,
    /// Whether the user is a server administrator.
    pub is_admin: bool,
    /// Whether an application service speaks as its own sender.
    pub is_sender: bool,
}

impl Homeserver {
    /// Finds out who asks.
    pub fn authenticate(&self, credentials: &Credentials) -> Answer<Requester> {
        let token = credentials.token.as_deref().ok_or_else(Refusal::missing_token)?;
        if token.is_empty() {
            return Err(Refusal::new(
                401,
                "M_MISSING_TOKEN",
                "Invalid Authorization header.",
            ));
        }
        if let Some(appservice) = self
            .appservices
            .iter()
            .find(|appservice| appservice.as_token == token)
        {
            return self.authenticate_appservice(appservice, credentials);
        }
        let found = self.accounts.tokens.get(token);
        let found = found.ok_or_else(|| Refusal::unknown_token("Invalid access token passed.", false))?;
        if found.expires_ms.is_some_and(|expires| expires <= self.now_ms()) {
            return Err(Refusal::unknown_token("Access token has expired", true));
        }
        Ok(Requester {
            user_id: found.user_id.clone(),
            device_id: found.device_id.clone(),
            appservice_id: None,
            is_admin: self
                .accounts
                .users
                .get(&found.user_id)
                .is_some_and(|account| account.admin),
            is_sender: false,
        })
    }

    fn authenticate_appservice(
        &self,
        appservice: &super::appservice::Appservice,
        credentials: &Credentials,
    ) -> Answer<Requester> {
        let user_id = credentials.user_id.as_deref().unwrap_or(&appservice.sender);
        if user_id != appservice.sender {
            if !appservice.has_user(user_id) {
                let words = format!("Application service cannot masquerade as this user ({user_id}).");
                return Err(Refusal::forbidden(words));
            }
            if !self.accounts.users.contains_key(user_id) {
                let words = format!("Application service has not registered this user ({user_id})");
                return Err(Refusal::forbidden(words));
            }
        }
        if let Some(device_id) = &credentials.device_id {
            let account = self.accounts.users.get(user_id);
            if !account.is_some_and(|account| account.devices.contains_key(device_id)) {
                let words = format!(
                    "Application service trying to use a device that doesn't exist ('{device_id}' for {user_id})"
                );
                return Err(Refusal::new(400, "M_UNKNOWN_DEVICE", words));
            }
        }
        Ok(Requester {
            user_id: user_id.to_owned(),
            device_id: credentials.device_id.clone(),
            appservice_id: Some(appservice.id.clone()),
            is_admin: false,
            is_sender: user_id == appservice.sender,
        })
    }

    /// The same, and it must be a server administrator.
    pub fn authenticate_admin(&self, credentials: &Credentials) -> Answer<Requester> {
        let requester = self.authenticate(credentials)?;
        if requester.is_admin {
            Ok(requester)
        } else {
            Err(Refusal::forbidden("You are not a server admin"))
        }
    }

    /// Whom a token belongs to, if that can be told.
    pub(super) fn user_of(&self, credentials: &Credentials) -> Option<String> {
        self.authenticate(credentials)
            .ok()
            .map(|requester| requester.user_id)
    }
}
