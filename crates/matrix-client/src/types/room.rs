use ruma::{
    OwnedMxcUri, OwnedRoomId, OwnedServerName, OwnedUserId, RoomVersionId,
    api::client::room::{Visibility, create_room::v3::RoomPreset},
    events::{StateEventType, room::member::MembershipState},
    room::{RoomSummary, RoomType},
};
use serde_json::{Map, Value};

/// A room to be made. See [`MatrixApi::create_room`](crate::MatrixApi::create_room).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct NewRoom {
    /// `None`: a room for messages. `Some(RoomType::Space)`: a space.
    pub room_type: Option<RoomType>,
    /// `m.room.name`
    pub name: Option<String>,
    /// `m.room.topic`
    pub topic: Option<String>,
    /// The localpart of the room's alias (`name` of `#name:server`). The alias becomes the canonical one. Taken
    /// aliases make the call fail, which is what makes an alias an idempotency key.
    pub alias_localpart: Option<String>,
    /// Who is invited. Not the creator.
    pub invite: Vec<OwnedUserId>,
    /// The rules of the room. `None`: the server derives them from the visibility.
    pub preset: Option<RoomPreset>,
    /// `None`: the server's default version. Since version 12 room ids have no server name and creators stand above
    /// all power levels.
    pub room_version: Option<RoomVersionId>,
    /// State events that are set at once, after those of the preset and before name, topic and invitations.
    pub initial_state: Vec<InitialState>,
    /// Fields of `m.room.power_levels` that replace the defaults. In room version 12 the creator must not be named.
    pub power_level_overrides: Option<Map<String, Value>>,
    /// Whether it is listed in the server's room directory.
    pub visibility: Visibility,
    /// Whether users of other servers may ever join. `None`: the server's default.
    pub federate: Option<bool>,
    /// Marks the invitations as those of a direct chat.
    pub is_direct: bool,
    /// Further fields of `m.room.create`.
    pub creation_content: Map<String, Value>,
}

impl NewRoom {
    /// A room for messages.
    pub fn room() -> Self {
        Self::default()
    }

    /// A space: a room whose `m.space.child` events name other rooms.
    pub fn space() -> Self {
        Self {
            room_type: Some(RoomType::Space),
            ..Self::default()
        }
    }

    /// Whether it is to be a space.
    pub fn is_space(&self) -> bool {
        self.room_type == Some(RoomType::Space)
    }

    /// Names the room.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Describes the room.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// Gives it an alias, named by its localpart.
    #[must_use]
    pub fn alias_localpart(mut self, localpart: impl Into<String>) -> Self {
        self.alias_localpart = Some(localpart.into());
        self
    }

    /// Invites these users as well.
    #[must_use]
    pub fn invite(mut self, users: impl IntoIterator<Item = OwnedUserId>) -> Self {
        self.invite.extend(users);
        self
    }

    /// Chooses the rules of the room.
    #[must_use]
    pub fn preset(mut self, preset: RoomPreset) -> Self {
        self.preset = Some(preset);
        self
    }

    /// Pins the room version.
    #[must_use]
    pub fn room_version(mut self, version: RoomVersionId) -> Self {
        self.room_version = Some(version);
        self
    }

    /// Sets a state event at once.
    #[must_use]
    pub fn initial_state(
        mut self,
        event_type: StateEventType,
        state_key: impl Into<String>,
        content: Value,
    ) -> Self {
        self.initial_state
            .push(InitialState::new(event_type, state_key, content));
        self
    }

    /// Replaces fields of the default power levels.
    #[must_use]
    pub fn power_level_overrides(mut self, overrides: Map<String, Value>) -> Self {
        self.power_level_overrides = Some(overrides);
        self
    }

    /// Lists it in the room directory, or not.
    #[must_use]
    pub fn visibility(mut self, visibility: Visibility) -> Self {
        self.visibility = visibility;
        self
    }

    /// Lets users of other servers in, or never.
    #[must_use]
    pub fn federate(mut self, federate: bool) -> Self {
        self.federate = Some(federate);
        self
    }

    /// Marks it as a direct chat.
    #[must_use]
    pub fn is_direct(mut self, is_direct: bool) -> Self {
        self.is_direct = is_direct;
        self
    }

    /// Adds a field to `m.room.create`.
    #[must_use]
    pub fn creation_field(mut self, name: impl Into<String>, value: Value) -> Self {
        self.creation_content.insert(name.into(), value);
        self
    }
}

/// A state event that a new room starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InitialState {
    /// Its type.
    pub event_type: StateEventType,
    /// Its state key, often empty.
    pub state_key: String,
    /// Its content, a JSON object.
    pub content: Value,
}

impl InitialState {
    /// A state event.
    pub fn new(event_type: StateEventType, state_key: impl Into<String>, content: Value) -> Self {
        Self {
            event_type,
            state_key: state_key.into(),
            content,
        }
    }
}

/// Which members are wanted. See [`MatrixApi::list_members`](crate::MatrixApi::list_members).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberFilter {
    /// Only this membership.
    pub membership: Option<MembershipState>,
    /// Everything but this membership.
    pub not_membership: Option<MembershipState>,
}

impl MemberFilter {
    /// Everyone who ever had to do with the room.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only this membership.
    pub fn only(membership: MembershipState) -> Self {
        Self {
            membership: Some(membership),
            not_membership: None,
        }
    }

    /// Everything but this membership.
    pub fn except(membership: MembershipState) -> Self {
        Self {
            membership: None,
            not_membership: Some(membership),
        }
    }

    /// Whether this membership is wanted.
    pub fn matches(&self, membership: &MembershipState) -> bool {
        self.membership.as_ref().is_none_or(|wanted| wanted == membership)
            && self
                .not_membership
                .as_ref()
                .is_none_or(|unwanted| unwanted != membership)
    }
}

/// A user's relation to a room.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// The user.
    pub user_id: OwnedUserId,
    /// Invited, joined, left, banned or knocking.
    pub membership: MembershipState,
    /// The name in this room.
    pub display_name: Option<String>,
    /// The avatar in this room.
    pub avatar_url: Option<OwnedMxcUri>,
    /// Why, if a reason was given.
    pub reason: Option<String>,
    /// Who brought it about: the user, or whoever invited, kicked or banned.
    pub sender: OwnedUserId,
}

impl Member {
    /// A member without name, avatar and reason who brought it about alone.
    pub fn new(user_id: OwnedUserId, membership: MembershipState) -> Self {
        Self {
            sender: user_id.clone(),
            user_id,
            membership,
            display_name: None,
            avatar_url: None,
            reason: None,
        }
    }
}

/// Which part of a space is wanted. See
/// [`MatrixApi::list_space_children`](crate::MatrixApi::list_space_children).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HierarchyRequest {
    /// The token of the next page. Depth and filter must be those of the first page.
    pub from: Option<String>,
    /// The most rooms on a page. Servers cap it (Synapse: 50).
    pub limit: Option<u32>,
    /// How deep to go: 1 for the space's own children. `None`: all the way.
    pub max_depth: Option<u32>,
    /// Only children that the space suggests.
    pub suggested_only: bool,
}

impl HierarchyRequest {
    /// The first page of everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// The page that this token names.
    #[must_use]
    pub fn from(mut self, token: impl Into<String>) -> Self {
        self.from = Some(token.into());
        self
    }

    /// At most this many rooms on the page.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// No deeper than this.
    #[must_use]
    pub fn max_depth(mut self, depth: u32) -> Self {
        self.max_depth = Some(depth);
        self
    }

    /// Only suggested children.
    #[must_use]
    pub fn suggested_only(mut self) -> Self {
        self.suggested_only = true;
        self
    }
}

/// A page of a space's rooms.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct HierarchyPage {
    /// The rooms that the session may see; the first one of the first page is the space itself.
    pub rooms: Vec<SpaceRoom>,
    /// The token of the next page. `None`: this was the last.
    pub next_batch: Option<String>,
}

impl HierarchyPage {
    /// A page of rooms.
    pub fn new(rooms: Vec<SpaceRoom>, next_batch: Option<String>) -> Self {
        Self { rooms, next_batch }
    }
}

/// A room of a space's hierarchy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SpaceRoom {
    /// Id, name, topic, alias, number of members, type, join rule …
    pub summary: RoomSummary,
    /// Its children, if it is a space itself. The session may not see all of them.
    pub children: Vec<SpaceChild>,
}

impl SpaceRoom {
    /// A room with its children.
    pub fn new(summary: RoomSummary, children: Vec<SpaceChild>) -> Self {
        Self { summary, children }
    }
}

/// A room that a space names as its child.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpaceChild {
    /// The child.
    pub room_id: OwnedRoomId,
    /// Servers to join it through.
    pub via: Vec<OwnedServerName>,
    /// Where it stands among the others.
    pub order: Option<String>,
    /// Whether the space suggests it.
    pub suggested: bool,
    /// Who put it there.
    pub sender: OwnedUserId,
}

impl SpaceChild {
    /// A child that is not suggested and has no order.
    pub fn new(room_id: OwnedRoomId, via: Vec<OwnedServerName>, sender: OwnedUserId) -> Self {
        Self {
            room_id,
            via,
            order: None,
            suggested: false,
            sender,
        }
    }
}
