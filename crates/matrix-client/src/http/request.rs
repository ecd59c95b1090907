//! From our shapes to ruma's, and what ruma leaves to us: encoding in addresses.

use ruma::{api::client::room::create_room, serde::Raw};
use serde::de::DeserializeOwned;
use serde_json::{Value, json, value::to_raw_value};

use super::transport::Call;
use crate::{MatrixError, MatrixErrorKind, NewRoom, Result};

/// ruma leaves `%` as it is in paths, so that the server would decode what was never encoded.
pub(super) fn escape(segment: &str) -> String {
    segment.replace('%', "%25")
}

/// The same for an identifier.
pub(super) fn escaped<I, O>(id: &I) -> Result<O>
where
    I: AsRef<str> + ToOwned<Owned = O> + ?Sized,
    O: TryFrom<String>,
{
    let text = id.as_ref();
    if !text.contains('%') {
        return Ok(id.to_owned());
    }
    O::try_from(escape(text)).map_err(|_| {
        MatrixError::new(
            MatrixErrorKind::InvalidRequest,
            "an identifier is too long to be encoded",
        )
    })
}

/// Content for ruma, as it is. What is not an object is for the server to refuse.
pub(super) fn raw<T>(call: &Call, content: &Value) -> Result<Raw<T>> {
    to_raw_value(content)
        .map(Raw::from_json)
        .map_err(|error| call.error(MatrixError::new(MatrixErrorKind::InvalidRequest, "").with_source(error)))
}

pub(super) fn from_raw<T: DeserializeOwned>(call: &Call, json: &str) -> Result<T> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(json)).map_err(|error| {
        let kind = MatrixErrorKind::Decode {
            path: error.path().to_string(),
        };
        call.error(MatrixError::new(kind, error.inner().to_string()))
    })
}

pub(super) fn create_room_request(room: &NewRoom) -> Result<create_room::v3::Request> {
    let unbuildable =
        |error: serde_json::Error| MatrixError::new(MatrixErrorKind::InvalidRequest, "").with_source(error);
    let raw = |value: &Value| to_raw_value(value).map_err(unbuildable);
    let mut creation_content = room.creation_content.clone();
    if let Some(room_type) = &room.room_type {
        creation_content.insert("type".to_owned(), json!(room_type));
    }
    if let Some(federate) = room.federate {
        creation_content.insert("m.federate".to_owned(), json!(federate));
    }
    let mut request = create_room::v3::Request::new();
    if !creation_content.is_empty() {
        request.creation_content = Some(Raw::from_json(raw(&Value::Object(creation_content))?));
    }
    for state in &room.initial_state {
        let event = json!({
            "type": state.event_type, "state_key": state.state_key, "content": state.content,
        });
        request.initial_state.push(Raw::from_json(raw(&event)?));
    }
    if let Some(overrides) = &room.power_level_overrides {
        request.power_level_content_override = Some(Raw::from_json(raw(&Value::Object(overrides.clone()))?));
    }
    request.name.clone_from(&room.name);
    request.topic.clone_from(&room.topic);
    request.room_alias_name.clone_from(&room.alias_localpart);
    request.invite.clone_from(&room.invite);
    request.preset.clone_from(&room.preset);
    request.room_version.clone_from(&room.room_version);
    request.visibility = room.visibility.clone();
    request.is_direct = room.is_direct;
    Ok(request)
}
