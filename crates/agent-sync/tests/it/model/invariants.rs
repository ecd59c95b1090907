//! What is true whenever everything came to rest.

use agent_sync::{AGENT_MARKER, display_name};
use letta_client::{Agent, AgentId};
use matrix_client::fake::RoomView;
use ruma::{OwnedRoomId, events::room::member::MembershipState};
use store::{BindingStore, Lifecycle};

use super::{Model, happenings::AGENTS};

impl Model {
    /// After every run that reports success.
    pub async fn assert_everybody_is_known(&self) {
        let bindings = self.bindings().await;
        for agent in self.agents.keys().filter(|agent| self.is_wanted(agent)) {
            let binding = bindings.iter().find(|binding| binding.agent_id == *agent);
            let binding = binding.unwrap_or_else(|| panic!("nobody knows {agent}"));
            assert_eq!(binding.lifecycle, Lifecycle::Active, "{agent}");
            assert!(
                binding.room_id.is_some() && binding.last_error.is_none(),
                "{binding:#?}"
            );
        }
    }

    /// Whoever left a room is not asked back.
    pub fn assert_nobody_is_pestered(&self) {
        for (room, person) in &self.gone_from {
            if let Some(view) = self.world.matrix.room(room) {
                let standing = view.members.get(person);
                assert_eq!(standing, Some(&MembershipState::Leave), "{person} in {room}");
            }
        }
    }

    /// After everything came to rest.
    pub async fn assert_home(&self) {
        let world = &self.world;
        world.matrix.assert_invariants();
        let bindings = self.bindings().await;
        let is_alive = |room: &RoomView| room.replacement.is_none();
        let rooms: Vec<_> = world.matrix.rooms().into_iter().filter(is_alive).collect();
        let bot = &world.appservice.sender;
        let spaces: Vec<_> = rooms
            .iter()
            .filter(|room| room.is_space() && room.has_joined(bot))
            .collect();
        let record = world.store.get_space().await.unwrap();
        let Some(record) = record else {
            // Nobody needs one. If a database was lost, there may be one all the same.
            assert!(bindings.is_empty() && !self.agents.keys().any(|agent| self.is_wanted(agent)));
            return;
        };
        assert_eq!(spaces.len(), 1, "one space");
        let space = spaces[0];
        assert_eq!(space.room_id, record.room_id);
        assert_eq!(space.name.as_ref(), Some(&world.config.space.name));
        let alias = world.config.space_alias().unwrap();
        assert_eq!(
            world.matrix.alias(&alias).as_ref(),
            Some(&space.room_id),
            "the space's alias"
        );

        for (agent, state) in &self.agents {
            if !self.is_wanted(agent) {
                continue;
            }
            let mut shown = Agent::new(agent.clone(), state.name.clone());
            shown.description.clone_from(&state.description);
            self.assert_at_home(&shown, space, &rooms).await;
        }
        self.assert_nothing_is_left_over(&rooms, space).await;
    }

    async fn assert_at_home(&self, agent: &Agent, space: &RoomView, rooms: &[RoomView]) {
        let world = &self.world;
        let id = &agent.id;
        let binding = world.binding(id.as_str()).await;
        let user = world.config.user_id(id).unwrap();
        let name = display_name(agent);
        let profile = world
            .matrix
            .user(&user)
            .unwrap_or_else(|| panic!("no user {user}"));
        assert_eq!(profile.display_name.as_ref(), Some(&name), "display name of {id}");
        let own: Vec<_> = rooms
            .iter()
            .filter(|room| room.has_joined(&user) && !room.is_space())
            .collect();
        assert_eq!(own.len(), 1, "rooms in which {id} is: {own:#?}");
        let room = own[0];
        assert_eq!(binding.room_id.as_ref(), Some(&room.room_id), "{id}");
        assert_eq!(room.name.as_ref(), Some(&name), "room name of {id}");
        let alias = world.config.room_alias(id).unwrap();
        assert_eq!(room.canonical_alias.as_ref(), Some(&alias), "{id}");
        assert_eq!(room.aliases, [alias], "aliases of {id}");
        assert_eq!(
            room.parents,
            std::slice::from_ref(&space.room_id),
            "parents of {id}"
        );
        assert!(space.children.contains(&room.room_id), "{id} is in the space");
        let marker = room
            .state(AGENT_MARKER, "")
            .unwrap_or_else(|| panic!("{id}: no marker"));
        assert_eq!(marker["agent_id"], id.as_str());
        for person in &world.config.invite {
            let standing = room.members.get(person);
            assert!(standing.is_some(), "{person} was never invited to {id}");
        }
        assert!(
            !room.has_joined(&world.appservice.sender),
            "{id}'s room is its own"
        );
    }

    async fn assert_nothing_is_left_over(&self, rooms: &[RoomView], space: &RoomView) {
        let world = &self.world;
        let bindings = self.bindings().await;
        // An upgrade leaves the marker behind, so its maker tells whose a room is.
        let agent_of = |room: &RoomView| {
            (0..AGENTS)
                .map(|agent| AgentId::new(format!("agent-{agent}")))
                .find(|agent| world.config.user_id(agent).unwrap() == room.creator)
        };
        for room in rooms.iter().filter(|room| !room.is_space()) {
            let is_bound = bindings
                .iter()
                .any(|binding| binding.room_id.as_ref() == Some(&room.room_id));
            let is_inside = room.has_joined(&room.creator);
            // The room of an agent that is gone outlives a lost database.
            let is_of_nobody = agent_of(room).is_some_and(|agent| !self.is_wanted(&agent));
            assert!(is_bound || !is_inside || is_of_nobody, "nobody names {room:#?}");
        }
        for child in &space.children {
            let is_bound = bindings.iter().any(|binding| {
                binding.room_id.as_ref() == Some(child)
                    && !matches!(binding.lifecycle, Lifecycle::Archived { .. })
            });
            let of_nobody = world.matrix.room(child).as_ref().and_then(agent_of);
            let is_of_nobody = of_nobody.is_some_and(|agent| !self.is_wanted(&agent));
            // Without a database nobody knows whose a deleted room was. No client shows it.
            let is_deleted = world.matrix.room(child).is_none();
            assert!(
                is_bound || is_of_nobody || is_deleted,
                "the space lists {child}, which is nobody's"
            );
        }
        for (alias, room) in world.matrix.aliases() {
            assert!(world.matrix.room(&room).is_some(), "{alias} leads nowhere");
        }
        for binding in &bindings {
            let Lifecycle::Archived { .. } = binding.lifecycle else {
                continue;
            };
            // What somebody does to a room that was put away is left as it is.
            let untouched = |room: &&OwnedRoomId| !self.touched.contains(*room);
            let Some(room_id) = binding.room_id.as_ref().filter(untouched) else {
                continue;
            };
            let room = world.matrix.room(room_id);
            let room = room.unwrap_or_else(|| panic!("{}: the room is gone", binding.agent_id));
            let name = room.name.unwrap_or_default();
            assert!(name.ends_with("(archived)"), "{}: {name}", binding.agent_id);
            assert!(
                !space.children.contains(room_id),
                "{} is listed",
                binding.agent_id
            );
        }
    }
}
