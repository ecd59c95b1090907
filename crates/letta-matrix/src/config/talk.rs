//! The settings of conversations.

use std::time::Duration;

use conversation::settings::{ConversationMode, Defaults, Mode};
use matrix_client::ruma::OwnedRoomId;

use super::{
    ADMIN_ROOM, CONVERSATIONS, GROUP_MODE, KEEP, REASONING, STREAMING, TOOLS,
    sync::time,
    value::{Reader, shown},
};

/// How conversations are carried.
#[derive(Debug, Clone)]
pub struct Talk {
    /// How agents behave in rooms that say nothing about it.
    pub defaults: Defaults,
    /// The room in which admins speak with the bridge itself.
    pub admin_room: Option<OwnedRoomId>,
    /// How long it is remembered what became of messages.
    pub keep: Duration,
}

pub(super) fn talk(reader: &mut Reader<'_>) -> Option<Talk> {
    let streaming = reader.required(&STREAMING, switch);
    let tools = reader.required(&TOOLS, switch);
    let reasoning = reader.required(&REASONING, switch);
    let group_mode = reader.required(&GROUP_MODE, mode);
    let conversation = reader.required(&CONVERSATIONS, conversations);
    let admin_room = reader.optional(&ADMIN_ROOM, room);
    let keep = reader.required(&KEEP, time);
    Some(Talk {
        defaults: Defaults {
            streaming: streaming?.value,
            tools: tools?.value,
            reasoning: reasoning?.value,
            group_mode: group_mode?.value,
            conversation: conversation?.value,
            ..Defaults::default()
        },
        admin_room: admin_room.map(|room| room.value),
        keep: keep?.value,
    })
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" | "true" | "yes" => Ok(true),
        "off" | "false" | "no" => Ok(false),
        other => Err(format!("holds {}: there are on and off", shown(other))),
    }
}

fn mode(text: &str) -> Result<Mode, String> {
    Ok(match text {
        "open" => Mode::Open,
        "mention" => Mode::Mention,
        "listen" => Mode::Listen,
        "off" => Mode::Off,
        other => {
            return Err(format!(
                "holds {}: there are open, mention, listen and off",
                shown(other)
            ));
        }
    })
}

fn conversations(text: &str) -> Result<ConversationMode, String> {
    Ok(match text {
        "room" => ConversationMode::Room,
        "thread" => ConversationMode::Thread,
        "person" => ConversationMode::Person,
        other => {
            return Err(format!(
                "holds {}: there are room, thread and person",
                shown(other)
            ));
        }
    })
}

fn room(text: &str) -> Result<OwnedRoomId, String> {
    OwnedRoomId::try_from(text).map_err(|_| {
        format!(
            "holds {}, which is no room id such as !AbC…: an alias will not do",
            shown(text)
        )
    })
}
