//! What is asked for, as the bodies that a client would send.

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{Credentials, Homeserver, Object, refusal::Answer};
use crate::{NewRoom, Registration, RegistrationKind, Visibility};

pub(super) fn registration_body(registration: &Registration) -> (Object, Credentials) {
    let mut body = Object::new();
    let mut credentials = Credentials::default();
    if let Some(localpart) = &registration.localpart {
        body.insert("username".to_owned(), json!(localpart));
    }
    if let Some(password) = &registration.password {
        body.insert("password".to_owned(), json!(password.expose_secret()));
    }
    if let Some(device_id) = &registration.device_id {
        body.insert("device_id".to_owned(), json!(device_id));
    }
    if let Some(name) = &registration.initial_device_display_name {
        body.insert("initial_device_display_name".to_owned(), json!(name));
    }
    if registration.inhibit_login {
        body.insert("inhibit_login".to_owned(), json!(true));
    }
    if let RegistrationKind::Appservice(token) = &registration.kind {
        body.insert("type".to_owned(), json!("m.login.application_service"));
        credentials.token = Some(token.expose_secret().to_owned());
    }
    (body, credentials)
}

/// Does the stages that the server asks for and that this kind of registration has an answer to.
pub(super) fn register_in_stages(
    server: &mut Homeserver,
    registration: &Registration,
    credentials: &Credentials,
    mut body: Object,
) -> Answer<Object> {
    let mut stages = match &registration.kind {
        RegistrationKind::Appservice(_) => return server.register(credentials, &body),
        RegistrationKind::Dummy => vec![json!({ "type": "m.login.dummy" })],
        RegistrationKind::Token(token) => vec![
            json!({ "type": "m.login.dummy" }),
            json!({ "type": "m.login.registration_token", "token": token.expose_secret() }),
        ],
    };
    let mut answer = server.register(credentials, &body);
    while let Err(refusal) = &answer {
        let asked = refusal.status == 401 && refusal.body.contains_key("flows");
        let failed = refusal.body.contains_key("errcode");
        let session = refusal.body.get("session").cloned();
        let next = stages.pop().filter(|_| asked && !failed);
        let Some(mut stage) = next else { return answer };
        stage["session"] = session.unwrap_or_default();
        body.insert("auth".to_owned(), stage);
        answer = server.register(credentials, &body);
    }
    answer
}

/// The body of `POST /createRoom`.
pub(super) fn room_config(room: &NewRoom) -> Object {
    let mut config = Object::new();
    let mut set = |key: &str, value: Value| config.insert(key.to_owned(), value);
    let mut creation = room.creation_content.clone();
    if let Some(room_type) = &room.room_type {
        creation.insert("type".to_owned(), json!(room_type));
    }
    if let Some(federate) = room.federate {
        creation.insert("m.federate".to_owned(), json!(federate));
    }
    if !creation.is_empty() {
        set("creation_content", Value::Object(creation));
    }
    let texts = [
        ("name", &room.name),
        ("topic", &room.topic),
        ("room_alias_name", &room.alias_localpart),
    ];
    for (key, value) in texts {
        if let Some(value) = value {
            set(key, json!(value));
        }
    }
    if !room.invite.is_empty() {
        set("invite", json!(room.invite));
    }
    if let Some(preset) = &room.preset {
        set("preset", json!(preset));
    }
    if let Some(version) = &room.room_version {
        set("room_version", json!(version));
    }
    if !room.initial_state.is_empty() {
        let state = room.initial_state.iter().map(|event| {
            json!({
                "type": event.event_type.to_string(),
                "state_key": event.state_key,
                "content": event.content,
            })
        });
        set("initial_state", state.collect());
    }
    if let Some(levels) = &room.power_level_overrides {
        set("power_level_content_override", Value::Object(levels.clone()));
    }
    if room.visibility != Visibility::Private {
        set("visibility", json!(room.visibility));
    }
    if room.is_direct {
        set("is_direct", json!(true));
    }
    config
}
