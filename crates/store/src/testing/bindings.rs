//! Cases of [`BindingStore`](crate::BindingStore): agents, space and progress.

use std::sync::Arc;

use letta_client::AgentId;

use super::samples::{NOON, full_binding, full_progress, full_space, lease, planned_binding, room};
use crate::{Binding, BindingStore, SpaceRecord, StoreErrorKind, SyncProgress, SyncStore};

/// An empty store has no bindings, no space and no progress.
pub async fn an_empty_store_has_nothing(store: Arc<impl BindingStore>) {
    assert_eq!(store.list_bindings().await.unwrap(), []);
    assert_eq!(store.get_binding(&AgentId::new("agent-001")).await.unwrap(), None);
    assert_eq!(store.get_space().await.unwrap(), None);
    assert_eq!(store.get_progress().await.unwrap(), SyncProgress::default());
}

/// What is written comes back unchanged, every field.
pub async fn a_binding_comes_back_as_it_was_written(store: Arc<impl SyncStore>) {
    let lease = lease(&*store).await;
    for binding in [full_binding("agent-001"), planned_binding("agent-002")] {
        store.put_binding(&binding, &lease).await.unwrap();
        assert_eq!(store.get_binding(&binding.agent_id).await.unwrap(), Some(binding));
    }
}

/// Bindings are listed by agent id, byte by byte, whatever the order of writing.
pub async fn bindings_are_listed_by_agent_id(store: Arc<impl SyncStore>) {
    let lease = lease(&*store).await;
    for agent in ["agent-c", "agent-a", "agent.a", "agent-B", "agent-10", "agent-9"] {
        store.put_binding(&planned_binding(agent), &lease).await.unwrap();
    }
    let ids: Vec<_> = store
        .list_bindings()
        .await
        .unwrap()
        .into_iter()
        .map(|binding| binding.agent_id.to_string())
        .collect();
    assert_eq!(
        ids,
        ["agent-10", "agent-9", "agent-B", "agent-a", "agent-c", "agent.a"]
    );
}

/// A second write replaces the first in every field, be it to fill or to empty it, and leaves other agents alone.
pub async fn a_second_write_replaces_the_first(store: Arc<impl SyncStore>) {
    let lease = lease(&*store).await;
    let other = full_binding("agent-002");
    store.put_binding(&other, &lease).await.unwrap();
    let (bare, full) = (planned_binding("agent-001"), full_binding("agent-001"));
    for binding in [&bare, &full, &bare] {
        store.put_binding(binding, &lease).await.unwrap();
        assert_eq!(
            store.list_bindings().await.unwrap(),
            [binding.clone(), other.clone()]
        );
    }
}

/// A user belongs to one agent.
pub async fn a_user_of_another_agent_is_refused(store: Arc<impl SyncStore>) {
    let lease = lease(&*store).await;
    let first = full_binding("agent-001");
    store.put_binding(&first, &lease).await.unwrap();
    let second = Binding {
        user_id: first.user_id.clone(),
        ..planned_binding("agent-002")
    };
    let error = store.put_binding(&second, &lease).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Conflict);
    assert_eq!(store.list_bindings().await.unwrap(), [first]);
}

/// A room belongs to one agent, and an agent that has a binding keeps it when it is refused another's room.
pub async fn a_room_of_another_agent_is_refused(store: Arc<impl SyncStore>) {
    let lease = lease(&*store).await;
    let (first, second) = (full_binding("agent-001"), planned_binding("agent-002"));
    store.put_binding(&first, &lease).await.unwrap();
    store.put_binding(&second, &lease).await.unwrap();
    let greedy = Binding {
        room_id: first.room_id.clone(),
        ..second.clone()
    };
    let error = store.put_binding(&greedy, &lease).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Conflict);
    assert_eq!(store.list_bindings().await.unwrap(), [first, second]);
}

/// Agents without a room do not contend for it.
pub async fn many_agents_may_have_no_room(store: Arc<impl SyncStore>) {
    let lease = lease(&*store).await;
    for agent in ["agent-001", "agent-002"] {
        store.put_binding(&planned_binding(agent), &lease).await.unwrap();
    }
    assert_eq!(store.list_bindings().await.unwrap().len(), 2);
}

/// A room that an agent gave up can become another's.
pub async fn a_room_that_was_given_up_is_free(store: Arc<impl SyncStore>) {
    let lease = lease(&*store).await;
    let first = full_binding("agent-001");
    store.put_binding(&first, &lease).await.unwrap();
    let moved = Binding {
        room_id: Some(room("another")),
        ..first.clone()
    };
    let heir = Binding {
        room_id: first.room_id,
        ..planned_binding("agent-002")
    };
    store.put_binding(&moved, &lease).await.unwrap();
    store.put_binding(&heir, &lease).await.unwrap();
    assert_eq!(store.list_bindings().await.unwrap(), [moved, heir]);
}

/// A deleted binding is gone, the others stay.
pub async fn a_deleted_binding_is_gone(store: Arc<impl SyncStore>) {
    let lease = lease(&*store).await;
    let (gone, kept) = (full_binding("agent-001"), full_binding("agent-002"));
    store.put_binding(&gone, &lease).await.unwrap();
    store.put_binding(&kept, &lease).await.unwrap();
    store.delete_binding(&gone.agent_id, &lease).await.unwrap();
    assert_eq!(store.get_binding(&gone.agent_id).await.unwrap(), None);
    assert_eq!(store.list_bindings().await.unwrap(), [kept]);
}

/// Deleting an unknown binding does nothing.
pub async fn deleting_an_unknown_binding_does_nothing(store: Arc<impl SyncStore>) {
    let lease = lease(&*store).await;
    let kept = full_binding("agent-001");
    store.put_binding(&kept, &lease).await.unwrap();
    store
        .delete_binding(&AgentId::new("agent-002"), &lease)
        .await
        .unwrap();
    assert_eq!(store.list_bindings().await.unwrap(), [kept]);
}

/// The user and the room of a deleted binding can become another agent's.
pub async fn a_deleted_binding_frees_its_user_and_room(store: Arc<impl SyncStore>) {
    let lease = lease(&*store).await;
    let gone = full_binding("agent-001");
    store.put_binding(&gone, &lease).await.unwrap();
    store.delete_binding(&gone.agent_id, &lease).await.unwrap();
    let heir = Binding {
        agent_id: AgentId::new("agent-002"),
        ..gone
    };
    store.put_binding(&heir, &lease).await.unwrap();
    assert_eq!(store.list_bindings().await.unwrap(), [heir]);
}

/// The space is one record, replaced in every field.
pub async fn the_space_is_one_record(store: Arc<impl SyncStore>) {
    let lease = lease(&*store).await;
    let bare = SpaceRecord::found(room("another"), NOON);
    for space in [full_space(), bare, full_space()] {
        store.put_space(&space, &lease).await.unwrap();
        assert_eq!(store.get_space().await.unwrap(), Some(space));
    }
}

/// Progress is one record, replaced in every field.
pub async fn progress_is_one_record(store: Arc<impl SyncStore>) {
    let lease = lease(&*store).await;
    let half = SyncProgress {
        checked_at: None,
        ..full_progress()
    };
    for progress in [full_progress(), half, SyncProgress::default(), full_progress()] {
        store.put_progress(&progress, &lease).await.unwrap();
        assert_eq!(store.get_progress().await.unwrap(), progress);
    }
}

/// Concurrent writers lose nothing.
pub async fn concurrent_writes_are_all_kept(store: Arc<impl SyncStore + 'static>) {
    let lease = lease(&*store).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..32 {
        let (store, lease) = (Arc::clone(&store), lease.clone());
        tasks.spawn(async move {
            let binding = full_binding(&format!("agent-{n:03}"));
            store.put_binding(&binding, &lease).await
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap().unwrap();
    }
    let expected: Vec<_> = (0..32).map(|n| full_binding(&format!("agent-{n:03}"))).collect();
    assert_eq!(store.list_bindings().await.unwrap(), expected);
}

/// Of concurrent writers that want one user, one gets it and the others are told.
pub async fn one_of_many_agents_gets_a_user(store: Arc<impl SyncStore + 'static>) {
    let lease = lease(&*store).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..16 {
        let (store, lease) = (Arc::clone(&store), lease.clone());
        tasks.spawn(async move {
            let binding = Binding {
                agent_id: AgentId::new(format!("agent-{n:03}")),
                ..full_binding("agent-000")
            };
            store.put_binding(&binding, &lease).await
        });
    }
    let mut won = 0;
    while let Some(result) = tasks.join_next().await {
        match result.unwrap() {
            Ok(()) => won += 1,
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Conflict, "{error}"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(store.list_bindings().await.unwrap().len(), 1);
}
