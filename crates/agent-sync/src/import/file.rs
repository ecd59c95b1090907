//! The files that the Python bridge wrote: `agent_user_mappings.json` and `letta_space_config.json`.
//!
//! They were written by several versions, edited by hand and cut off by full disks. Whatever of them can be used is
//! used. They hold passwords in clear, so that nothing of their text is ever quoted but ids.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use letta_client::AgentId;
use ruma::{OwnedRoomId, OwnedUserId};
use secrecy::SecretString;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;
use store::Invitation;

use super::{SkipReason, SkippedEntry};

/// The longest id of an agent that is believed. Letta's have 42 bytes.
const MAX_AGENT_ID_BYTES: usize = 255;

/// The users and rooms that the Python bridge had made.
#[derive(Debug)]
pub struct Mapping {
    /// What can be taken over, ordered as in the file.
    pub entries: Vec<MappingEntry>,
    /// What makes no sense, and why.
    pub unusable: Vec<SkippedEntry>,
}

/// One agent of the file.
#[derive(Debug)]
#[non_exhaustive]
pub struct MappingEntry {
    /// The agent.
    pub agent_id: AgentId,
    /// Its name when the file was written; the id if that is not known.
    pub agent_name: String,
    /// Its user.
    pub user_id: OwnedUserId,
    /// That user's password.
    pub password: Option<SecretString>,
    /// Its room; `None` if making it had failed.
    pub room_id: Option<OwnedRoomId>,
    /// The people that were invited, and how that went.
    pub invitations: BTreeMap<OwnedUserId, Invitation>,
}

/// Why a file is none of the Python bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MappingError {
    /// It is not JSON. The text at this place is not shown: it may be a password.
    #[error("it is not JSON from line {line}, column {column} on")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// It is JSON, and no object with agents.
    #[error("it is not an object with an entry for each agent")]
    NotAMapping,
    /// It is JSON, and names no space.
    #[error("it has no `space_id` that is the id of a room")]
    NoSpace,
}

impl Mapping {
    /// Reads the text of `agent_user_mappings.json`.
    ///
    /// # Errors
    /// When it is no such file at all. Entries that make no sense are in [`unusable`](Self::unusable).
    pub fn parse(text: &str) -> Result<Self, MappingError> {
        let Object(members) = parse(text)?;
        let mut mapping = Self {
            entries: Vec::new(),
            unusable: Vec::new(),
        };
        let mut times: HashMap<String, usize> = HashMap::new();
        for (key, _) in &members {
            *times.entry(key.clone()).or_default() += 1;
        }
        for (key, value) in members {
            let entry = match times.get_mut(&key) {
                // Told once.
                Some(0) => continue,
                Some(times) if *times > 1 => {
                    *times = 0;
                    Err((
                        SkipReason::Unreadable,
                        "the file names the agent twice".to_owned(),
                    ))
                }
                _ => entry(&key, &value),
            };
            match entry {
                Ok(entry) => mapping.entries.push(entry),
                Err((reason, detail)) => mapping.unusable.push(SkippedEntry {
                    agent_id: key,
                    reason,
                    detail,
                }),
            }
        }
        mapping.set_clashes_aside();
        Ok(mapping)
    }

    /// How many agents the file names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() + self.unusable.len()
    }

    /// Whether the file names no agent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Two agents with one user or one room: the file does not tell whose it is. The Python bridge gave two agents
    /// one user when their ids differed in nothing but characters that it left out; the second then never got a room.
    fn set_clashes_aside(&mut self) {
        let mut by_user: HashMap<OwnedUserId, (usize, usize)> = HashMap::new();
        for entry in &self.entries {
            let (all, housed) = by_user.entry(entry.user_id.clone()).or_default();
            *all += 1;
            *housed += usize::from(entry.room_id.is_some());
        }
        self.set_aside(SkipReason::SharedUser, |entry| {
            let (all, housed) = by_user.get(&entry.user_id)?;
            let is_owner = *all == 1 || (*housed == 1 && entry.room_id.is_some());
            (!is_owner).then(|| format!("another agent of the file has the user {} too", entry.user_id))
        });
        let mut by_room: HashMap<OwnedRoomId, usize> = HashMap::new();
        for room in self.entries.iter().filter_map(|entry| entry.room_id.clone()) {
            *by_room.entry(room).or_default() += 1;
        }
        self.set_aside(SkipReason::SharedRoom, |entry| {
            let room = entry.room_id.as_ref()?;
            (by_room.get(room) > Some(&1))
                .then(|| format!("another agent of the file has the room {room} too"))
        });
    }

    fn set_aside(&mut self, reason: SkipReason, why: impl Fn(&MappingEntry) -> Option<String>) {
        let entries = std::mem::take(&mut self.entries);
        for entry in entries {
            match why(&entry) {
                None => self.entries.push(entry),
                Some(detail) => self.unusable.push(SkippedEntry {
                    agent_id: entry.agent_id.to_string(),
                    reason,
                    detail,
                }),
            }
        }
    }
}

/// Reads the text of `letta_space_config.json`: the space's id.
///
/// # Errors
/// When it is no such file, or names no space.
pub fn parse_space_config(text: &str) -> Result<OwnedRoomId, MappingError> {
    let Object(members) = parse(text)?;
    members
        .iter()
        .find(|(key, _)| key == "space_id")
        .and_then(|(_, value)| value.as_str())
        .and_then(|id| OwnedRoomId::try_from(id).ok())
        .ok_or(MappingError::NoSpace)
}

fn parse(text: &str) -> Result<Object, MappingError> {
    serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => MappingError::NotAMapping,
        _ => MappingError::NotJson {
            line: error.line(),
            column: error.column(),
        },
    })
}

type Unusable = (SkipReason, String);

fn entry(key: &str, value: &Value) -> Result<MappingEntry, Unusable> {
    let unreadable = |what: &str| (SkipReason::Unreadable, what.to_owned());
    if key.trim().is_empty() || key.len() > MAX_AGENT_ID_BYTES {
        return Err(unreadable("its id is empty or too long"));
    }
    let fields = value
        .as_object()
        .ok_or_else(|| unreadable("its entry is not an object"))?;
    let text = |name: &str, what: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(unreadable(what)),
    };
    if text("agent_id", "its agent_id is not a text")?.is_some_and(|id| id != key) {
        return Err(unreadable(
            "its agent_id is another one than the key it stands under",
        ));
    }
    let user_id = text("matrix_user_id", "its matrix_user_id is not a text")?
        .ok_or_else(|| unreadable("it has no matrix_user_id"))?;
    let user_id = OwnedUserId::try_from(user_id)
        .map_err(|_| unreadable("its matrix_user_id is not the id of a user"))?;
    let room_id = text("room_id", "its room_id is not a text")?
        .map(OwnedRoomId::try_from)
        .transpose()
        .map_err(|_| unreadable("its room_id is not the id of a room"))?;
    if room_id.is_none() && fields.get("created") == Some(&Value::Bool(false)) {
        let detail = "neither its user nor its room was ever made".to_owned();
        return Err((SkipReason::NothingMade, detail));
    }
    Ok(MappingEntry {
        agent_id: AgentId::new(key),
        agent_name: text("agent_name", "its agent_name is not a text")?
            .unwrap_or(key)
            .to_owned(),
        user_id,
        password: text("matrix_password", "its matrix_password is not a text")?.map(Into::into),
        room_id,
        invitations: invitations(fields.get("invitation_status")),
    })
}

/// What is not understood is left out: the next sync reads from the room how people stand.
fn invitations(value: Option<&Value>) -> BTreeMap<OwnedUserId, Invitation> {
    let standing = |value: &Value| match value.as_str()? {
        "invited" => Some(Invitation::Invited),
        "joined" => Some(Invitation::Joined),
        "failed" => Some(Invitation::Failed),
        _ => None,
    };
    value
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(user, how)| Some((OwnedUserId::try_from(user.as_str()).ok()?, standing(how)?)))
        .collect()
}

/// The members of a JSON object as they stand there: a key that is there twice is seen twice.
struct Object(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}
