//! Whatever is done, in whatever order, the model holds, and who syncs knows the rooms as they are.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

use super::*;
use crate::{Event, StateEventType, SyncRequest, SyncResponse};

/// A step of somebody (0 to 2) in a room (the n-th that was made).
#[derive(Clone, Debug)]
enum Step {
    Create { who: usize, public: bool, version: u8 },
    Invite { who: usize, whom: usize, room: usize },
    Join { who: usize, room: usize },
    Leave { who: usize, room: usize },
    Kick { who: usize, whom: usize, room: usize },
    Ban { who: usize, whom: usize, room: usize },
    Topic { who: usize, room: usize, text: u8 },
    Say { who: usize, room: usize },
    Redact { who: usize, room: usize },
    Rename { who: usize, name: u8 },
    Restart,
    Sync { limit: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    let (who, whom, room) = (0..3_usize, 0..3_usize, 0..2_usize);
    prop_oneof![
        2 => (who.clone(), any::<bool>(), 10..=12_u8)
            .prop_map(|(who, public, version)| Step::Create { who, public, version }),
        3 => (who.clone(), whom.clone(), room.clone()).prop_map(|(who, whom, room)| Step::Invite { who, whom, room }),
        8 => (who.clone(), room.clone()).prop_map(|(who, room)| Step::Join { who, room }),
        2 => (who.clone(), room.clone()).prop_map(|(who, room)| Step::Leave { who, room }),
        1 => (who.clone(), whom.clone(), room.clone()).prop_map(|(who, whom, room)| Step::Kick { who, whom, room }),
        1 => (who.clone(), whom, room.clone()).prop_map(|(who, whom, room)| Step::Ban { who, whom, room }),
        8 => (who.clone(), room.clone(), 0..4_u8).prop_map(|(who, room, text)| Step::Topic { who, room, text }),
        5 => (who.clone(), room.clone()).prop_map(|(who, room)| Step::Say { who, room }),
        1 => (who.clone(), room).prop_map(|(who, room)| Step::Redact { who, room }),
        1 => (who, 0..3_u8).prop_map(|(who, name)| Step::Rename { who, name }),
        1 => Just(Step::Restart),
        6 => (1..5_u32).prop_map(|limit| Step::Sync { limit }),
    ]
}

/// What a client knows that does nothing but sync.
#[derive(Default)]
struct Client {
    since: Option<String>,
    rooms: BTreeMap<OwnedRoomId, BTreeMap<(String, String), Value>>,
    seen: Vec<ruma::OwnedEventId>,
}

impl Client {
    fn take(&mut self, answer: SyncResponse) {
        self.since = Some(answer.next_batch);
        for (room_id, news) in answer.joined {
            let state = self.rooms.entry(room_id).or_default();
            for event in news.state.iter().chain(&news.timeline.events) {
                note(state, event);
            }
            for event in news.timeline.events {
                // A limited timeline starts anew: so it is when a room is joined again.
                let seen = self.seen.contains(&event.event_id);
                assert!(!seen || news.timeline.limited, "{} came twice", event.event_id);
                self.seen.push(event.event_id);
            }
        }
        // Who left and was invited again since then is only told of the invitation.
        for room_id in answer.left.into_keys().chain(answer.invited.into_keys()) {
            self.rooms.remove(&room_id);
        }
    }
}

fn note(state: &mut BTreeMap<(String, String), Value>, event: &Event) {
    if let Some(state_key) = &event.state_key {
        state.insert(
            (event.event_type.to_string(), state_key.clone()),
            event.content.clone(),
        );
    }
}

struct World {
    matrix: FakeMatrix,
    people: Vec<Session>,
    rooms: Vec<OwnedRoomId>,
    client: Client,
    sent: usize,
}

impl World {
    async fn take(&mut self, step: &Step) {
        let matrix = self.matrix.clone();
        // Refusals are as good as anything else here.
        match step {
            Step::Create { who, public, version } => {
                let preset = if *public {
                    RoomPreset::PublicChat
                } else {
                    RoomPreset::PrivateChat
                };
                let version = ruma::RoomVersionId::try_from(version.to_string()).unwrap();
                let room = NewRoom::room().preset(preset).room_version(version);
                self.rooms
                    .push(matrix.create_room(&self.people[*who], &room).await.unwrap());
            }
            Step::Rename { who, name } => {
                matrix
                    .set_display_name(&self.people[*who], Some(&name.to_string()))
                    .await
                    .unwrap();
            }
            Step::Restart => matrix.restart(),
            Step::Sync { limit } => self.sync(*limit).await,
            step => self.act_in_room(step).await,
        }
    }

    async fn act_in_room(&mut self, step: &Step) {
        let (Step::Invite { who, room, .. }
        | Step::Join { who, room }
        | Step::Leave { who, room }
        | Step::Kick { who, room, .. }
        | Step::Ban { who, room, .. }
        | Step::Topic { who, room, .. }
        | Step::Say { who, room }
        | Step::Redact { who, room }) = step
        else {
            return;
        };
        let (matrix, session) = (&self.matrix, &self.people[*who]);
        let Some(room_id) = self.rooms.get(*room) else {
            return;
        };
        let _ = match step {
            Step::Invite { whom, .. } => {
                matrix
                    .invite_user(session, room_id, &self.people[*whom].user_id, None)
                    .await
            }
            Step::Join { .. } => matrix
                .join_room(session, (&**room_id).into(), &[])
                .await
                .map(|_| ()),
            Step::Leave { .. } => matrix.leave_room(session, room_id, None).await,
            Step::Kick { whom, .. } => {
                matrix
                    .kick_user(session, room_id, &self.people[*whom].user_id, None)
                    .await
            }
            Step::Ban { whom, .. } => {
                matrix
                    .ban_user(session, room_id, &self.people[*whom].user_id, None)
                    .await
            }
            Step::Topic { text, .. } => {
                let content = json!({ "topic": text.to_string() });
                let set = matrix.set_state_event(session, room_id, &StateEventType::RoomTopic, "", &content);
                set.await.map(|_| ())
            }
            Step::Say { .. } => {
                self.sent += 1;
                let id = transaction(&self.sent.to_string());
                matrix
                    .send_message(session, room_id, &id, &Message::text("hi"))
                    .await
                    .map(|_| ())
            }
            _ => {
                self.sent += 1;
                let id = transaction(&self.sent.to_string());
                let messages = matrix.messages(room_id);
                match messages.last() {
                    Some(last) => matrix
                        .redact_event(session, room_id, &last.event_id, &id, None)
                        .await
                        .map(|_| ()),
                    None => Ok(()),
                }
            }
        };
    }

    async fn sync(&mut self, limit: u32) {
        let mut filter = crate::FilterDefinition::default();
        filter.room.timeline.limit = Some(limit.into());
        let request = match &self.client.since {
            Some(since) => SyncRequest::since(since.clone()),
            None => SyncRequest::initial(),
        };
        let answer = self
            .matrix
            .sync(&self.people[0], &request.filter(filter))
            .await
            .unwrap();
        assert!(answer.skipped.is_empty());
        self.client.take(answer);
        let own = self.people[0].user_id.clone();
        let joined = self.matrix.rooms_joined_by(&own);
        assert_eq!(self.client.rooms.keys().cloned().collect::<Vec<_>>(), joined);
        for room_id in joined {
            assert_eq!(
                self.client.rooms[&room_id],
                self.matrix.room(&room_id).unwrap().state,
                "{room_id}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_model_holds_and_who_syncs_knows_the_rooms_as_they_are(steps in vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let matrix = FakeMatrix::new("matrix.test");
            let people = ["alice", "bob", "carol"].map(|name| matrix.add_user(name)).to_vec();
            let mut world = World { matrix, people, rooms: Vec::new(), client: Client::default(), sent: 0 };
            for step in &steps {
                world.take(step).await;
                world.matrix.assert_invariants();
            }
            world.sync(3).await;
        });
    }
}
