//! Every call of [`MatrixApi`](crate::MatrixApi), handed on. Written once for all decorators.

/// Implements [`MatrixApi`](crate::MatrixApi) for a [`Layer`](super::Layer). Written out rather than derived from a list, so that
/// the compiler and `missing_trait_methods` see every method.
macro_rules! matrix_api {
    ([$($bounds:tt)*] $layer:ty) => {
        const _: () = {
            use std::{collections::BTreeMap, time::Duration};

            use ruma::{
                EventId, MxcUri, OwnedEventId, OwnedMxcUri, OwnedRoomId, OwnedServerName, OwnedUserId, RoomAliasId,
                RoomId, RoomOrAliasId, TransactionId, UserId,
            };
            use serde_json::Value;

            use crate::{
                Download, Event, HierarchyPage, HierarchyRequest, LoginFlow, LoginRequest, Media, MediaConfig, Member,
                MemberFilter, MessageLikeEventType, MessagesPage, MessagesRequest, NewRoom, Profile, ReceiptThread,
                ReceiptType, Registered, Registration, StateEventType, SyncRequest, SyncResponse, Upload, Versions,
                WhoAmI,
            };

        #[async_trait::async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<$($bounds)*> MatrixApi for $layer {
            async fn versions(&self) -> Result<Versions> {
                self.before(Call::read("versions", None))?;
                self.inner().versions().await
            }

            async fn login_flows(&self) -> Result<Vec<LoginFlow>> {
                self.before(Call::read("login_flows", None))?;
                self.inner().login_flows().await
            }

            async fn login(&self, request: &LoginRequest) -> Result<Session> {
                self.before(Call::change("login", None))?;
                self.inner().login(request).await
            }

            async fn whoami(&self, session: &Session) -> Result<WhoAmI> {
                self.before(Call::read("whoami", Some(session)))?;
                self.inner().whoami(session).await
            }

            async fn logout(&self, session: &Session) -> Result<()> {
                self.before(Call::change("logout", Some(session)))?;
                self.inner().logout(session).await
            }

            async fn register(&self, registration: &Registration) -> Result<Registered> {
                self.before(Call::change("register", None))?;
                self.inner().register(registration).await
            }

            async fn is_username_available(&self, localpart: &str) -> Result<bool> {
                self.before(Call::read("is_username_available", None))?;
                self.inner().is_username_available(localpart).await
            }

            async fn get_profile(&self, session: &Session, user_id: &UserId) -> Result<Profile> {
                self.before(Call::read("get_profile", Some(session)))?;
                self.inner().get_profile(session, user_id).await
            }

            async fn set_display_name<'a>(&self, session: &Session, name: Option<&'a str>) -> Result<()> {
                self.before(Call::change("set_display_name", Some(session)))?;
                self.inner().set_display_name(session, name).await
            }

            async fn set_avatar_url<'a>(&self, session: &Session, avatar_url: Option<&'a MxcUri>) -> Result<()> {
                self.before(Call::change("set_avatar_url", Some(session)))?;
                self.inner().set_avatar_url(session, avatar_url).await
            }

            async fn create_room(&self, session: &Session, room: &NewRoom) -> Result<OwnedRoomId> {
                self.before(Call::change("create_room", Some(session)))?;
                self.inner().create_room(session, room).await
            }

            async fn resolve_alias(&self, session: &Session, alias: &RoomAliasId) -> Result<OwnedRoomId> {
                self.before(Call::read("resolve_alias", Some(session)))?;
                self.inner().resolve_alias(session, alias).await
            }

            async fn create_alias(&self, session: &Session, alias: &RoomAliasId, room_id: &RoomId) -> Result<()> {
                self.before(Call::change("create_alias", Some(session)))?;
                self.inner().create_alias(session, alias, room_id).await
            }

            async fn delete_alias(&self, session: &Session, alias: &RoomAliasId) -> Result<()> {
                self.before(Call::change("delete_alias", Some(session)))?;
                self.inner().delete_alias(session, alias).await
            }

            async fn join_room(&self, session: &Session, room: &RoomOrAliasId, via: &[OwnedServerName]) -> Result<OwnedRoomId> {
                self.before(Call::change("join_room", Some(session)))?;
                self.inner().join_room(session, room, via).await
            }

            async fn invite_user<'a>(&self, session: &Session, room_id: &RoomId, user_id: &UserId, reason: Option<&'a str>) -> Result<()> {
                self.before(Call::change("invite_user", Some(session)))?;
                self.inner().invite_user(session, room_id, user_id, reason).await
            }

            async fn leave_room<'a>(&self, session: &Session, room_id: &RoomId, reason: Option<&'a str>) -> Result<()> {
                self.before(Call::change("leave_room", Some(session)))?;
                self.inner().leave_room(session, room_id, reason).await
            }

            async fn kick_user<'a>(&self, session: &Session, room_id: &RoomId, user_id: &UserId, reason: Option<&'a str>) -> Result<()> {
                self.before(Call::change("kick_user", Some(session)))?;
                self.inner().kick_user(session, room_id, user_id, reason).await
            }

            async fn ban_user<'a>(&self, session: &Session, room_id: &RoomId, user_id: &UserId, reason: Option<&'a str>) -> Result<()> {
                self.before(Call::change("ban_user", Some(session)))?;
                self.inner().ban_user(session, room_id, user_id, reason).await
            }

            async fn unban_user<'a>(&self, session: &Session, room_id: &RoomId, user_id: &UserId, reason: Option<&'a str>) -> Result<()> {
                self.before(Call::change("unban_user", Some(session)))?;
                self.inner().unban_user(session, room_id, user_id, reason).await
            }

            async fn forget_room(&self, session: &Session, room_id: &RoomId) -> Result<()> {
                self.before(Call::change("forget_room", Some(session)))?;
                self.inner().forget_room(session, room_id).await
            }

            async fn list_joined_rooms(&self, session: &Session) -> Result<Vec<OwnedRoomId>> {
                self.before(Call::read("list_joined_rooms", Some(session)))?;
                self.inner().list_joined_rooms(session).await
            }

            async fn list_members(&self, session: &Session, room_id: &RoomId, filter: &MemberFilter) -> Result<Vec<Member>> {
                self.before(Call::read("list_members", Some(session)))?;
                self.inner().list_members(session, room_id, filter).await
            }

            async fn list_joined_members(&self, session: &Session, room_id: &RoomId) -> Result<BTreeMap<OwnedUserId, Profile>> {
                self.before(Call::read("list_joined_members", Some(session)))?;
                self.inner().list_joined_members(session, room_id).await
            }

            async fn get_state_event(&self, session: &Session, room_id: &RoomId, event_type: &StateEventType, state_key: &str) -> Result<Value> {
                self.before(Call::read("get_state_event", Some(session)))?;
                self.inner().get_state_event(session, room_id, event_type, state_key).await
            }

            async fn get_room_state(&self, session: &Session, room_id: &RoomId) -> Result<Vec<Event>> {
                self.before(Call::read("get_room_state", Some(session)))?;
                self.inner().get_room_state(session, room_id).await
            }

            async fn set_state_event(&self, session: &Session, room_id: &RoomId, event_type: &StateEventType, state_key: &str, content: &Value) -> Result<OwnedEventId> {
                self.before(Call::change("set_state_event", Some(session)))?;
                self.inner().set_state_event(session, room_id, event_type, state_key, content).await
            }

            async fn list_space_children(&self, session: &Session, room_id: &RoomId, request: &HierarchyRequest) -> Result<HierarchyPage> {
                self.before(Call::read("list_space_children", Some(session)))?;
                self.inner().list_space_children(session, room_id, request).await
            }

            async fn send_message_event(&self, session: &Session, room_id: &RoomId, event_type: &MessageLikeEventType, transaction_id: &TransactionId, content: &Value) -> Result<OwnedEventId> {
                self.before(Call::change("send_message_event", Some(session)))?;
                self.inner().send_message_event(session, room_id, event_type, transaction_id, content).await
            }

            async fn redact_event<'a>(&self, session: &Session, room_id: &RoomId, event_id: &EventId, transaction_id: &TransactionId, reason: Option<&'a str>) -> Result<OwnedEventId> {
                self.before(Call::change("redact_event", Some(session)))?;
                self.inner().redact_event(session, room_id, event_id, transaction_id, reason).await
            }

            async fn get_event(&self, session: &Session, room_id: &RoomId, event_id: &EventId) -> Result<Event> {
                self.before(Call::read("get_event", Some(session)))?;
                self.inner().get_event(session, room_id, event_id).await
            }

            async fn list_messages(&self, session: &Session, room_id: &RoomId, request: &MessagesRequest) -> Result<MessagesPage> {
                self.before(Call::read("list_messages", Some(session)))?;
                self.inner().list_messages(session, room_id, request).await
            }

            async fn set_typing(&self, session: &Session, room_id: &RoomId, typing_for: Option<Duration>) -> Result<()> {
                self.before(Call::change("set_typing", Some(session)))?;
                self.inner().set_typing(session, room_id, typing_for).await
            }

            async fn send_receipt(&self, session: &Session, room_id: &RoomId, event_id: &EventId, receipt_type: &ReceiptType, thread: &ReceiptThread) -> Result<()> {
                self.before(Call::change("send_receipt", Some(session)))?;
                self.inner().send_receipt(session, room_id, event_id, receipt_type, thread).await
            }

            async fn sync(&self, session: &Session, request: &SyncRequest) -> Result<SyncResponse> {
                self.before(Call::read("sync", Some(session)))?;
                self.inner().sync(session, request).await
            }

            async fn upload_media(&self, session: &Session, upload: &Upload) -> Result<OwnedMxcUri> {
                self.before(Call::change("upload_media", Some(session)))?;
                self.inner().upload_media(session, upload).await
            }

            async fn download_media(&self, session: &Session, download: &Download) -> Result<Media> {
                self.before(Call::read("download_media", Some(session)))?;
                self.inner().download_media(session, download).await
            }

            async fn media_config(&self, session: &Session) -> Result<MediaConfig> {
                self.before(Call::read("media_config", Some(session)))?;
                self.inner().media_config(session).await
            }

            async fn ping_appservice<'a>(&self, session: &Session, appservice_id: &str, transaction_id: Option<&'a TransactionId>) -> Result<Duration> {
                self.before(Call::change("ping_appservice", Some(session)))?;
                self.inner().ping_appservice(session, appservice_id, transaction_id).await
            }
        }
        };
    };
}
pub(super) use matrix_api;
