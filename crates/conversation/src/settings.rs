//! How agents behave in a room: what the room says about it, and what holds where it says nothing.

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::room::Room;

/// The type of the state event that holds a room's [`RoomSettings`]. Its state key is empty.
pub const SETTINGS_MARKER: &str = "dev.letta-matrix.settings";

/// What agents hear in a room. Commands are heard in all modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Everything.
    Open,
    /// What mentions them.
    Mention,
    /// Everything, but only those that are mentioned answer.
    Listen,
    /// Nothing.
    Off,
}

/// What shares one conversation with the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConversationMode {
    /// The whole room.
    Room,
    /// Each thread for itself.
    Thread,
    /// Each person for themselves.
    Person,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Mention => "mention",
            Self::Listen => "listen",
            Self::Off => "off",
        })
    }
}

impl fmt::Display for ConversationMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Room => "room",
            Self::Thread => "thread",
            Self::Person => "person",
        })
    }
}

/// One setting with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Setting {
    /// What agents hear.
    Mode(Mode),
    /// Whether an answer is shown while it grows.
    Streaming(bool),
    /// Whether the use of tools is shown.
    Tools(bool),
    /// Whether the agent's thoughts are shown.
    Reasoning(bool),
    /// What shares one conversation.
    Conversation(ConversationMode),
}

impl fmt::Display for Setting {
    /// As it is written in a command.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |on: &bool| if *on { "on" } else { "off" };
        match self {
            Self::Mode(mode) => write!(f, "mode {mode}"),
            Self::Streaming(streaming) => write!(f, "streaming {}", on(streaming)),
            Self::Tools(tools) => write!(f, "tools {}", on(tools)),
            Self::Reasoning(reasoning) => write!(f, "reasoning {}", on(reasoning)),
            Self::Conversation(conversation) => write!(f, "conversation {conversation}"),
        }
    }
}

/// What a room says about how agents behave in it. `None`: nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RoomSettings {
    /// What agents hear.
    pub mode: Option<Mode>,
    /// Whether an answer is shown while it grows.
    pub streaming: Option<bool>,
    /// Whether the use of tools is shown.
    pub tools: Option<bool>,
    /// Whether the agent's thoughts are shown.
    pub reasoning: Option<bool>,
    /// What shares one conversation.
    pub conversation: Option<ConversationMode>,
    /// What else stands there, of a newer version perhaps. It is written back as it was.
    pub other: Map<String, Value>,
}

impl RoomSettings {
    /// Reads the content of the state event. A value that makes no sense counts as not there.
    #[must_use]
    pub fn from_content(content: &Value) -> Self {
        let mut other = content.as_object().cloned().unwrap_or_default();
        Self {
            mode: take(&mut other, "mode"),
            streaming: take(&mut other, "streaming"),
            tools: take(&mut other, "tools"),
            reasoning: take(&mut other, "reasoning"),
            conversation: take(&mut other, "conversation"),
            other,
        }
    }

    /// The content of the state event.
    #[must_use]
    pub fn to_content(&self) -> Value {
        let mut content = self.other.clone();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                content.insert(key.to_owned(), value);
            }
        };
        put("mode", self.mode.map(|mode| mode.to_string().into()));
        put("streaming", self.streaming.map(Value::Bool));
        put("tools", self.tools.map(Value::Bool));
        put("reasoning", self.reasoning.map(Value::Bool));
        put(
            "conversation",
            self.conversation.map(|mode| mode.to_string().into()),
        );
        Value::Object(content)
    }

    /// The same with one setting changed.
    #[must_use]
    pub fn with(mut self, setting: Setting) -> Self {
        match setting {
            Setting::Mode(mode) => self.mode = Some(mode),
            Setting::Streaming(on) => self.streaming = Some(on),
            Setting::Tools(on) => self.tools = Some(on),
            Setting::Reasoning(on) => self.reasoning = Some(on),
            Setting::Conversation(mode) => self.conversation = Some(mode),
        }
        self
    }
}

fn take<T: DeserializeOwned>(content: &mut Map<String, Value>, key: &str) -> Option<T> {
    content
        .remove(key)
        .and_then(|value| serde_json::from_value(value).ok())
}

/// What holds where a room says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// The mode of rooms that belong to an agent.
    pub home_mode: Mode,
    /// The mode of a person's direct room with one agent.
    pub direct_mode: Mode,
    /// The mode of all other rooms.
    pub group_mode: Mode,
    /// Whether answers are shown while they grow.
    pub streaming: bool,
    /// Whether the use of tools is shown.
    pub tools: bool,
    /// Whether thoughts are shown.
    pub reasoning: bool,
    /// What shares one conversation.
    pub conversation: ConversationMode,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            home_mode: Mode::Open,
            direct_mode: Mode::Open,
            group_mode: Mode::Mention,
            streaming: true,
            tools: true,
            reasoning: false,
            conversation: ConversationMode::Room,
        }
    }
}

/// What holds in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effective {
    /// What agents hear.
    pub mode: Mode,
    /// Whether answers are shown while they grow.
    pub streaming: bool,
    /// Whether the use of tools is shown.
    pub tools: bool,
    /// Whether thoughts are shown.
    pub reasoning: bool,
    /// What shares one conversation.
    pub conversation: ConversationMode,
}

impl fmt::Display for Effective {
    /// As people read it, in Markdown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = [
            Setting::Mode(self.mode),
            Setting::Streaming(self.streaming),
            Setting::Tools(self.tools),
            Setting::Reasoning(self.reasoning),
            Setting::Conversation(self.conversation),
        ];
        f.write_str("Here holds:\n")?;
        settings.iter().try_for_each(|setting| write!(f, "\n- {setting}"))
    }
}

impl Defaults {
    /// What holds in this room.
    #[must_use]
    pub fn resolve(&self, room: &Room) -> Effective {
        let settings = &room.settings;
        let mode = if room.home_of.is_some() {
            self.home_mode
        } else if room.is_direct && room.residents.len() == 1 {
            self.direct_mode
        } else {
            self.group_mode
        };
        Effective {
            mode: settings.mode.unwrap_or(mode),
            streaming: settings.streaming.unwrap_or(self.streaming),
            tools: settings.tools.unwrap_or(self.tools),
            reasoning: settings.reasoning.unwrap_or(self.reasoning),
            conversation: settings.conversation.unwrap_or(self.conversation),
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::{owned_room_id, owned_user_id};
    use serde_json::json;

    use super::*;
    use crate::room::Resident;

    #[test]
    fn values_that_make_no_sense_are_ignored_one_by_one() {
        let settings = RoomSettings::from_content(&json!({
            "mode": "loud", "streaming": "yes", "tools": false, "reasoning": null, "conversation": "thread",
        }));
        assert_eq!(
            settings,
            RoomSettings {
                tools: Some(false),
                conversation: Some(ConversationMode::Thread),
                ..RoomSettings::default()
            }
        );
        for content in [json!(null), json!([]), json!("open"), json!({})] {
            assert_eq!(RoomSettings::from_content(&content), RoomSettings::default());
        }
    }

    #[test]
    fn what_a_newer_version_wrote_is_kept() {
        let content = json!({ "mode": "listen", "voice": { "name": "x" } });
        let settings = RoomSettings::from_content(&content);
        assert_eq!(settings.to_content(), content);
        assert_eq!(
            settings.with(Setting::Mode(Mode::Off)).to_content(),
            json!({ "mode": "off", "voice": { "name": "x" } })
        );
    }

    #[test]
    fn every_setting_is_written_as_it_is_read() {
        for setting in [
            Setting::Mode(Mode::Mention),
            Setting::Mode(Mode::Open),
            Setting::Streaming(false),
            Setting::Tools(true),
            Setting::Reasoning(true),
            Setting::Conversation(ConversationMode::Person),
            Setting::Conversation(ConversationMode::Room),
        ] {
            let settings = RoomSettings::default().with(setting);
            assert_ne!(settings, RoomSettings::default());
            assert_eq!(RoomSettings::from_content(&settings.to_content()), settings);
        }
    }

    #[test]
    fn the_kind_of_room_decides_where_the_room_says_nothing() {
        let mut room = Room::new(owned_room_id!("!group:matrix.test"));
        room.residents = vec![Resident {
            agent_id: "agent-001".into(),
            agent_name: "Agent Alpha".to_owned(),
            user_id: owned_user_id!("@agent_001:matrix.test"),
        }];
        let mode = |room: &Room| Defaults::default().resolve(room).mode;
        assert_eq!(mode(&room), Mode::Mention);
        room.is_direct = true;
        assert_eq!(mode(&room), Mode::Open);
        room.residents.push(room.residents[0].clone());
        assert_eq!(mode(&room), Mode::Mention);
        room.home_of = Some("agent-001".into());
        assert_eq!(mode(&room), Mode::Open);
        room.settings.mode = Some(Mode::Off);
        assert_eq!(mode(&room), Mode::Off);
    }
}
