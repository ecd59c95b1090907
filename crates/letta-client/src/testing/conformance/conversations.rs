//! Conversations.

use super::{
    super::{
        CaseResult,
        result::Failure,
        subject::{events, read_until},
    },
    Subject, needs,
};
use crate::{
    AgentId, Conflict, ConversationId, ConversationQuery, ConversationRef, LettaErrorKind, NewConversation,
    TurnEventKind, TurnInput, TurnOptions,
};

const NOBODY: &str = "agent-00000000-0000-4000-8000-000000000000";
const NOWHERE: &str = "conv-00000000-0000-4000-8000-000000000000";

pub(super) async fn a_conversation_is_found_again(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let api = subject.api();
    let new = NewConversation {
        summary: Some("About cases.".to_owned()),
    };
    let made = api.create_conversation(&agent.id, &new).await?;
    let found = api.get_conversation(&made.id).await?;
    assert_eq!(found, made);
    assert_eq!(found.agent, agent.id);
    assert_eq!(found.summary, new.summary);
    assert!(found.created_at.is_some());

    let plain = api
        .create_conversation(&agent.id, &NewConversation::default())
        .await?;
    assert_eq!(plain.summary, None);
    assert_ne!(plain.id, made.id);
    Ok(())
}

pub(super) async fn conversations_are_listed_newest_first_in_pages(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let other = subject.agent().await?;
    let api = subject.api();
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(
            api.create_conversation(&agent.id, &NewConversation::default())
                .await?
                .id,
        );
        api.create_conversation(&other.id, &NewConversation::default())
            .await?;
    }
    made.reverse();
    let mut query = ConversationQuery {
        limit: 2,
        after: None,
    };
    let first = api.list_conversations(&agent.id, &query).await?;
    assert_eq!(
        first.conversations.iter().map(|one| &one.id).collect::<Vec<_>>(),
        [&made[0], &made[1]]
    );
    query.after = first.next;
    assert!(query.after.is_some());
    let second = api.list_conversations(&agent.id, &query).await?;
    assert_eq!(
        second.conversations.iter().map(|one| &one.id).collect::<Vec<_>>(),
        [&made[2]]
    );
    assert_eq!(second.next, None);
    Ok(())
}

pub(super) async fn the_default_conversation_is_not_listed(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    subject.say(&agent, "hello").await?;
    let page = subject
        .api()
        .list_conversations(&agent.id, &ConversationQuery::default())
        .await?;
    assert_eq!(page.conversations, []);
    assert_eq!(page.next, None);
    Ok(())
}

pub(super) async fn a_conversation_that_does_not_exist_is_not_found(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let api = subject.api();
    let gone = api
        .create_conversation(&agent.id, &NewConversation::default())
        .await?
        .id;
    api.delete_conversation(&gone).await?;
    for id in [gone, ConversationId::new(NOWHERE)] {
        let to = ConversationRef::of(agent.id.clone(), id.clone());
        let input = TurnInput::text(subject.otid(), "hello");
        for error in [
            api.get_conversation(&id).await.failure()?,
            api.delete_conversation(&id).await.failure()?,
            api.send(&to, &input, &TurnOptions::default()).await.failure()?,
            api.cancel(&to, None).await.failure()?,
        ] {
            assert_eq!(error.kind(), &LettaErrorKind::NotFound, "{id}: {error:?}");
        }
    }
    Ok(())
}

pub(super) async fn a_conversation_needs_its_agent(subject: &Subject) -> CaseResult {
    let error = subject
        .api()
        .create_conversation(&AgentId::new(NOBODY), &NewConversation::default())
        .await
        .failure()?;
    assert_eq!(error.kind(), &LettaErrorKind::NotFound, "{error:?}");
    Ok(())
}

pub(super) async fn conversations_do_not_know_of_each_other(subject: &Subject) -> CaseResult {
    needs!(subject, ContextMarker);
    let agent = subject.agent().await?;
    let mut places = vec![ConversationRef::agent(agent.id.clone())];
    for _ in 0..2 {
        let conversation = subject
            .api()
            .create_conversation(&agent.id, &NewConversation::default())
            .await?;
        places.push(ConversationRef::of(agent.id.clone(), conversation.id));
    }
    for (index, place) in places.iter().enumerate() {
        subject.say_in(place, &format!("this is place {index}")).await?;
    }
    for (index, place) in places.iter().enumerate() {
        let outcome = subject.say_in(place, "[context]").await?;
        assert_eq!(
            outcome.text,
            format!("context: 1 earlier user turn, the first was: this is place {index}")
        );
    }
    Ok(())
}

pub(super) async fn a_busy_conversation_takes_no_second_turn(subject: &Subject) -> CaseResult {
    needs!(subject, KeepsEvents);
    let agent = subject.agent().await?;
    let api = subject.api();
    let conversation = api
        .create_conversation(&agent.id, &NewConversation::default())
        .await?;
    let to = ConversationRef::of(agent.id.clone(), conversation.id);
    let options = TurnOptions::default();
    let first = TurnInput::text(subject.otid(), "[trickle 2] one two three four five six");
    let mut turn = api.send(&to, &first, &options).await?;
    let begun = read_until(&mut turn, |kind| matches!(kind, TurnEventKind::Text { .. })).await?;
    let second = TurnInput::text(subject.otid(), "me too");
    let error = api.send(&to, &second, &options).await.failure()?;
    match error.kind() {
        LettaErrorKind::Conflict(Conflict::Busy { run }) => assert_eq!(run, &begun[0].run),
        _ => panic!("{error:?}"),
    }
    assert!(error.is_retryable());
    assert!(!error.may_have_applied());
    events(turn).await?;
    // Waiting is what helps.
    let outcome = subject.say_in(&to, "and now?").await?;
    assert_eq!(outcome.text, "echo: and now?");
    Ok(())
}
