//! What is to be done about a state event.

use matrix_client::Event;
use ruma::{OwnedUserId, UserId};
use serde_json::Value;

use super::{Decision, IgnoreReason, message::string};
use crate::{
    rights::{Right, Rights},
    room::Own,
    settings::{RoomSettings, SETTINGS_MARKER},
};

pub(super) fn decide(event: &Event, state_key: &str, is_known: bool, own: &Own, rights: &Rights) -> Decision {
    let event_type = event.event_type.to_string();
    if event_type == "m.room.member" {
        return match <&UserId>::try_from(state_key) {
            Ok(user) if own.is_own(user) => member(event, user, own, rights),
            _ => Decision::Ignore(IgnoreReason::StateEvent),
        };
    }
    if !is_known {
        return Decision::Ignore(IgnoreReason::UnknownRoom);
    }
    match event_type.as_str() {
        _ if !state_key.is_empty() => Decision::Ignore(IgnoreReason::StateEvent),
        "m.room.name" => {
            let name = string(&event.content, "name").map(str::trim);
            Decision::NameChanged(name.filter(|name| !name.is_empty()).map(str::to_owned))
        }
        "m.room.encryption" => Decision::Encrypted,
        SETTINGS_MARKER if own.is_own(&event.sender) || rights.allow(&event.sender, Right::Command) => {
            Decision::SettingsChanged(RoomSettings::from_content(&event.content))
        }
        // Power in the room is no right with the bridge.
        SETTINGS_MARKER => Decision::Ignore(IgnoreReason::Lacks(Right::Command)),
        _ => Decision::Ignore(IgnoreReason::StateEvent),
    }
}

/// What became of one of our own users.
fn member(event: &Event, user: &UserId, own: &Own, rights: &Rights) -> Decision {
    let agent = own.agent_of(user).cloned();
    let user: OwnedUserId = user.to_owned();
    let before = event
        .unsigned
        .get("prev_content")
        .and_then(|content| string(content, "membership"));
    match string(&event.content, "membership") {
        // Whoever of ours invites one of ours lets it in by itself.
        Some("invite") if own.is_own(&event.sender) => Decision::Ignore(IgnoreReason::Own),
        Some("invite") => {
            let is_bot = user == own.bot;
            let needed = if is_bot { Right::Admin } else { Right::Talk };
            if !rights.allow(&event.sender, needed) || !is_bot && agent.is_none() {
                return Decision::Uninvited { agent, user };
            }
            Decision::Invited {
                agent,
                user,
                by: event.sender.clone(),
                is_direct: event.content.get("is_direct").and_then(Value::as_bool) == Some(true),
            }
        }
        // Only the name or the picture changed.
        Some("join") if before == Some("join") => Decision::Ignore(IgnoreReason::StateEvent),
        Some("join") => Decision::Joined { agent, user },
        Some("leave" | "ban") => Decision::Left { agent, user },
        _ => Decision::Ignore(IgnoreReason::StateEvent),
    }
}
