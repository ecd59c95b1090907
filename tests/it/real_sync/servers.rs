//! The real servers, and a look at whether everybody is at home.

use std::collections::{BTreeMap, BTreeSet};

use agent_sync::SyncConfig;
use futures_util::{StreamExt, stream};
use letta_client::{
    Agent, AgentId, AgentQuery, AgentUpdate, LettaApi, LettaApiExt, NewAgent, http::HttpLetta,
};
use matrix_client::{
    Appservice, HttpMatrix, LoginRequest, MatrixApi, MatrixApiExt, Session, SynapseAdminApi,
    admin::RoomsRequest,
};
use ruma::{OwnedRoomId, UserId};
use secrecy::SecretString;

use crate::support::env;

pub(super) struct Servers {
    pub(super) letta: HttpLetta,
    pub(super) matrix: HttpMatrix,
    admin: Session,
    bot: Session,
    appservice: Appservice,
    pub(super) config: SyncConfig,
}

impl Servers {
    pub(super) async fn connect() -> Self {
        let letta = HttpLetta::new(env("LETTA_API_URL"), Some(env("LETTA_TOKEN").into())).unwrap();
        let matrix = HttpMatrix::new(env("MATRIX_HOMESERVER_URL").parse().unwrap()).unwrap();
        let login = LoginRequest::with_password(
            env("MATRIX_ADMIN_USERNAME").as_str(),
            SecretString::from(env("MATRIX_ADMIN_PASSWORD")),
        );
        let admin = matrix.login(&login).await.unwrap();
        let server_name = env("MATRIX_SERVER_NAME");
        let sender = UserId::parse(format!("@letta_bot:{server_name}")).unwrap();
        let appservice = Appservice::new("letta-matrix", SecretString::from(env("MATRIX_AS_TOKEN")), sender);
        let bot = appservice.sender_session();
        let config = SyncConfig::new(server_name.try_into().unwrap());
        Self {
            letta,
            matrix,
            admin,
            bot,
            appservice,
            config,
        }
    }

    /// Makes agents, a few at once.
    pub(super) async fn create_agents(&self, prefix: &str, count: usize) -> Vec<AgentId> {
        stream::iter(1..=count)
            .map(|n| async move {
                let agent = NewAgent {
                    model: Some(crate::support::model()),
                    embedding: Some(crate::support::embedding()),
                    ..NewAgent::named(format!("{prefix} {n:03}"))
                };
                self.letta.create_agent(&agent).await.unwrap().id
            })
            .buffered(4)
            .collect()
            .await
    }

    pub(super) async fn rename(&self, agent: &AgentId, name: impl Into<String>) {
        let update = AgentUpdate::rename(name);
        self.letta.update_agent(agent, &update).await.unwrap();
    }

    pub(super) async fn room_name(&self, agent: &AgentId) -> String {
        let user = self.config.user_id(agent).unwrap();
        let ghost = self.appservice.act_as(&user);
        let alias = self.config.room_alias(agent).unwrap();
        let room = self.matrix.resolve_alias(&ghost, &alias).await.unwrap();
        let content = self
            .matrix
            .get_state_event(&ghost, &room, &"m.room.name".into(), "")
            .await
            .unwrap();
        content["name"].as_str().unwrap().to_owned()
    }

    pub(super) async fn room_of(&self, agent: &AgentId) -> OwnedRoomId {
        let alias = self.config.room_alias(agent).unwrap();
        self.matrix.resolve_alias(&self.admin, &alias).await.unwrap()
    }

    pub(super) async fn agents(&self) -> Vec<Agent> {
        let listing = self.letta.list_all_agents(&AgentQuery::default()).await.unwrap();
        assert!(listing.is_complete());
        listing.agents
    }

    /// Names of all rooms in which the agents' users are, by the user that made them, and the spaces.
    pub(super) async fn rooms(&self) -> (BTreeMap<String, Vec<OwnedRoomId>>, Vec<OwnedRoomId>) {
        let (mut rooms, mut spaces) = (BTreeMap::<String, Vec<_>>::new(), Vec::new());
        let mut request = RoomsRequest::new().limit(100);
        loop {
            let page = self.matrix.list_rooms(&self.admin, &request).await.unwrap();
            for room in page.rooms {
                let Some(creator) = room.creator else { continue };
                if creator == self.bot.user_id {
                    spaces.push(room.room_id);
                } else if creator.localpart().starts_with("agent_") {
                    rooms.entry(creator.to_string()).or_default().push(room.room_id);
                }
            }
            match page.next_batch {
                Some(next) => request = RoomsRequest::new().limit(100).from(next),
                None => return (rooms, spaces),
            }
        }
    }

    /// Every agent has one user and one room, named right, in the one space, and nothing else is there but the rooms
    /// that were put away.
    pub(super) async fn assert_home(&self, agents: &[Agent], put_away: &[AgentId]) {
        let (rooms, spaces) = self.rooms().await;
        assert_eq!(spaces.len(), 1, "one space: {spaces:?}");
        let children: BTreeSet<_> = self
            .matrix
            .list_all_space_children(&self.bot, &spaces[0], Some(1))
            .await
            .unwrap()
            .into_iter()
            .flat_map(|room| room.children)
            .map(|child| child.room_id)
            .collect();
        let users: BTreeSet<_> = agents
            .iter()
            .map(|agent| &agent.id)
            .chain(put_away)
            .map(|agent| self.config.user_id(agent).unwrap().to_string())
            .collect();
        assert_eq!(
            rooms.keys().cloned().collect::<BTreeSet<_>>(),
            users,
            "a room for every agent's user"
        );
        assert_eq!(children.len(), agents.len(), "children of the space");
        for agent in agents {
            let user = self.config.user_id(&agent.id).unwrap();
            let name = agent_sync::display_name(agent);
            let profile = self.matrix.get_profile(&self.admin, &user).await.unwrap();
            assert_eq!(
                profile.display_name.as_deref(),
                Some(name.as_str()),
                "display name of {user}"
            );
            let own = &rooms[user.as_str()];
            assert_eq!(own.len(), 1, "rooms of {user}: {own:?}");
            assert!(children.contains(&own[0]), "{user}'s room is in the space");
            let alias = self.config.room_alias(&agent.id).unwrap();
            assert_eq!(
                self.matrix.resolve_alias(&self.admin, &alias).await.unwrap(),
                own[0]
            );
            let ghost = self.appservice.act_as(&user);
            let room_name = self
                .matrix
                .get_state_event(&ghost, &own[0], &"m.room.name".into(), "")
                .await
                .unwrap();
            assert_eq!(room_name["name"], name.as_str(), "room name of {user}");
        }
    }
}
