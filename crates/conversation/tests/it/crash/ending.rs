//! Where a world came to, as people and agents see it.

use std::collections::BTreeMap;

use letta_client::{ConversationRef, HistoryItem, HistoryQuery, LettaApi, RunQuery, RunStatus};
use ruma::OwnedRoomId;

use crate::world::{World, alpha_room, beta_room};

/// Where a world came to, without what no two runs have in common: ids, times, how long something took.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// What people see: who, which kind, which text; edits applied.
    rooms: BTreeMap<OwnedRoomId, Vec<String>>,
    /// The reactions that agents put.
    reactions: Vec<String>,
    /// Who shows as typing.
    typing: usize,
    /// What each agent remembers.
    histories: BTreeMap<String, Vec<String>>,
    /// How many runs of each agent came to which end.
    runs: BTreeMap<String, BTreeMap<String, usize>>,
    /// How everything that was owed to people ended.
    outcomes: Vec<String>,
    /// How the requests for decisions stand.
    approvals: Vec<String>,
}

impl Ending {
    pub async fn of(world: &World) -> Self {
        let rooms = [alpha_room(), beta_room()];
        let mut ending = Self {
            rooms: rooms
                .iter()
                .map(|room| (room.clone(), seen_in(world, room)))
                .collect(),
            reactions: Vec::new(),
            typing: rooms.iter().map(|room| world.matrix.typing(room).len()).sum(),
            histories: BTreeMap::new(),
            runs: BTreeMap::new(),
            outcomes: Vec::new(),
            approvals: Vec::new(),
        };
        for room in &rooms {
            for event in world.matrix.timeline(room) {
                let is_ours = event.sender.localpart().starts_with("agent_");
                if event.event_type.to_string() == "m.reaction" && is_ours {
                    ending
                        .reactions
                        .push(event.content["m.relates_to"]["key"].to_string());
                }
                for delivery in world.store.list_deliveries_of(&event.event_id).await.unwrap() {
                    let record = &delivery.of.record;
                    let step = match record["step"]["outcome"]["outcome"].as_str() {
                        Some("failed") => "failed".to_owned(),
                        _ => record["step"].to_string(),
                    };
                    ending.outcomes.push(format!(
                        "{} attempt {}: {} {}",
                        delivery.of.agent_id, delivery.of.attempt, record["task"]["task"], step
                    ));
                }
            }
        }
        for agent in ["agent-001", "agent-002"] {
            let runs = world.letta.list_runs(&agent.into(), &all_runs()).await.unwrap();
            let mut counted = BTreeMap::new();
            // A run that failed left nothing, so nobody can know of it, and there may be another one.
            for run in runs.into_iter().filter(|run| run.status != RunStatus::Failed) {
                *counted
                    .entry(format!("{:?} {:?}", run.status, run.stop_reason))
                    .or_default() += 1;
            }
            ending.runs.insert(agent.to_owned(), counted);
            ending
                .histories
                .insert(agent.to_owned(), history_of(world, agent).await);
        }
        for (_, approval) in world.store.list_records("approval").await.unwrap() {
            ending.approvals.push(approval["state"].to_string());
        }
        ending
    }

    /// The answers in all rooms.
    pub fn answers(&self) -> Vec<&str> {
        self.rooms
            .values()
            .flatten()
            .filter_map(|seen| seen.strip_prefix("m.text "))
            .collect()
    }
}

/// How two endings differ. That an offer of a courtesy (a reaction) is missing makes no difference, and that one is
/// there twice does.
pub fn differences(expected: &Ending, found: &Ending) -> Vec<String> {
    let mut differences = Vec::new();
    let mut compare = |what: &str, expected: String, found: String| {
        if expected != found {
            differences.push(format!("{what}: {found} instead of {expected}"));
        }
    };
    for (room, expected) in &expected.rooms {
        compare(
            room.as_str(),
            format!("{expected:#?}"),
            format!("{:#?}", found.rooms[room]),
        );
    }
    let text = |value: &dyn std::fmt::Debug| format!("{value:?}");
    compare("typing", text(&expected.typing), text(&found.typing));
    compare("histories", text(&expected.histories), text(&found.histories));
    compare("runs", text(&expected.runs), text(&found.runs));
    compare("outcomes", text(&expected.outcomes), text(&found.outcomes));
    compare("approvals", text(&expected.approvals), text(&found.approvals));
    if found.reactions.len() > expected.reactions.len() {
        differences.push(format!("reactions: {:?}", found.reactions));
    }
    differences
}

/// What people see in a room, without what may be said more than in an undisturbed run: that somebody has to wait.
fn seen_in(world: &World, room: &OwnedRoomId) -> Vec<String> {
    let seen = world.heard_in(room).into_iter();
    seen.filter(|(kind, text)| !(kind == "m.notice" && tells_to_wait(text)))
        .map(|(kind, text)| match text.contains("React with 🔁") {
            // What is found out later about a failure is less than what is heard of it.
            true => format!("{kind}: it failed and can be tried again"),
            false => format!("{kind} {}", without_seconds(&text)),
        })
        .collect()
}

/// The notices that say that a message waits, and is not lost.
pub fn tells_to_wait(text: &str) -> bool {
    text.starts_with('⏳')
        || text.starts_with("Letta cannot be reached. ")
        || text.contains(" is busy with something else and gets your message after that.")
}

/// How long a tool took is no part of the end.
fn without_seconds(text: &str) -> &str {
    match text.split_once(" · done in ") {
        Some((before, _)) if text.starts_with('🔧') => before,
        _ => text,
    }
}

fn all_runs() -> RunQuery {
    RunQuery {
        limit: 1000,
        ..RunQuery::default()
    }
}

async fn history_of(world: &World, agent: &str) -> Vec<String> {
    let query = HistoryQuery {
        limit: 1000,
        ..HistoryQuery::default()
    };
    let page = world
        .letta
        .list_messages(&ConversationRef::agent(agent), &query)
        .await
        .unwrap();
    let messages = page.messages.into_iter();
    messages
        .filter_map(|message| match message.item {
            // Around the words stands when they were said.
            HistoryItem::User { text, .. } => {
                Some(format!("user: {}", text.lines().last().unwrap_or_default()))
            }
            HistoryItem::Assistant { text } => Some(format!("assistant: {text}")),
            HistoryItem::ToolCalls(calls) => Some(format!("calls: {}", calls.len())),
            HistoryItem::ToolReturn { status, output, .. } => Some(format!("{status:?}: {output}")),
            HistoryItem::ApprovalRequest(request) => Some(format!("asks for {}", request.calls.len())),
            HistoryItem::ApprovalResponse { .. } => Some("is told the decision".to_owned()),
            _ => None,
        })
        .collect()
}
