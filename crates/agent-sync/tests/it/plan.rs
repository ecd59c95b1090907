//! Planning: what Letta says and what is recorded in, what is to be done out.

use std::{sync::Arc, time::Duration};

use agent_sync::{Action, Plan, RunOptions, SpaceAction, SyncConfig};
use letta_client::{Agent, AgentId, AgentPage, MockLettaApi};
use matrix_client::MockMatrixApi;
use ruma::OwnedUserId;
use store::{Binding, BindingStore, Invitation, LeaseStore, MemoryStore, RoomFacts, SpaceRecord};

use crate::{
    mocks::with_config,
    support::{NOON, answer, bound, config, space, user},
};

fn alpha() -> Agent {
    Agent::new("agent-001", "Agent Alpha")
}

async fn plan(
    agents: &[Agent],
    bindings: &[Binding],
    space: Option<&SpaceRecord>,
    config: &SyncConfig,
) -> Plan {
    let store = Arc::new(MemoryStore::new());
    let lease = store
        .acquire_lease("sync", "local", NOON, Duration::from_secs(30))
        .await
        .unwrap()
        .unwrap();
    for binding in bindings {
        store.put_binding(binding, &lease).await.unwrap();
    }
    if let Some(space) = space {
        store.put_space(space, &lease).await.unwrap();
    }
    let mut letta = MockLettaApi::new();
    let agents = agents.to_vec();
    letta.expect_list_agents().times(1).returning(move |_| {
        answer(Ok(AgentPage {
            agents: agents.clone(),
            next: None,
        }))
    });
    // Nothing is expected of the homeserver: planning asks it nothing.
    with_config(letta, MockMatrixApi::new(), &store, config.clone())
        .plan(RunOptions::default())
        .await
        .unwrap()
}

async fn plan_one(agent: &Agent, binding: Option<&Binding>, space: Option<&SpaceRecord>) -> Plan {
    plan(
        std::slice::from_ref(agent),
        binding.map(std::slice::from_ref).unwrap_or_default(),
        space,
        &config(),
    )
    .await
}

fn steps(plan: &Plan) -> Vec<&'static str> {
    plan.agents
        .iter()
        .flat_map(|agent| &agent.actions)
        .map(|action| match action {
            Action::Register => "register",
            Action::SetDisplayName { .. } => "display name",
            Action::CreateRoom { .. } => "room",
            Action::SetRoomName { .. } => "room name",
            Action::SetRoomTopic { .. } => "topic",
            Action::SetParent => "parent",
            Action::AddToSpace { .. } => "child",
            Action::RemoveParent { .. } => "no parent",
            Action::Invite { .. } => "invite",
            other => panic!("{other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn the_first_agent_needs_the_space_and_four_requests() {
    let plan = plan_one(&alpha(), None, None).await;
    assert_eq!(
        plan.space,
        [SpaceAction::Create {
            name: "Letta Agents".to_owned(),
            alias: "#letta-agents:matrix.test".try_into().unwrap()
        }]
    );
    assert_eq!(plan.agents[0].user_id.as_str(), "@agent_001:matrix.test");
    assert_eq!(steps(&plan), ["register", "display name", "room", "child"]);
    let invited: &[OwnedUserId] = &[user("admin")];
    assert!(matches!(&plan.agents[0].actions[2], Action::CreateRoom { invite, .. } if invite == invited));
}

#[tokio::test]
async fn an_agent_that_is_complete_needs_nothing() {
    let plan = plan_one(&alpha(), Some(&bound(&alpha())), Some(&space())).await;
    assert_eq!((plan.space, plan.agents, plan.unchanged), (vec![], vec![], 1));
}

#[tokio::test]
async fn a_renamed_agent_keeps_its_user_and_renames_it_and_the_room() {
    let renamed = Agent::new("agent-001", "Agent Omega");
    let plan = plan_one(&renamed, Some(&bound(&alpha())), Some(&space())).await;
    assert_eq!(plan.agents[0].user_id.as_str(), "@agent_001:matrix.test");
    assert_eq!(steps(&plan), ["display name", "room name", "child"]);
}

#[tokio::test]
async fn what_was_only_tried_is_planned_again() {
    let half = Binding {
        display_name: None,
        room: RoomFacts {
            space_id: None,
            ..bound(&alpha()).room
        },
        ..bound(&alpha())
    };
    assert_eq!(
        steps(&plan_one(&alpha(), Some(&half), Some(&space())).await),
        ["display name", "child"]
    );
}

#[tokio::test]
async fn a_new_space_takes_every_room_in() {
    let other = SpaceRecord {
        room_id: "!other:matrix.test".try_into().unwrap(),
        ..space()
    };
    assert_eq!(
        steps(&plan_one(&alpha(), Some(&bound(&alpha())), Some(&other)).await),
        ["no parent", "parent", "child"]
    );
    assert_eq!(
        steps(&plan_one(&alpha(), Some(&bound(&alpha())), None).await),
        ["no parent", "parent", "child"]
    );
}

#[tokio::test]
async fn a_person_added_to_the_configuration_is_invited() {
    let mut config = config();
    config.invite.push(user("friend"));
    let plan = plan(&[alpha()], &[bound(&alpha())], Some(&space()), &config).await;
    assert_eq!(plan.agents[0].actions, [Action::Invite { user: user("friend") }]);
}

#[tokio::test]
async fn only_invitations_that_failed_are_repeated() {
    for (standing, again) in [
        (Invitation::Invited, false),
        (Invitation::Joined, false),
        (Invitation::Left, false),
        (Invitation::Failed, true),
    ] {
        let mut binding = bound(&alpha());
        binding.invitations.insert(user("admin"), standing);
        let plan = plan_one(&alpha(), Some(&binding), Some(&space())).await;
        assert_eq!(!plan.agents.is_empty(), again, "{standing:?}");
    }
}

#[tokio::test]
async fn nobody_is_invited_twice_and_the_bridge_does_not_invite_itself() {
    let mut config = config();
    config.invite = vec![user("admin"), user("admin"), user("letta_bot"), user("agent_001")];
    let plan = plan(&[alpha()], &[], Some(&space()), &config).await;
    let Action::CreateRoom { invite, .. } = &plan.agents[0].actions[2] else {
        panic!("{plan:?}")
    };
    assert_eq!(invite, &[user("admin")]);
}

#[tokio::test]
async fn an_agent_that_is_not_listed_is_only_noted() {
    let gone = bound(&Agent::new("agent-gone", "Gone"));
    let plan = plan(&[alpha()], &[bound(&alpha()), gone], Some(&space()), &config()).await;
    assert_eq!(plan.missing, [AgentId::new("agent-gone")]);
    assert!(plan.agents.is_empty());
}

#[tokio::test]
async fn a_recorded_user_is_kept_although_the_prefix_changed() {
    let mut config = config();
    config.prefix = "letta_".to_owned();
    let renamed = Agent::new("agent-001", "Agent Omega");
    let plan = plan(&[renamed], &[bound(&alpha())], Some(&space()), &config).await;
    assert_eq!(plan.agents[0].user_id.as_str(), "@agent_001:matrix.test");
}

#[tokio::test]
async fn a_description_becomes_the_topic() {
    let agent = {
        let mut agent = alpha();
        agent.description = Some("Knows\nthe weather".to_owned());
        agent
    };
    let plan = plan_one(&agent, Some(&bound(&alpha())), Some(&space())).await;
    assert_eq!(
        plan.agents[0].actions,
        [Action::SetRoomTopic {
            topic: "Knows the weather".to_owned()
        }]
    );
}
