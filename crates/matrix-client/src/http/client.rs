//! The calls of [`MatrixApi`], one ruma endpoint each.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use ruma::{
    EventId, MxcUri, OwnedEventId, OwnedMxcUri, OwnedRoomId, OwnedServerName, OwnedUserId, RoomAliasId,
    RoomId, RoomOrAliasId, TransactionId, UserId,
    api::client::{
        account::{get_username_availability, whoami},
        alias::{create_alias, delete_alias, get_alias},
        appservice::request_ping,
        authenticated_media::{get_content, get_media_config},
        discovery::get_supported_versions,
        media::create_content,
        membership::{
            ban_user, forget_room, get_member_events, invite_user, join_room_by_id_or_alias, joined_members,
            joined_rooms, kick_user, leave_room, unban_user,
        },
        message::{get_message_events, send_message_event},
        profile::{get_profile, set_profile_field},
        receipt::create_receipt,
        redact::redact_event,
        room::get_room_event,
        session::{get_login_types, login, logout},
        space::get_hierarchy,
        state::{get_state_event_for_key, get_state_events, send_state_event},
        sync::sync_events,
        typing::create_typing_event,
        uiaa::{MatrixUserIdentifier, UserIdentifier},
    },
    profile::ProfileFieldValue,
};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::{
    HttpMatrix, convert,
    request::{create_room_request, escape, escaped, from_raw, raw},
    transport::{Call, Right, call, parse},
};
use crate::{
    Download, Event, HierarchyPage, HierarchyRequest, LoginCredentials, LoginFlow, LoginRequest, MatrixApi,
    MatrixError, MatrixErrorKind, Media, MediaConfig, Member, MemberFilter, MessageLikeEventType,
    MessagesPage, MessagesRequest, NewRoom, Profile, ReceiptThread, ReceiptType, Registered, Registration,
    Result, Session, StateEventType, SyncFilter, SyncRequest, SyncResponse, Upload, Versions, WhoAmI,
};

#[async_trait]
impl MatrixApi for HttpMatrix {
    async fn versions(&self) -> Result<Versions> {
        let response = self
            .send(
                call!("versions", Read),
                Right::None,
                get_supported_versions::Request::new(),
            )
            .await?;
        Ok(Versions::new(response.versions, response.unstable_features))
    }

    async fn login_flows(&self) -> Result<Vec<LoginFlow>> {
        let response = self
            .send(
                call!("login_flows", Read),
                Right::None,
                get_login_types::v3::Request::new(),
            )
            .await?;
        Ok(response
            .flows
            .iter()
            .map(|flow| LoginFlow::from(flow.login_type()))
            .collect())
    }

    async fn login(&self, request: &LoginRequest) -> Result<Session> {
        let identifier = UserIdentifier::Matrix(MatrixUserIdentifier::new(request.user.as_str().to_owned()));
        let (info, right) = match &request.credentials {
            LoginCredentials::Password(password) => {
                let password = login::v3::Password::new(identifier, password.expose_secret().to_owned());
                (login::v3::LoginInfo::Password(password), Right::None)
            }
            LoginCredentials::Appservice(token) => {
                let info = login::v3::ApplicationService::new(identifier);
                (
                    login::v3::LoginInfo::ApplicationService(info),
                    Right::Appservice(token),
                )
            }
        };
        let mut wire = login::v3::Request::new(info);
        wire.device_id.clone_from(&request.device_id);
        wire.initial_device_display_name
            .clone_from(&request.initial_device_display_name);
        let response = self
            .send(call!("login", Once).subject(request.user.as_str()), right, wire)
            .await?;
        let session = Session::with_access_token(response.user_id, response.access_token.into());
        Ok(session.with_device(response.device_id))
    }

    async fn whoami(&self, session: &Session) -> Result<WhoAmI> {
        let response = self
            .send(
                call!("whoami", Read),
                Right::Session(session),
                whoami::v3::Request::new(),
            )
            .await?;
        let mut who = WhoAmI::new(response.user_id, response.device_id);
        who.is_guest = response.is_guest;
        Ok(who)
    }

    async fn logout(&self, session: &Session) -> Result<()> {
        self.send(
            call!("logout", Once),
            Right::Session(session),
            logout::v3::Request::new(),
        )
        .await?;
        Ok(())
    }

    async fn register(&self, registration: &Registration) -> Result<Registered> {
        self.register_user(registration).await
    }

    async fn is_username_available(&self, localpart: &str) -> Result<bool> {
        let request = get_username_availability::v3::Request::new(localpart.to_owned());
        match self
            .send(call!("is_username_available", Read), Right::None, request)
            .await
        {
            Ok(response) => Ok(response.available),
            Err(error) if *error.kind() == MatrixErrorKind::UserInUse => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn get_profile(&self, session: &Session, user_id: &UserId) -> Result<Profile> {
        let request = get_profile::v3::Request::new(escaped(user_id)?);
        let response = self
            .send(call!("get_profile", Read), Right::Session(session), request)
            .await?;
        let text = |field: &str| {
            let text = response.get(field).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).map(ToOwned::to_owned)
        };
        Ok(Profile::new(
            text("displayname"),
            text("avatar_url").map(Into::into),
        ))
    }

    async fn set_display_name<'a>(&self, session: &Session, name: Option<&'a str>) -> Result<()> {
        // An empty name is how every server, old and new, spells "none".
        let value = ProfileFieldValue::DisplayName(name.unwrap_or_default().to_owned());
        self.set_profile(call!("set_display_name", Idempotent), session, value)
            .await
    }

    async fn set_avatar_url<'a>(&self, session: &Session, avatar_url: Option<&'a MxcUri>) -> Result<()> {
        let value = ProfileFieldValue::AvatarUrl(avatar_url.map_or_else(|| "".into(), ToOwned::to_owned));
        self.set_profile(call!("set_avatar_url", Idempotent), session, value)
            .await
    }

    async fn create_room(&self, session: &Session, room: &NewRoom) -> Result<OwnedRoomId> {
        let call = call!("create_room", Once).timeout(self.0.limits.create_room_timeout);
        let request = create_room_request(room).map_err(|error| call.error(error))?;
        Ok(self.send(call, Right::Session(session), request).await?.room_id)
    }

    async fn resolve_alias(&self, session: &Session, alias: &RoomAliasId) -> Result<OwnedRoomId> {
        let request = get_alias::v3::Request::new(escaped(alias)?);
        Ok(self
            .send(call!("resolve_alias", Read), Right::Session(session), request)
            .await?
            .room_id)
    }

    async fn create_alias(&self, session: &Session, alias: &RoomAliasId, room_id: &RoomId) -> Result<()> {
        // Not idempotent: the second time it is a conflict, and whose alias it is would be lost.
        let request = create_alias::v3::Request::new(escaped(alias)?, room_id.to_owned());
        self.send(call!("create_alias", Once), Right::Session(session), request)
            .await?;
        Ok(())
    }

    async fn delete_alias(&self, session: &Session, alias: &RoomAliasId) -> Result<()> {
        let request = delete_alias::v3::Request::new(escaped(alias)?);
        self.send(call!("delete_alias", Once), Right::Session(session), request)
            .await?;
        Ok(())
    }

    async fn join_room(
        &self,
        session: &Session,
        room: &RoomOrAliasId,
        via: &[OwnedServerName],
    ) -> Result<OwnedRoomId> {
        let mut request = join_room_by_id_or_alias::v3::Request::new(escaped(room)?);
        request.via = via.to_vec();
        Ok(self
            .send(call!("join_room", Idempotent), Right::Session(session), request)
            .await?
            .room_id)
    }

    async fn invite_user<'a>(
        &self,
        session: &Session,
        room_id: &RoomId,
        user_id: &UserId,
        reason: Option<&'a str>,
    ) -> Result<()> {
        use invite_user::v3::{InvitationRecipient, InviteUserId, Request};
        let mut invitee = InviteUserId::new(user_id.to_owned());
        invitee.reason = reason.map(ToOwned::to_owned);
        let request = Request::new(escaped(room_id)?, InvitationRecipient::UserId(invitee));
        let call = call!("invite_user", Idempotent).subject(user_id.as_str());
        self.send(call, Right::Session(session), request).await?;
        Ok(())
    }

    async fn leave_room<'a>(
        &self,
        session: &Session,
        room_id: &RoomId,
        reason: Option<&'a str>,
    ) -> Result<()> {
        let mut request = leave_room::v3::Request::new(escaped(room_id)?);
        request.reason = reason.map(ToOwned::to_owned);
        self.send(call!("leave_room", Idempotent), Right::Session(session), request)
            .await?;
        Ok(())
    }

    async fn kick_user<'a>(
        &self,
        session: &Session,
        room_id: &RoomId,
        user_id: &UserId,
        reason: Option<&'a str>,
    ) -> Result<()> {
        let mut request = kick_user::v3::Request::new(escaped(room_id)?, user_id.to_owned());
        request.reason = reason.map(ToOwned::to_owned);
        self.send(call!("kick_user", Once), Right::Session(session), request)
            .await?;
        Ok(())
    }

    async fn ban_user<'a>(
        &self,
        session: &Session,
        room_id: &RoomId,
        user_id: &UserId,
        reason: Option<&'a str>,
    ) -> Result<()> {
        let mut request = ban_user::v3::Request::new(escaped(room_id)?, user_id.to_owned());
        request.reason = reason.map(ToOwned::to_owned);
        self.send(call!("ban_user", Idempotent), Right::Session(session), request)
            .await?;
        Ok(())
    }

    async fn unban_user<'a>(
        &self,
        session: &Session,
        room_id: &RoomId,
        user_id: &UserId,
        reason: Option<&'a str>,
    ) -> Result<()> {
        let mut request = unban_user::v3::Request::new(escaped(room_id)?, user_id.to_owned());
        request.reason = reason.map(ToOwned::to_owned);
        self.send(call!("unban_user", Once), Right::Session(session), request)
            .await?;
        Ok(())
    }

    async fn forget_room(&self, session: &Session, room_id: &RoomId) -> Result<()> {
        let request = forget_room::v3::Request::new(escaped(room_id)?);
        self.send(call!("forget_room", Idempotent), Right::Session(session), request)
            .await?;
        Ok(())
    }

    async fn list_joined_rooms(&self, session: &Session) -> Result<Vec<OwnedRoomId>> {
        let request = joined_rooms::v3::Request::new();
        Ok(self
            .send(call!("list_joined_rooms", Read), Right::Session(session), request)
            .await?
            .joined_rooms)
    }

    async fn list_members(
        &self,
        session: &Session,
        room_id: &RoomId,
        filter: &MemberFilter,
    ) -> Result<Vec<Member>> {
        let mut request = get_member_events::v3::Request::new(escaped(room_id)?);
        request.membership.clone_from(&filter.membership);
        request.not_membership.clone_from(&filter.not_membership);
        let response = self
            .send(call!("list_members", Read), Right::Session(session), request)
            .await?;
        let room_id = room_id.to_owned();
        let events: Vec<Event> = convert::events(&response.chunk, Some(&room_id), &mut Vec::new());
        // Servers take two filters for "either of them"; ours is "both of them".
        let members = events.iter().filter_map(convert::member);
        Ok(members
            .filter(|member| filter.matches(&member.membership))
            .collect())
    }

    async fn list_joined_members(
        &self,
        session: &Session,
        room_id: &RoomId,
    ) -> Result<BTreeMap<OwnedUserId, Profile>> {
        let request = joined_members::v3::Request::new(escaped(room_id)?);
        let response = self
            .send(
                call!("list_joined_members", Read),
                Right::Session(session),
                request,
            )
            .await?;
        let profile =
            |member: joined_members::v3::RoomMember| Profile::new(member.display_name, member.avatar_url);
        Ok(response
            .joined
            .into_iter()
            .map(|(id, member)| (id, profile(member)))
            .collect())
    }

    async fn get_state_event(
        &self,
        session: &Session,
        room_id: &RoomId,
        event_type: &StateEventType,
        state_key: &str,
    ) -> Result<Value> {
        let call = call!("get_state_event", Read);
        let request = get_state_event_for_key::v3::Request::new(
            escaped(room_id)?,
            escape(&event_type.to_string()).into(),
            escape(state_key),
        );
        let response = self.send(call.clone(), Right::Session(session), request).await?;
        from_raw(&call, response.event_or_content.get())
    }

    async fn get_room_state(&self, session: &Session, room_id: &RoomId) -> Result<Vec<Event>> {
        let request = get_state_events::v3::Request::new(escaped(room_id)?);
        let response = self
            .send(call!("get_room_state", Read), Right::Session(session), request)
            .await?;
        Ok(convert::events(
            &response.room_state,
            Some(&room_id.to_owned()),
            &mut Vec::new(),
        ))
    }

    async fn set_state_event(
        &self,
        session: &Session,
        room_id: &RoomId,
        event_type: &StateEventType,
        state_key: &str,
        content: &Value,
    ) -> Result<OwnedEventId> {
        let call = call!("set_state_event", Idempotent);
        let request = send_state_event::v3::Request::new_raw(
            escaped(room_id)?,
            escape(&event_type.to_string()).into(),
            escape(state_key),
            raw(&call, content)?,
        );
        Ok(self.send(call, Right::Session(session), request).await?.event_id)
    }

    async fn list_space_children(
        &self,
        session: &Session,
        room_id: &RoomId,
        page: &HierarchyRequest,
    ) -> Result<HierarchyPage> {
        let mut request = get_hierarchy::v1::Request::new(escaped(room_id)?);
        request.from.clone_from(&page.from);
        request.limit = page.limit.map(Into::into);
        request.max_depth = page.max_depth.map(Into::into);
        request.suggested_only = page.suggested_only;
        let response = self
            .send(
                call!("list_space_children", Read),
                Right::Session(session),
                request,
            )
            .await?;
        let rooms = response.rooms.into_iter().map(convert::space_room).collect();
        Ok(HierarchyPage::new(rooms, response.next_batch))
    }

    async fn send_message_event(
        &self,
        session: &Session,
        room_id: &RoomId,
        event_type: &MessageLikeEventType,
        transaction_id: &TransactionId,
        content: &Value,
    ) -> Result<OwnedEventId> {
        let call = call!("send_message_event", Idempotent);
        let request = send_message_event::v3::Request::new_raw(
            escaped(room_id)?,
            escape(transaction_id.as_str()).into(),
            escape(&event_type.to_string()).into(),
            raw(&call, content)?,
        );
        Ok(self.send(call, Right::Session(session), request).await?.event_id)
    }

    async fn redact_event<'a>(
        &self,
        session: &Session,
        room_id: &RoomId,
        event_id: &EventId,
        transaction_id: &TransactionId,
        reason: Option<&'a str>,
    ) -> Result<OwnedEventId> {
        let mut request = redact_event::v3::Request::new(
            escaped(room_id)?,
            escaped(event_id)?,
            escape(transaction_id.as_str()).into(),
        );
        request.reason = reason.map(ToOwned::to_owned);
        Ok(self
            .send(
                call!("redact_event", Idempotent),
                Right::Session(session),
                request,
            )
            .await?
            .event_id)
    }

    async fn get_event(&self, session: &Session, room_id: &RoomId, event_id: &EventId) -> Result<Event> {
        let call = call!("get_event", Read);
        let request = get_room_event::v3::Request::new(escaped(room_id)?, escaped(event_id)?);
        let response = self.send(call.clone(), Right::Session(session), request).await?;
        from_raw(&call, response.event.json().get())
    }

    async fn list_messages(
        &self,
        session: &Session,
        room_id: &RoomId,
        page: &MessagesRequest,
    ) -> Result<MessagesPage> {
        let mut request = get_message_events::v3::Request::new(escaped(room_id)?, page.direction);
        request.from.clone_from(&page.from);
        request.to.clone_from(&page.to);
        if let Some(limit) = page.limit {
            request.limit = limit.into();
        }
        request.filter = page.filter.clone();
        let response = self
            .send(call!("list_messages", Read), Right::Session(session), request)
            .await?;
        let room_id = room_id.to_owned();
        let mut skipped = Vec::new();
        let mut out = MessagesPage::new(response.start, response.end, Vec::new());
        out.events = convert::events(&response.chunk, Some(&room_id), &mut skipped);
        out.state = convert::events(&response.state, Some(&room_id), &mut skipped);
        out.skipped = skipped;
        Ok(out)
    }

    async fn set_typing(
        &self,
        session: &Session,
        room_id: &RoomId,
        typing_for: Option<Duration>,
    ) -> Result<()> {
        use create_typing_event::v3::{Request, Typing, TypingInfo};
        let state = typing_for.map_or(Typing::No, |timeout| Typing::Yes(TypingInfo::new(timeout)));
        let request = Request::new(escaped(&*session.user_id)?, escaped(room_id)?, state);
        self.send(call!("set_typing", Idempotent), Right::Session(session), request)
            .await?;
        Ok(())
    }

    async fn send_receipt(
        &self,
        session: &Session,
        room_id: &RoomId,
        event_id: &EventId,
        receipt_type: &ReceiptType,
        thread: &ReceiptThread,
    ) -> Result<()> {
        let mut request =
            create_receipt::v3::Request::new(escaped(room_id)?, receipt_type.clone(), escaped(event_id)?);
        request.thread = thread.clone();
        self.send(
            call!("send_receipt", Idempotent),
            Right::Session(session),
            request,
        )
        .await?;
        Ok(())
    }

    async fn sync(&self, session: &Session, sync: &SyncRequest) -> Result<SyncResponse> {
        let wait = sync.timeout.unwrap_or_default();
        let limits = &self.0.limits;
        let timeout = limits
            .request_timeout
            .max(wait.saturating_add(limits.long_poll_margin));
        let mut request = sync_events::v3::Request::new();
        request.since.clone_from(&sync.since);
        request.timeout = sync.timeout;
        request.full_state = sync.full_state;
        request.set_presence = sync.set_presence.clone().unwrap_or_default();
        request.filter = sync.filter.as_ref().map(|filter| match filter {
            SyncFilter::Definition(definition) => {
                sync_events::v3::Filter::FilterDefinition((**definition).clone())
            }
            SyncFilter::Id(id) => sync_events::v3::Filter::FilterId(id.clone()),
        });
        let call = call!("sync", Read).timeout(timeout);
        Ok(convert::sync_response(
            self.send(call, Right::Session(session), request).await?,
        ))
    }

    async fn upload_media(&self, session: &Session, upload: &Upload) -> Result<OwnedMxcUri> {
        let mut request = create_content::v3::Request::new(upload.bytes.to_vec());
        request.filename.clone_from(&upload.filename);
        request.content_type = Some(upload.content_type.clone());
        let call = call!("upload_media", Once).timeout(self.0.limits.media_timeout);
        Ok(self
            .send(call, Right::Session(session), request)
            .await?
            .content_uri)
    }

    async fn download_media(&self, session: &Session, download: &Download) -> Result<Media> {
        let limits = &self.0.limits;
        let max_bytes = download
            .max_bytes
            .map_or(limits.max_media_bytes, |max| max.min(limits.max_media_bytes));
        let call = call!("download_media", Read)
            .timeout(limits.media_timeout)
            .max_body(max_bytes);
        let mut request = get_content::v1::Request::from_uri(&download.uri).map_err(|error| {
            call.error(
                MatrixError::new(MatrixErrorKind::InvalidRequest, "not an mxc:// URI").with_source(error),
            )
        })?;
        request.media_id = escape(&request.media_id);
        let http_request = self.build(&call, Right::Session(session), request)?;
        let reply = self
            .exchange(&call, Right::Session(session), http_request)
            .await?;
        let body = reply.body.clone();
        // The file itself is not copied into ruma's answer: only the headers are read there.
        let response: get_content::v1::Response = parse(&call, reply.without_body())?;
        let filename = response
            .content_disposition
            .and_then(|disposition| disposition.filename);
        Ok(Media::new(response.content_type, filename, body))
    }

    async fn media_config(&self, session: &Session) -> Result<MediaConfig> {
        let request = get_media_config::v1::Request::new();
        let response = self
            .send(call!("media_config", Read), Right::Session(session), request)
            .await?;
        Ok(MediaConfig::new(Some(response.upload_size.into())))
    }

    async fn ping_appservice<'a>(
        &self,
        session: &Session,
        appservice_id: &str,
        transaction_id: Option<&'a TransactionId>,
    ) -> Result<Duration> {
        let mut request = request_ping::v1::Request::new(escape(appservice_id));
        request.transaction_id = transaction_id.map(ToOwned::to_owned);
        Ok(self
            .send(call!("ping_appservice", Once), Right::Session(session), request)
            .await?
            .duration)
    }
}

impl HttpMatrix {
    async fn set_profile(&self, call: Call, session: &Session, value: ProfileFieldValue) -> Result<()> {
        let request = set_profile_field::v3::Request::new(escaped(&*session.user_id)?, value);
        self.send(call, Right::Session(session), request).await?;
        Ok(())
    }
}
