//! What is missing: a pure function of what Letta says and what the store knows.

use letta_client::{Agent, AgentId};
use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedUserId};
use serde::Serialize;
use store::{Binding, Invitation, SpaceRecord};

use crate::{
    Step, SyncConfig,
    names::{display_name, room_topic},
};

/// Everything one run would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// What is to be done to the space; `None` when it is there.
    pub space: Option<SpaceAction>,
    /// The agents for which something is to be done.
    pub agents: Vec<AgentPlan>,
    /// How many agents need nothing.
    pub unchanged: usize,
    /// Agents that have a room and are no longer listed. Nothing is done to them.
    pub missing: Vec<AgentId>,
}

/// What is to be done to the space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum SpaceAction {
    /// Make it, or adopt the one that has its alias.
    Create {
        /// Its name.
        name: String,
        /// Its alias.
        alias: OwnedRoomAliasId,
    },
}

/// Everything one run would do for one agent, in this order.
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

/// One step: one request to the homeserver, done by the agent's user unless it says otherwise.
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
    /// Make the room with name, topic, alias, parent, marker and invitations, or adopt the one that has its alias.
    CreateRoom {
        /// The name.
        name: String,
        /// The topic.
        topic: String,
        /// The people invited.
        invite: Vec<OwnedUserId>,
    },
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
    /// Name the space as the room's parent.
    SetParent,
    /// Name the room as the space's child (done by the application service's own user).
    AddToSpace,
    /// Invite a person.
    Invite {
        /// The person.
        user: OwnedUserId,
    },
}

impl Action {
    /// The step under which a failure is reported.
    #[must_use]
    pub fn step(&self) -> Step {
        match self {
            Self::Register => Step::Register,
            Self::SetDisplayName { .. } => Step::DisplayName,
            Self::CreateRoom { .. } => Step::Room,
            Self::SetRoomName { .. } => Step::RoomName,
            Self::SetRoomTopic { .. } => Step::RoomTopic,
            Self::SetParent | Self::AddToSpace => Step::Space,
            Self::Invite { .. } => Step::Invite,
        }
    }
}

/// Compares what should be with what is recorded.
///
/// # Errors
/// When an agent's id and the configuration make no valid Matrix id.
pub fn plan(
    agents: &[Agent],
    bindings: &[Binding],
    space: Option<&SpaceRecord>,
    config: &SyncConfig,
) -> Result<Plan, ruma::IdParseError> {
    let mut plan = Plan {
        space: None,
        agents: Vec::new(),
        unchanged: 0,
        missing: Vec::new(),
    };
    if space.is_none() {
        plan.space = Some(SpaceAction::Create {
            name: config.space.name.clone(),
            alias: config.space_alias()?,
        });
    }
    let space = space.map(|space| &space.room_id);
    let known: std::collections::HashMap<_, _> = bindings
        .iter()
        .map(|binding| (&binding.agent_id, binding))
        .collect();
    for agent in agents {
        let binding = known.get(&agent.id).copied();
        let user_id = match binding {
            Some(binding) => binding.user_id.clone(),
            None => config.user_id(&agent.id)?,
        };
        let actions = actions(agent, binding, &user_id, space, config);
        if actions.is_empty() {
            plan.unchanged += 1;
        } else {
            plan.agents.push(AgentPlan {
                agent_id: agent.id.clone(),
                agent_name: agent.name.clone(),
                user_id,
                actions,
            });
        }
    }
    let listed: std::collections::HashSet<_> = agents.iter().map(|agent| &agent.id).collect();
    plan.missing = bindings
        .iter()
        .filter(|binding| !listed.contains(&binding.agent_id))
        .map(|binding| binding.agent_id.clone())
        .collect();
    Ok(plan)
}

/// What is missing for one agent, in the order in which it is to be done. `space` is `None` when there is none yet:
/// everything that needs it is then still to be done.
pub(crate) fn actions(
    agent: &Agent,
    binding: Option<&Binding>,
    user_id: &OwnedUserId,
    space: Option<&OwnedRoomId>,
    config: &SyncConfig,
) -> Vec<Action> {
    let name = display_name(agent);
    let topic = room_topic(agent);
    let invitees = config.invitees(user_id);
    let mut actions = Vec::new();
    if !binding.is_some_and(|binding| binding.user_registered) {
        actions.push(Action::Register);
    }
    if binding.and_then(|binding| binding.display_name.as_ref()) != Some(&name) {
        actions.push(Action::SetDisplayName { name: name.clone() });
    }
    let Some((binding, _)) = binding.and_then(|binding| Some((binding, binding.room_id.as_ref()?))) else {
        // The room is made with its name, topic, parent and invitations.
        actions.push(Action::CreateRoom {
            name,
            topic,
            invite: invitees,
        });
        actions.push(Action::AddToSpace);
        return actions;
    };
    if binding.room_name.as_ref() != Some(&name) {
        actions.push(Action::SetRoomName { name });
    }
    if binding.room_topic.as_ref() != Some(&topic) {
        actions.push(Action::SetRoomTopic { topic });
    }
    if space.is_none() || binding.parent_id.as_ref() != space {
        actions.push(Action::SetParent);
    }
    if space.is_none() || binding.space_id.as_ref() != space {
        actions.push(Action::AddToSpace);
    }
    for user in invitees {
        if matches!(binding.invitations.get(&user), None | Some(Invitation::Failed)) {
            actions.push(Action::Invite { user });
        }
    }
    actions
}
