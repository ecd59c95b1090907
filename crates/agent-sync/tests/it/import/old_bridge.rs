//! What the Python bridge leaves behind: ordinary users with passwords, their rooms, a space, and its files.

use agent_sync::{Mapping, agent_localpart, display_name};
use letta_client::{Agent, AgentId};
use matrix_client::{
    LoginRequest, MatrixApi, MatrixApiExt, NewRoom, RoomPreset, Session, StateEventType,
    fake::{FakeMatrix, TEST_PASSWORD},
};
use ruma::{OwnedRoomId, RoomVersionId};
use serde_json::{Map, Value, json};

use crate::world::World;

/// An agent's user and room as the Python bridge made them.
pub struct OldHome {
    pub agent: Agent,
    pub session: Session,
    pub room: OwnedRoomId,
}

pub struct OldBridge {
    /// The account that made the space, and is in every room.
    pub admin: Session,
    /// The bot of that bridge, also in every room.
    pub bot: Session,
    pub space: OwnedRoomId,
    pub homes: Vec<OldHome>,
}

impl OldBridge {
    /// The bridge ran here with the three agents, before ours was installed.
    pub async fn ran_in(world: &World) -> Self {
        Self::ran_with(world, None).await
    }

    /// The same, with rooms of this version.
    pub async fn ran_with(world: &World, version: Option<RoomVersionId>) -> Self {
        let matrix = &world.matrix;
        let login = LoginRequest::with_password("admin", TEST_PASSWORD.into());
        let admin = matrix.login(&login).await.unwrap();
        let bot = matrix.add_user("letta");
        let space = old_space(matrix, &admin, &bot).await;
        let mut homes = Vec::new();
        for agent in world.agents().await {
            homes.push(old_home(matrix, &agent, [&admin, &bot], &space, version.clone()).await);
        }
        matrix.clear_journal();
        Self {
            admin,
            bot,
            space,
            homes,
        }
    }

    pub fn home(&self, agent: &str) -> &OldHome {
        let found = self.homes.iter().find(|home| home.agent.id.as_str() == agent);
        found.unwrap()
    }

    /// The content of its `agent_user_mappings.json`.
    pub fn mapping(&self) -> Map<String, Value> {
        self.homes
            .iter()
            .map(|home| (home.agent.id.to_string(), self.entry(home)))
            .collect()
    }

    fn entry(&self, home: &OldHome) -> Value {
        json!({
            "agent_id": home.agent.id,
            "agent_name": home.agent.name,
            "matrix_user_id": home.session.user_id,
            "matrix_password": TEST_PASSWORD,
            "created": true,
            "room_id": home.room,
            "room_created": true,
            "invitation_status": { self.admin.user_id.as_str(): "joined", self.bot.user_id.as_str(): "joined" },
        })
    }

    /// Our bridge's own user is invited to the space, with this power.
    pub async fn let_into_space(&self, world: &World, power: i64) {
        let bot = &world.appservice.sender;
        let invited = world.matrix.invite_user(&self.admin, &self.space, bot, None);
        invited.await.unwrap();
        self.set_power(world, power).await;
    }

    /// Our bridge's own user has this power in the space.
    pub async fn set_power(&self, world: &World, power: i64) {
        let (matrix, bot) = (&world.matrix, &world.appservice.sender);
        let event_type = StateEventType::RoomPowerLevels;
        let levels = matrix.find_state_event(&self.admin, &self.space, &event_type, "");
        let mut levels = levels.await.unwrap().unwrap();
        levels["users"][bot.as_str()] = power.into();
        matrix
            .set_state_event(&self.admin, &self.space, &event_type, "", &levels)
            .await
            .unwrap();
        matrix.clear_journal();
    }
}

pub fn parse(mapping: &Map<String, Value>) -> Mapping {
    Mapping::parse(&Value::Object(mapping.clone()).to_string()).unwrap()
}

async fn old_space(matrix: &FakeMatrix, admin: &Session, bot: &Session) -> OwnedRoomId {
    let power = json!({ "events": { "m.space.child": 50 } });
    let room = NewRoom::space()
        .name("Letta Agents")
        .topic("All Letta AI agents")
        .preset(RoomPreset::PrivateChat)
        .invite([bot.user_id.clone()])
        .power_level_overrides(power.as_object().unwrap().clone());
    let space = matrix.create_room(admin, &room).await.unwrap();
    join(matrix, bot, &space).await;
    space
}

async fn old_home(
    matrix: &FakeMatrix,
    agent: &Agent,
    [admin, bot]: [&Session; 2],
    space: &OwnedRoomId,
    version: Option<RoomVersionId>,
) -> OldHome {
    let localpart = agent_localpart("agent_", &AgentId::new(agent.id.as_str()), "matrix.test".len());
    let session = matrix.add_user(&localpart);
    let name = display_name(agent);
    matrix.set_display_name(&session, Some(&name)).await.unwrap();
    let mut room = NewRoom::room()
        .name(format!("{name} - Letta Agent Chat"))
        .topic(format!("Private chat with Letta agent: {name}"))
        .preset(RoomPreset::TrustedPrivateChat)
        .invite([admin.user_id.clone(), bot.user_id.clone()]);
    room.room_version = version;
    let room = matrix.create_room(&session, &room).await.unwrap();
    for person in [admin, bot] {
        join(matrix, person, &room).await;
    }
    let via = ["matrix.test".try_into().unwrap()];
    matrix.add_space_child(admin, space, &room, &via).await.unwrap();
    matrix.set_space_parent(admin, &room, space, &via).await.unwrap();
    OldHome {
        agent: agent.clone(),
        session,
        room,
    }
}

async fn join(matrix: &FakeMatrix, who: &Session, room: &OwnedRoomId) {
    matrix.join_room(who, (&**room).into(), &[]).await.unwrap();
}
