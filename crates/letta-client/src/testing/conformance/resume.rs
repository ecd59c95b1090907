//! Joining a turn again.

use super::{
    super::{
        CaseResult,
        result::Failure,
        subject::{events, read_until},
    },
    Subject, needs,
};
use crate::{LettaErrorKind, ResumeToken, TurnEvent, TurnEventKind, TurnOptions, types::turn::TurnStream};

/// What a reader cares about: pings come and go.
fn kinds(events: &[TurnEvent]) -> Vec<&TurnEventKind> {
    events
        .iter()
        .map(|event| &event.kind)
        .filter(|kind| **kind != TurnEventKind::Alive)
        .collect()
}

async fn joined(subject: &Subject, token: &ResumeToken) -> CaseResult<Vec<TurnEvent>> {
    let stream: TurnStream = subject.api().resume(token).await?;
    events(stream).await
}

pub(super) async fn joining_again_yields_exactly_the_rest(subject: &Subject) -> CaseResult {
    needs!(subject, KeepsEvents);
    let agent = subject.agent().await?;
    for tokens in [true, false] {
        let options = TurnOptions {
            tokens,
            ..TurnOptions::default()
        };
        let prompt = format!("[think first] {}", subject.tool_prompt());
        let all = events(subject.start(&agent, &prompt, &options).await?).await?;
        let mut positions = 0;
        for (index, event) in all.iter().enumerate() {
            let Some(token) = &event.resume else { continue };
            positions += 1;
            let rest = joined(subject, token).await?;
            assert_eq!(kinds(&rest), kinds(&all[index + 1..]), "behind {event:?}");
            assert!(rest.iter().all(|event| event.run == all[0].run), "{rest:#?}");
        }
        assert!(positions >= 4, "{all:#?}");
        assert!(all[0].resume.is_some(), "from the beginning on");
        // A token survives being written down.
        let text = all[0].resume.as_ref().map(|token| token.as_str().to_owned());
        let rest = joined(subject, &ResumeToken::new(text.unwrap_or_default())).await?;
        assert_eq!(kinds(&rest), kinds(&all[1..]));
    }
    Ok(())
}

pub(super) async fn a_running_turn_can_be_joined_again(subject: &Subject) -> CaseResult {
    needs!(subject, KeepsEvents);
    let agent = subject.agent().await?;
    let text = "[trickle 2] one two three four five six";
    let mut stream = subject.start(&agent, text, &TurnOptions::default()).await?;
    let begun = read_until(&mut stream, |kind| matches!(kind, TurnEventKind::Text { .. })).await?;
    drop(stream);
    let token = begun
        .last()
        .and_then(|event| event.resume.clone())
        .ok_or_else(|| crate::testing::CaseError::new(format!("no token: {begun:#?}")))?;
    let rest = joined(subject, &token).await?;
    let answer: String = begun
        .iter()
        .chain(&rest)
        .filter_map(|event| match &event.kind {
            TurnEventKind::Text { append, .. } => Some(append.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(answer, format!("echo: {text}"));
    assert!(
        matches!(
            rest.last().map(|event| &event.kind),
            Some(TurnEventKind::Ended { error: None, .. })
        ),
        "{rest:#?}"
    );
    Ok(())
}

pub(super) async fn a_turn_that_is_not_resumable_carries_no_tokens(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let options = TurnOptions {
        resumable: false,
        ..TurnOptions::default()
    };
    let events = events(subject.start(&agent, "hello", &options).await?).await?;
    assert!(events.iter().all(|event| event.resume.is_none()), "{events:#?}");
    Ok(())
}

pub(super) async fn a_token_that_is_none_is_refused(subject: &Subject) -> CaseResult {
    for token in ["", "x", "run-1", "/1", "run-1/x", "run-1/-1"] {
        let error = subject.api().resume(&ResumeToken::new(token)).await.failure()?;
        assert_eq!(
            error.kind(),
            &LettaErrorKind::InvalidRequest,
            "{token:?}: {error:?}"
        );
    }
    Ok(())
}

pub(super) async fn a_turn_nobody_knows_can_not_be_joined(subject: &Subject) -> CaseResult {
    needs!(subject, KeepsEvents);
    let agent = subject.agent().await?;
    let events = events(subject.start(&agent, "hello", &TurnOptions::default()).await?).await?;
    let (Some(run), Some(token)) = (&events[0].run, &events[0].resume) else {
        panic!("{:?}", events[0])
    };
    let unknown = token
        .as_str()
        .replace(run.as_str(), "run-00000000-0000-4000-8000-000000000000");
    let error = subject.api().resume(&ResumeToken::new(unknown)).await.failure()?;
    assert_eq!(error.kind(), &LettaErrorKind::NotFound, "{error:?}");
    Ok(())
}
