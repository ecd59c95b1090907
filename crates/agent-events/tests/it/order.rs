//! The order of events in a turn.

use agent_events::{
    AgentEvent, Breach, EventId, EventKind, EventType, FailureReason, SchemaVersion, TurnRules, check_turns,
    testing::{turn, whole_turn},
};
use jiff::Timestamp;
use proptest::{prelude::*, sample::select};

fn check(kinds: &[EventKind]) -> Result<(), Breach> {
    let mut rules = TurnRules::default();
    for kind in kinds {
        rules.observe(kind)?;
    }
    rules.finish()
}

fn started() -> EventKind {
    EventKind::AgentStarted { resumed: false }
}

fn resumed() -> EventKind {
    EventKind::AgentStarted { resumed: true }
}

fn thinking() -> EventKind {
    EventKind::AgentThinking { text: None }
}

fn executing(call: &str) -> EventKind {
    EventKind::ToolExecuting {
        tool_call_id: call.into(),
        tool_name: "search".to_owned(),
        arguments: None,
    }
}

fn done(call: &str) -> EventKind {
    EventKind::ToolCompleted {
        tool_call_id: call.into(),
        tool_name: "search".to_owned(),
        success: true,
        duration_ms: 1,
        result: None,
        error: None,
    }
}

fn asked(call: &str) -> EventKind {
    EventKind::ApprovalRequested {
        approval_id: "approval".into(),
        tool_call_id: call.into(),
        tool_name: "search".to_owned(),
        arguments: None,
    }
}

fn decided(call: &str) -> EventKind {
    EventKind::ApprovalResolved {
        approval_id: "approval".into(),
        tool_call_id: call.into(),
        approved: true,
        by: None,
    }
}

fn delta() -> EventKind {
    EventKind::MessageDelta { text: "a".into() }
}

fn completed() -> EventKind {
    EventKind::AgentCompleted {
        duration_ms: 1,
        reply_event_ids: Vec::new(),
        steps: None,
        tokens: None,
    }
}

fn failed() -> EventKind {
    EventKind::AgentFailed {
        reason: FailureReason::Model,
        message: "no".into(),
        duration_ms: 1,
    }
}

#[test]
fn a_turn_that_is_resumed_begins_anew_but_for_decisions_that_were_made() {
    let again = [
        started(),
        thinking(),
        executing("a"),
        asked("b"),
        resumed(),
        thinking(),
        executing("a"),
        done("a"),
        asked("b"),
        decided("b"),
        completed(),
    ];
    assert_eq!(check(&again), Ok(()));
    assert_eq!(check(&[resumed(), thinking(), completed()]), Ok(()));
    assert_eq!(
        check(&[started(), thinking(), resumed(), completed()]),
        Err(Breach::NotThought(EventType::AgentCompleted))
    );
    assert_eq!(
        check(&[started(), asked("a"), decided("a"), resumed(), decided("a")]),
        Err(Breach::ApprovalNotPending("a".into()))
    );
    assert_eq!(
        check(&[started(), failed(), resumed()]),
        Err(Breach::AfterEnd(EventType::AgentStarted))
    );
}

#[test]
fn turns_in_order_are_accepted() {
    for turn in [
        whole_turn(),
        vec![started(), thinking(), completed()],
        vec![started(), failed()],
        vec![started(), thinking(), executing("a"), failed()],
        vec![
            started(),
            thinking(),
            executing("a"),
            executing("b"),
            done("a"),
            done("b"),
            completed(),
        ],
        vec![
            started(),
            thinking(),
            asked("a"),
            decided("a"),
            executing("a"),
            done("a"),
            delta(),
            completed(),
        ],
        vec![
            started(),
            thinking(),
            asked("a"),
            asked("b"),
            decided("b"),
            decided("a"),
            thinking(),
            completed(),
        ],
    ] {
        assert_eq!(check(&turn), Ok(()), "{turn:?}");
    }
}

#[test]
fn turns_out_of_order_are_refused() {
    for (turn, breach) in [
        (vec![], Breach::NotEnded),
        (vec![started(), thinking()], Breach::NotEnded),
        (
            vec![thinking(), started()],
            Breach::NotStarted(EventType::AgentThinking),
        ),
        (vec![failed()], Breach::NotStarted(EventType::AgentFailed)),
        (vec![started(), started()], Breach::StartedTwice),
        (
            vec![started(), completed()],
            Breach::NotThought(EventType::AgentCompleted),
        ),
        (
            vec![started(), executing("a")],
            Breach::NotThought(EventType::ToolExecuting),
        ),
        (
            vec![started(), thinking(), done("a")],
            Breach::ToolNotRunning("a".into()),
        ),
        (
            vec![started(), thinking(), executing("a"), done("b")],
            Breach::ToolNotRunning("b".into()),
        ),
        (
            vec![started(), thinking(), executing("a"), done("a"), done("a")],
            Breach::ToolNotRunning("a".into()),
        ),
        (
            vec![started(), thinking(), executing("a"), done("a"), executing("a")],
            Breach::ToolTwice("a".into()),
        ),
        (
            vec![started(), thinking(), executing("b"), executing("a"), completed()],
            Breach::ToolLeftRunning("a".into()),
        ),
        (
            vec![started(), decided("a")],
            Breach::ApprovalNotPending("a".into()),
        ),
        (
            vec![started(), asked("a"), decided("a"), decided("a")],
            Breach::ApprovalNotPending("a".into()),
        ),
        (
            vec![started(), asked("a"), asked("a")],
            Breach::ApprovalTwice("a".into()),
        ),
        (
            vec![started(), thinking(), completed(), completed()],
            Breach::AfterEnd(EventType::AgentCompleted),
        ),
        (
            vec![started(), failed(), delta()],
            Breach::AfterEnd(EventType::MessageDelta),
        ),
        (
            vec![started(), failed(), started()],
            Breach::AfterEnd(EventType::AgentStarted),
        ),
    ] {
        assert_eq!(check(&turn), Err(breach), "{turn:?}");
    }
}

/// The same rules, said of the whole turn at once.
fn is_in_order(turn: &[EventKind]) -> bool {
    let places = |wanted: &EventKind| -> Vec<usize> {
        let found = turn.iter().enumerate().filter(|(_, kind)| *kind == wanted);
        found.map(|(place, _)| place).collect()
    };
    let ends: Vec<usize> = [places(&completed()), places(&failed())].concat();
    let in_pairs = |first: EventKind, second: EventKind| match (&*places(&first), &*places(&second)) {
        ([], []) | ([_], []) => true,
        ([begin], [end]) => begin < end,
        _ => false,
    };
    let first_thought = places(&thinking()).first().copied().unwrap_or(usize::MAX);
    places(&started()) == [0]
        && ends == [turn.len() - 1]
        && ["a", "b"].into_iter().all(|call| {
            in_pairs(executing(call), done(call))
                && in_pairs(asked(call), decided(call))
                && places(&executing(call))
                    .iter()
                    .all(|place| first_thought < *place)
                && (places(&completed()).is_empty()
                    || places(&executing(call)).len() == places(&done(call)).len())
        })
        && places(&completed()).iter().all(|place| first_thought < *place)
}

fn alphabet() -> Vec<EventKind> {
    vec![
        started(),
        thinking(),
        executing("a"),
        done("a"),
        executing("b"),
        done("b"),
        asked("a"),
        decided("a"),
        asked("b"),
        decided("b"),
        delta(),
        completed(),
        failed(),
    ]
}

/// Turns in order that were disturbed a little, so that about half of them still are.
fn nearly_in_order() -> impl Strategy<Value = Vec<EventKind>> {
    let pair = |call: &'static str| {
        prop_oneof![
            Just(vec![]),
            Just(vec![executing(call), done(call)]),
            Just(vec![asked(call), decided(call)]),
            Just(vec![asked(call), decided(call), executing(call), done(call)]),
        ]
    };
    let end = prop_oneof![Just(completed()), Just(failed())];
    let change = (
        0..4_u8,
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        select(alphabet()),
    );
    (pair("a"), pair("b"), end, prop::collection::vec(change, 0..3)).prop_map(|(a, b, end, changes)| {
        let mut turn = [vec![started(), thinking()], a, vec![delta()], b, vec![end]].concat();
        for (how, first, second, kind) in changes {
            if turn.is_empty() {
                break;
            }
            let (first, second) = (first.index(turn.len()), second.index(turn.len()));
            match how {
                0 => turn.swap(first, second),
                1 => drop(turn.remove(first)),
                2 => turn.insert(first, turn[second].clone()),
                _ => turn.insert(first, kind),
            }
        }
        turn
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn the_rules_hold_for_disturbed_turns(turn in nearly_in_order()) {
        prop_assert_eq!(check(&turn).is_ok(), is_in_order(&turn));
    }

    #[test]
    fn the_rules_hold_for_any_events(turn in prop::collection::vec(select(alphabet()), 0..6)) {
        prop_assert_eq!(check(&turn).is_ok(), is_in_order(&turn));
    }

    #[test]
    fn turns_at_once_do_not_mix(order in Just([0; 6].into_iter().chain([1; 6]).collect::<Vec<usize>>()).prop_shuffle()) {
        let mut turns = [whole_turn().into_iter(), whole_turn().into_iter()];
        let events: Vec<_> = order
            .into_iter()
            .map(|agent| event(["ada", "bob"][agent], turns[agent].next().unwrap()))
            .collect();
        prop_assert_eq!(check_turns(&events), Ok(()));
        let breach = check_turns(&events[..11]).unwrap_err();
        prop_assert_eq!(breach.breach, Breach::NotEnded);
    }
}

fn event(agent: &str, kind: EventKind) -> AgentEvent {
    AgentEvent {
        version: SchemaVersion,
        id: EventId::ZERO,
        time: Timestamp::constant(1_767_268_800, 0),
        turn: turn(agent, "room"),
        kind,
    }
}

#[test]
fn a_message_may_be_tried_again() {
    let of = |kinds: Vec<EventKind>| -> Vec<AgentEvent> {
        kinds.into_iter().map(|kind| event("ada", kind)).collect()
    };
    let again = [vec![started(), failed()], whole_turn()].concat();
    assert_eq!(check_turns(&of(again)), Ok(()));
    let echo = [whole_turn(), vec![delta()]].concat();
    let breach = check_turns(&of(echo)).unwrap_err();
    assert_eq!(breach.breach, Breach::AfterEnd(EventType::MessageDelta));
    assert_eq!(breach.agent.as_str(), "agent-ada");
}
