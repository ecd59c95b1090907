//! Agents become users and rooms.

use std::collections::{BTreeMap, BTreeSet};

use agent_sync::{RunOptions, Step};
use letta_client::LettaApi;
use matrix_client::{MatrixApi, NewRoom, StateEventType};
use serde_json::json;
use store::{BindingStore, Invitation, Lifecycle};

use super::stage::Stage;

pub async fn discover_and_create_agents(stage: &Stage) {
    let [alpha, beta] = stage.create_agents(["Agent Alpha", "Agent Beta"]).await;
    for agent in [&alpha, &beta] {
        assert!(!stage.has_user(&stage.user_of(&agent.id)).await);
    }
    let before = stage.matrix.calls();
    let report = stage.sync().await;
    assert!(report.agents >= 2, "it lists what Letta has");
    assert_eq!((report.users_created, report.rooms_created), (2, 2));
    assert!(report.space_created);
    let calls = stage.calls_since(&before);
    for (call, count) in [("register", 2), ("set_display_name", 2), ("create_room", 2 + 1)] {
        assert_eq!(calls.get(call), Some(&count), "{calls:?}");
    }
    for agent in [&alpha, &beta] {
        stage.assert_home(&agent.id, &agent.name).await;
    }
    // One that is made later is discovered by the next run, at four requests.
    let gamma = stage.create_agent("Agent Gamma").await;
    let before = stage.matrix.calls();
    let report = stage.sync().await;
    assert_eq!((report.users_created, report.unchanged), (1, 2));
    assert_eq!(stage.calls_since(&before).values().sum::<u64>(), 4);
    stage.assert_home(&gamma.id, "Agent Gamma").await;
    assert_eq!(stage.bindings().await.len(), 3);
}

pub async fn sync_agents_to_users(stage: &Stage) {
    let agents = stage
        .create_agents(["Agent Alpha", "Agent Beta", "Agent Gamma"])
        .await;
    stage.sync().await;
    let users: BTreeSet<_> = agents.iter().map(|agent| stage.user_of(&agent.id)).collect();
    assert_eq!(users.len(), 3, "a user of its own for each");
    for agent in &agents {
        let user = stage.user_of(&agent.id);
        assert!(user.localpart().starts_with(&stage.config.prefix), "{user}");
        assert_eq!(stage.display_name(&user).await.as_ref(), Some(&agent.name));
        let binding = stage.binding(&agent.id).await;
        assert_eq!(
            (&binding.user_id, &binding.lifecycle),
            (&user, &Lifecycle::Active)
        );
        assert!(binding.user_registered);
    }
    // Nothing changed: nobody is asked and nothing is written.
    let (before, writes) = (stage.matrix.calls(), stage.store.writes());
    let report = stage.sync().await;
    assert_eq!((report.unchanged, report.users_created), (3, 0));
    assert_eq!(stage.calls_since(&before), BTreeMap::new());
    assert_eq!(stage.store.writes(), writes);
}

pub async fn create_room_for_agent(stage: &Stage) {
    let agent = stage.create_agent("Agent Alpha").await;
    let before = stage.matrix.calls();
    stage.sync().await;
    assert_eq!(
        stage.calls_since(&before).get("create_room"),
        Some(&2),
        "the space and the room"
    );
    stage.assert_home(&agent.id, "Agent Alpha").await;
    let room = stage.binding(&agent.id).await.room_id.unwrap();
    let space = stage.store.get_space().await.unwrap().unwrap().room_id;
    let state = stage.state(&agent.id, &room).await;
    let content = |kind: &str, key: &str| {
        let event = state
            .iter()
            .find(|event| event.event_type.to_string() == kind && event.state_key.as_deref() == Some(key));
        event.unwrap_or_else(|| panic!("no {kind} {key}")).content.clone()
    };
    assert_eq!(content("m.room.join_rules", "")["join_rule"], "invite");
    assert_eq!(
        content(agent_sync::AGENT_MARKER, "")["agent_id"],
        agent.id.as_str()
    );
    assert_eq!(content("m.space.parent", space.as_str())["canonical"], true);
    let alias = stage.config.room_alias(&agent.id).unwrap();
    assert_eq!(content("m.room.canonical_alias", "")["alias"], alias.as_str());
    assert_eq!(stage.rooms_in_space().await, std::slice::from_ref(&room));
    // The room is the agent's own: it can do there what it wants.
    stage.rename(&agent.id, "Agent Omega").await;
    stage.sync().await;
    assert_eq!(
        stage.text(&agent.id, "m.room.name", "name").await.as_deref(),
        Some("Agent Omega")
    );
}

pub async fn room_persistence_across_restarts(stage: &Stage) {
    let agents = stage.create_agents(["Agent Alpha", "Agent Beta"]).await;
    stage.sync().await;
    let before = stage.bindings().await;
    // Each run makes its reconciler anew. The state is what remains.
    let calls = stage.matrix.calls();
    stage.sync().await;
    assert_eq!(stage.calls_since(&calls), BTreeMap::new());
    assert_eq!(stage.bindings().await, before);
    // Without its state it finds the same rooms again.
    let report = stage
        .reconciler_without_state()
        .run(RunOptions::default())
        .await
        .unwrap();
    assert!(report.is_success(), "{report:#?}");
    assert_eq!(
        (report.rooms_created, report.users_created, report.space_created),
        (0, 0, false)
    );
    assert_eq!(report.adopted, 2 + 1, "both rooms and the space");
    for agent in &agents {
        stage.assert_home(&agent.id, &agent.name).await;
    }
}

pub async fn detect_agent_name_change(stage: &Stage) {
    let [alpha, beta] = stage.create_agents(["Agent Alpha", "Agent Beta"]).await;
    stage.sync().await;
    stage.rename(&alpha.id, "Agent Omega").await;
    let before = stage.matrix.calls();
    let report = stage.sync().await;
    assert_eq!((report.renamed, report.unchanged), (1, 1));
    let calls = stage.calls_since(&before);
    let expected = BTreeMap::from([("set_display_name", 1), ("set_state_event", 2)]);
    assert_eq!(
        calls, expected,
        "the name of the user, of the room, and its place in the space"
    );
    stage.assert_home(&alpha.id, "Agent Omega").await;
    stage.assert_home(&beta.id, "Agent Beta").await;
    assert_eq!(
        stage.binding(&alpha.id).await.room.name.as_deref(),
        Some("Agent Omega")
    );
}

pub async fn username_stability_on_rename(stage: &Stage) {
    let agent = stage.create_agent("Agent Alpha").await;
    stage.sync().await;
    let before = stage.binding(&agent.id).await;
    for name in ["Agent Omega", "Agent Alpha", "Completely different"] {
        stage.rename(&agent.id, name).await;
        let calls = stage.matrix.calls();
        let report = stage.sync().await;
        assert_eq!((report.users_created, report.rooms_created), (0, 0));
        let calls = stage.calls_since(&calls);
        assert!(
            !calls.contains_key("register") && !calls.contains_key("create_room"),
            "{calls:?}"
        );
        let after = stage.binding(&agent.id).await;
        assert_eq!(
            (&after.user_id, &after.room_id, &after.room_alias),
            (&before.user_id, &before.room_id, &before.room_alias)
        );
        stage.assert_home(&agent.id, name).await;
    }
}

pub async fn invite_admin_to_agent_room(stage: &Stage) {
    let agents = stage.create_agents(["Agent Alpha", "Agent Beta"]).await;
    let before = stage.matrix.calls();
    stage.sync().await;
    assert_eq!(
        stage.calls_since(&before).get("invite_user"),
        None,
        "the rooms are made with the invitation"
    );
    let admin = &stage.admin.user_id;
    for agent in &agents {
        assert_eq!(
            stage.membership(&agent.id, admin).await.as_deref(),
            Some("invite")
        );
        let binding = stage.binding(&agent.id).await;
        assert_eq!(binding.invitations[admin], Invitation::Invited);
        let room = binding.room_id.unwrap();
        let joined = stage.matrix.join_room(&stage.admin, (&*room).into(), &[]).await;
        assert_eq!(joined.unwrap(), room, "the invitation lets in");
    }
    let space = stage.store.get_space().await.unwrap().unwrap();
    assert_eq!(space.invitations[admin], Invitation::Invited);
    let joined = stage
        .matrix
        .join_room(&stage.admin, (&*space.room_id).into(), &[])
        .await;
    assert_eq!(joined.unwrap(), space.room_id);
}

pub async fn invitation_status_tracking(stage: &Stage) {
    let [alpha, beta, gamma] = stage
        .create_agents(["Agent Alpha", "Agent Beta", "Agent Gamma"])
        .await;
    stage.sync().await;
    let admin = &stage.admin.user_id;
    let room_of = async |agent: &letta_client::Agent| stage.binding(&agent.id).await.room_id.unwrap();
    // One is accepted, one is accepted and left again, one is left open.
    let (first, second) = (room_of(&alpha).await, room_of(&beta).await);
    for room in [&first, &second] {
        stage
            .matrix
            .join_room(&stage.admin, (&**room).into(), &[])
            .await
            .unwrap();
    }
    stage
        .matrix
        .leave_room(&stage.admin, &second, None)
        .await
        .unwrap();
    for agent in [&alpha, &beta, &gamma] {
        let binding = stage.binding(&agent.id).await;
        assert_eq!(
            binding.invitations[admin],
            Invitation::Invited,
            "as it was last seen"
        );
    }
    let before = stage.matrix.calls();
    stage.check().await;
    assert_eq!(
        stage.calls_since(&before).get("invite_user"),
        None,
        "nobody is pestered"
    );
    for (agent, standing, membership) in [
        (&alpha, Invitation::Joined, "join"),
        (&beta, Invitation::Left, "leave"),
        (&gamma, Invitation::Invited, "invite"),
    ] {
        assert_eq!(
            stage.binding(&agent.id).await.invitations[admin],
            standing,
            "{}",
            agent.name
        );
        assert_eq!(
            stage.membership(&agent.id, admin).await.as_deref(),
            Some(membership)
        );
    }
}

pub async fn concurrent_agent_creation(stage: &Stage) {
    const AGENTS: usize = 12;
    let mut agents = Vec::new();
    for n in 0..AGENTS {
        agents.push(stage.create_agent(&format!("Agent {n}")).await);
    }
    let before = stage.matrix.calls();
    let report = stage.sync().await;
    assert_eq!((report.users_created, report.rooms_created), (AGENTS, AGENTS));
    let calls = stage.calls_since(&before);
    assert_eq!(
        calls.get("register"),
        Some(&(AGENTS as u64)),
        "each once: {calls:?}"
    );
    for agent in &agents {
        stage.assert_home(&agent.id, &agent.name).await;
    }
    let in_space: BTreeSet<_> = stage.rooms_in_space().await.into_iter().collect();
    assert_eq!(in_space.len(), AGENTS);
}

pub async fn concurrent_room_creation(stage: &Stage) {
    let agents = stage
        .create_agents(["Agent Alpha", "Agent Beta", "Agent Gamma"])
        .await;
    // Two instances that know nothing of each other, at the same time.
    let (one, other) = (stage.reconciler(), stage.reconciler_without_state());
    let options = RunOptions::default();
    let (one, other) = tokio::join!(one.run(options), other.run(options));
    // They may stand in each other's way. What they leave must be whole after one more run.
    drop((one, other));
    stage.sync().await;
    stage.check().await;
    for agent in &agents {
        stage.assert_home(&agent.id, &agent.name).await;
    }
    assert_eq!(
        stage.rooms_in_space().await.len(),
        3,
        "one room each, and no other"
    );
}

pub async fn partial_agent_sync_failure(stage: &Stage) {
    let [alpha, beta, gamma] = stage
        .create_agents(["Agent Alpha", "Agent Beta", "Agent Gamma"])
        .await;
    // Another agent's room has the alias of the second one's.
    let accounts = stage.accounts();
    let squatter = stage.user_of(&format!("agent-squatter-{}", stage.store.writes()).as_str().into());
    let user = stage.user_of(&beta.id);
    for user in [&squatter, &user] {
        accounts.register(user).await.unwrap();
    }
    let alias = stage.config.room_alias(&beta.id).unwrap();
    let marker = json!({ "agent_id": "agent-of-somebody-else" });
    let room = NewRoom::room()
        .alias_localpart(alias.alias())
        .invite([user.clone()])
        .initial_state(StateEventType::from(agent_sync::AGENT_MARKER), "", marker);
    let maker = accounts.session(&squatter).await.unwrap();
    let taken = stage.matrix.create_room(&maker, &room).await.unwrap();
    let ghost = stage.ghost_of(&beta.id).await;
    stage
        .matrix
        .join_room(&ghost, (&*taken).into(), &[])
        .await
        .unwrap();

    let report = stage.reconciler().run(RunOptions::default()).await.unwrap();
    assert!(!report.is_success());
    assert_eq!(report.failed.len(), 1, "{report:#?}");
    assert_eq!(
        (&report.failed[0].agent_id, report.failed[0].step),
        (&beta.id, Step::Room)
    );
    assert!(
        report.failed[0].error.contains(alias.as_str()),
        "{}",
        report.failed[0].error
    );
    for agent in [&alpha, &gamma] {
        stage.assert_home(&agent.id, &agent.name).await;
    }
    let binding = stage.binding(&beta.id).await;
    assert_eq!((binding.room_id, binding.user_registered), (None, true));
    assert!(binding.last_error.unwrap().contains("agent-of-somebody-else"));

    // Once the alias is free, the next run goes on where it stopped.
    stage.matrix.delete_alias(&maker, &alias).await.unwrap();
    let report = stage.sync().await;
    assert_eq!(
        (report.rooms_created, report.users_created, report.unchanged),
        (1, 0, 2)
    );
    stage.assert_home(&beta.id, "Agent Beta").await;
}

pub async fn retry_on_transient_failure(stage: &Stage) {
    let agent = stage.create_agent("Agent Alpha").await;
    // Nothing can be begun: the space cannot be made.
    let error = stage.sync_with_nowhere().await.unwrap_err();
    assert!(!error.to_string().is_empty());
    assert_eq!(stage.bindings().await, []);
    let report = stage.sync().await;
    assert_eq!((report.users_created, report.rooms_created), (1, 1));
    stage.assert_home(&agent.id, "Agent Alpha").await;

    // Some of it fails, is written down, and is tried again.
    stage.rename(&agent.id, "Agent Omega").await;
    let report = stage.sync_with_nowhere().await.unwrap();
    assert_eq!(report.failed.len(), 1, "{report:#?}");
    assert_eq!(report.failed[0].step, Step::DisplayName);
    let binding = stage.binding(&agent.id).await;
    assert_eq!(
        binding.display_name.as_deref(),
        Some("Agent Alpha"),
        "only what was confirmed"
    );
    assert!(binding.last_error.is_some());
    let report = stage.sync().await;
    assert_eq!(report.renamed, 1);
    stage.assert_home(&agent.id, "Agent Omega").await;
    // The agent is deleted on our own server only at the end, if at all.
    assert!(stage.letta.get_agent(&agent.id, Default::default()).await.is_ok());
}
