//! What the server holds, for assertions.

use std::collections::BTreeMap;

use ruma::{
    OwnedEventId, OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, UserId,
    events::room::member::MembershipState,
};
use serde_json::Value;

use super::{
    FakeMatrix,
    events::Show,
    homeserver::Homeserver,
    media::StoredMedia,
    rooms::{Room, StoredEvent},
    spaces::children_of,
};
use crate::{Event, StateEventType};

/// A user as the server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserView {
    /// The user.
    pub user_id: OwnedUserId,
    /// The display name in the profile.
    pub display_name: Option<String>,
    /// The avatar in the profile.
    pub avatar_url: Option<String>,
    /// Whether the user is a server administrator.
    pub admin: bool,
    /// Whether the user was deactivated.
    pub deactivated: bool,
    /// The application service that made the user.
    pub appservice_id: Option<String>,
    /// The devices that are logged in.
    pub devices: Vec<String>,
}

/// A room as the server knows it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RoomView {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Its version.
    pub version: String,
    /// `m.space` for spaces.
    pub room_type: Option<String>,
    /// Who made it.
    pub creator: OwnedUserId,
    /// `m.room.name`
    pub name: Option<String>,
    /// `m.room.topic`
    pub topic: Option<String>,
    /// `m.room.canonical_alias`
    pub canonical_alias: Option<OwnedRoomAliasId>,
    /// All aliases that point to it.
    pub aliases: Vec<OwnedRoomAliasId>,
    /// `m.room.join_rules`
    pub join_rule: String,
    /// Everyone who ever had to do with it.
    pub members: BTreeMap<OwnedUserId, MembershipState>,
    /// The rooms that it names as children, in order.
    pub children: Vec<OwnedRoomId>,
    /// The spaces that it names as parents.
    pub parents: Vec<OwnedRoomId>,
    /// The room that took its place.
    pub replacement: Option<OwnedRoomId>,
    /// Whether it is listed in the directory.
    pub published: bool,
    /// All present state, by type and state key.
    pub state: BTreeMap<(String, String), Value>,
}

impl RoomView {
    /// Who has joined.
    pub fn joined(&self) -> Vec<&UserId> {
        self.with_membership(&MembershipState::Join)
    }

    /// Who is invited.
    pub fn invited(&self) -> Vec<&UserId> {
        self.with_membership(&MembershipState::Invite)
    }

    fn with_membership(&self, wanted: &MembershipState) -> Vec<&UserId> {
        let members = self
            .members
            .iter()
            .filter(|(_, membership)| *membership == wanted);
        members.map(|(user_id, _)| &**user_id).collect()
    }

    /// Whether a user has joined.
    pub fn has_joined(&self, user_id: &UserId) -> bool {
        self.members.get(user_id) == Some(&MembershipState::Join)
    }

    /// Whether a user is invited.
    pub fn has_invited(&self, user_id: &UserId) -> bool {
        self.members.get(user_id) == Some(&MembershipState::Invite)
    }

    /// Whether it is a space.
    pub fn is_space(&self) -> bool {
        self.room_type.as_deref() == Some("m.space")
    }

    /// The content of a state event.
    pub fn state(&self, event_type: &str, state_key: &str) -> Option<&Value> {
        self.state.get(&(event_type.to_owned(), state_key.to_owned()))
    }
}

impl FakeMatrix {
    /// All users.
    pub fn users(&self) -> Vec<UserView> {
        let server = self.server();
        server
            .accounts
            .users
            .keys()
            .filter_map(|user_id| user_view(&server, user_id))
            .collect()
    }

    /// A user.
    pub fn user(&self, user_id: &UserId) -> Option<UserView> {
        user_view(&self.server(), user_id.as_str())
    }

    /// All rooms that somebody is in.
    pub fn rooms(&self) -> Vec<RoomView> {
        let server = self.server();
        server
            .rooms
            .values()
            .filter(|room| room.is_alive())
            .filter_map(|room| room_view(&server, room))
            .collect()
    }

    /// A room, be it one that everyone has left.
    pub fn room(&self, room_id: &RoomId) -> Option<RoomView> {
        let server = self.server();
        room_view(&server, server.room(room_id.as_str())?)
    }

    /// The spaces that somebody is in.
    pub fn spaces(&self) -> Vec<RoomView> {
        self.rooms().into_iter().filter(RoomView::is_space).collect()
    }

    /// The rooms that a user has joined.
    pub fn rooms_joined_by(&self, user_id: &UserId) -> Vec<OwnedRoomId> {
        let rooms = self.server().rooms_of(user_id.as_str());
        rooms
            .into_iter()
            .filter_map(|room_id| room_id.try_into().ok())
            .collect()
    }

    /// All aliases and where they point.
    pub fn aliases(&self) -> BTreeMap<OwnedRoomAliasId, OwnedRoomId> {
        let server = self.server();
        let parse = |(alias, stored): (&String, &super::rooms::StoredAlias)| {
            Some((
                alias.as_str().try_into().ok()?,
                stored.room_id.as_str().try_into().ok()?,
            ))
        };
        server.aliases.iter().filter_map(parse).collect()
    }

    /// The room that an alias points to.
    pub fn alias(&self, alias: &RoomAliasId) -> Option<OwnedRoomId> {
        self.server()
            .aliases
            .get(alias.as_str())
            .and_then(|stored| stored.room_id.as_str().try_into().ok())
    }

    /// The content of a state event.
    pub fn state(&self, room_id: &RoomId, event_type: &StateEventType, state_key: &str) -> Option<Value> {
        let server = self.server();
        let content = server
            .room(room_id.as_str())?
            .state_content(&event_type.to_string(), state_key)?;
        Some(Value::Object(content.clone()))
    }

    /// Everything that happened in a room, oldest first.
    pub fn timeline(&self, room_id: &RoomId) -> Vec<Event> {
        let server = self.server();
        let Some(room) = server.room(room_id.as_str()) else {
            return Vec::new();
        };
        let show = |event: &StoredEvent| {
            serde_json::from_value(Value::Object(server.show(room, event, Show::push()))).ok()
        };
        room.timeline.iter().filter_map(|event| show(event)).collect()
    }

    /// The messages of a room, oldest first, without those that were taken back.
    pub fn messages(&self, room_id: &RoomId) -> Vec<Event> {
        let timeline = self.timeline(room_id).into_iter();
        let is_message = |event: &Event| event.event_type.to_string() == "m.room.message";
        timeline
            .filter(|event| is_message(event) && event.content.get("body").is_some())
            .collect()
    }

    /// Who is typing in a room.
    pub fn typing(&self, room_id: &RoomId) -> Vec<OwnedUserId> {
        let mut server = self.server();
        server.end_typing();
        let users = server
            .room(room_id.as_str())
            .map(Room::typing_users)
            .unwrap_or_default();
        users
            .into_iter()
            .filter_map(|user_id| user_id.try_into().ok())
            .collect()
    }

    /// The event up to which a user has read a room, publicly or privately.
    pub fn read_up_to(&self, room_id: &RoomId, user_id: &UserId) -> Option<OwnedEventId> {
        let server = self.server();
        let room = server.room(room_id.as_str())?;
        let own = room
            .receipts
            .iter()
            .filter(|((_, reader, _), _)| reader == user_id.as_str());
        let newest =
            own.max_by_key(|(_, receipt)| room.by_id.get(&receipt.event_id).map(|event| event.position));
        newest.and_then(|(_, receipt)| receipt.event_id.as_str().try_into().ok())
    }

    /// All uploaded files by media id.
    pub fn media(&self) -> BTreeMap<String, StoredMedia> {
        self.server().media.clone()
    }
}

fn user_view(server: &Homeserver, user_id: &str) -> Option<UserView> {
    let account = server.accounts.users.get(user_id)?;
    let profile = server.accounts.profiles.get(user_id).cloned().unwrap_or_default();
    Some(UserView {
        user_id: account.user_id.as_str().try_into().ok()?,
        display_name: profile.display_name,
        avatar_url: profile.avatar_url,
        admin: account.admin,
        deactivated: account.deactivated,
        appservice_id: account.appservice_id.clone(),
        devices: account.devices.keys().cloned().collect(),
    })
}

fn room_view(server: &Homeserver, room: &Room) -> Option<RoomView> {
    let text = |kind: &str, field: &str| room.state_text(kind, field).map(ToOwned::to_owned);
    let keys = |kind: &str| {
        room.current_state()
            .filter(|event| event.kind == kind && event.content.get("via").is_some_and(Value::is_array))
            .filter_map(|event| event.state_key.as_deref()?.try_into().ok())
            .collect::<Vec<OwnedRoomId>>()
    };
    let members = room
        .current_state()
        .filter(|event| event.kind == "m.room.member")
        .filter_map(|event| {
            let user_id = event.state_key.as_deref()?.try_into().ok()?;
            Some((user_id, MembershipState::from(event.membership()?)))
        });
    let state = room.current_state().map(|event| {
        let content = room.state_content(&event.kind, event.state_key.as_deref().unwrap_or_default());
        let key = (event.kind.clone(), event.state_key.clone().unwrap_or_default());
        (key, Value::Object(content.cloned().unwrap_or_default()))
    });
    let children = children_of(room, false);
    Some(RoomView {
        room_id: room.room_id.as_str().try_into().ok()?,
        version: room.version.as_string(),
        room_type: room.room_type().map(ToOwned::to_owned),
        creator: room.creator.as_str().try_into().ok()?,
        name: text("m.room.name", "name"),
        topic: text("m.room.topic", "topic"),
        canonical_alias: text("m.room.canonical_alias", "alias").and_then(|alias| alias.try_into().ok()),
        aliases: server
            .aliases_of(&room.room_id)
            .into_iter()
            .filter_map(|alias| alias.try_into().ok())
            .collect(),
        join_rule: room.join_rule().to_owned(),
        members: members.collect(),
        children: children
            .iter()
            .filter_map(|event| event.state_key.as_deref()?.try_into().ok())
            .collect(),
        parents: keys("m.space.parent"),
        replacement: text("m.room.tombstone", "replacement_room").and_then(|room_id| room_id.try_into().ok()),
        published: room.is_public,
        state: state.collect(),
    })
}
