//! Users, their devices and tokens.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    homeserver::Homeserver,
    refusal::{Answer, Object, Refusal},
    requester::{Credentials, Requester},
};

/// Everything about users. Profiles are apart from accounts: each can exist without the other.
#[derive(Default)]
pub(super) struct Accounts {
    pub(super) users: BTreeMap<String, Account>,
    pub(super) profiles: BTreeMap<String, StoredProfile>,
    pub(super) tokens: BTreeMap<String, AccessToken>,
    pub(super) refresh_tokens: BTreeMap<String, RefreshToken>,
    /// Nonces of shared-secret registrations; lost with a restart.
    pub(super) nonces: Vec<String>,
    /// Sessions of user-interactive authentication and the stages that are done; lost with a restart.
    pub(super) sessions: BTreeMap<String, Vec<String>>,
    next_guest: u64,
}

#[derive(Default)]
pub(super) struct Account {
    pub(super) user_id: String,
    pub(super) password: Option<String>,
    pub(super) admin: bool,
    pub(super) deactivated: bool,
    pub(super) erased: bool,
    pub(super) created_ms: u64,
    pub(super) appservice_id: Option<String>,
    pub(super) devices: BTreeMap<String, Device>,
    /// Messages per second and burst count, where an administrator set them.
    pub(super) rate_limit: Option<(u32, u32)>,
    pub(super) filters: Vec<Object>,
    /// By room (empty: not of a room) and type, with the position of the change.
    pub(super) data: BTreeMap<(String, String), (Object, u64)>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Device {
    pub(super) display_name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct StoredProfile {
    pub(super) display_name: Option<String>,
    pub(super) avatar_url: Option<String>,
}

pub(super) struct AccessToken {
    pub(super) user_id: String,
    pub(super) device_id: Option<String>,
    pub(super) expires_ms: Option<u64>,
    refresh_token: Option<String>,
}

pub(super) struct RefreshToken {
    user_id: String,
    device_id: String,
}

/// What a user is made with.
#[derive(Default)]
pub(super) struct NewAccount<'a> {
    pub(super) localpart: &'a str,
    pub(super) password: Option<String>,
    pub(super) display_name: Option<String>,
    pub(super) admin: bool,
    pub(super) appservice_id: Option<String>,
}

impl Homeserver {
    /// `@localpart:server`, or the text itself if it is a full id.
    pub(super) fn full_user_id(&self, user: &str) -> String {
        if user.starts_with('@') {
            user.to_owned()
        } else {
            format!("@{user}:{}", self.settings.server_name)
        }
    }

    /// Whether the user, room alias or the like belongs to this server.
    pub(super) fn is_local(&self, id: &str) -> bool {
        id.split_once(':')
            .is_some_and(|(_, server)| server == self.settings.server_name)
    }

    pub(super) fn add_account(&mut self, new: NewAccount<'_>) -> String {
        let user_id = self.full_user_id(new.localpart);
        let display_name = new.display_name.unwrap_or_else(|| new.localpart.to_owned());
        let account = Account {
            user_id: user_id.clone(),
            password: new.password,
            admin: new.admin,
            created_ms: self.now_ms(),
            appservice_id: new.appservice_id,
            ..Account::default()
        };
        self.accounts.users.insert(user_id.clone(), account);
        let profile = StoredProfile {
            display_name: Some(display_name),
            avatar_url: None,
        };
        self.accounts.profiles.insert(user_id.clone(), profile);
        user_id
    }

    /// Makes a token for a device, which is made where it does not exist. Its earlier tokens stay valid.
    pub(super) fn add_session(
        &mut self,
        user_id: &str,
        device_id: Option<&str>,
        device_name: Option<&str>,
        refreshable: bool,
    ) -> Object {
        let device_id = device_id.map_or_else(|| self.ids.device(), ToOwned::to_owned);
        if let Some(account) = self.accounts.users.get_mut(user_id) {
            let device = account.devices.entry(device_id.clone()).or_default();
            device.display_name = device
                .display_name
                .take()
                .or_else(|| device_name.map(ToOwned::to_owned));
        }
        let mut session = self.add_token(user_id, &device_id, refreshable);
        session.insert("device_id".to_owned(), json!(device_id));
        session.insert("user_id".to_owned(), json!(user_id));
        session.insert("home_server".to_owned(), json!(self.settings.server_name));
        session
    }

    fn add_token(&mut self, user_id: &str, device_id: &str, refreshable: bool) -> Object {
        let localpart = localpart_of(user_id).to_owned();
        let access_token = self.ids.access_token(&localpart);
        let mut answer = Object::new();
        answer.insert("access_token".to_owned(), json!(access_token));
        let mut token = AccessToken {
            user_id: user_id.to_owned(),
            device_id: Some(device_id.to_owned()),
            expires_ms: None,
            refresh_token: None,
        };
        if refreshable {
            let lifetime = u64::try_from(self.settings.token_lifetime.as_millis()).unwrap_or(u64::MAX / 4);
            let refresh_token = self.ids.refresh_token(&localpart);
            let owner = RefreshToken {
                user_id: user_id.to_owned(),
                device_id: device_id.to_owned(),
            };
            self.accounts.refresh_tokens.insert(refresh_token.clone(), owner);
            token.expires_ms = Some(self.now_ms() + lifetime);
            token.refresh_token = Some(refresh_token.clone());
            answer.insert("expires_in_ms".to_owned(), json!(lifetime));
            answer.insert("refresh_token".to_owned(), json!(refresh_token));
        }
        self.accounts.tokens.insert(access_token, token);
        answer
    }

    fn drop_tokens(&mut self, which: impl Fn(&AccessToken) -> bool) {
        let refresh_tokens = &mut self.accounts.refresh_tokens;
        self.accounts.tokens.retain(|_, token| {
            let drop = which(token);
            if let (true, Some(refresh_token)) = (drop, &token.refresh_token) {
                refresh_tokens.remove(refresh_token);
            }
            !drop
        });
        self.touch();
    }

    /// `GET /login`
    pub fn login_flows(&self) -> Value {
        json!({ "flows": [{ "type": "m.login.password" }, { "type": "m.login.application_service" }] })
    }

    /// `POST /login`
    pub fn login(&mut self, credentials: &Credentials, body: &Object) -> Answer<Object> {
        let kind = body.get("type").and_then(Value::as_str);
        let kind = kind.ok_or_else(|| Refusal::bad("Missing JSON keys."))?;
        let user_id = match kind {
            "m.login.password" => self.check_password(body)?,
            "m.login.application_service" => self.check_appservice_login(credentials, body)?,
            other => return Err(Refusal::bad(format!("Unknown login type {other}"))),
        };
        let refreshable = body
            .get("refresh_token")
            .and_then(Value::as_bool)
            .unwrap_or_default();
        let mut session = self.add_session(
            &user_id,
            text(body, "device_id"),
            text(body, "initial_device_display_name"),
            refreshable,
        );
        if let Some(base_url) = &self.settings.base_url {
            session.insert(
                "well_known".to_owned(),
                json!({ "m.homeserver": { "base_url": base_url } }),
            );
        }
        Ok(session)
    }

    fn login_user(body: &Object) -> Answer<String> {
        let Some(identifier) = body.get("identifier").and_then(Value::as_object) else {
            let user = text(body, "user").map(ToOwned::to_owned);
            return user.ok_or_else(|| Refusal::invalid_param("Invalid login submission"));
        };
        match text(identifier, "type") {
            Some("m.id.user") => {
                let user = text(identifier, "user").map(ToOwned::to_owned);
                user.ok_or_else(|| Refusal::bad("User identifier is missing 'user' key"))
            }
            // Addresses and phone numbers: nobody has any.
            Some("m.id.thirdparty" | "m.id.phone") => Err(Refusal::forbidden("Invalid username or password")),
            Some(_) => Err(Refusal::bad("Unknown login identifier type")),
            None => Err(Refusal::invalid_param("Invalid login submission")),
        }
    }

    fn check_password(&mut self, body: &Object) -> Answer<String> {
        self.limits
            .check_login_address(&self.settings, self.clock.elapsed())?;
        let user = Self::login_user(body)?;
        let password = text(body, "password");
        let password = password.ok_or_else(|| Refusal::invalid_param("Bad parameter: password"))?;
        let user_id = self.known_spelling(self.full_user_id(&user));
        self.limits
            .check_login_account(&self.settings, self.clock.elapsed(), &user_id)?;
        let account = self.accounts.users.get(&user_id);
        let account = account.filter(|account| !account.deactivated);
        match account.and_then(|account| account.password.as_deref()) {
            Some(expected) if expected == password => Ok(user_id),
            _ => Err(Refusal::forbidden("Invalid username or password")),
        }
    }

    /// The user of this name whatever the case of its letters, if there is no other.
    fn known_spelling(&self, user_id: String) -> String {
        if self.accounts.users.contains_key(&user_id) {
            return user_id;
        }
        let mut alike = self
            .accounts
            .users
            .keys()
            .filter(|known| known.eq_ignore_ascii_case(&user_id));
        match (alike.next(), alike.next()) {
            (Some(known), None) => known.clone(),
            _ => user_id,
        }
    }

    fn check_appservice_login(&mut self, credentials: &Credentials, body: &Object) -> Answer<String> {
        let words = "Invalid access token passed.";
        let index = self.appservice_by_token(credentials, words)?;
        if self.appservices[index].rate_limited {
            self.limits
                .check_login_address(&self.settings, self.clock.elapsed())?;
        }
        let user_id = self.full_user_id(&Self::login_user(body)?);
        if !self.appservices[index].has_user(&user_id) {
            return Err(Refusal::forbidden("Invalid access_token"));
        }
        if self.accounts.users.contains_key(&user_id) {
            Ok(user_id)
        } else {
            Err(Refusal::new(404, "M_UNKNOWN", "No row found (users)"))
        }
    }

    /// The application service of a token that must be one of an application service.
    pub(super) fn appservice_by_token(&self, credentials: &Credentials, unknown: &str) -> Answer<usize> {
        let token = credentials.token.as_deref().filter(|token| !token.is_empty());
        let token = token.ok_or_else(Refusal::missing_token)?;
        let found = self
            .appservices
            .iter()
            .position(|appservice| appservice.as_token == token);
        found.ok_or_else(|| Refusal::unknown_token(unknown, false))
    }

    /// `GET /account/whoami`
    pub fn whoami(&self, who: &Requester) -> Object {
        let mut answer = Object::new();
        answer.insert("user_id".to_owned(), json!(who.user_id));
        answer.insert("is_guest".to_owned(), json!(false));
        if let Some(device_id) = &who.device_id {
            answer.insert("device_id".to_owned(), json!(device_id));
        }
        answer
    }

    /// `POST /logout`
    pub fn logout(&mut self, who: &Requester) -> Answer<()> {
        if who.appservice_id.is_some() {
            return Err(Refusal::new(401, "M_UNKNOWN", "Unrecognised access token"));
        }
        match &who.device_id {
            Some(device_id) => self.remove_device(&who.user_id, device_id),
            None => self.drop_tokens(|token| token.user_id == who.user_id && token.device_id.is_none()),
        }
        Ok(())
    }

    /// `POST /logout/all`
    pub fn logout_all(&mut self, who: &Requester) {
        self.drop_tokens(|token| token.user_id == who.user_id);
        if let Some(account) = self.accounts.users.get_mut(&who.user_id) {
            account.devices.clear();
        }
    }

    /// Removes a device with its tokens.
    pub(super) fn remove_device(&mut self, user_id: &str, device_id: &str) {
        self.drop_tokens(|token| token.user_id == user_id && token.device_id.as_deref() == Some(device_id));
        if let Some(account) = self.accounts.users.get_mut(user_id) {
            account.devices.remove(device_id);
        }
    }

    /// `POST /refresh`
    pub fn refresh(&mut self, body: &Object) -> Answer<Object> {
        let token = text(body, "refresh_token").ok_or_else(|| Refusal::missing_param("refresh_token"))?;
        let owner = self.accounts.refresh_tokens.remove(token);
        let owner = owner.ok_or_else(|| Refusal::new(401, "M_UNKNOWN_TOKEN", "invalid refresh token"))?;
        self.drop_tokens(|token| {
            token.user_id == owner.user_id && token.device_id.as_deref() == Some(&owner.device_id)
        });
        Ok(self.add_token(&owner.user_id, &owner.device_id, true))
    }

    /// Ends a user for good. The name stays taken.
    pub(super) fn deactivate(&mut self, user_id: &str, erase: bool) {
        self.drop_tokens(|token| token.user_id == user_id);
        if let Some(account) = self.accounts.users.get_mut(user_id) {
            account.deactivated = true;
            account.erased = erase;
            account.password = None;
            account.devices.clear();
        }
        if erase {
            self.accounts.profiles.remove(user_id);
        }
        self.leave_everything(user_id);
    }

    /// A localpart that the server chooses.
    pub(super) fn next_numeric_localpart(&mut self) -> String {
        self.accounts.next_guest += 1;
        self.accounts.next_guest.to_string()
    }
}

/// The part between `@` and the first colon.
pub(super) fn localpart_of(user_id: &str) -> &str {
    let name = user_id.strip_prefix('@').unwrap_or(user_id);
    name.split_once(':').map_or(name, |(localpart, _)| localpart)
}

/// A field that is a string.
pub(super) fn text<'a>(body: &'a Object, key: &str) -> Option<&'a str> {
    body.get(key).and_then(Value::as_str)
}
