use std::pin::Pin;

use futures_util::stream;
use jiff::SignedDuration;

use super::*;
use crate::{
    AgentCursor, AgentPage, Disposition, ItemId, LettaErrorKind, MockLettaApi, TurnErrorKind, TurnEvent,
};

type Answer = Pin<Box<dyn Future<Output = Result<AgentPage>> + Send>>;

fn answered(page: Result<AgentPage>) -> Answer {
    Box::pin(std::future::ready(page))
}

/// A server whose pages are given, in the order they are asked for. An empty name stands for a failure.
fn pages(pages: &[(&[&str], Option<&str>)]) -> MockLettaApi {
    let mut letta = MockLettaApi::new();
    let mut sequence = mockall::Sequence::new();
    for (ids, next) in pages {
        let agents: Vec<_> = ids.iter().map(|id| Agent::new(*id, *id)).collect();
        let next = next.map(AgentCursor::new);
        letta
            .expect_list_agents()
            .once()
            .in_sequence(&mut sequence)
            .returning(move |_| {
                if agents.iter().any(|agent| agent.name.is_empty()) {
                    return answered(Err(LettaError::new(LettaErrorKind::Server, "down")));
                }
                answered(Ok(AgentPage {
                    agents: agents.clone(),
                    next: next.clone(),
                }))
            });
    }
    letta
}

fn ids(listing: &AgentListing) -> Vec<&str> {
    listing.agents.iter().map(|agent| agent.id.as_str()).collect()
}

#[tokio::test]
async fn all_pages_are_read_in_order() {
    let letta = pages(&[(&["a", "b"], Some("b")), (&["c", "d"], Some("d")), (&[], None)]);
    let listing = letta.list_all_agents(&AgentQuery::default()).await.unwrap();
    assert_eq!(ids(&listing), ["a", "b", "c", "d"]);
    assert_eq!(listing.pages, 3);
    assert!(listing.is_complete());
}

#[tokio::test]
async fn the_cursor_of_each_page_asks_for_the_next() {
    let mut letta = MockLettaApi::new();
    letta.expect_list_agents().times(3).returning(|query| {
        let (id, next) = match query.after.as_ref().map(AgentCursor::as_str) {
            None => ("a", Some("a")),
            Some("a") => ("b", Some("b")),
            Some("b") => ("c", None),
            other => panic!("{other:?}"),
        };
        assert_eq!(query.limit, 1);
        assert_eq!(query.tags, ["t"]);
        answered(Ok(AgentPage {
            agents: vec![Agent::new(id, id)],
            next: next.map(AgentCursor::new),
        }))
    });
    let query = AgentQuery {
        limit: 1,
        tags: vec!["t".to_owned()],
        ..AgentQuery::default()
    };
    let listing = letta.list_all_agents(&query).await.unwrap();
    assert_eq!(ids(&listing), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_listing_that_restarts_is_read_once_more() {
    // "b" is deleted after the first page: its cursor is ignored and the listing begins anew.
    let letta = pages(&[
        (&["a", "b"], Some("b")),
        (&["a", "c"], Some("c")),
        (&["a", "c"], Some("c")),
        (&["d"], None),
    ]);
    let listing = letta.list_all_agents(&AgentQuery::default()).await.unwrap();
    assert_eq!(ids(&listing), ["a", "c", "d"]);
    assert!(listing.is_complete());
}

#[tokio::test]
async fn a_listing_that_keeps_restarting_is_incomplete_and_ends() {
    let letta = pages(&[
        (&["a", "b"], Some("b")),
        (&["a", "b"], Some("b")),
        (&["a", "b"], Some("b")),
        (&["a", "b"], Some("b")),
    ]);
    let listing = letta.list_all_agents(&AgentQuery::default()).await.unwrap();
    assert!(
        matches!(listing.completeness, Completeness::Restarted),
        "{listing:?}"
    );
    assert!(!listing.is_complete());
    assert_eq!(ids(&listing), ["a", "b"]);
}

#[tokio::test]
async fn a_server_whose_pages_never_end_is_left() {
    let mut letta = MockLettaApi::new();
    let mut number = 0;
    letta.expect_list_agents().returning(move |_| {
        number += 1;
        answered(Ok(AgentPage {
            agents: vec![Agent::new(format!("agent-{number}"), "")],
            next: Some(AgentCursor::new("more")),
        }))
    });
    let listing = letta.list_all_agents(&AgentQuery::default()).await.unwrap();
    assert!(
        matches!(listing.completeness, Completeness::TooManyPages),
        "{listing:?}"
    );
}

#[tokio::test]
async fn a_page_that_fails_makes_the_listing_incomplete_and_the_first_one_impossible() {
    let letta = pages(&[(&["a"], Some("a")), (&[""], None)]);
    let listing = letta.list_all_agents(&AgentQuery::default()).await.unwrap();
    assert_eq!(ids(&listing), ["a"]);
    assert!(
        matches!(listing.completeness, Completeness::Failed(_)),
        "{listing:?}"
    );

    let letta = pages(&[(&[""], None)]);
    let error = letta.list_all_agents(&AgentQuery::default()).await.unwrap_err();
    assert_eq!(error.kind(), &LettaErrorKind::Server);
}

/// An agent that changed at this second, or nobody knows when.
fn changed(id: &str, second: Option<i64>) -> Agent {
    let mut agent = Agent::new(id, id);
    agent.updated_at = second.map(at);
    agent
}

fn at(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
}

/// Agents and their seconds of change, and where the next page starts.
type ChangesPage<'a> = (&'a [(&'a str, i64)], Option<&'a str>);

/// A server whose pages hold these agents with their seconds of change, in the order they are asked for.
fn changes(pages: &[ChangesPage<'_>]) -> MockLettaApi {
    let mut letta = MockLettaApi::new();
    let mut sequence = mockall::Sequence::new();
    for (page, next) in pages {
        let agents: Vec<_> = page
            .iter()
            .map(|(id, second)| changed(id, Some(*second)))
            .collect();
        let next = next.map(AgentCursor::new);
        letta
            .expect_list_agents()
            .once()
            .in_sequence(&mut sequence)
            .returning(move |query| {
                assert_eq!(query.order_by, AgentOrder::UpdatedAt);
                assert_eq!(query.direction, Direction::Descending);
                answered(Ok(AgentPage {
                    agents: agents.clone(),
                    next: next.clone(),
                }))
            });
    }
    letta
}

#[tokio::test]
async fn a_listing_of_changes_stops_behind_the_mark() {
    let letta = changes(&[
        (&[("a", 9), ("b", 8)], Some("b")),
        (&[("c", 7), ("d", 7), ("e", 6)], Some("e")),
    ]);
    let listing = letta
        .list_agents_updated_since(at(7), &AgentQuery::default())
        .await
        .unwrap();
    assert_eq!(ids(&listing), ["a", "b", "c", "d"]);
    assert_eq!(listing.pages, 2);
    assert_eq!(listing.newest_update, Some(at(9)));
    assert!(listing.is_complete());
}

#[tokio::test]
async fn a_page_that_ends_at_the_mark_is_followed_by_another() {
    let letta = changes(&[(&[("a", 8), ("b", 7)], Some("b")), (&[("c", 7)], None)]);
    let listing = letta
        .list_agents_updated_since(at(7), &AgentQuery::default())
        .await
        .unwrap();
    assert_eq!(ids(&listing), ["a", "b", "c"]);
    assert!(listing.is_complete());
}

#[tokio::test]
async fn the_newest_update_is_that_of_the_first_page() {
    // "c" changed while the pages were read, and so may have an agent of the first page.
    let letta = changes(&[(&[("a", 9), ("b", 8)], Some("b")), (&[("c", 20), ("d", 5)], None)]);
    let listing = letta
        .list_agents_updated_since(at(7), &AgentQuery::default())
        .await
        .unwrap();
    assert_eq!(listing.newest_update, Some(at(9)));
    // Of a page on which nothing changed since it is that of the last change all the same.
    let letta = changes(&[(&[("a", 5)], None)]);
    let listing = letta
        .list_agents_updated_since(at(7), &AgentQuery::default())
        .await
        .unwrap();
    assert_eq!(listing.agents, []);
    assert_eq!(listing.newest_update, Some(at(5)));
    assert!(listing.is_complete());
}

#[tokio::test]
async fn a_listing_of_changes_whose_cursor_moved_is_read_once_more() {
    // "b" changes after the first page, so that its cursor stands at the front.
    let letta = changes(&[
        (&[("a", 9), ("b", 8)], Some("b")),
        (&[("a", 9), ("c", 7)], Some("c")),
        (&[("b", 10), ("a", 9)], Some("a")),
        (&[("c", 7), ("d", 3)], Some("d")),
    ]);
    let listing = letta
        .list_agents_updated_since(at(7), &AgentQuery::default())
        .await
        .unwrap();
    assert_eq!(ids(&listing), ["b", "a", "c"]);
    assert_eq!(listing.newest_update, Some(at(10)));
    assert!(listing.is_complete());
}

#[tokio::test]
async fn an_agent_without_a_time_of_change_counts_as_changed() {
    let mut letta = MockLettaApi::new();
    letta.expect_list_agents().once().returning(|_| {
        answered(Ok(AgentPage {
            agents: vec![changed("a", None), changed("b", Some(3)), changed("c", Some(1))],
            next: Some(AgentCursor::new("c")),
        }))
    });
    let listing = letta
        .list_agents_updated_since(at(2), &AgentQuery::default())
        .await
        .unwrap();
    assert_eq!(ids(&listing), ["a", "b"]);
    assert!(listing.is_complete());
}

#[tokio::test]
async fn a_server_without_that_order_is_read_to_the_end() {
    let letta = changes(&[(&[("a", 1), ("b", 8), ("c", 2)], Some("c")), (&[("d", 9)], None)]);
    let listing = letta
        .list_agents_updated_since(at(7), &AgentQuery::default())
        .await
        .unwrap();
    assert_eq!(ids(&listing), ["b", "d"]);
    assert!(listing.is_complete());
}

#[tokio::test]
async fn a_listing_of_changes_begins_at_the_front_with_a_small_page() {
    let mut letta = MockLettaApi::new();
    letta.expect_list_agents().times(2).returning(|query| {
        assert_eq!(query.tags, ["t"]);
        let (id, limit, next) = match query.after.as_ref().map(AgentCursor::as_str) {
            None => ("a", 50, Some("a")),
            Some("a") => ("b", 500, None),
            other => panic!("{other:?}"),
        };
        assert_eq!(query.limit, limit);
        answered(Ok(AgentPage {
            agents: vec![changed(id, Some(9))],
            next: next.map(AgentCursor::new),
        }))
    });
    let query = AgentQuery {
        limit: 500,
        tags: vec!["t".to_owned()],
        after: Some(AgentCursor::new("elsewhere")),
        ..AgentQuery::default()
    };
    let listing = letta.list_agents_updated_since(at(7), &query).await.unwrap();
    assert_eq!(ids(&listing), ["a", "b"]);
}

fn turn(kinds: Vec<TurnEventKind>) -> TurnStream {
    let events = kinds.into_iter().map(|kind| {
        Ok(TurnEvent {
            run: Some(RunId::new("run-1")),
            resume: None,
            kind,
        })
    });
    TurnStream::new(Disposition::Started, stream::iter(events))
}

fn text(item: &str, append: &str) -> TurnEventKind {
    TurnEventKind::Text {
        item: ItemId::new(item),
        append: append.to_owned(),
    }
}

#[tokio::test]
async fn an_outcome_joins_pieces_and_parts_answers() {
    let outcome = turn(vec![
        TurnEventKind::Started,
        text("1", "Let me "),
        text("1", "look."),
        TurnEventKind::Alive,
        text("2", "Found"),
        text("2", " it."),
        TurnEventKind::Ended {
            reason: StopReason::MaxSteps,
            error: Some(TurnError {
                kind: TurnErrorKind::Busy,
                message: "busy".to_owned(),
                detail: None,
            }),
        },
    ])
    .outcome()
    .await
    .unwrap();
    assert_eq!(outcome.text, "Let me look.\n\nFound it.");
    assert_eq!(outcome.run, Some(RunId::new("run-1")));
    assert_eq!(outcome.reason, StopReason::MaxSteps);
    assert_eq!(outcome.error.unwrap().kind, TurnErrorKind::Busy);
}

#[tokio::test]
async fn a_stream_that_breaks_has_no_outcome() {
    let broken = stream::iter([Err(LettaError::new(LettaErrorKind::Interrupted, "gone"))]);
    let error = TurnStream::new(Disposition::Started, broken)
        .outcome()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &LettaErrorKind::Interrupted);
}
