//! From JSON to the types of this crate, with the errors that `HttpMatrix` has.

use ruma::{OwnedUserId, events::room::member::MembershipState};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{accounts::text, refusal::Object, requester::Credentials};
use crate::{
    Authority, Event, InvitedRoom, JoinedRoom, LeftRoom, MatrixError, MatrixErrorKind, Member, Profile,
    Result, Session, SkippedEvent, SpaceChild, SpaceRoom, StrippedEvent, SyncResponse, Timeline,
};

pub(super) fn credentials(session: &Session) -> Credentials {
    use secrecy::ExposeSecret;
    let token = Some(session.token().expose_secret().to_owned());
    match session.authority {
        Authority::AccessToken(_) => Credentials {
            token,
            ..Credentials::default()
        },
        Authority::Appservice(_) => Credentials {
            token,
            user_id: Some(session.user_id.to_string()),
            device_id: session.device_id.as_ref().map(ToString::to_string),
        },
    }
}

/// A value of a field, or the error of an answer of the wrong shape.
pub(super) fn decode<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        MatrixError::new(MatrixErrorKind::Decode { path }, error.inner().to_string())
    })
}

pub(super) fn session(answer: &Object) -> Result<Session> {
    let user_id: OwnedUserId = decode(answer.get("user_id").cloned().unwrap_or_default())?;
    let token = text(answer, "access_token").unwrap_or_default();
    let session = Session::with_access_token(user_id, SecretString::from(token.to_owned()));
    Ok(match text(answer, "device_id") {
        Some(device_id) => session.with_device(device_id.into()),
        None => session,
    })
}

pub(super) fn profile(answer: &Object) -> Profile {
    let field = |key: &str| text(answer, key).map(ToOwned::to_owned);
    Profile::new(
        field("displayname").or_else(|| field("display_name")),
        field("avatar_url").map(Into::into),
    )
}

pub(super) fn member(event: &Object) -> Result<Member> {
    let content = event
        .get("content")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let user_id: OwnedUserId = decode(event.get("state_key").cloned().unwrap_or_default())?;
    let membership = MembershipState::from(text(&content, "membership").unwrap_or_default());
    let profile = profile(&content);
    let mut member = Member::new(user_id, membership);
    member.display_name = profile.display_name;
    member.avatar_url = profile.avatar_url;
    member.reason = text(&content, "reason").map(ToOwned::to_owned);
    member.sender = decode(event.get("sender").cloned().unwrap_or_default())?;
    Ok(member)
}

/// Takes what is well-formed and sets the rest aside.
pub(super) fn events(
    list: Option<&Value>,
    room_id: Option<&str>,
    skipped: &mut Vec<SkippedEvent>,
) -> Vec<Event> {
    let take = |json: &Value| match serde_path_to_error::deserialize(json) {
        Ok(event) => Some(event),
        Err(error) => {
            let room_id = room_id.and_then(|room_id| room_id.try_into().ok());
            skipped.push(SkippedEvent::new(room_id, error.to_string(), json.clone()));
            None
        }
    };
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(take)
        .collect()
}

pub(super) fn sync(answer: &Object) -> Result<SyncResponse> {
    let mut response = SyncResponse::new(text(answer, "next_batch").unwrap_or_default());
    let rooms = |section: &str| {
        let rooms = answer
            .get("rooms")
            .and_then(|rooms| rooms.get(section))
            .and_then(Value::as_object);
        rooms.cloned().unwrap_or_default()
    };
    let skipped = &mut response.skipped;
    for (room_id, news) in rooms("join") {
        let joined = JoinedRoom {
            timeline: timeline(&news, &room_id, skipped),
            state: events(news.pointer("/state/events"), Some(&room_id), skipped),
            ephemeral: list(news.pointer("/ephemeral/events")),
        };
        response.joined.insert(decode(Value::String(room_id))?, joined);
    }
    for (room_id, news) in rooms("invite") {
        let state = list(news.pointer("/invite_state/events"));
        let state = state
            .into_iter()
            .filter_map(|event| serde_json::from_value::<StrippedEvent>(event).ok());
        response
            .invited
            .insert(decode(Value::String(room_id))?, InvitedRoom::new(state.collect()));
    }
    for (room_id, news) in rooms("leave") {
        let left = LeftRoom {
            timeline: timeline(&news, &room_id, skipped),
            state: events(news.pointer("/state/events"), Some(&room_id), skipped),
        };
        response.left.insert(decode(Value::String(room_id))?, left);
    }
    Ok(response)
}

fn timeline(news: &Value, room_id: &str, skipped: &mut Vec<SkippedEvent>) -> Timeline {
    Timeline {
        events: events(news.pointer("/timeline/events"), Some(room_id), skipped),
        limited: news
            .pointer("/timeline/limited")
            .and_then(Value::as_bool)
            .unwrap_or_default(),
        prev_batch: news
            .pointer("/timeline/prev_batch")
            .and_then(Value::as_str)
            .map(ToOwned::to_owned),
    }
}

fn list(values: Option<&Value>) -> Vec<Value> {
    values.and_then(Value::as_array).cloned().unwrap_or_default()
}

pub(super) fn space_room(room: &Value) -> Result<SpaceRoom> {
    let summary = decode(room.clone())?;
    let children = list(room.get("children_state"));
    let children: Result<Vec<SpaceChild>> = children.iter().map(space_child).collect();
    Ok(SpaceRoom::new(summary, children?))
}

fn space_child(event: &Value) -> Result<SpaceChild> {
    let field = |key: &str| event.get(key).cloned().unwrap_or_default();
    let content = |key: &str| event.get("content").and_then(|content| content.get(key)).cloned();
    let via = decode(content("via").unwrap_or_default())?;
    let mut child = SpaceChild::new(decode(field("state_key"))?, via, decode(field("sender"))?);
    child.order = content("order").and_then(|order| order.as_str().map(ToOwned::to_owned));
    child.suggested = content("suggested")
        .and_then(|suggested| suggested.as_bool())
        .unwrap_or_default();
    Ok(child)
}
