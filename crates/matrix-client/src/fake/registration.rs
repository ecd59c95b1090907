//! How users come into being.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sha1::Sha1;

use super::{
    accounts::{NewAccount, text},
    homeserver::Homeserver,
    refusal::{Answer, Object, Refusal},
    requester::Credentials,
    settings::RegistrationPolicy,
};

const APPSERVICE: &str = "m.login.application_service";

impl Homeserver {
    /// `GET /register/available`
    pub fn is_username_available(&mut self, localpart: &str) -> Answer<()> {
        if matches!(self.settings.registration, RegistrationPolicy::Closed) {
            return Err(Refusal::forbidden("Registration has been disabled"));
        }
        self.check_localpart(localpart)
    }

    /// `POST /register`
    pub fn register(&mut self, credentials: &Credentials, body: &Object) -> Answer<Object> {
        self.limits
            .peek_registration(&self.settings, self.clock.elapsed())?;
        let username = match body.get("username") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) if name.chars().count() <= 512 => Some(name.as_str()),
            Some(_) => return Err(Refusal::bad("Invalid username")),
        };
        if text(body, "type") == Some(APPSERVICE) {
            return self.register_by_appservice(credentials, username, body);
        }
        if credentials.token.is_some() {
            return Err(Refusal::bad(
                "An access token should not be provided on requests to /register (except if type is \
                 m.login.application_service)",
            ));
        }
        if matches!(self.settings.registration, RegistrationPolicy::Closed) {
            return Err(Refusal::forbidden("Registration has been disabled"));
        }
        let username = username.map(str::to_lowercase);
        if let Some(username) = &username {
            self.check_localpart(username)?;
        }
        self.check_registration_stages(body)?;
        let password = text(body, "password")
            .ok_or_else(|| Refusal::missing_param("password"))?
            .to_owned();
        self.limits
            .count_registration(&self.settings, self.clock.elapsed())?;
        let username = match username {
            Some(username) => username,
            None => self.next_numeric_localpart(),
        };
        let new = NewAccount {
            localpart: &username,
            password: Some(password),
            ..NewAccount::default()
        };
        let user_id = self.add_account(new);
        Ok(self.registered(&user_id, body))
    }

    fn register_by_appservice(
        &mut self,
        credentials: &Credentials,
        username: Option<&str>,
        body: &Object,
    ) -> Answer<Object> {
        if credentials.token.is_none() {
            return Err(Refusal::bad(
                "Appservice token must be provided when using a type of m.login.application_service",
            ));
        }
        let username = username.ok_or_else(|| Refusal::bad("Desired Username is missing or not a string"))?;
        let appservice =
            &self.appservices[self.appservice_by_token(credentials, "Unrecognised access token")?];
        // Neither lower-cased nor checked in any way: so does Synapse.
        let user_id = format!("@{username}:{}", self.settings.server_name);
        if !appservice.has_user(&user_id) {
            return Err(Refusal::exclusive(
                "Invalid user localpart for this application service.",
            ));
        }
        let appservice_id = Some(appservice.id.clone());
        // Unlike for everyone else the case of letters makes a difference.
        if self.accounts.users.contains_key(&user_id) {
            return Err(Refusal::user_in_use());
        }
        self.add_account(NewAccount {
            localpart: username,
            appservice_id,
            ..NewAccount::default()
        });
        Ok(self.registered(&user_id, body))
    }

    fn registered(&mut self, user_id: &str, body: &Object) -> Object {
        if body
            .get("inhibit_login")
            .and_then(Value::as_bool)
            .unwrap_or_default()
        {
            let mut answer = Object::new();
            answer.insert("user_id".to_owned(), json!(user_id));
            answer.insert("home_server".to_owned(), json!(self.settings.server_name));
            return answer;
        }
        let refreshable = body
            .get("refresh_token")
            .and_then(Value::as_bool)
            .unwrap_or_default();
        self.add_session(
            user_id,
            text(body, "device_id"),
            text(body, "initial_device_display_name"),
            refreshable,
        )
    }

    /// Whether nobody else can have this name, whatever the case of its letters.
    fn name_is_taken(&self, user_id: &str) -> bool {
        self.accounts
            .users
            .keys()
            .any(|taken| taken.eq_ignore_ascii_case(user_id))
    }

    /// Whether an ordinary user may have this localpart.
    pub(super) fn check_localpart(&self, localpart: &str) -> Answer<()> {
        let is_allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '=' | '_' | '-' | '.' | '/' | '+');
        if !localpart.chars().all(is_allowed) {
            let words = "User ID can only contain characters a-z, 0-9, or '=_-./+'";
            return Err(Refusal::invalid_username(words));
        }
        if localpart.is_empty() {
            return Err(Refusal::invalid_username("User ID cannot be empty"));
        }
        if localpart.starts_with('_') {
            return Err(Refusal::invalid_username("User ID may not begin with _"));
        }
        let user_id = self.full_user_id(localpart);
        if self
            .appservices
            .iter()
            .any(|appservice| appservice.owns_user(&user_id))
        {
            return Err(Refusal::exclusive(
                "This user ID is reserved by an application service.",
            ));
        }
        if user_id.len() > 255 {
            return Err(Refusal::invalid_username(
                "User ID may not be longer than 255 characters",
            ));
        }
        if self.name_is_taken(&user_id) {
            return Err(Refusal::user_in_use());
        }
        if localpart.chars().all(|c| c.is_ascii_digit()) {
            return Err(Refusal::invalid_username(
                "Numeric user IDs are reserved for guest users.",
            ));
        }
        Ok(())
    }

    /// User-interactive authentication: passes when all stages are done, else says what is missing.
    fn check_registration_stages(&mut self, body: &Object) -> Answer<()> {
        let stages: &[&str] = match &self.settings.registration {
            RegistrationPolicy::Token(_) => &["m.login.registration_token", "m.login.dummy"],
            _ => &["m.login.dummy"],
        };
        let auth = body.get("auth").and_then(Value::as_object);
        let session = auth.and_then(|auth| text(auth, "session"));
        let mut done = match session {
            Some(session) => {
                let known = self.accounts.sessions.get(session).cloned();
                known.ok_or_else(|| Refusal::bad(format!("Unknown session ID: {session}")))?
            }
            None => Vec::new(),
        };
        let mut failed = None;
        if let (Some(auth), Some(stage)) = (auth, auth.and_then(|auth| text(auth, "type"))) {
            if !matches!(stage, "m.login.dummy" | "m.login.registration_token") {
                return Err(Refusal::invalid_param("Invalid login submission"));
            }
            match self.check_stage(stage, auth) {
                Ok(()) if done.iter().any(|other| other == stage) => {}
                Ok(()) => done.push(stage.to_owned()),
                Err(refusal) => failed = Some(refusal),
            }
        }
        if stages.iter().all(|stage| done.iter().any(|other| other == stage)) {
            return Ok(());
        }
        let session = session.map_or_else(|| self.ids.session(), ToOwned::to_owned);
        self.accounts.sessions.insert(session.clone(), done.clone());
        let mut refusal = Refusal::new(401, "", "");
        refusal.body.clear();
        refusal = refusal
            .with("session", json!(session))
            .with("flows", json!([{ "stages": stages }]))
            .with("params", json!({}));
        if !done.is_empty() {
            refusal = refusal.with("completed", json!(done));
        }
        if let Some(failed) = failed {
            refusal.body.extend(failed.body);
        }
        Err(refusal)
    }

    fn check_stage(&self, stage: &str, auth: &Object) -> Answer<()> {
        match (stage, &self.settings.registration) {
            ("m.login.dummy", _) => Ok(()),
            ("m.login.registration_token", RegistrationPolicy::Token(expected)) => {
                let token = text(auth, "token");
                let token = token
                    .ok_or_else(|| Refusal::new(400, "M_MISSING_PARAM", "Missing registration token"))?;
                if token == expected.expose_secret() {
                    Ok(())
                } else {
                    Err(Refusal::new(401, "M_UNAUTHORIZED", "Invalid registration token"))
                }
            }
            (other, _) => Err(Refusal::new(
                400,
                "M_UNRECOGNIZED",
                format!("Unsupported login type {other}"),
            )),
        }
    }

    /// `GET /_synapse/admin/v1/register`
    pub fn shared_secret_nonce(&mut self) -> Answer<String> {
        if self.settings.shared_secret.is_none() {
            return Err(Refusal::bad("Shared secret registration is not enabled"));
        }
        let nonce = self.ids.nonce();
        self.accounts.nonces.push(nonce.clone());
        Ok(nonce)
    }

    /// `POST /_synapse/admin/v1/register`
    pub fn register_with_shared_secret(&mut self, body: &Object) -> Answer<Object> {
        let Some(secret) = self.settings.shared_secret.clone() else {
            return Err(Refusal::bad("Shared secret registration is not enabled"));
        };
        let field = |key: &'static str| {
            text(body, key).ok_or_else(|| Refusal::bad_json(format!("{key} must be specified")))
        };
        let nonce = field("nonce")?;
        let known = self.accounts.nonces.iter().position(|known| known == nonce);
        let known = known.ok_or_else(|| Refusal::bad("unrecognised nonce"))?;
        self.accounts.nonces.remove(known);
        let (username, password) = (field("username")?, field("password")?);
        let admin = body.get("admin").and_then(Value::as_bool).unwrap_or_default();
        let expected = shared_secret_mac(secret.expose_secret(), nonce, username, password, admin);
        if text(body, "mac") != Some(&expected) {
            return Err(Refusal::new(403, "M_UNKNOWN", "HMAC incorrect"));
        }
        let username = username.to_lowercase();
        self.check_localpart(&username)?;
        let user_id = self.add_account(NewAccount {
            localpart: &username,
            password: Some(password.to_owned()),
            display_name: text(body, "displayname").map(ToOwned::to_owned),
            admin,
            appservice_id: None,
        });
        Ok(self.registered(&user_id, body))
    }
}

/// HMAC-SHA1 over nonce, name, password and role, as lower-case hex.
pub(super) fn shared_secret_mac(
    secret: &str,
    nonce: &str,
    user: &str,
    password: &str,
    admin: bool,
) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("a key of any length");
    mac.update(
        [nonce, user, password, if admin { "admin" } else { "notadmin" }]
            .join("\0")
            .as_bytes(),
    );
    mac.finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
