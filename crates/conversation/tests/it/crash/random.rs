//! Anything goes wrong at any time, by chance, and the same chance every time for the same seed.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use letta_client::{
    LettaErrorKind,
    fake::{AgentSeed, FakeLetta, FakeTool},
};
use matrix_client::{MatrixErrorKind, content::Message};
use proptest::test_runner::{RngAlgorithm, TestRng};
use ruma::OwnedRoomId;

use super::{Stage, ending::tells_to_wait};
use crate::{
    faulty_store::StoreFault,
    world::{World, alpha_room, beta_room},
};

/// How many runs there are unless `LETTA_MATRIX_FAULT_RUNS` says otherwise.
const RUNS: u64 = 200;

/// In how many tests the runs are done, at the same time.
const SHARES: u64 = 2;

/// How long things go wrong in a run, in virtual time.
const TROUBLE: Duration = Duration::from_secs(90);

/// Chance, by a seed.
#[derive(Clone)]
struct Dice(Arc<Mutex<TestRng>>);

impl Dice {
    fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self(Arc::new(Mutex::new(TestRng::from_seed(
            RngAlgorithm::ChaCha,
            &bytes,
        ))))
    }

    fn below(&self, end: u64) -> u64 {
        use proptest::prelude::Rng;
        self.0.lock().unwrap().next_u64() % end
    }

    fn is_hit(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    async fn pause(&self, most: Duration) {
        let millis = u64::try_from(most.as_millis()).unwrap();
        tokio::time::sleep(Duration::from_millis(self.below(millis))).await;
    }
}

fn letta(dice: &Dice) -> FakeLetta {
    let letta = FakeLetta::new().lenient();
    letta.register_tool(FakeTool::new("launch", |_| Ok("launched".to_owned())));
    for (id, name) in [("agent-001", "Agent Alpha"), ("agent-002", "Agent Beta")] {
        letta.add(AgentSeed::new(id, name).tool("launch"));
    }
    if dice.is_hit(50) {
        letta
    } else {
        letta.without_redis()
    }
}

/// What somebody says, with the word that its answer has to have.
fn words(dice: &Dice, room: usize, number: usize) -> (String, String) {
    let word = format!("word-{room}-{number}.");
    let text = match dice.below(5) {
        0 => format!("[slow 3] [say {word}]"),
        1 => format!("[trickle 5] [say {word} and some more words that grow]"),
        2 => format!("[tool:launch {{\"for\":\"{word}\"}}] {word}"),
        _ => format!("[say {word}]"),
    };
    (text, word)
}

/// Plans something that goes wrong with one of the next calls of the bridge.
fn plan_fault(world: &World, dice: &Dice) {
    let skip = u32::try_from(dice.below(3)).unwrap();
    if dice.is_hit(50) {
        let methods = ["send_message_event", "set_typing", "send_receipt", "login"];
        let method = methods[usize::try_from(dice.below(4)).unwrap()];
        let fault = matrix_client::fake::Fault::on(method).skip(skip);
        // People have no trouble.
        let fault = match method {
            "login" => fault,
            _ if dice.is_hit(50) => fault.user(crate::world::alpha()),
            _ => fault.user(ruma::owned_user_id!("@agent_002:matrix.test")),
        };
        world.matrix.plan(match dice.below(5) {
            0 => fault.fail(MatrixErrorKind::Connect),
            1 => fault.fail(MatrixErrorKind::Server),
            2 => fault.fail_after(MatrixErrorKind::Timeout),
            3 => fault.rate_limit(Duration::from_secs(4)),
            _ => fault.delay(Duration::from_secs(dice.below(8))),
        });
    } else {
        let methods = ["send", "send", "resume", "list_runs", "list_messages", "get_run"];
        let method = methods[usize::try_from(dice.below(6)).unwrap()];
        let fault = letta_client::fake::Fault::on(method).skip(skip);
        let has_stream = matches!(method, "send" | "resume");
        world.letta.plan(match dice.below(6) {
            0 => fault.fail(LettaErrorKind::Connect),
            1 => fault.fail(LettaErrorKind::Server),
            2 if method == "send" => fault.fail_after(LettaErrorKind::Timeout),
            3 => fault.rate_limit(Duration::from_secs(4)),
            4 if has_stream => fault.break_stream_after(usize::try_from(dice.below(8)).unwrap()),
            _ => fault.delay(Duration::from_secs(dice.below(8))),
        });
    }
}

/// Everything goes wrong for a while.
async fn trouble(stage: &Stage, dice: &Dice) {
    let chance = dice.clone();
    stage
        .store
        .set_chance(Some(Box::new(move |_| match chance.below(60) {
            0 => Some(StoreFault::FailBefore),
            1 => Some(StoreFault::FailAfter),
            _ => None,
        })));
    let world = &stage.world;
    let began = tokio::time::Instant::now();
    while began.elapsed() < TROUBLE {
        dice.pause(Duration::from_secs(6)).await;
        match dice.below(10) {
            0 | 1 => world.crash(|| {}).await,
            2 => {
                world.letta.down();
                dice.pause(Duration::from_secs(40)).await;
                world.letta.up();
            }
            _ => plan_fault(world, dice),
        }
    }
    stage.store.set_chance(None);
    world.matrix.clear_faults();
    world.letta.clear_faults();
}

/// People who say something now and then; answers the words of each room, in order.
async fn people(world: &World, dice: &Dice) -> Vec<(OwnedRoomId, &'static str, Vec<String>)> {
    let mut rooms = vec![
        (alpha_room(), "agent-001", Vec::new()),
        (beta_room(), "agent-002", Vec::new()),
    ];
    for _ in 0..2 + dice.below(7) {
        let room = usize::try_from(dice.below(2)).unwrap();
        let (text, word) = words(dice, room, rooms[room].2.len());
        world.says(&rooms[room].0, &Message::text(&text)).await;
        rooms[room].2.push(word);
        dice.pause(Duration::from_secs(12)).await;
    }
    rooms
}

async fn run(seed: u64) -> usize {
    let dice = Dice::new(seed);
    let mut stage = Stage::new(letta(&dice)).await;
    stage.world.start();
    let world = &stage.world;
    let (rooms, ()) = tokio::join!(people(world, &dice), trouble(&stage, &dice));
    world.settled().await;
    let mut messages = 0;
    for (room, agent, words) in rooms {
        messages += words.len();
        let seen = world.heard_in(&room);
        let problem = |what: &str| format!("{what} in {room}: {seen:#?}");
        for word in &words {
            let heard = world.times_heard(agent, word).await;
            assert_eq!(
                heard,
                1,
                "{}",
                problem(&format!("{word} was heard {heard} times"))
            );
        }
        let answers = world.answers_in(&room);
        let expected: Vec<_> = words.iter().collect();
        assert_eq!(answers.len(), words.len(), "{}", problem("answers"));
        for (answer, word) in answers.iter().zip(&expected) {
            let is_complete = answer == *word
                || *answer == format!("{word} and some more words that grow")
                || answer.starts_with("tool launch returned: launched");
            assert!(is_complete, "{}", problem(&format!("{answer} instead of {word}")));
        }
        for notice in world.notices_in(&room) {
            let is_tool = notice.starts_with("🔧 launch · done");
            assert!(is_tool || tells_to_wait(&notice), "{}", problem(&notice));
        }
        let tools = world
            .notices_in(&room)
            .iter()
            .filter(|text| text.starts_with('🔧'))
            .count();
        let called = answers
            .iter()
            .filter(|answer| answer.starts_with("tool launch"))
            .count();
        assert_eq!(tools, called, "{}", problem("tools"));
    }
    messages
}

async fn runs(share: u64) {
    use futures_util::FutureExt;
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|value| value.parse::<u64>().unwrap())
    };
    let seeds: Vec<u64> = match number("LETTA_MATRIX_FAULT_SEED") {
        Some(seed) if share == 0 => vec![seed],
        Some(_) => return,
        None => (0..number("LETTA_MATRIX_FAULT_RUNS").unwrap_or(RUNS))
            .filter(|seed| seed % SHARES == share)
            .collect(),
    };
    static MESSAGES: AtomicUsize = AtomicUsize::new(0);
    let mut failed = Vec::new();
    for seed in &seeds {
        match AssertUnwindSafe(run(*seed)).catch_unwind().await {
            Ok(messages) => _ = MESSAGES.fetch_add(messages, Ordering::SeqCst),
            Err(_) => failed.push(*seed),
        }
    }
    println!(
        "random faults: {} runs, {} messages so far",
        seeds.len(),
        MESSAGES.load(Ordering::SeqCst)
    );
    assert!(
        failed.is_empty(),
        "{} of {} runs failed; LETTA_MATRIX_FAULT_SEED=… runs one again: {failed:?}",
        failed.len(),
        seeds.len()
    );
}

#[tokio::test(start_paused = true)]
async fn whatever_goes_wrong_nothing_is_lost_or_said_twice() {
    runs(0).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_goes_wrong_nothing_is_lost_or_said_twice_either() {
    runs(1).await;
}
