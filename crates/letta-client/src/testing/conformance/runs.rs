//! What a server knows about a turn.

use super::{
    super::{
        CaseError, CaseResult,
        result::Failure,
        subject::{events, eventually, read_until},
    },
    Subject,
};
use crate::{LettaErrorKind, Run, RunId, RunQuery, RunStatus, StopReason, TurnEventKind, TurnOptions};

const NOWHERE: &str = "run-00000000-0000-4000-8000-000000000000";

/// The run when it has ended: a server notes that a moment after the stream is over.
async fn settled(subject: &Subject, id: Option<&RunId>) -> CaseResult<Run> {
    let id = id.ok_or_else(|| CaseError::new("the turn named no run"))?;
    eventually("the end of a run", || async {
        let run = subject.api().get_run(id).await?;
        Ok((!run.status.is_active()).then_some(run))
    })
    .await
}

pub(super) async fn a_finished_run_says_how_it_ended(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    for resumable in [true, false] {
        let options = TurnOptions {
            resumable,
            ..TurnOptions::default()
        };
        let stream = subject.start(&agent, "hello", &options).await?;
        let outcome = stream.outcome().await?;
        let run = settled(subject, outcome.run.as_ref()).await?;
        assert_eq!(run.status, RunStatus::Completed, "{run:?}");
        assert_eq!(run.stop_reason, Some(StopReason::EndTurn), "{run:?}");
        assert_eq!(run.agent.as_ref(), Some(&agent.id));
        assert_eq!(run.conversation, None);
        assert_eq!(run.error, None);
        assert!(run.created_at.is_some(), "{run:?}");
        assert!(run.completed_at >= run.created_at, "{run:?}");
        if !resumable {
            assert!(!run.background, "{run:?}");
        }
    }
    Ok(())
}

pub(super) async fn a_failed_run_says_why(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let outcome = subject.say(&agent, "[fail 429] hello").await?;
    let run = settled(subject, outcome.run.as_ref()).await?;
    assert_eq!(run.status, RunStatus::Failed, "{run:?}");
    assert!(
        matches!(run.stop_reason, Some(StopReason::LlmApiError | StopReason::Error)),
        "{run:?}"
    );
    Ok(())
}

pub(super) async fn runs_are_listed_newest_first(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    // A server that keeps no events notes a failed run for each attempt to have some kept.
    let options = TurnOptions {
        resumable: false,
        ..TurnOptions::default()
    };
    let mut made = Vec::new();
    for text in ["one", "two", "three"] {
        made.extend(subject.start(&agent, text, &options).await?.outcome().await?.run);
    }
    made.reverse();
    let ids = |runs: Vec<Run>| runs.into_iter().map(|run| run.id).collect::<Vec<_>>();
    let all = subject.api().list_runs(&agent.id, &RunQuery::default()).await?;
    assert!(all.iter().all(|run| run.agent.as_ref() == Some(&agent.id)));
    assert_eq!(ids(all), made);
    let query = RunQuery {
        limit: 2,
        ..RunQuery::default()
    };
    assert_eq!(ids(subject.api().list_runs(&agent.id, &query).await?), made[..2]);
    let other = subject.agent().await?;
    assert_eq!(
        subject.api().list_runs(&other.id, &RunQuery::default()).await?,
        []
    );
    Ok(())
}

pub(super) async fn only_running_runs_are_active(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let query = RunQuery {
        active_only: true,
        ..RunQuery::default()
    };
    let finished = subject.say(&agent, "hello").await?;
    settled(subject, finished.run.as_ref()).await?;
    assert_eq!(subject.api().list_runs(&agent.id, &query).await?, []);

    let mut stream = subject
        .start(&agent, "[trickle 2] one two three four", &TurnOptions::default())
        .await?;
    let begun = read_until(&mut stream, |kind| matches!(kind, TurnEventKind::Text { .. })).await?;
    let active = subject.api().list_runs(&agent.id, &query).await?;
    let [run] = &active[..] else {
        panic!("one runs: {active:?}")
    };
    assert_eq!(Some(&run.id), begun[0].run.as_ref());
    assert!(run.status.is_active());
    assert_eq!(run.stop_reason, None, "{run:?}");
    events(stream).await?;
    settled(subject, begun[0].run.as_ref()).await?;
    assert_eq!(subject.api().list_runs(&agent.id, &query).await?, []);
    Ok(())
}

pub(super) async fn a_run_that_does_not_exist_is_not_found(subject: &Subject) -> CaseResult {
    let error = subject.api().get_run(&RunId::new(NOWHERE)).await.failure()?;
    assert_eq!(error.kind(), &LettaErrorKind::NotFound, "{error:?}");
    Ok(())
}
