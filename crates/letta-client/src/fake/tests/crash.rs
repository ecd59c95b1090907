use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::Instant;

use super::talk::{heard, history, pieces, plain, read, say, start, text_of};
use crate::{
    LettaApi, LettaErrorKind, ResumeToken, RunQuery, RunStatus, TurnEventKind, TurnOptions, fake::FakeLetta,
};

#[tokio::test(start_paused = true)]
async fn a_crash_breaks_streams_and_leaves_runs_running_for_ever() {
    let letta = FakeLetta::with_test_agents();
    say(&letta, "before", &plain()).await;
    let mut turn = start(&letta, "[slow 30] lost", &plain()).await;
    assert_eq!(turn.next().await.unwrap().unwrap().kind, TurnEventKind::Started);
    letta.crash();
    let error = turn.next().await.unwrap().unwrap_err();
    assert_eq!(*error.kind(), LettaErrorKind::Interrupted);
    assert!(turn.next().await.is_none());
    assert_eq!(*letta.health().await.unwrap_err().kind(), LettaErrorKind::Connect);

    letta.restart();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let active = RunQuery {
        active_only: true,
        ..RunQuery::default()
    };
    let runs = letta.list_runs(&"agent-001".into(), &active).await.unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].status, RunStatus::Running);
    assert_eq!(heard(&letta).await, ["before"]);
    assert_eq!(text_of(&say(&letta, "after", &plain()).await), "echo: after");
    letta.join().await;
}

#[tokio::test(start_paused = true)]
async fn kept_events_survive_a_crash_and_then_there_is_silence() {
    let letta = FakeLetta::with_test_agents();
    let mut turn = start(&letta, "[trickle 10] one two three four", &TurnOptions::default()).await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.push(turn.next().await.unwrap().unwrap());
    }
    letta.crash();
    letta.restart();
    let token = seen[0].resume.clone().unwrap();
    let mut joined = letta.resume(&token).await.unwrap();
    for event in &seen[1..] {
        assert_eq!(joined.next().await.unwrap().unwrap().kind, event.kind);
    }
    // Nothing but signs of life, until the server gives up after half an hour.
    let begun = Instant::now();
    let mut signs = 0;
    let error = loop {
        match joined.next().await.unwrap() {
            Ok(event) => assert_eq!(event.kind, TurnEventKind::Alive),
            Err(error) => break error,
        }
        signs += 1;
    };
    assert_eq!(*error.kind(), LettaErrorKind::Interrupted);
    assert!(signs > 80, "{signs}");
    assert!(begun.elapsed() > Duration::from_secs(1800));
}

#[tokio::test(start_paused = true)]
async fn a_network_that_is_down_breaks_streams_and_stops_no_turn() {
    let letta = FakeLetta::with_test_agents();
    let turn = start(&letta, "[slow 5] hello", &pieces()).await;
    letta.down();
    let events: Vec<_> = turn.collect().await;
    assert_eq!(
        *events.last().unwrap().as_ref().unwrap_err().kind(),
        LettaErrorKind::Interrupted
    );
    letta.join().await;
    letta.up();
    assert_eq!(heard(&letta).await, ["[slow 5] hello"]);
    assert_eq!(history(&letta, "agent-001").await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_turn_nobody_reads_goes_on_and_is_joined_at_the_end() {
    let letta = FakeLetta::with_test_agents();
    drop(start(&letta, "[slow 5] hello", &pieces()).await);
    assert_eq!(heard(&letta).await, [""; 0]);
    letta.join().await;
    assert_eq!(heard(&letta).await, ["[slow 5] hello"]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_stops_what_runs() {
    let letta = FakeLetta::with_test_agents();
    let turn = start(&letta, "[slow 5] hello", &pieces()).await;
    letta.shutdown().await;
    drop(turn);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(heard(&letta).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn events_are_kept_for_three_hours() {
    let letta = FakeLetta::with_test_agents();
    let events = say(&letta, "hello", &TurnOptions::default()).await;
    let token: ResumeToken = events[0].resume.clone().unwrap();
    tokio::time::sleep(Duration::from_secs(3 * 3600 - 1)).await;
    assert_eq!(
        text_of(&read(letta.resume(&token).await.unwrap()).await),
        "echo: hello"
    );
    tokio::time::sleep(Duration::from_secs(2)).await;
    let error = letta.resume(&token).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (&LettaErrorKind::NotFound, Some(410))
    );
}

#[tokio::test(start_paused = true)]
async fn a_foreground_turn_can_not_be_joined() {
    let letta = FakeLetta::with_test_agents();
    let events = say(&letta, "hello", &pieces()).await;
    let run = events[0].run.clone().unwrap();
    let error = letta
        .resume(&ResumeToken::new(format!("{run}/1")))
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), LettaErrorKind::NotFound);
    let none = letta.clone().without_redis();
    let events = say(&none, "hello", &TurnOptions::default()).await;
    assert!(events.iter().all(|event| event.resume.is_none()));
}
