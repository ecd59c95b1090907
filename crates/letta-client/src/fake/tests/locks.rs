use std::time::Duration;

use super::talk::{plain, read, text_of};
use crate::{
    Conflict, ConversationRef, Disposition, LettaApi, LettaErrorKind, NewConversation, TurnInput,
    TurnOptions, fake::FakeLetta,
};

async fn conversation(letta: &FakeLetta) -> ConversationRef {
    let made = letta
        .create_conversation(&"agent-001".into(), &NewConversation::default())
        .await
        .unwrap();
    ConversationRef::of("agent-001", made.id)
}

#[tokio::test(start_paused = true)]
async fn an_input_sent_twice_to_a_conversation_joins_the_first_turn() {
    let letta = FakeLetta::with_test_agents();
    let to = conversation(&letta).await;
    let input = TurnInput::text("same-otid", "[slow 3] hello");
    let first = letta.send(&to, &input, &TurnOptions::default()).await.unwrap();
    let second = letta.send(&to, &input, &TurnOptions::default()).await.unwrap();
    // The server does not say which is which.
    assert_eq!(first.disposition(), Disposition::Started);
    assert_eq!(second.disposition(), Disposition::Started);
    let (first, second) = (read(first).await, read(second).await);
    assert_eq!(first, second);
    // Afterwards too.
    let third = letta.send(&to, &input, &TurnOptions::default()).await.unwrap();
    assert_eq!(read(third).await[0].run, first[0].run);
}

#[tokio::test(start_paused = true)]
async fn without_kept_events_the_second_time_is_a_conflict_and_later_runs_again() {
    let letta = FakeLetta::with_test_agents();
    let to = conversation(&letta).await;
    let input = TurnInput::text("same-otid", "[slow 3] hello");
    let first = letta.send(&to, &input, &plain()).await.unwrap();
    let error = letta.send(&to, &input, &plain()).await.unwrap_err();
    assert!(
        matches!(
            error.kind(),
            LettaErrorKind::Conflict(Conflict::Busy { run: Some(_) })
        ),
        "{error:?}"
    );
    let first = read(first).await;
    let again = letta.send(&to, &input, &plain()).await.unwrap();
    assert_eq!(again.disposition(), Disposition::Started);
    assert_ne!(read(again).await[0].run, first[0].run);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_redis_locks_nothing() {
    let letta = FakeLetta::with_test_agents().without_redis();
    let to = conversation(&letta).await;
    let slow = TurnInput::text("a", "[slow 3] first");
    let quick = TurnInput::text("b", "second");
    let slow = letta.send(&to, &slow, &TurnOptions::default()).await.unwrap();
    let quick = letta.send(&to, &quick, &TurnOptions::default()).await.unwrap();
    let (quick, slow) = (read(quick).await, read(slow).await);
    assert_eq!(
        (text_of(&quick).as_str(), text_of(&slow).as_str()),
        ("echo: second", "echo: [slow 3] first")
    );
    assert!(slow.iter().all(|event| event.resume.is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_crash_leaves_the_lock_until_its_time_is_over() {
    let letta = FakeLetta::with_test_agents();
    let to = conversation(&letta).await;
    let turn = letta
        .send(&to, &TurnInput::text("a", "[slow 60] hello"), &plain())
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    letta.crash();
    drop(turn);
    letta.restart();
    let again = TurnInput::text("b", "again");
    let error = letta.send(&to, &again, &plain()).await.unwrap_err();
    assert!(
        matches!(
            error.kind(),
            LettaErrorKind::Conflict(Conflict::Busy { run: Some(_) })
        ),
        "{error:?}"
    );
    tokio::time::sleep(Duration::from_secs(299)).await;
    let turn = letta.send(&to, &again, &plain()).await.unwrap();
    assert_eq!(text_of(&read(turn).await), "echo: again");
}
