//! Making the space, or finding it again under its alias.

use matrix_client::{NewRoom, RoomPreset, StateEventType};
use ruma::OwnedRoomId;
use serde_json::{Value, json};
use store::SpaceRecord;

use super::{
    Applier, Origin, StepError,
    room::{Found, content, creator, marker_type},
};
use crate::{SPACE_MARKER, SyncError};

impl Applier<'_> {
    /// Makes and records the space. Its maker is the application service's own user, so that no agent has power over
    /// the others' places in it.
    pub(crate) async fn ensure_space(&self) -> Result<(OwnedRoomId, Origin), SyncError> {
        let bot = self.config.appservice.sender_session();
        let alias = self.config.space_alias().map_err(SyncError::Names)?;
        let space = NewRoom::space()
            .name(&self.config.space.name)
            .topic(&self.config.space.topic)
            .alias_localpart(&self.config.space.alias_localpart)
            .preset(RoomPreset::PrivateChat)
            .invite(self.config.invitees(&bot.user_id))
            .initial_state(marker_type(SPACE_MARKER), "", json!({}))
            .initial_state(
                StateEventType::RoomGuestAccess,
                "",
                json!({ "guest_access": "forbidden" }),
            );
        let mut space = space;
        space.room_version.clone_from(&self.config.room_version);
        let found = self
            .create_or_find(&bot, &space, &alias)
            .await
            .map_err(|error| match error {
                StepError::Matrix(error) => SyncError::Space(error),
                StepError::Store(error) => SyncError::Store(error),
                StepError::Names(error) => SyncError::Names(error),
                other => SyncError::ForeignSpace {
                    alias: alias.to_string(),
                    reason: other.to_string(),
                },
            })?;
        let (room_id, origin) = match found {
            Found::Created(room_id) => (room_id, Origin::Created),
            Found::Existing(room_id, state) => {
                let is_space = content(&state, "m.room.create", "")
                    .and_then(|create| create.get("type"))
                    .and_then(Value::as_str)
                    == Some("m.space");
                let is_ours =
                    content(&state, SPACE_MARKER, "").is_some() || creator(&state) == Some(&bot.user_id);
                if !(is_space && is_ours) {
                    let reason = if is_space {
                        "a space that we did not make"
                    } else {
                        "not a space"
                    };
                    return Err(SyncError::ForeignSpace {
                        alias: alias.to_string(),
                        reason: reason.to_owned(),
                    });
                }
                (room_id, Origin::Adopted)
            }
        };
        let record = SpaceRecord {
            room_id: room_id.clone(),
            name: self.config.space.name.clone(),
            created_at: self.clock.now(),
        };
        self.store.put_space(&record).await.map_err(SyncError::Store)?;
        Ok((room_id, origin))
    }
}
