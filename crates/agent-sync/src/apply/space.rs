//! The space: making it, finding it again, keeping it as it should be.

use std::collections::{BTreeMap, HashMap};

use matrix_client::{
    Event, MatrixApiExt, NewRoom, RoomPreset, Session, StateEventType, content as event_content,
};
use ruma::{OwnedRoomAliasId, OwnedRoomId};
use serde_json::{Value, json};
use store::{Invitation, SpaceRecord};

use super::{
    Applier, Origin, StepError, foreign,
    room::{Found, is_shut_out},
    state::RoomState,
};
use crate::{SPACE_MARKER, SpaceAction, SyncError, plan::space_actions};

/// What became of the space.
#[derive(Debug, Default)]
pub(crate) struct SpaceOutcome {
    pub(crate) record: Option<SpaceRecord>,
    /// The rooms it lists, if it was read.
    pub(crate) children: Option<HashMap<OwnedRoomId, Value>>,
    pub(crate) origin: Option<Origin>,
    /// It was replaced by a space that we are not let into yet: the next run is to try again.
    is_replaced: bool,
}

/// More replacements of a space than anybody makes, unless they lead back to where they began.
const MANY_UPGRADES: usize = 20;

/// Whether the failure shows that the bridge's own user is not in the space any more. A refused invitation may be for
/// the sake of the person.
fn is_outside(action: &SpaceAction, error: &StepError) -> bool {
    match action {
        SpaceAction::Create { .. } | SpaceAction::Inspect | SpaceAction::SetBotName { .. } => false,
        SpaceAction::Invite { .. } => matches!(error, StepError::Outside(_)),
        _ => error.is_shut_out(),
    }
}

impl Applier<'_> {
    /// Does everything that is missing in the space. Its maker is the bridge's own user, so that no agent has power
    /// over the others' places in it. A refused invitation stops nothing.
    pub(crate) async fn keep_space(&self, record: Option<SpaceRecord>) -> Result<SpaceOutcome, SyncError> {
        let mut outcome = SpaceOutcome {
            record,
            ..SpaceOutcome::default()
        };
        let invitees = self.config.invitees(self.accounts.bot(), self.accounts.bot());
        let mut refused: Vec<SpaceAction> = Vec::new();
        let mut readings = 0;
        loop {
            let todo =
                space_actions(outcome.record.as_ref(), self.config, &invitees).map_err(SyncError::Names)?;
            let Some(action) = todo.into_iter().find(|action| !refused.contains(action)) else {
                break;
            };
            readings += usize::from(action == SpaceAction::Inspect);
            if readings > MANY_UPGRADES {
                return Err(self.space_error(StepError::NoProgress));
            }
            match self.perform_on_space(&action, &mut outcome).await {
                Ok(()) => {}
                Err(StepError::Foreign { alias, reason }) if action == SpaceAction::SetAlias => {
                    tracing::warn!(%alias, %reason, "the space has lost its alias");
                    refused.push(action);
                }
                // It is not as it was written down: look before anything else.
                Err(error) if readings == 0 && is_outside(&action, &error) => {
                    if let Some(record) = &mut outcome.record {
                        record.verified = false;
                    }
                }
                Err(error) if matches!(action, SpaceAction::Invite { .. }) && !error.is_general() => {
                    tracing::warn!(?action, error = %error.sentence(), "the space refuses an invitation");
                    if let (SpaceAction::Invite { user }, Some(record)) = (&action, &mut outcome.record) {
                        record.invitations.insert(user.clone(), Invitation::Failed);
                    }
                    refused.push(action);
                }
                Err(error) => return Err(self.space_error(error)),
            }
            if let Some(record) = &outcome.record {
                self.put_space(record).await?;
            }
        }
        if let Some(record) = &mut outcome.record
            && outcome.is_replaced
        {
            record.verified = false;
            self.put_space(record).await?;
        }
        Ok(outcome)
    }

    async fn put_space(&self, record: &SpaceRecord) -> Result<(), SyncError> {
        let put = self.store.put_space(record, self.lease).await;
        put.map_err(SyncError::of_store)
    }

    fn space_error(&self, error: StepError) -> SyncError {
        match error {
            StepError::Matrix(error) | StepError::OneUser(error) => SyncError::Space(error),
            StepError::Store(error) => SyncError::of_store(error),
            StepError::Account(error) => SyncError::Account(error),
            StepError::Names(error) => SyncError::Names(error),
            other => SyncError::ForeignSpace {
                alias: self.config.space_alias().map_or_else(
                    |_| self.config.space.alias_localpart.clone(),
                    |alias| alias.to_string(),
                ),
                reason: match other {
                    StepError::Foreign { reason, .. } => reason,
                    other => other.sentence(),
                },
            },
        }
    }

    /// One step. A token that the homeserver no longer knows is replaced once.
    async fn perform_on_space(
        &self,
        action: &SpaceAction,
        outcome: &mut SpaceOutcome,
    ) -> Result<(), StepError> {
        let bot = self.bot().await?;
        match self.attempt_on_space(&bot, action, outcome).await {
            Err(error) if error.is_unauthorized() => {
                if !self.accounts.forget(&bot).await.map_err(StepError::Account)? {
                    return Err(error);
                }
                let bot = self.bot().await?;
                self.attempt_on_space(&bot, action, outcome).await
            }
            result => result,
        }
    }

    async fn attempt_on_space(
        &self,
        bot: &Session,
        action: &SpaceAction,
        outcome: &mut SpaceOutcome,
    ) -> Result<(), StepError> {
        if let SpaceAction::Create { alias, .. } = action {
            return self.create_space(bot, alias, outcome).await;
        }
        let Some(record) = &mut outcome.record else {
            return Err(StepError::NoProgress);
        };
        match action {
            SpaceAction::Create { .. } => {}
            SpaceAction::Inspect => return self.inspect_space(bot, outcome).await,
            SpaceAction::Mark => {
                self.set_space_state(bot, record, StateEventType::from(SPACE_MARKER), &json!({}))
                    .await?;
                record.marked = true;
            }
            SpaceAction::SetAlias => {
                let alias = self.config.space_alias().map_err(StepError::Names)?;
                self.set_alias(bot, &record.room_id, &alias).await?;
                record.alias_set = true;
            }
            SpaceAction::SetName { name } => {
                let content = event_content::room_name(name);
                self.set_space_state(bot, record, StateEventType::RoomName, &content)
                    .await?;
                record.name = Some(name.clone());
            }
            SpaceAction::SetTopic { topic } => {
                let content = event_content::room_topic(topic);
                self.set_space_state(bot, record, StateEventType::RoomTopic, &content)
                    .await?;
                record.topic = Some(topic.clone());
            }
            SpaceAction::SetBotName { name } => {
                self.matrix
                    .set_display_name(bot, Some(name))
                    .await
                    .map_err(StepError::Matrix)?;
                record.bot_name = Some(name.clone());
            }
            SpaceAction::Invite { user } => {
                let standing = self.invite(bot, &record.room_id, user).await?;
                record.invitations.insert(user.clone(), standing);
            }
        }
        Ok(())
    }

    async fn set_space_state(
        &self,
        bot: &Session,
        record: &SpaceRecord,
        event_type: StateEventType,
        content: &Value,
    ) -> Result<(), StepError> {
        self.matrix
            .set_state_event(bot, &record.room_id, &event_type, "", content)
            .await
            .map_err(StepError::Matrix)?;
        Ok(())
    }

    async fn create_space(
        &self,
        bot: &Session,
        alias: &OwnedRoomAliasId,
        outcome: &mut SpaceOutcome,
    ) -> Result<(), StepError> {
        if let Some((room_id, state)) = self.find_marked_space(bot).await? {
            return self.adopt_space(bot, room_id, &state, true, outcome).await;
        }
        let invite = self.config.invitees(&bot.user_id, &bot.user_id);
        let mut space = NewRoom::space()
            .name(&self.config.space.name)
            .topic(&self.config.space.topic)
            .alias_localpart(&self.config.space.alias_localpart)
            .preset(RoomPreset::PrivateChat)
            .invite(invite.iter().cloned())
            .initial_state(StateEventType::from(SPACE_MARKER), "", json!({}))
            .initial_state(
                StateEventType::RoomGuestAccess,
                "",
                json!({ "guest_access": "forbidden" }),
            );
        space.room_version.clone_from(&self.config.room_version);
        match self.create_or_find(bot, &space, alias).await? {
            Found::Created(room_id) => {
                outcome.record = Some(SpaceRecord {
                    verified: true,
                    name: Some(self.config.space.name.clone()),
                    topic: Some(self.config.space.topic.clone()),
                    alias_set: true,
                    marked: true,
                    invitations: invite
                        .into_iter()
                        .map(|user| (user, Invitation::Invited))
                        .collect(),
                    ..SpaceRecord::found(room_id, self.clock.now())
                });
                outcome.children = Some(HashMap::new());
                outcome.origin = Some(Origin::Created);
                Ok(())
            }
            Found::LeftToBot { .. } => Err(foreign(alias, "we left it")),
            Found::Existing { room_id, state, .. } => {
                self.adopt_space(bot, room_id, &state, false, outcome).await
            }
        }
    }

    /// The space with our marker among the rooms that the bridge's own user is in. Of several it is the one that has
    /// the alias, else the one whose id comes first: whoever looks, finds the same.
    async fn find_marked_space(&self, bot: &Session) -> Result<Option<(OwnedRoomId, Vec<Event>)>, StepError> {
        let rooms = self.matrix.list_joined_rooms(bot).await;
        let mut replaced = None;
        let mut marked: BTreeMap<OwnedRoomId, Vec<Event>> = BTreeMap::new();
        for room in rooms.map_err(StepError::Matrix)? {
            let marker = self
                .matrix
                .get_state_event(bot, &room, &StateEventType::from(SPACE_MARKER), "")
                .await;
            match marker {
                Ok(_) => {}
                Err(error) if is_shut_out(error.kind()) => continue,
                Err(error) => return Err(StepError::Matrix(error)),
            }
            let state = self.matrix.get_room_state(bot, &room).await;
            let state = state.map_err(StepError::Matrix)?;
            if !RoomState(&state).is_space() {
                continue;
            }
            if RoomState(&state).successor().is_none() {
                marked.insert(room, state);
            } else {
                replaced = Some(state);
            }
        }
        if marked.len() > 1 {
            let with_alias = self.alias_target(bot).await?;
            if let Some(found) = with_alias.and_then(|room| marked.remove_entry(&room)) {
                return Ok(Some(found));
            }
        }
        match (marked.pop_first(), replaced) {
            (None, Some(state)) => self.find_replacement(bot, state).await,
            (found, _) => Ok(found),
        }
    }

    /// Where the space's alias leads.
    async fn alias_target(&self, bot: &Session) -> Result<Option<OwnedRoomId>, StepError> {
        let alias = self.config.space_alias().map_err(StepError::Names)?;
        let target = self.matrix.find_alias(bot, &alias).await;
        target.map_err(StepError::Matrix)
    }

    /// The space that replaced one of ours, if we are let in. An upgrade leaves the marker behind.
    async fn find_replacement(
        &self,
        bot: &Session,
        state: Vec<Event>,
    ) -> Result<Option<(OwnedRoomId, Vec<Event>)>, StepError> {
        let mut found = None;
        let mut next = RoomState(&state).successor();
        for _ in 0..MANY_UPGRADES {
            let Some(room) = next else { break };
            match self.matrix.join_room(bot, (&*room).into(), &[]).await {
                Ok(_) => {}
                Err(error) if is_shut_out(error.kind()) => return Ok(None),
                Err(error) => return Err(StepError::Matrix(error)),
            }
            let state = self.matrix.get_room_state(bot, &room).await;
            let state = state.map_err(StepError::Matrix)?;
            next = RoomState(&state).successor();
            found = Some((room, state));
        }
        Ok(found)
    }

    async fn adopt_space(
        &self,
        bot: &Session,
        room_id: OwnedRoomId,
        state: &[Event],
        is_known: bool,
        outcome: &mut SpaceOutcome,
    ) -> Result<(), StepError> {
        let view = RoomState(state);
        let alias = &self.config.space.alias_localpart;
        if !view.is_space() {
            return Err(foreign(alias, "not a space"));
        }
        let is_marked = is_known || view.content(SPACE_MARKER, "").is_some();
        if !is_marked && view.creator() != Some(&bot.user_id) {
            return Err(foreign(alias, "a space that we did not make"));
        }
        tracing::info!(room.id = %room_id, "took over the space that was there");
        outcome.origin = Some(Origin::Adopted);
        let record = SpaceRecord::found(room_id, self.clock.now());
        self.take_space_facts(bot, record, &view, outcome).await
    }

    /// Reads the space and notes how it is. A space that cannot be entered any more is forgotten, so that another one
    /// is made; one that was upgraded is left for its successor.
    async fn inspect_space(&self, bot: &Session, outcome: &mut SpaceOutcome) -> Result<(), StepError> {
        let Some(record) = outcome.record.take() else {
            return Err(StepError::NoProgress);
        };
        let state = match self.matrix.get_room_state(bot, &record.room_id).await {
            Ok(state) if RoomState(&state).has_joined(&bot.user_id) && RoomState(&state).is_space() => state,
            Err(error) if !is_shut_out(error.kind()) => {
                outcome.record = Some(record);
                return Err(StepError::Matrix(error));
            }
            _ => {
                tracing::warn!(room.id = %record.room_id, "the space is out of reach");
                return Ok(());
            }
        };
        let view = RoomState(&state);
        if let Some(successor) = view.successor().filter(|room| *room != record.room_id) {
            match self.matrix.join_room(bot, (&*successor).into(), &[]).await {
                Ok(room) => {
                    outcome.record = Some(SpaceRecord::found(room, self.clock.now()));
                    return Ok(());
                }
                Err(error) if error.is_not_found() => {
                    tracing::warn!(room.id = %successor, "the space was upgraded, and what replaced it is gone");
                    return Ok(());
                }
                // The old one still works.
                Err(error) if is_shut_out(error.kind()) => {
                    tracing::warn!(room.id = %successor, "the space was upgraded, and we are not let in");
                    outcome.is_replaced = true;
                }
                Err(error) => {
                    outcome.record = Some(record);
                    return Err(StepError::Matrix(error));
                }
            }
        }
        self.take_space_facts(bot, record, &view, outcome).await
    }

    async fn take_space_facts(
        &self,
        bot: &Session,
        record: SpaceRecord,
        view: &RoomState<'_>,
        outcome: &mut SpaceOutcome,
    ) -> Result<(), StepError> {
        let alias = self.config.space_alias().map_err(StepError::Names)?;
        let points_here = self.alias_target(bot).await?.as_ref() == Some(&record.room_id);
        let invitees = self.config.invitees(&bot.user_id, &bot.user_id);
        outcome.children = Some(
            view.children()
                .map(|(room, content)| (room, content.clone()))
                .collect(),
        );
        outcome.record = Some(SpaceRecord {
            verified: true,
            name: view.text("m.room.name", "name"),
            topic: view.text("m.room.topic", "topic"),
            alias_set: points_here && view.canonical_alias().as_deref() == Some(alias.as_str()),
            marked: view.content(SPACE_MARKER, "").is_some(),
            bot_name: view.member_text(&bot.user_id, "displayname"),
            invitations: view.invitations(&invitees),
            ..record
        });
        Ok(())
    }
}
