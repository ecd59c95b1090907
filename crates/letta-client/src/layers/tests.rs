use super::*;
use crate::{LettaApiExt, fake::FakeLetta};

#[tokio::test]
async fn a_dry_run_reads_and_changes_nothing() {
    let fake = FakeLetta::with_test_agents();
    let letta = ReadOnly::new(fake.clone());
    let agent = AgentId::new("agent-001");
    let to = ConversationRef::agent(agent.clone());
    let there = ConversationId::new("conv-1");
    let input = TurnInput::text("otid", "hello");
    let options = TurnOptions::default();

    assert_eq!(letta.health().await.unwrap(), fake.health().await.unwrap());
    assert_eq!(
        letta
            .list_all_agents(&AgentQuery::default())
            .await
            .unwrap()
            .agents
            .len(),
        3
    );
    assert_eq!(letta.count_agents().await.unwrap(), 3);
    let found = letta.get_agent(&agent, AgentInclude::default()).await.unwrap();
    assert_eq!(found.name, "Agent Alpha");
    letta.list_messages(&to, &HistoryQuery::default()).await.unwrap();
    letta.list_runs(&agent, &RunQuery::default()).await.unwrap();
    letta
        .list_conversations(&agent, &ConversationQuery::default())
        .await
        .unwrap();

    let before = fake.calls().len();
    let refused = [
        letta.create_agent(&NewAgent::named("x")).await.err(),
        letta.update_agent(&agent, &AgentUpdate::rename("x")).await.err(),
        letta.delete_agent(&agent).await.err(),
        letta.set_tool_approval(&agent, "look", true).await.err(),
        letta
            .create_conversation(&agent, &NewConversation::default())
            .await
            .err(),
        letta.delete_conversation(&there).await.err(),
        letta.send(&to, &input, &options).await.err(),
        letta
            .decide(&to, &[ApprovalDecision::approve("call")], &options)
            .await
            .err(),
        letta.cancel(&to, None).await.err(),
    ];
    for error in refused {
        let error = error.unwrap();
        assert_eq!(error.kind(), &LettaErrorKind::ReadOnly);
        assert!(!error.may_have_applied());
        assert!(!error.is_retryable());
        assert!(error.message().contains("dry run"), "{error}");
    }
    assert_eq!(fake.calls().len(), before, "no write reached the server");
}

#[tokio::test]
async fn calls_are_counted_once_and_for_all_clones() {
    let letta = Counted::new(FakeLetta::with_test_agents());
    let clone = letta.clone();
    letta.health().await.unwrap();
    clone.count_agents().await.unwrap();
    let nobody = AgentId::new("agent-nobody");
    clone
        .get_agent(&nobody, AgentInclude::default())
        .await
        .unwrap_err();
    assert_eq!((letta.calls(), clone.calls()), (3, 3));
    // Through a pointer it is the same call.
    let pointer: Arc<dyn LettaApi> = Arc::new(letta.clone());
    pointer.health().await.unwrap();
    assert_eq!(letta.calls(), 4);
    assert_eq!(letta.into_inner().calls().len(), 4);
}
