//! Many people and many rooms at once.

use std::time::Duration;

use letta_client::fake::{FakeLetta, Fault};
use matrix_client::{MatrixApi, NewRoom, content::Message};
use ruma::OwnedRoomId;
use tokio::time::Instant;

use super::Stage;
use crate::world::bind;

const AGENTS: usize = 100;
const MESSAGES: usize = 5;

fn agent(n: usize) -> String {
    format!("agent-9{n:02}")
}

#[tokio::test(start_paused = true)]
async fn a_hundred_people_get_their_own_answers_while_one_agent_is_stuck() {
    let letta = FakeLetta::new().lenient();
    for n in 0..AGENTS {
        letta.add_agent(agent(n).as_str(), format!("Agent {n}"));
    }
    let mut stage = Stage::new(letta).await;
    let appservice = stage.world.matrix.test_appservice();
    let mut rooms: Vec<OwnedRoomId> = Vec::new();
    let mut people = Vec::new();
    for n in 0..AGENTS {
        let world = &mut stage.world;
        let user = world
            .matrix
            .add_appservice_user(&appservice.id, &format!("agent_9{n:02}"));
        let person = world.matrix.add_user(&format!("person{n}"));
        let room = world.matrix.add_room(
            &format!("!room{n}:matrix.test"),
            person.user_id.as_str(),
            &[user.as_str()],
        );
        bind(
            &*world.store,
            &world.clock,
            &agent(n),
            &format!("Agent {n}"),
            user,
            room.clone(),
        )
        .await;
        world
            .config
            .rights
            .allow_user(person.user_id.clone(), conversation::rights::Right::Talk);
        rooms.push(room);
        people.push(person);
    }
    let (fault, hold) = Fault::on("send").agent(agent(0).as_str()).hold();
    stage.world.letta.plan(fault);
    stage.world.start();
    let world = &stage.world;
    let (began, began_really) = (Instant::now(), std::time::Instant::now());
    for message in 0..MESSAGES {
        for (n, person) in people.iter().enumerate() {
            let text = Message::text(format!("[slow 2] [say answer {message} for {n}.]"));
            world
                .sends_as(person, &rooms[n], "m.room.message", &text.to_content())
                .await;
        }
    }
    let answered = |n: usize| {
        let said = world.heard_in(&rooms[n]).into_iter();
        said.filter(|(kind, _)| kind == "m.text").count()
    };
    world
        .until("all but one agent answered", async || {
            (1..AGENTS).all(|n| answered(n) == MESSAGES)
        })
        .await;
    let others = began.elapsed();
    assert_eq!(answered(0), 0);
    // Everybody is answered as if alone: five answers of two seconds each.
    assert!(others < Duration::from_secs(20), "{others:?}");
    drop(hold);
    world.settled().await;
    for (n, room) in rooms.iter().enumerate() {
        let answers = world.answers_in(room);
        let expected: Vec<_> = (0..MESSAGES)
            .map(|message| format!("answer {message} for {n}."))
            .collect();
        assert_eq!(answers, expected);
    }
    let calls = world.matrix.calls();
    let ours = calls.iter().filter(|call| {
        let user = call.user.as_ref().map(|user| user.localpart());
        user.is_some_and(|user| user.starts_with("agent_"))
    });
    let messages = AGENTS * MESSAGES;
    println!(
        "load: {messages} messages of {AGENTS} people, answered after {others:?} (virtual) while one agent was stuck, \
         {:?} of real time; per message: {:.1} requests to Matrix, {:.1} to Letta, {:.1} to the store",
        began_really.elapsed(),
        ours.count() as f64 / messages as f64,
        world.letta.calls().len() as f64 / messages as f64,
        stage.store.calls() as f64 / messages as f64,
    );
}

const FEW: usize = 10;
const PEOPLE: usize = 100;
const QUESTIONS: usize = 3;
/// How long an answer takes.
const SECONDS: u64 = 2;

/// Each person has a direct room with one of the agents, who are all talked to by many at once.
#[tokio::test(start_paused = true)]
async fn ten_agents_answer_a_hundred_people_each_in_their_own_room_while_one_is_stuck() {
    let letta = FakeLetta::new().lenient();
    for n in 0..FEW {
        letta.add_agent(agent(n).as_str(), format!("Agent {n}"));
    }
    let mut stage = Stage::new(letta).await;
    let appservice = stage.world.matrix.test_appservice();
    let mut agents = Vec::new();
    for n in 0..FEW {
        let world = &mut stage.world;
        let user = world
            .matrix
            .add_appservice_user(&appservice.id, &format!("agent_9{n:02}"));
        let home = world
            .matrix
            .add_room(&format!("!home{n}:matrix.test"), user.as_str(), &[]);
        let name = format!("Agent {n}");
        bind(&*world.store, &world.clock, &agent(n), &name, user.clone(), home).await;
        agents.push(user);
    }
    let mut people = Vec::new();
    for n in 0..PEOPLE {
        let person = stage.world.matrix.add_user(&format!("person{n}"));
        let rights = &mut stage.world.config.rights;
        rights.allow_user(person.user_id.clone(), conversation::rights::Right::Talk);
        people.push(person);
    }
    let (fault, hold) = Fault::on("send").agent(agent(0).as_str()).hold();
    stage.world.letta.plan(fault);
    stage.world.start();
    let world = &stage.world;
    let mut rooms = Vec::new();
    for (n, person) in people.iter().enumerate() {
        let room = NewRoom::room().is_direct(true).invite([agents[n % FEW].clone()]);
        rooms.push(world.matrix.create_room(person, &room).await.unwrap());
    }
    world.settled().await;
    let began = Instant::now();
    for question in 0..QUESTIONS {
        for (n, person) in people.iter().enumerate() {
            let text = Message::text(format!("[slow {SECONDS}] [say answer {question} for {n}.]"));
            world
                .sends_as(person, &rooms[n], "m.room.message", &text.to_content())
                .await;
        }
    }
    let is_stuck = |n: usize| n.is_multiple_of(FEW);
    let expected = |n: usize| -> Vec<String> {
        (0..QUESTIONS)
            .map(|question| format!("answer {question} for {n}."))
            .collect()
    };
    world
        .until("all but those of one agent are answered", async || {
            let others = (0..PEOPLE).filter(|n| !is_stuck(*n));
            others.into_iter().all(|n| {
                let said = world.heard_in(&rooms[n]).into_iter();
                said.filter(|(kind, _)| kind == "m.text").count() == QUESTIONS
            })
        })
        .await;
    let others = began.elapsed();
    // An agent does one thing at a time.
    let alone = Duration::from_secs(SECONDS) * u32::try_from(PEOPLE / FEW * QUESTIONS).unwrap();
    assert!(others < alone + Duration::from_secs(20), "{others:?}");
    for n in (0..PEOPLE).filter(|n| is_stuck(*n)) {
        assert!(world.answers_in(&rooms[n]).is_empty());
    }
    drop(hold);
    world.settled().await;
    for (n, room) in rooms.iter().enumerate() {
        assert_eq!(world.answers_in(room), expected(n));
    }
    println!(
        "load: {} messages of {PEOPLE} people to {FEW} agents, each of which needs {alone:?} for its own: answered after \
         {others:?} (virtual) while one of them was stuck",
        PEOPLE * QUESTIONS
    );
}
