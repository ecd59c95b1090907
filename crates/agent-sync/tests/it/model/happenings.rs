//! What can happen, and how it does.

use std::{sync::Arc, time::Duration};

use agent_sync::{RemovalMode, Rule};
use letta_client::{AgentId, AgentUpdate, LettaApi, LettaErrorKind, fake::AgentSeed};
use matrix_client::{MatrixApi, MatrixApiExt, MatrixErrorKind, Session, StateEventType, fake::Fault};
use proptest::{collection::vec, prelude::*, sample::select};
use ruma::{OwnedRoomId, UserId, events::room::member::MembershipState};
use serde_json::json;

use super::{AgentState, Model};
use crate::support::user;

/// Agents are few, so that much happens to each.
pub const AGENTS: usize = 6;

const NAMES: [&str; 6] = [
    "Ada",
    "Eve",
    "",
    "🦀",
    "Ada",
    "a very long name that goes on and on and on and on",
];

/// The calls of the homeserver at which something can go wrong.
const CALLS: [&str; 12] = [
    "register",
    "set_display_name",
    "create_room",
    "set_state_event",
    "get_room_state",
    "resolve_alias",
    "join_room",
    "leave_room",
    "invite_user",
    "list_joined_rooms",
    "create_alias",
    "delete_alias",
];

#[derive(Debug, Clone)]
pub enum Happening {
    // In Letta.
    Created(usize, usize),
    Renamed(usize, usize),
    Described(usize, bool),
    Tagged(usize, bool),
    Hidden(usize, bool),
    Deleted(usize),
    /// Nobody is listed for the time of one run.
    NobodyListed,
    /// The listing fails in the next run.
    ListingFails,
    // People.
    PersonJoins(usize),
    PersonLeaves(usize),
    PersonKicked(usize),
    // What is done to the agents' rooms and the space.
    UserLeaves(usize),
    RoomDeleted(usize),
    RoomRenamed(usize),
    UserRenamed(usize),
    AliasDeleted(usize),
    RoomUpgraded(usize),
    TakenFromSpace(usize),
    SpaceDeleted,
    SpaceRenamed,
    SpaceUpgraded,
    SpaceAliasDeleted,
    // The bridge's own world.
    DatabaseLost,
    Minutes(u64),
    Hours(u64),
    Excluding(bool),
    Inviting(bool),
    Leaving(bool),
    SpaceName(usize),
    Confirmed(bool),
    /// The next run meets this failure.
    Fails(&'static str, u32, bool, MatrixErrorKind),
    // Runs.
    Sync,
    Check,
    Killed(&'static str, u32),
    Race(&'static str, u32, bool),
}

pub fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    vec(happening(), 1..24)
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening as H;
    let agent = || 0..AGENTS;
    let call = || select(CALLS.to_vec());
    let kinds = vec![
        MatrixErrorKind::Timeout,
        MatrixErrorKind::Server,
        MatrixErrorKind::Interrupted,
        MatrixErrorKind::Decode { path: String::new() },
    ];
    prop_oneof![
        4 => (agent(), 0..NAMES.len()).prop_map(|(agent, name)| H::Created(agent, name)),
        1 => (agent(), 0..NAMES.len()).prop_map(|(agent, name)| H::Renamed(agent, name)),
        1 => (agent(), any::<bool>()).prop_map(|(agent, is_long)| H::Described(agent, is_long)),
        1 => (agent(), any::<bool>()).prop_map(|(agent, is_tagged)| H::Tagged(agent, is_tagged)),
        1 => (agent(), any::<bool>()).prop_map(|(agent, is_hidden)| H::Hidden(agent, is_hidden)),
        2 => agent().prop_map(H::Deleted),
        1 => prop_oneof![Just(H::NobodyListed), Just(H::ListingFails)],
        1 => agent().prop_map(H::PersonJoins),
        1 => agent().prop_map(H::PersonLeaves),
        1 => agent().prop_map(H::PersonKicked),
        1 => agent().prop_map(H::UserLeaves),
        1 => agent().prop_map(H::RoomDeleted),
        1 => agent().prop_map(H::RoomRenamed),
        1 => agent().prop_map(H::UserRenamed),
        1 => agent().prop_map(H::AliasDeleted),
        1 => agent().prop_map(H::RoomUpgraded),
        1 => agent().prop_map(H::TakenFromSpace),
        1 => prop_oneof![
            Just(H::SpaceDeleted),
            Just(H::SpaceRenamed),
            Just(H::SpaceUpgraded),
            Just(H::SpaceAliasDeleted)
        ],
        1 => Just(H::DatabaseLost),
        1 => (1..120_u64).prop_map(H::Minutes),
        2 => (2..72_u64).prop_map(H::Hours),
        1 => any::<bool>().prop_map(H::Excluding),
        1 => any::<bool>().prop_map(H::Inviting),
        1 => any::<bool>().prop_map(H::Leaving),
        1 => (0..2_usize).prop_map(H::SpaceName),
        1 => any::<bool>().prop_map(H::Confirmed),
        2 => (call(), 0..4_u32, any::<bool>(), select(kinds))
            .prop_map(|(call, nth, after, kind)| H::Fails(call, nth, after, kind)),
        6 => Just(H::Sync),
        3 => Just(H::Check),
        2 => (call(), 0..6_u32).prop_map(|(call, nth)| H::Killed(call, nth)),
        2 => (call(), 0..6_u32, any::<bool>()).prop_map(|(call, nth, lost)| H::Race(call, nth, lost)),
    ]
}

fn id(agent: usize) -> AgentId {
    AgentId::new(format!("agent-{agent}"))
}

impl Happening {
    pub async fn happen(&self, model: &mut Model) {
        match self {
            Self::Sync => {
                model.sync(false).await;
            }
            Self::Check => {
                model.sync(true).await;
            }
            Self::Killed(call, nth) => model.killed_sync(call, *nth).await,
            Self::Race(call, nth, is_state_lost) => model.race(call, *nth, *is_state_lost).await,
            Self::NobodyListed => model.sync_with_nobody_listed().await,
            Self::ListingFails => {
                model.world.letta.fail_next("list_agents", LettaErrorKind::Server);
                model.is_disturbed = true;
            }
            Self::Fails(call, nth, after, kind) => {
                let fault = Fault::on(*call).skip(*nth);
                let fault = if *after {
                    fault.fail_after(kind.clone())
                } else {
                    fault.fail(kind.clone())
                };
                model.fault = Some(fault);
            }
            Self::DatabaseLost => model.world.store = Arc::default(),
            Self::Minutes(minutes) => model.pass(Duration::from_secs(60 * minutes)).await,
            Self::Hours(hours) => model.pass(Duration::from_secs(60 * 60 * hours)).await,
            Self::Excluding(is_on) => {
                let rules = [Rule::Tag("quiet".to_owned())];
                model.world.config.select.exclude = rules.into_iter().filter(|_| *is_on).collect();
            }
            Self::Inviting(is_on) => {
                let people = [user("admin"), user("friend")];
                model.world.config.invite = people[..1 + usize::from(*is_on)].to_vec();
            }
            Self::Leaving(is_on) => {
                model.world.config.removal.mode = if *is_on {
                    RemovalMode::Leave
                } else {
                    RemovalMode::Archive
                };
            }
            Self::SpaceName(name) => model.world.config.space.name = format!("Space {name}"),
            Self::Confirmed(confirmed) => model.confirmed = *confirmed,
            Self::Created(..)
            | Self::Renamed(..)
            | Self::Described(..)
            | Self::Tagged(..)
            | Self::Hidden(..)
            | Self::Deleted(_) => self.happen_in_letta(model).await,
            Self::SpaceDeleted | Self::SpaceRenamed | Self::SpaceUpgraded | Self::SpaceAliasDeleted => {
                self.happen_to_space(model).await;
            }
            Self::PersonJoins(agent)
            | Self::PersonLeaves(agent)
            | Self::PersonKicked(agent)
            | Self::UserLeaves(agent)
            | Self::RoomDeleted(agent)
            | Self::RoomRenamed(agent)
            | Self::UserRenamed(agent)
            | Self::AliasDeleted(agent)
            | Self::RoomUpgraded(agent)
            | Self::TakenFromSpace(agent) => self.happen_to_room(model, *agent).await,
        }
    }

    async fn happen_in_letta(&self, model: &mut Model) {
        let letta = model.world.letta.clone();
        match self {
            Self::Created(agent, name) => {
                if !model.agents.contains_key(&id(*agent)) {
                    let state = AgentState {
                        name: NAMES[*name].to_owned(),
                        ..AgentState::default()
                    };
                    model.put(id(*agent), state);
                }
            }
            Self::Renamed(agent, name) => {
                if let Some(state) = model.agents.get_mut(&id(*agent)) {
                    state.name = NAMES[*name].to_owned();
                    let update = AgentUpdate::rename(NAMES[*name]);
                    letta.update_agent(&id(*agent), &update).await.unwrap();
                }
            }
            Self::Described(agent, is_long) => {
                if let Some(state) = model.agents.get_mut(&id(*agent)) {
                    state.description = Some("words ".repeat(if *is_long { 1_000 } else { 2 }));
                    let update = AgentUpdate {
                        description: state.description.clone(),
                        ..AgentUpdate::default()
                    };
                    letta.update_agent(&id(*agent), &update).await.unwrap();
                }
            }
            Self::Tagged(agent, is_tagged) => {
                if let Some(state) = model.agents.get_mut(&id(*agent)) {
                    state.is_tagged = *is_tagged;
                    let update = AgentUpdate {
                        tags: Some(state.tags()),
                        ..AgentUpdate::default()
                    };
                    letta.update_agent(&id(*agent), &update).await.unwrap();
                }
            }
            Self::Hidden(agent, is_hidden) => {
                if let Some(mut state) = model.agents.get(&id(*agent)).cloned() {
                    state.is_hidden = *is_hidden;
                    model.put(id(*agent), state);
                }
            }
            Self::Deleted(agent) => {
                if model.agents.remove(&id(*agent)).is_some() {
                    letta.delete_agent(&id(*agent)).await.unwrap();
                }
            }
            _ => unreachable!("not in Letta"),
        }
    }

    async fn happen_to_space(&self, model: &mut Model) {
        let world = &model.world;
        let Some(space) = world
            .matrix
            .rooms_joined_by(&world.appservice.sender)
            .into_iter()
            .find(|room| {
                world
                    .matrix
                    .room(room)
                    .is_some_and(|view| view.is_space() && view.replacement.is_none())
            })
        else {
            return;
        };
        let bot = world.bot();
        match self {
            Self::SpaceDeleted => world.delete_room(&space).await,
            Self::SpaceRenamed => {
                world.matrix.set_room_name(&bot, &space, "By hand").await.unwrap();
            }
            Self::SpaceUpgraded => {
                world.upgrade_room(&bot, &space).await;
            }
            _ => {
                let alias = world.config.space_alias().unwrap();
                world.matrix.delete_alias(&bot, &alias).await.ok();
            }
        }
    }

    /// Something happens to the room that the agent's user is in.
    async fn happen_to_room(&self, model: &mut Model, agent: usize) {
        let alias = model.world.config.room_alias(&id(agent)).unwrap();
        let ghost = model
            .world
            .ghost(&model.world.config.user_id(&id(agent)).unwrap());
        let Some(room) = model.world.matrix.alias(&alias) else {
            return;
        };
        if !matches!(
            self,
            Self::PersonJoins(_) | Self::PersonLeaves(_) | Self::PersonKicked(_)
        ) {
            model.touched.insert(room.clone());
        }
        let world = &model.world;
        let has_joined = |who: &UserId| {
            let view = world.matrix.room(&room);
            view.is_some_and(|view| view.has_joined(who))
        };
        if !has_joined(&ghost.user_id) {
            return;
        }
        match self {
            Self::PersonJoins(_) => {
                let admin = &world.admin;
                if world.matrix.join_room(admin, (&*room).into(), &[]).await.is_ok() {
                    model.gone_from.remove(&(room, user("admin")));
                }
            }
            Self::PersonLeaves(_) => {
                if world.matrix.leave_room(&world.admin, &room, None).await.is_ok() {
                    model.note_departure(room);
                }
            }
            Self::PersonKicked(_) => {
                let kicked = world.matrix.kick_user(&ghost, &room, &user("admin"), None).await;
                if kicked.is_ok() {
                    model.note_departure(room);
                }
            }
            Self::UserLeaves(_) => world.matrix.leave_room(&ghost, &room, None).await.unwrap(),
            Self::RoomDeleted(_) => world.delete_room(&room).await,
            Self::RoomRenamed(_) => {
                world
                    .matrix
                    .set_room_name(&ghost, &room, "By hand")
                    .await
                    .unwrap();
            }
            Self::UserRenamed(_) => {
                world
                    .matrix
                    .set_display_name(&ghost, Some("By hand"))
                    .await
                    .unwrap();
            }
            Self::AliasDeleted(_) => world.matrix.delete_alias(&ghost, &alias).await.unwrap(),
            Self::RoomUpgraded(_) => {
                world.upgrade_room(&ghost, &room).await;
            }
            Self::TakenFromSpace(_) => take_from_space(&world.matrix, &world.bot(), &room).await,
            _ => unreachable!("not to a room"),
        }
    }
}

async fn take_from_space(matrix: &matrix_client::fake::FakeMatrix, bot: &Session, room: &OwnedRoomId) {
    for space in matrix.spaces() {
        if space.has_joined(&bot.user_id) && space.children.contains(room) {
            let kind = StateEventType::SpaceChild;
            matrix
                .set_state_event(bot, &space.room_id, &kind, room.as_str(), &json!({}))
                .await
                .unwrap();
        }
    }
}

impl AgentState {
    fn tags(&self) -> Vec<String> {
        self.is_tagged.then(|| "quiet".to_owned()).into_iter().collect()
    }
}

impl Model {
    /// Puts an agent into Letta as it should be seen there.
    fn put(&mut self, agent: AgentId, state: AgentState) {
        let mut seed = AgentSeed::new(agent.clone(), state.name.clone());
        if let Some(description) = &state.description {
            seed = seed.description(description.clone());
        }
        for tag in state.tags() {
            seed = seed.tag(tag);
        }
        if state.is_hidden {
            seed = seed.hidden();
        }
        self.world.letta.add(seed);
        self.agents.insert(agent, state);
    }

    fn note_departure(&mut self, room: OwnedRoomId) {
        let view = self.world.matrix.room(&room).unwrap();
        if view.members.get(&user("admin")) == Some(&MembershipState::Leave) {
            self.gone_from.insert((room, user("admin")));
        }
    }

    async fn pass(&self, time: Duration) {
        self.world.clock.advance(time);
        tokio::time::advance(time).await;
    }

    /// Letta answers that there are no agents at all, which is true of each only if it says so itself.
    async fn sync_with_nobody_listed(&mut self) {
        let all = self.agents.clone();
        for (agent, state) in all.clone() {
            let state = AgentState {
                is_hidden: true,
                ..state
            };
            self.put(agent, state);
        }
        self.sync(false).await;
        for (agent, state) in all {
            self.put(agent, state);
        }
    }
}
