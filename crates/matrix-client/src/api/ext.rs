use async_trait::async_trait;
use ruma::{
    EventId, OwnedEventId, OwnedRoomId, OwnedServerName, RoomAliasId, RoomId, TransactionId, UserId,
    events::{StaticEventContent, StaticStateEventContent},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::MatrixApi;
use crate::{
    HierarchyRequest, MatrixError, MatrixErrorKind, MessageLikeEventType, Profile, Registration, Result,
    Session, SpaceRoom, StateEventType,
    content::{self, Message},
};

/// What is often done with a [`MatrixApi`], in terms of its calls. Every implementation has it.
#[async_trait]
pub trait MatrixApiExt: MatrixApi {
    /// Makes sure that a user exists: registers it, and takes `UserInUse` for success. Answers whether it was made just
    /// now. The user may belong to somebody else, unless an application service's exclusive namespace rules that out.
    async fn ensure_registered(&self, registration: &Registration) -> Result<bool> {
        match self.register(registration).await {
            Ok(_) => Ok(true),
            Err(error) if *error.kind() == MatrixErrorKind::UserInUse => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The profile of a user, or `None` if the user has none.
    async fn find_profile(&self, session: &Session, user_id: &UserId) -> Result<Option<Profile>> {
        found(self.get_profile(session, user_id).await)
    }

    /// The room that an alias points to, or `None` if there is none.
    async fn find_alias(&self, session: &Session, alias: &RoomAliasId) -> Result<Option<OwnedRoomId>> {
        found(self.resolve_alias(session, alias).await)
    }

    /// The content of a state event, or `None` if there is none.
    async fn find_state_event(
        &self,
        session: &Session,
        room_id: &RoomId,
        event_type: &StateEventType,
        state_key: &str,
    ) -> Result<Option<Value>> {
        found(
            self.get_state_event(session, room_id, event_type, state_key)
                .await,
        )
    }

    /// The typed content of a state event, or `None` if there is none.
    ///
    /// # Errors
    /// `Decode` if there is content of another shape: whoever has the power decides what stands in a state event.
    async fn find_state<C>(&self, session: &Session, room_id: &RoomId, state_key: &str) -> Result<Option<C>>
    where
        C: StaticEventContent + StaticStateEventContent + DeserializeOwned,
    {
        let event_type = StateEventType::from(C::TYPE);
        let Some(content) = self
            .find_state_event(session, room_id, &event_type, state_key)
            .await?
        else {
            return Ok(None);
        };
        serde_path_to_error::deserialize(content)
            .map(Some)
            .map_err(|error| {
                let path = error.path().to_string();
                MatrixError::new(MatrixErrorKind::Decode { path }, C::TYPE).with_source(error.into_inner())
            })
    }

    /// Sets a state event with typed content.
    async fn set_state<C>(
        &self,
        session: &Session,
        room_id: &RoomId,
        state_key: &str,
        state: &C,
    ) -> Result<OwnedEventId>
    where
        C: StaticEventContent + StaticStateEventContent + Serialize + Sync,
    {
        let content = serde_json::to_value(state)
            .map_err(|error| MatrixError::new(MatrixErrorKind::InvalidRequest, C::TYPE).with_source(error))?;
        self.set_state_event(
            session,
            room_id,
            &StateEventType::from(C::TYPE),
            state_key,
            &content,
        )
        .await
    }

    /// Names a room.
    async fn set_room_name(&self, session: &Session, room_id: &RoomId, name: &str) -> Result<OwnedEventId> {
        self.set_state_event(
            session,
            room_id,
            &StateEventType::RoomName,
            "",
            &content::room_name(name),
        )
        .await
    }

    /// Describes a room.
    async fn set_room_topic(&self, session: &Session, room_id: &RoomId, topic: &str) -> Result<OwnedEventId> {
        self.set_state_event(
            session,
            room_id,
            &StateEventType::RoomTopic,
            "",
            &content::room_topic(topic),
        )
        .await
    }

    /// Puts a room into a space. `via` names servers that know the room; it must not be empty.
    async fn add_space_child(
        &self,
        session: &Session,
        space_id: &RoomId,
        child: &RoomId,
        via: &[OwnedServerName],
    ) -> Result<OwnedEventId> {
        let content = content::space_child(via.iter().cloned());
        self.set_state_event(
            session,
            space_id,
            &StateEventType::SpaceChild,
            child.as_str(),
            &content,
        )
        .await
    }

    /// Takes a room out of a space. The room itself stays.
    async fn remove_space_child(
        &self,
        session: &Session,
        space_id: &RoomId,
        child: &RoomId,
    ) -> Result<OwnedEventId> {
        let content = content::removed();
        self.set_state_event(
            session,
            space_id,
            &StateEventType::SpaceChild,
            child.as_str(),
            &content,
        )
        .await
    }

    /// Says in a room which space it belongs to.
    async fn set_space_parent(
        &self,
        session: &Session,
        room_id: &RoomId,
        space_id: &RoomId,
        via: &[OwnedServerName],
    ) -> Result<OwnedEventId> {
        let content = content::space_parent(via.iter().cloned(), true);
        self.set_state_event(
            session,
            room_id,
            &StateEventType::SpaceParent,
            space_id.as_str(),
            &content,
        )
        .await
    }

    /// All rooms of a space, the space itself first, down to `max_depth`. Stops when the server names the same
    /// page twice.
    async fn list_all_space_children(
        &self,
        session: &Session,
        space_id: &RoomId,
        max_depth: Option<u32>,
    ) -> Result<Vec<SpaceRoom>> {
        let mut request = HierarchyRequest {
            max_depth,
            ..HierarchyRequest::new()
        };
        let mut rooms = Vec::new();
        loop {
            let page = self.list_space_children(session, space_id, &request).await?;
            rooms.extend(page.rooms);
            if page.next_batch.is_none() || page.next_batch == request.from {
                return Ok(rooms);
            }
            request.from = page.next_batch;
        }
    }

    /// Sends a message.
    async fn send_message(
        &self,
        session: &Session,
        room_id: &RoomId,
        transaction_id: &TransactionId,
        message: &Message,
    ) -> Result<OwnedEventId> {
        let event_type = MessageLikeEventType::RoomMessage;
        self.send_message_event(
            session,
            room_id,
            &event_type,
            transaction_id,
            &message.to_content(),
        )
        .await
    }

    /// Replaces the text of a message that the session's user sent.
    async fn edit_message(
        &self,
        session: &Session,
        room_id: &RoomId,
        event_id: &EventId,
        transaction_id: &TransactionId,
        message: &Message,
    ) -> Result<OwnedEventId> {
        self.send_message(
            session,
            room_id,
            transaction_id,
            &message.clone().edit_of(event_id),
        )
        .await
    }

    /// Reacts to an event.
    async fn send_reaction(
        &self,
        session: &Session,
        room_id: &RoomId,
        event_id: &EventId,
        transaction_id: &TransactionId,
        key: &str,
    ) -> Result<OwnedEventId> {
        let event_type = MessageLikeEventType::Reaction;
        let content = content::reaction(event_id, key);
        self.send_message_event(session, room_id, &event_type, transaction_id, &content)
            .await
    }
}

impl<T: MatrixApi + ?Sized> MatrixApiExt for T {}

fn found<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
