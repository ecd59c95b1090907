//! Tools that run only when a person allows it.

use std::time::Duration;

use conversation::rights::Right;
use letta_client::{
    ApprovalDecision, ConversationRef, HistoryItem, LettaApi, LettaApiExt, LettaErrorKind, TurnInput,
    TurnOptions, fake::Fault,
};
use matrix_client::{Event, content::Message};
use ruma::OwnedEventId;

use crate::{
    scene::{asleep, assert_has, count, group, history, letta_with_tools, person, sleep},
    world::{World, alpha, alpha_room},
};

const LAUNCH: &str = r#"please [tool:launch {"target": "moon"}]"#;

async fn asked() -> (World, OwnedEventId) {
    let world = World::with(letta_with_tools()).await;
    world.talk(LAUNCH).await;
    let request = request(&world);
    (world, request.event_id)
}

/// Somebody denies it in Letta itself.
async fn decide_elsewhere(world: &World) {
    let alpha = ConversationRef::agent("agent-001");
    let said = history(world, &alpha).await;
    let Some(HistoryItem::ApprovalRequest(asked)) = said.last().map(|message| message.item.clone()) else {
        panic!("{said:#?}");
    };
    let deny = ApprovalDecision::deny(asked.calls[0].id.as_str(), "elsewhere");
    drop(world.letta.decide(&alpha, &[deny], &TurnOptions::default()).await);
    world.letta.join().await;
}

#[track_caller]
fn request(world: &World) -> Event {
    world.event_with(&alpha_room(), "asks to use a tool")
}

fn said(world: &World) -> Vec<String> {
    world.heard().into_iter().map(|(_, text)| text).collect()
}

/// Waits until what was decided is carried out.
async fn carried_out(world: &World) {
    sleep(2).await;
    world.settled().await;
}

#[tokio::test(start_paused = true)]
async fn the_request_shows_what_the_tool_would_do_and_who_allowed_it() {
    let (world, request) = asked().await;
    assert_has(&said(&world), r#""target": "moon""#);
    assert!(world.matrix.typing(&alpha_room()).is_empty());
    world.reacts(&alpha_room(), &request, "✅").await;
    carried_out(&world).await;
    let said = said(&world);
    assert_has(&said, "🔧 launch · ✅ allowed by @admin:matrix.test");
    assert_eq!(count(&said, "asks to use"), 0, "{said:#?}");
    assert_eq!(
        world.answers_in(&alpha_room()).last().unwrap(),
        "tool launch returned: launch went well"
    );
    assert_eq!(world.letta.count("decide"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cross_and_a_command_with_a_reason_deny_it() {
    let (world, request) = asked().await;
    world.reacts(&alpha_room(), &request, "❌").await;
    carried_out(&world).await;
    assert_has(&said(&world), "❌ denied by @admin:matrix.test");
    assert_eq!(count(&said(&world), "launch went well"), 0);

    world.talk("once more [tool:erase {}]").await;
    world.talk("!deny far too dangerous").await;
    carried_out(&world).await;
    let answers = said(&world);
    assert_has(&answers, "far too dangerous");
    assert_has(&answers, "🔧 erase · ❌ denied by @admin:matrix.test");
    assert_eq!(world.letta.count("decide"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_command_allows_it_also_as_a_reply_to_something_else() {
    let (world, _) = asked().await;
    let other = world
        .matrix
        .timeline(&alpha_room())
        .last()
        .unwrap()
        .event_id
        .clone();
    world
        .says(&alpha_room(), &Message::text("!approve").reply_to(&other))
        .await;
    carried_out(&world).await;
    assert_has(&said(&world), "launch went well");
    world.talk("!approve").await;
    assert_has(
        &world.notices_in(&alpha_room()),
        "Nothing here waits for a decision.",
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_may_only_talk_decides_nothing() {
    let mut world = asleep(letta_with_tools()).await;
    let bob = person(&mut world, "bob", Some(Right::Talk), &[alpha_room()]).await;
    let eve = person(&mut world, "eve", None, &[alpha_room()]).await;
    world.start();
    world.talk(LAUNCH).await;
    let request = request(&world);
    for who in [&bob, &eve] {
        let reaction = matrix_client::content::reaction(&request.event_id, "✅");
        world.sends_as(who, &alpha_room(), "m.reaction", &reaction).await;
        let command = Message::text("!approve").to_content();
        world
            .sends_as(who, &alpha_room(), "m.room.message", &command)
            .await;
    }
    carried_out(&world).await;
    assert_eq!(world.letta.count("decide"), 0);
    let notices = world.notices_in(&alpha_room());
    assert_eq!(
        count(&notices, "You may not decide about what agents may do"),
        1,
        "{notices:#?}"
    );
    world.reacts(&alpha_room(), &request.event_id, "✅").await;
    carried_out(&world).await;
    assert_has(&said(&world), "launch went well");
}

#[tokio::test(start_paused = true)]
async fn whoever_decides_second_is_told_so() {
    let (world, request) = asked().await;
    world.reacts(&alpha_room(), &request, "✅").await;
    world.reacts(&alpha_room(), &request, "❌").await;
    carried_out(&world).await;
    world.reacts(&alpha_room(), &request, "👍").await;
    carried_out(&world).await;
    let notices = world.notices_in(&alpha_room());
    assert_eq!(
        count(&notices, "This is decided already: ✅ allowed by @admin"),
        2,
        "{notices:#?}"
    );
    assert_eq!(world.letta.count("decide"), 1);
    assert_has(&said(&world), "launch went well");
}

#[tokio::test(start_paused = true)]
async fn what_was_decided_elsewhere_or_cancelled_says_so() {
    for is_cancelled in [false, true] {
        let (world, request) = asked().await;
        let alpha = ConversationRef::agent("agent-001");
        if is_cancelled {
            world.letta.cancel(&alpha, None).await.unwrap();
        } else {
            decide_elsewhere(&world).await;
        }
        let decisions = world.letta.count("decide");
        world.reacts(&alpha_room(), &request, "✅").await;
        carried_out(&world).await;
        assert_has(
            &world.notices_in(&alpha_room()),
            "This no longer waits for a decision",
        );
        assert_has(&said(&world), "🔧 launch · no longer waiting");
        assert_eq!(world.letta.count("decide"), decisions);
        world.talk("are you there?").await;
        assert_has(&said(&world), "echo: are you there?");
    }
}

#[tokio::test(start_paused = true)]
async fn messages_behind_it_wait_and_say_so_and_other_rooms_go_on() {
    let (world, request) = asked().await;
    let group = group(&world).await;
    world.says_text("and then?").await;
    sleep(8).await;
    let notices = world.notices_in(&alpha_room());
    assert_eq!(
        count(&notices, "Agent Alpha waits for a decision on a tool call"),
        1,
        "{notices:#?}"
    );
    assert_eq!(world.times_heard("agent-001", "and then?").await, 0);
    let ask = Message::text("hello there").mention([alpha()]);
    world.says(&group, &ask).await;
    sleep(5).await;
    assert_has(&world.answers_in(&group), "echo: hello there");
    world.reacts(&alpha_room(), &request, "✅").await;
    carried_out(&world).await;
    let answers = world.answers_in(&alpha_room());
    assert_eq!(answers.last().unwrap(), "echo: and then?");
    assert_eq!(count(&answers, "launch went well"), 1);
    assert_eq!(world.times_heard("agent-001", "and then?").await, 1);
}

#[tokio::test(start_paused = true)]
async fn stopping_an_agent_that_waits_frees_it() {
    let (world, request) = asked().await;
    world.says_text("and then?").await;
    sleep(1).await;
    world.says_text("!stop").await;
    world.settled().await;
    assert_has(&world.notices_in(&alpha_room()), "Agent Alpha is being stopped.");
    assert_has(&said(&world), "🔧 launch · no longer waiting");
    assert_has(&said(&world), "echo: and then?");
    world.reacts(&alpha_room(), &request, "✅").await;
    carried_out(&world).await;
    assert_has(
        &world.notices_in(&alpha_room()),
        "This is decided already: no longer waiting.",
    );
    assert_eq!(count(&said(&world), "launch went well"), 0);
}

#[tokio::test(start_paused = true)]
async fn killed_anywhere_between_request_and_decision_it_is_asked_and_decided_once() {
    // Before the request, at it, after it; before the decision, at it, after it.
    for (before, after) in [
        (0, 0),
        (1, 1),
        (20, 40),
        (200, 300),
        (700, 500),
        (1500, 1000),
        (3000, 1800),
    ] {
        let mut world = World::with(letta_with_tools()).await;
        world.says_text(&format!("[slow 1] {LAUNCH}")).await;
        tokio::time::sleep(Duration::from_millis(before)).await;
        world.restart().await;
        world.settled().await;
        let at = format!("killed after {before} ms and {after} ms");
        assert_eq!(
            count(&said(&world), "asks to use"),
            1,
            "{at}: {:#?}",
            said(&world)
        );
        world.restart().await;
        sleep(1).await;
        world.reacts(&alpha_room(), &request(&world).event_id, "✅").await;
        tokio::time::sleep(Duration::from_millis(after)).await;
        world.restart().await;
        carried_out(&world).await;
        world.settled().await;
        let said = said(&world);
        assert_eq!(count(&said, "returned: launch went well"), 1, "{at}: {said:#?}");
        assert_eq!(count(&said, "✅ allowed by @admin"), 1, "{at}: {said:#?}");
        assert_eq!(world.times_heard("agent-001", "please").await, 1, "{at}");
        world.talk("and now?").await;
        assert_eq!(
            world.answers_in(&alpha_room()).last().unwrap(),
            "echo: and now?",
            "{at}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_since_before_the_bridge_is_asked_when_a_message_meets_it() {
    let letta = letta_with_tools();
    let alpha = ConversationRef::agent("agent-001");
    let input = TurnInput::text("elsewhere-1", "[tool:launch {}]");
    letta
        .send_and_wait(&alpha, &input, &TurnOptions::default())
        .await
        .unwrap();
    let world = World::with(letta).await;
    world.says_text("hello").await;
    sleep(10).await;
    assert_eq!(count(&said(&world), "asks to use a tool"), 1);
    assert_has(
        &world.notices_in(&alpha_room()),
        "waits for a decision on a tool call",
    );
    world.reacts(&alpha_room(), &request(&world).event_id, "✅").await;
    carried_out(&world).await;
    let said = said(&world);
    assert_has(&said, "✅ allowed by @admin");
    assert_has(&said, "launch went well");
    assert_eq!(said.last().unwrap(), "echo: hello");
    assert_eq!(world.times_heard("agent-001", "\nhello").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_tool_after_the_first_is_asked_about_before_what_waits() {
    let world = World::with(letta_with_tools()).await;
    world.letta.script(
        "agent-001",
        letta_client::llm::ScriptedReply::call("launch", serde_json::Map::new()),
    );
    world.letta.script(
        "agent-001",
        letta_client::llm::ScriptedReply::call("erase", serde_json::Map::new()),
    );
    world.talk("do both").await;
    world.says_text("and then?").await;
    sleep(1).await;
    world.reacts(&alpha_room(), &request(&world).event_id, "✅").await;
    sleep(5).await;
    assert_eq!(world.times_heard("agent-001", "and then?").await, 0);
    let second = world.event_with(&alpha_room(), "erase\n");
    world.reacts(&alpha_room(), &second.event_id, "✅").await;
    carried_out(&world).await;
    let answers = world.answers_in(&alpha_room());
    assert_eq!(answers.last().unwrap(), "echo: and then?", "{answers:#?}");
    assert_eq!(world.letta.count("decide"), 2);
    // Nobody tried to hand the message over while the agent waited.
    assert_eq!(world.letta.count("send"), 2);
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_decision_made_elsewhere_goes_on_by_itself() {
    let (world, _) = asked().await;
    world.says_text("and then?").await;
    sleep(100).await;
    assert_eq!(world.times_heard("agent-001", "and then?").await, 0);
    decide_elsewhere(&world).await;
    sleep(60).await;
    assert_has(&said(&world), "🔧 launch · no longer waiting");
    assert_eq!(world.answers_in(&alpha_room()).last().unwrap(), "echo: and then?");
}

#[tokio::test(start_paused = true)]
async fn in_a_conversation_of_its_own_it_is_the_same() {
    let world = World::with(letta_with_tools()).await;
    world.talk("!new").await;
    for decision in ["!approve", "!deny no", "!stop"] {
        world.talk(LAUNCH).await;
        world.says_text("and then?").await;
        sleep(1).await;
        world.says_text(decision).await;
        carried_out(&world).await;
        assert_eq!(
            world.answers_in(&alpha_room()).last().unwrap(),
            "echo: and then?",
            "{decision}"
        );
        assert_eq!(
            count(&said(&world), "asks to use"),
            0,
            "{decision}: {:#?}",
            said(&world)
        );
    }
    assert_eq!(count(&said(&world), "returned: launch went well"), 1);
    assert_eq!(world.times_heard("agent-001", "and then?").await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_decision_that_letta_does_not_take_can_be_made_again() {
    let (world, request) = asked().await;
    world.letta.fail_next("decide", LettaErrorKind::InvalidRequest);
    world.reacts(&alpha_room(), &request, "✅").await;
    carried_out(&world).await;
    let notices = world.notices_in(&alpha_room());
    // There is no message to try again.
    assert_eq!(count(&notices, "🔁"), 0, "{notices:#?}");
    world.says_text("hello").await;
    sleep(10).await;
    world.talk("!approve").await;
    carried_out(&world).await;
    assert_has(&said(&world), "launch went well");
    assert_eq!(world.answers_in(&alpha_room()).last().unwrap(), "echo: hello");
}

#[tokio::test(start_paused = true)]
async fn a_decision_of_which_nobody_knows_whether_letta_took_it_is_made_once() {
    for is_taken in [false, true] {
        let (world, request) = asked().await;
        let fault = Fault::on("decide");
        world.letta.plan(match is_taken {
            true => fault.fail_after(LettaErrorKind::Timeout),
            false => fault.fail(LettaErrorKind::Timeout),
        });
        world.reacts(&alpha_room(), &request, "✅").await;
        carried_out(&world).await;
        assert_eq!(
            count(&said(&world), "returned: launch went well"),
            1,
            "{is_taken}: {:#?}",
            said(&world)
        );
        assert_eq!(world.letta.count("decide"), if is_taken { 1 } else { 2 });
    }
}
