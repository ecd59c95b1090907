//! What is missing: pure functions of what should be and what is recorded.

use letta_client::AgentId;
use ruma::{OwnedMxcUri, OwnedRoomAliasId, OwnedRoomId, OwnedUserId};
use serde::Serialize;
use store::{Binding, History, Invitation, SpaceRecord};

use crate::{Step, SyncConfig, goal::Goal, listing::ListingKind, removal::Withheld};

/// Everything one run would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// What is to be done to the space.
    pub space: Vec<SpaceAction>,
    /// The agents for which something is to be done.
    pub agents: Vec<AgentPlan>,
    /// How many agents need nothing.
    pub unchanged: usize,
    /// Agents that have a room and are no longer listed. Nothing is done to them yet.
    pub missing: Vec<AgentId>,
    /// Agents whose rooms would be archived if they were not so many.
    pub withheld: Option<Withheld>,
    /// How the agents were listed.
    pub listing: ListingKind,
    /// Whether the listing came to its end.
    pub listing_complete: bool,
}

/// One step of keeping the space, done by the bridge's own user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum SpaceAction {
    /// Make it, or take over the one that has the marker or the alias.
    Create {
        /// Its name.
        name: String,
        /// Its alias.
        alias: OwnedRoomAliasId,
    },
    /// Read it from the homeserver.
    Inspect,
    /// Mark it as ours.
    Mark,
    /// Give it its alias.
    SetAlias,
    /// Name it.
    SetName {
        /// The name.
        name: String,
    },
    /// Describe it.
    SetTopic {
        /// The topic.
        topic: String,
    },
    /// Name the bridge's own user.
    SetBotName {
        /// The name.
        name: String,
    },
    /// Invite a person.
    Invite {
        /// The person.
        user: OwnedUserId,
    },
}

/// Everything one run would do for one agent, in this order. What an inspection finds may add to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgentPlan {
    /// The agent.
    pub agent_id: AgentId,
    /// Its name in Letta.
    pub agent_name: String,
    /// Its user.
    pub user_id: OwnedUserId,
    /// The steps.
    pub actions: Vec<Action>,
}

/// One step for one agent, done by the agent's user unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Register the user.
    Register,
    /// Set the user's display name.
    SetDisplayName {
        /// The name.
        name: String,
    },
    /// Upload the agent's picture, or forget the one it had.
    PrepareAvatar,
    /// Set the user's picture; `None` removes it.
    SetUserAvatar {
        /// The picture.
        avatar_url: Option<OwnedMxcUri>,
    },
    /// Make the room with name, topic, alias, parent, marker and invitations, or take over the one that has the
    /// marker or the alias.
    CreateRoom {
        /// The name.
        name: String,
        /// The topic.
        topic: String,
        /// The people invited.
        invite: Vec<OwnedUserId>,
    },
    /// Read the room from the homeserver.
    Inspect,
    /// Bring the agent's user back into its room (with the help of the bridge's own user).
    Rejoin,
    /// Mark the room as this agent's.
    Mark,
    /// Give the room its alias.
    SetAlias,
    /// Set the room's name.
    SetRoomName {
        /// The name.
        name: String,
    },
    /// Set the room's topic.
    SetRoomTopic {
        /// The topic.
        topic: String,
    },
    /// Set the room's picture; `None` removes it.
    SetRoomAvatar {
        /// The picture.
        avatar_url: Option<OwnedMxcUri>,
    },
    /// Name the space as the room's parent.
    SetParent,
    /// No longer name a space as the room's parent.
    RemoveParent {
        /// The space.
        space: OwnedRoomId,
    },
    /// Name the room as the space's child, at this place (done by the bridge's own user).
    AddToSpace {
        /// The place, by which clients sort.
        order: Option<String>,
    },
    /// No longer name the room as the space's child (done by the bridge's own user).
    RemoveFromSpace {
        /// The space.
        space: OwnedRoomId,
    },
    /// Invite a person.
    Invite {
        /// The person.
        user: OwnedUserId,
    },
    /// Put the agent's latest messages into the room.
    SendHistory,
    /// Leave the room to the bridge's own user.
    Leave,
}

impl Action {
    /// The step under which a failure is reported.
    #[must_use]
    pub fn step(&self) -> Step {
        match self {
            Self::Register => Step::Register,
            Self::SetDisplayName { .. } => Step::DisplayName,
            Self::PrepareAvatar | Self::SetUserAvatar { .. } | Self::SetRoomAvatar { .. } => Step::Avatar,
            Self::CreateRoom { .. } | Self::Mark => Step::Room,
            Self::Inspect => Step::Inspect,
            Self::Rejoin => Step::Rejoin,
            Self::SetAlias => Step::Alias,
            Self::SetRoomName { .. } => Step::RoomName,
            Self::SetRoomTopic { .. } => Step::RoomTopic,
            Self::SetParent
            | Self::RemoveParent { .. }
            | Self::AddToSpace { .. }
            | Self::RemoveFromSpace { .. } => Step::Space,
            Self::Invite { .. } => Step::Invite,
            Self::SendHistory => Step::History,
            Self::Leave => Step::Leave,
        }
    }

    /// Whether the step is one that whoever is in the room, or the space, can do. A refused invitation is not: it may
    /// be for the sake of the person.
    pub(crate) fn is_done_inside(&self) -> bool {
        matches!(
            self,
            Self::Mark
                | Self::SetRoomName { .. }
                | Self::SetRoomTopic { .. }
                | Self::SetRoomAvatar { .. }
                | Self::SetParent
                | Self::RemoveParent { .. }
                | Self::AddToSpace { .. }
                | Self::RemoveFromSpace { .. }
                | Self::SetAlias
                | Self::SendHistory
                | Self::Leave
        )
    }

    /// Whether what comes after this step can be done without it.
    pub(crate) fn is_independent(&self) -> bool {
        matches!(
            self,
            Self::Invite { .. }
                | Self::SetAlias
                | Self::PrepareAvatar
                | Self::SetUserAvatar { .. }
                | Self::SetRoomAvatar { .. }
                | Self::SendHistory
        )
    }
}

/// What is missing for one agent, in the order in which it is to be done. `space` is `None` when there is none yet:
/// everything that needs it is then still to be done. `invitees` are the people who belong into the room.
pub(crate) fn agent_actions(
    goal: &Goal,
    binding: &Binding,
    space: Option<&OwnedRoomId>,
    invitees: &[OwnedUserId],
) -> Vec<Action> {
    match goal {
        Goal::Home {
            name,
            topic,
            order,
            avatar,
        } => {
            let mut actions = user_actions(name, avatar.as_ref(), binding);
            actions.extend(room_actions(
                name,
                topic,
                order.as_ref(),
                binding,
                space,
                invitees,
            ));
            actions
        }
        Goal::Archive { name, topic, leave } => archive_actions(name, topic, *leave, binding),
        Goal::Rest => Vec::new(),
    }
}

fn user_actions(name: &str, avatar: Option<&crate::goal::Picture>, binding: &Binding) -> Vec<Action> {
    let mut actions = Vec::new();
    if !binding.user_registered {
        actions.push(Action::Register);
    }
    if binding.display_name.as_deref() != Some(name) {
        actions.push(Action::SetDisplayName {
            name: name.to_owned(),
        });
    }
    if binding.avatar.source.as_deref() != avatar.map(|picture| picture.fingerprint.as_str()) {
        actions.push(Action::PrepareAvatar);
    } else if binding.avatar.on_user != binding.avatar.url {
        actions.push(Action::SetUserAvatar {
            avatar_url: binding.avatar.url.clone(),
        });
    }
    actions
}

fn room_actions(
    name: &str,
    topic: &str,
    order: Option<&String>,
    binding: &Binding,
    space: Option<&OwnedRoomId>,
    invitees: &[OwnedUserId],
) -> Vec<Action> {
    let room = &binding.room;
    let add_to_space = || Action::AddToSpace {
        order: order.cloned(),
    };
    if binding.room_id.is_none() {
        // The room is made with its name, topic, parent and invitations.
        let create = Action::CreateRoom {
            name: name.to_owned(),
            topic: topic.to_owned(),
            invite: invitees.to_vec(),
        };
        return vec![create, add_to_space()];
    }
    if !room.joined && room.verified {
        return vec![Action::Rejoin];
    }
    if !room.verified {
        return vec![Action::Inspect];
    }
    let mut actions = Vec::new();
    if !room.marked {
        actions.push(Action::Mark);
    }
    if !room.alias_set {
        actions.push(Action::SetAlias);
    }
    if room.name.as_deref() != Some(name) {
        actions.push(Action::SetRoomName {
            name: name.to_owned(),
        });
    }
    if room.topic.as_deref() != Some(topic) {
        actions.push(Action::SetRoomTopic {
            topic: topic.to_owned(),
        });
    }
    if room.avatar_url != binding.avatar.url {
        actions.push(Action::SetRoomAvatar {
            avatar_url: binding.avatar.url.clone(),
        });
    }
    if space.is_none() || room.parent_id.as_ref() != space {
        if let Some(former) = room.parent_id.clone() {
            actions.push(Action::RemoveParent { space: former });
        }
        actions.push(Action::SetParent);
    }
    if space.is_none() || room.space_id.as_ref() != space || room.space_order.as_ref() != order {
        actions.push(add_to_space());
    }
    for user in invitees {
        if matches!(binding.invitations.get(user), None | Some(Invitation::Failed)) {
            actions.push(Action::Invite { user: user.clone() });
        }
    }
    if matches!(room.history, History::Pending { .. }) {
        actions.push(Action::SendHistory);
    }
    actions
}

fn archive_actions(name: &str, topic: &str, leave: bool, binding: &Binding) -> Vec<Action> {
    let room = &binding.room;
    if binding.room_id.is_none() {
        return Vec::new();
    }
    if !room.verified {
        return vec![Action::Inspect];
    }
    let mut actions = Vec::new();
    if room.joined {
        // Nobody would know later whose room it was.
        if !room.marked {
            actions.push(Action::Mark);
        }
        if room.name.as_deref() != Some(name) {
            actions.push(Action::SetRoomName {
                name: name.to_owned(),
            });
        }
        if room.topic.as_deref() != Some(topic) {
            actions.push(Action::SetRoomTopic {
                topic: topic.to_owned(),
            });
        }
        if let Some(space) = room.parent_id.clone() {
            actions.push(Action::RemoveParent { space });
        }
    }
    if let Some(space) = room.space_id.clone() {
        actions.push(Action::RemoveFromSpace { space });
    }
    if leave && room.joined {
        actions.push(Action::Leave);
    }
    actions
}

/// What is missing in the space, in the order in which it is to be done. Nothing for a space that is not needed yet.
pub(crate) fn space_actions(
    record: Option<&SpaceRecord>,
    config: &SyncConfig,
    invitees: &[OwnedUserId],
) -> Result<Vec<SpaceAction>, ruma::IdParseError> {
    let Some(record) = record else {
        return Ok(vec![SpaceAction::Create {
            name: config.space.name.clone(),
            alias: config.space_alias()?,
        }]);
    };
    if !record.verified {
        return Ok(vec![SpaceAction::Inspect]);
    }
    let mut actions = Vec::new();
    if !record.marked {
        actions.push(SpaceAction::Mark);
    }
    if !record.alias_set {
        actions.push(SpaceAction::SetAlias);
    }
    if record.name.as_ref() != Some(&config.space.name) {
        actions.push(SpaceAction::SetName {
            name: config.space.name.clone(),
        });
    }
    if record.topic.as_ref() != Some(&config.space.topic) {
        actions.push(SpaceAction::SetTopic {
            topic: config.space.topic.clone(),
        });
    }
    if let Some(name) = &config.bot_name
        && record.bot_name.as_ref() != Some(name)
    {
        actions.push(SpaceAction::SetBotName { name: name.clone() });
    }
    for user in invitees {
        if matches!(record.invitations.get(user), None | Some(Invitation::Failed)) {
            actions.push(SpaceAction::Invite { user: user.clone() });
        }
    }
    Ok(actions)
}
