use crate::{
    AgentCursor, AgentId, AgentInclude, AgentQuery, AgentUpdate, Completeness, Direction, LettaApi,
    LettaApiExt, LettaErrorKind, NewAgent,
    fake::{AgentSeed, FakeLetta},
};

fn model(name: &str) -> NewAgent {
    NewAgent {
        model: Some("openai-proxy/fake-model".to_owned()),
        ..NewAgent::named(name)
    }
}

async fn names(letta: &FakeLetta, query: &AgentQuery) -> Vec<String> {
    let page = letta.list_agents(query).await.unwrap();
    page.agents.into_iter().map(|agent| agent.name).collect()
}

#[tokio::test(start_paused = true)]
async fn the_shared_test_agents_are_there_in_order() {
    let letta = FakeLetta::with_test_agents();
    assert_eq!(
        names(&letta, &AgentQuery::default()).await,
        ["Agent Alpha", "Agent Beta", "Sync Test Agent"]
    );
    let alpha = letta
        .get_agent(&"agent-001".into(), AgentInclude::default())
        .await
        .unwrap();
    assert_eq!(alpha.name, "Agent Alpha");
}

#[tokio::test(start_paused = true)]
async fn a_strict_server_refuses_ids_that_no_server_gives() {
    let letta = FakeLetta::new();
    let error = letta
        .get_agent(&"agent-001".into(), AgentInclude::default())
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), LettaErrorKind::InvalidRequest);
    assert_eq!(error.status(), Some(422));
    let lenient = letta.clone().lenient();
    let error = lenient
        .get_agent(&"agent-001".into(), AgentInclude::default())
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), LettaErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_agents() {
    let made = async |seed| {
        let letta = FakeLetta::new().with_seed(seed);
        let first = letta.create_agent(&model("a")).await.unwrap();
        let second = letta.create_agent(&model("a")).await.unwrap();
        assert_ne!(first.id, second.id);
        (first, second)
    };
    assert_eq!(made(3).await, made(3).await);
    assert_ne!(made(3).await.0.id, made(4).await.0.id);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_no_file_name_is_refused_at_creation_and_fine_at_renaming() {
    let letta = FakeLetta::new();
    for name in [
        "a/b", "a.b", "a:b", "a@b", "a&b", "a!", "(a)", "<a>", "a 🦙", "a\tb",
    ] {
        let error = letta.create_agent(&model(name)).await.unwrap_err();
        assert_eq!(*error.kind(), LettaErrorKind::InvalidRequest, "{name:?}");
        assert_eq!(error.status(), Some(500), "{name:?}");
    }
    for name in ["Ünïcödé 42", "it's_a-name", ""] {
        let agent = letta.create_agent(&model(name)).await.unwrap();
        let renamed = letta
            .update_agent(&agent.id, &AgentUpdate::rename("a/b 🦙\n"))
            .await
            .unwrap();
        assert_eq!(renamed.name, "a/b 🦙\n");
        assert!(renamed.updated_at > agent.updated_at);
    }
}

#[tokio::test(start_paused = true)]
async fn a_strict_server_wants_a_model_it_knows() {
    let letta = FakeLetta::new();
    let error = letta.create_agent(&NewAgent::named("x")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (&LettaErrorKind::InvalidRequest, Some(400))
    );
    let unknown = NewAgent {
        model: Some("openai-proxy/none".to_owned()),
        ..NewAgent::named("x")
    };
    let error = letta.create_agent(&unknown).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (&LettaErrorKind::InvalidRequest, Some(404))
    );
    assert!(
        letta
            .clone()
            .lenient()
            .create_agent(&NewAgent::named("x"))
            .await
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn a_deleted_cursor_starts_the_listing_over() {
    let letta = FakeLetta::with_test_agents();
    let query = AgentQuery {
        limit: 2,
        ..AgentQuery::default()
    };
    let first = letta.list_agents(&query).await.unwrap();
    let next = first.next.clone().unwrap();
    assert_eq!(next.as_str(), "agent-002");
    letta.delete_agent(&"agent-002".into()).await.unwrap();
    let again = AgentQuery {
        after: Some(next),
        ..query
    };
    assert_eq!(names(&letta, &again).await, ["Agent Alpha", "Sync Test Agent"]);
}

#[tokio::test(start_paused = true)]
async fn pages_cover_everything_in_both_directions() {
    let letta = FakeLetta::new().lenient();
    for number in 0..7 {
        letta.add_agent(format!("agent-{number}"), format!("Agent {number}"));
    }
    for direction in [Direction::Ascending, Direction::Descending] {
        let query = AgentQuery {
            limit: 3,
            direction,
            ..AgentQuery::default()
        };
        let listing = letta.list_all_agents(&query).await.unwrap();
        assert!(matches!(listing.completeness, Completeness::Complete));
        let mut numbers: Vec<_> = listing.agents.iter().map(|agent| agent.name.clone()).collect();
        if direction == Direction::Descending {
            numbers.reverse();
        }
        assert_eq!(
            numbers,
            (0..7).map(|number| format!("Agent {number}")).collect::<Vec<_>>()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn filters_find_what_they_should() {
    let letta = FakeLetta::new().lenient();
    letta.add(AgentSeed::new("agent-1", "Librarian").tag("library").tag("night"));
    letta.add(AgentSeed::new("agent-2", "librarian").tag("library"));
    letta.add(AgentSeed::new("agent-3", "Gardener").tag("night").hidden());
    let found = async |query: AgentQuery| names(&letta, &query).await;
    let all = AgentQuery::default();
    assert_eq!(found(all.clone()).await, ["Librarian", "librarian"]);
    assert_eq!(letta.count_agents().await.unwrap(), 2, "as many as are listed");
    assert_eq!(
        found(AgentQuery {
            hidden: true,
            ..all.clone()
        })
        .await,
        ["Librarian", "librarian", "Gardener"]
    );
    assert_eq!(
        found(AgentQuery {
            name: Some("librarian".into()),
            ..all.clone()
        })
        .await,
        ["librarian"]
    );
    assert_eq!(
        found(AgentQuery {
            query_text: Some("LIBR".into()),
            ..all.clone()
        })
        .await
        .len(),
        2
    );
    let tags = vec!["library".to_owned(), "night".to_owned()];
    assert_eq!(
        found(AgentQuery {
            tags: tags.clone(),
            ..all.clone()
        })
        .await
        .len(),
        2
    );
    assert_eq!(
        found(AgentQuery {
            tags,
            match_all_tags: true,
            ..all.clone()
        })
        .await,
        ["Librarian"]
    );
    assert_eq!(
        found(AgentQuery {
            after: Some(AgentCursor::new("agent-3")),
            ..all
        })
        .await,
        [""; 0]
    );
}

#[tokio::test(start_paused = true)]
async fn tags_are_given_only_to_who_asks() {
    let letta = FakeLetta::new().lenient();
    let id: AgentId = letta.add(AgentSeed::new("agent-1", "Librarian").tag("library"));
    assert!(
        letta
            .get_agent(&id, AgentInclude::default())
            .await
            .unwrap()
            .tags
            .is_empty()
    );
    let include = AgentInclude {
        tags: true,
        ..AgentInclude::default()
    };
    assert_eq!(letta.get_agent(&id, include).await.unwrap().tags, ["library"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_is_gone() {
    let letta = FakeLetta::with_test_agents();
    letta.delete_agent(&"agent-001".into()).await.unwrap();
    let error = letta.delete_agent(&"agent-001".into()).await.unwrap_err();
    assert_eq!(*error.kind(), LettaErrorKind::NotFound);
    let error = letta
        .update_agent(&"agent-001".into(), &AgentUpdate::rename("x"))
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), LettaErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn an_agent_added_again_starts_anew() {
    let letta = FakeLetta::with_test_agents().with_seed(0);
    let id = letta.add_agent("agent-001", "Another Alpha");
    assert_eq!(letta.agent_ids().len(), 3);
    let agent = letta.get_agent(&id, AgentInclude::default()).await.unwrap();
    assert_eq!(agent.name, "Another Alpha");
    let of = crate::ConversationRef::agent(id);
    let page = letta
        .list_messages(&of, &crate::HistoryQuery::default())
        .await
        .unwrap();
    assert_eq!(page.messages.len(), 1, "nothing but the system prompt");
}
