//! [`MatrixApi`] on top of the model.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use ruma::{
    EventId, MxcUri, OwnedEventId, OwnedMxcUri, OwnedRoomId, OwnedServerName, OwnedUserId, RoomAliasId,
    RoomId, RoomOrAliasId, TransactionId, UserId, api::Direction,
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{
    Failure, FakeMatrix, HierarchyQuery, HistoryRequest, Homeserver, Object, ProfileField, Refusal, Request,
    Requester, Sending, SyncCall,
    accounts::text,
    bodies::{register_in_stages, registration_body, room_config},
    convert,
    refusal::Answer,
};
use crate::{
    Download, Event, HierarchyPage, HierarchyRequest, LoginCredentials, LoginFlow, LoginRequest, MatrixApi,
    MatrixError, MatrixErrorKind, Media, MediaConfig, Member, MemberFilter, MessageLikeEventType,
    MessagesPage, MessagesRequest, NewRoom, Profile, ReceiptThread, ReceiptType, Registered, Registration,
    RegistrationKind, Result, Session, StateEventType, SyncFilter, SyncRequest, SyncResponse, Upload,
    Versions, WhoAmI,
};

impl FakeMatrix {
    /// A call with a session.
    async fn call<T>(
        &self,
        session: &Session,
        request: Request,
        effect: impl FnOnce(&mut Homeserver, &Requester) -> Answer<T>,
    ) -> Result<T> {
        let method = request.method;
        let credentials = convert::credentials(session);
        let request = request.by(credentials.clone());
        let result = self.run(request, |server| {
            let who = server.authenticate(&credentials)?;
            effect(server, &who)
        });
        named(method, result.await)
    }

    async fn change_member(
        &self,
        (method, action): (&'static str, &'static str),
        session: &Session,
        room_id: &RoomId,
        user_id: &UserId,
        reason: Option<&str>,
    ) -> Result<()> {
        let request =
            Request::new(method, json!({ "user_id": user_id, "reason": reason })).about(room_id.as_str());
        let effect = |server: &mut Homeserver, who: &Requester| {
            server.change_member(who, room_id.as_str(), user_id.as_str(), action, reason)
        };
        self.call(session, request, effect).await
    }

    async fn set_profile(
        &self,
        method: &'static str,
        session: &Session,
        field: ProfileField,
        value: Option<&str>,
    ) -> Result<()> {
        let request = Request::new(method, json!({ field.key(): value }));
        // An empty text is how a field is removed.
        let value = Value::String(value.unwrap_or_default().to_owned());
        let effect = |server: &mut Homeserver, who: &Requester| {
            server.set_profile_field(who, session.user_id.as_str(), field, &value)
        };
        self.call(session, request, effect).await
    }
}

fn named<T>(method: &'static str, result: std::result::Result<T, Failure>) -> Result<T> {
    result.map_err(|failure| failure.to_error().with_call(method))
}

fn decoded<T: serde::de::DeserializeOwned>(method: &'static str, value: impl Into<Value>) -> Result<T> {
    convert::decode(value.into()).map_err(|error| error.with_call(method))
}

/// The content of an event must be an object.
fn object(content: &Value) -> Answer<Object> {
    let object = content.as_object().cloned();
    object.ok_or_else(|| Refusal::bad_json("Content must be a JSON object."))
}

#[async_trait]
impl MatrixApi for FakeMatrix {
    async fn versions(&self) -> Result<Versions> {
        let request = Request::new("versions", json!({}));
        let answer = named(
            "versions",
            self.run(request, |server| Ok(server.versions())).await,
        )?;
        let list = decoded::<Vec<String>>("versions", answer["versions"].clone())?;
        let features = decoded::<BTreeMap<String, bool>>("versions", answer["unstable_features"].clone())?;
        Ok(Versions::new(list, features))
    }

    async fn login_flows(&self) -> Result<Vec<LoginFlow>> {
        let request = Request::new("login_flows", json!({}));
        let answer = named(
            "login_flows",
            self.run(request, |server| Ok(server.login_flows())).await,
        )?;
        let flows = answer["flows"].as_array().into_iter().flatten();
        Ok(flows
            .filter_map(|flow| flow["type"].as_str())
            .map(LoginFlow::from)
            .collect())
    }

    async fn login(&self, request: &LoginRequest) -> Result<Session> {
        let mut body = Object::new();
        let identifier = json!({ "type": "m.id.user", "user": request.user.as_str() });
        body.insert("identifier".to_owned(), identifier);
        if let Some(device_id) = &request.device_id {
            body.insert("device_id".to_owned(), json!(device_id));
        }
        if let Some(name) = &request.initial_device_display_name {
            body.insert("initial_device_display_name".to_owned(), json!(name));
        }
        let mut credentials = super::Credentials::default();
        let arguments = Value::Object(body.clone());
        match &request.credentials {
            LoginCredentials::Password(password) => {
                body.insert("type".to_owned(), json!("m.login.password"));
                body.insert("password".to_owned(), json!(password.expose_secret()));
            }
            LoginCredentials::Appservice(token) => {
                body.insert("type".to_owned(), json!("m.login.application_service"));
                credentials.token = Some(token.expose_secret().to_owned());
            }
        }
        let result = self.run(Request::new("login", arguments), |server| {
            server.login(&credentials, &body)
        });
        let answer = named("login", result.await)?;
        convert::session(&answer).map_err(|error| error.with_call("login"))
    }

    async fn whoami(&self, session: &Session) -> Result<WhoAmI> {
        let request = Request::new("whoami", json!({}));
        let answer = self
            .call(session, request, |server, who| Ok(server.whoami(who)))
            .await?;
        let user_id = decoded("whoami", answer.get("user_id").cloned().unwrap_or_default())?;
        Ok(WhoAmI::new(user_id, text(&answer, "device_id").map(Into::into)))
    }

    async fn logout(&self, session: &Session) -> Result<()> {
        self.call(session, Request::new("logout", json!({})), Homeserver::logout)
            .await
    }

    async fn register(&self, registration: &Registration) -> Result<Registered> {
        let (body, credentials) = registration_body(registration);
        let arguments = json!({
            "username": registration.localpart,
            "inhibit_login": registration.inhibit_login,
            "kind": match &registration.kind {
                RegistrationKind::Dummy => "dummy",
                RegistrationKind::Token(_) => "token",
                RegistrationKind::Appservice(_) => "appservice",
            },
        });
        let result = self.run(Request::new("register", arguments), |server| {
            register_in_stages(server, registration, &credentials, body)
        });
        let answer = named("register", result.await)?;
        let user_id = decoded("register", answer.get("user_id").cloned().unwrap_or_default())?;
        let session = match answer.contains_key("access_token") {
            true => Some(convert::session(&answer).map_err(|error| error.with_call("register"))?),
            false => None,
        };
        Ok(Registered::new(user_id, session))
    }

    async fn is_username_available(&self, localpart: &str) -> Result<bool> {
        let request = Request::new("is_username_available", json!({ "username": localpart }));
        let result = self.run(request, |server| match server.is_username_available(localpart) {
            Ok(()) => Ok(true),
            Err(refusal) if refusal.errcode() == "M_USER_IN_USE" => Ok(false),
            Err(refusal) => Err(refusal),
        });
        named("is_username_available", result.await)
    }

    async fn get_profile(&self, session: &Session, user_id: &UserId) -> Result<Profile> {
        let request = Request::new("get_profile", json!({ "user_id": user_id }));
        let answer = self
            .call(session, request, |server, _| server.profile(user_id.as_str()))
            .await?;
        Ok(convert::profile(&answer))
    }

    async fn set_display_name<'a>(&self, session: &Session, name: Option<&'a str>) -> Result<()> {
        self.set_profile("set_display_name", session, ProfileField::DisplayName, name)
            .await
    }

    async fn set_avatar_url<'a>(&self, session: &Session, avatar_url: Option<&'a MxcUri>) -> Result<()> {
        let avatar_url = avatar_url.map(MxcUri::as_str);
        self.set_profile("set_avatar_url", session, ProfileField::AvatarUrl, avatar_url)
            .await
    }

    async fn create_room(&self, session: &Session, room: &NewRoom) -> Result<OwnedRoomId> {
        let result = self
            .create_room_as(&convert::credentials(session), room_config(room))
            .await;
        decoded("create_room", named("create_room", result)?)
    }

    async fn resolve_alias(&self, session: &Session, alias: &RoomAliasId) -> Result<OwnedRoomId> {
        let result = self
            .resolve_alias_as(&convert::credentials(session), alias.as_str())
            .await;
        decoded("resolve_alias", named("resolve_alias", result)?)
    }

    async fn create_alias(&self, session: &Session, alias: &RoomAliasId, room_id: &RoomId) -> Result<()> {
        let request = Request::new("create_alias", json!({ "alias": alias })).about(room_id.as_str());
        let effect = |server: &mut Homeserver, who: &Requester| {
            server.create_alias(who, alias.as_str(), room_id.as_str())
        };
        self.call(session, request, effect).await
    }

    async fn delete_alias(&self, session: &Session, alias: &RoomAliasId) -> Result<()> {
        let request = Request::new("delete_alias", json!({ "alias": alias }));
        self.call(session, request, |server, who| {
            server.delete_alias(who, alias.as_str())
        })
        .await
    }

    async fn join_room(
        &self,
        session: &Session,
        room: &RoomOrAliasId,
        via: &[OwnedServerName],
    ) -> Result<OwnedRoomId> {
        let mut request = Request::new("join_room", json!({ "room": room, "via": via }));
        if room.is_room_id() {
            request = request.about(room.as_str());
        }
        let effect =
            |server: &mut Homeserver, who: &Requester| server.join_room(who, room.as_str(), Object::new());
        decoded("join_room", self.call(session, request, effect).await?)
    }

    async fn invite_user<'a>(
        &self,
        session: &Session,
        room_id: &RoomId,
        user_id: &UserId,
        reason: Option<&'a str>,
    ) -> Result<()> {
        self.change_member(("invite_user", "invite"), session, room_id, user_id, reason)
            .await
    }

    async fn leave_room<'a>(
        &self,
        session: &Session,
        room_id: &RoomId,
        reason: Option<&'a str>,
    ) -> Result<()> {
        let request = Request::new("leave_room", json!({ "reason": reason })).about(room_id.as_str());
        self.call(session, request, |server, who| {
            server.leave_room(who, room_id.as_str(), reason)
        })
        .await
    }

    async fn kick_user<'a>(
        &self,
        session: &Session,
        room_id: &RoomId,
        user_id: &UserId,
        reason: Option<&'a str>,
    ) -> Result<()> {
        self.change_member(("kick_user", "kick"), session, room_id, user_id, reason)
            .await
    }

    async fn ban_user<'a>(
        &self,
        session: &Session,
        room_id: &RoomId,
        user_id: &UserId,
        reason: Option<&'a str>,
    ) -> Result<()> {
        self.change_member(("ban_user", "ban"), session, room_id, user_id, reason)
            .await
    }

    async fn unban_user<'a>(
        &self,
        session: &Session,
        room_id: &RoomId,
        user_id: &UserId,
        reason: Option<&'a str>,
    ) -> Result<()> {
        self.change_member(("unban_user", "unban"), session, room_id, user_id, reason)
            .await
    }

    async fn forget_room(&self, session: &Session, room_id: &RoomId) -> Result<()> {
        let request = Request::new("forget_room", json!({})).about(room_id.as_str());
        self.call(session, request, |server, who| {
            server.forget_room(who, room_id.as_str())
        })
        .await
    }

    async fn list_joined_rooms(&self, session: &Session) -> Result<Vec<OwnedRoomId>> {
        let request = Request::new("list_joined_rooms", json!({}));
        let rooms = self
            .call(session, request, |server, who| Ok(server.joined_rooms(who)))
            .await?;
        decoded("list_joined_rooms", json!(rooms))
    }

    async fn list_members(
        &self,
        session: &Session,
        room_id: &RoomId,
        filter: &MemberFilter,
    ) -> Result<Vec<Member>> {
        let wanted = filter.membership.as_ref().map(ToString::to_string);
        let unwanted = filter.not_membership.as_ref().map(ToString::to_string);
        let arguments = json!({ "membership": wanted, "not_membership": unwanted });
        let request = Request::new("list_members", arguments).about(room_id.as_str());
        let effect = |server: &mut Homeserver, who: &Requester| {
            server.members(who, room_id.as_str(), wanted.as_deref(), unwanted.as_deref())
        };
        let events = self.call(session, request, effect).await?;
        let members: Result<Vec<Member>> = events.iter().map(convert::member).collect();
        members.map_err(|error| error.with_call("list_members"))
    }

    async fn list_joined_members(
        &self,
        session: &Session,
        room_id: &RoomId,
    ) -> Result<BTreeMap<OwnedUserId, Profile>> {
        let request = Request::new("list_joined_members", json!({})).about(room_id.as_str());
        let effect = |server: &mut Homeserver, who: &Requester| server.joined_members(who, room_id.as_str());
        let answer = self.call(session, request, effect).await?;
        let joined: BTreeMap<OwnedUserId, Object> = decoded(
            "list_joined_members",
            answer.get("joined").cloned().unwrap_or_default(),
        )?;
        Ok(joined
            .into_iter()
            .map(|(user_id, profile)| (user_id, convert::profile(&profile)))
            .collect())
    }

    async fn get_state_event(
        &self,
        session: &Session,
        room_id: &RoomId,
        event_type: &StateEventType,
        state_key: &str,
    ) -> Result<Value> {
        let kind = event_type.to_string();
        let arguments = json!({ "event_type": kind, "state_key": state_key });
        let request = Request::new("get_state_event", arguments).about(room_id.as_str());
        let effect = |server: &mut Homeserver, who: &Requester| {
            server.get_state_event(who, room_id.as_str(), &kind, state_key, false)
        };
        Ok(Value::Object(self.call(session, request, effect).await?))
    }

    async fn get_room_state(&self, session: &Session, room_id: &RoomId) -> Result<Vec<Event>> {
        let request = Request::new("get_room_state", json!({})).about(room_id.as_str());
        let effect = |server: &mut Homeserver, who: &Requester| server.room_state(who, room_id.as_str());
        decoded(
            "get_room_state",
            json!(self.call(session, request, effect).await?),
        )
    }

    async fn set_state_event(
        &self,
        session: &Session,
        room_id: &RoomId,
        event_type: &StateEventType,
        state_key: &str,
        content: &Value,
    ) -> Result<OwnedEventId> {
        let kind = event_type.to_string();
        let arguments = json!({ "event_type": kind, "state_key": state_key, "content": content });
        let request = Request::new("set_state_event", arguments).about(room_id.as_str());
        let effect = |server: &mut Homeserver, who: &Requester| {
            server.set_state_event(who, room_id.as_str(), &kind, state_key, object(content)?, None)
        };
        decoded("set_state_event", self.call(session, request, effect).await?)
    }

    async fn list_space_children(
        &self,
        session: &Session,
        room_id: &RoomId,
        request: &HierarchyRequest,
    ) -> Result<HierarchyPage> {
        let query = HierarchyQuery {
            from: request.from.clone(),
            limit: request.limit.map(u64::from),
            max_depth: request.max_depth.map(u64::from),
            suggested_only: request.suggested_only,
        };
        let arguments = json!({ "from": query.from, "limit": query.limit, "max_depth": query.max_depth });
        let asked = Request::new("list_space_children", arguments).about(room_id.as_str());
        let effect =
            |server: &mut Homeserver, who: &Requester| server.hierarchy(who, room_id.as_str(), &query);
        let answer = self.call(session, asked, effect).await?;
        let rooms: Result<Vec<_>> = answer["rooms"]
            .as_array()
            .into_iter()
            .flatten()
            .map(convert::space_room)
            .collect();
        let rooms = rooms.map_err(|error| error.with_call("list_space_children"))?;
        Ok(HierarchyPage::new(
            rooms,
            answer["next_batch"].as_str().map(ToOwned::to_owned),
        ))
    }

    async fn send_message_event(
        &self,
        session: &Session,
        room_id: &RoomId,
        event_type: &MessageLikeEventType,
        transaction_id: &TransactionId,
        content: &Value,
    ) -> Result<OwnedEventId> {
        let kind = event_type.to_string();
        let arguments = json!({ "event_type": kind, "transaction_id": transaction_id, "content": content });
        let request = Request::new("send_message_event", arguments).about(room_id.as_str());
        let sending = Sending {
            room_id: room_id.as_str(),
            event_type: &kind,
            transaction_id: Some(transaction_id.as_str()),
            ts: None,
        };
        let effect =
            |server: &mut Homeserver, who: &Requester| server.send_event(who, sending, object(content)?);
        decoded("send_message_event", self.call(session, request, effect).await?)
    }

    async fn redact_event<'a>(
        &self,
        session: &Session,
        room_id: &RoomId,
        event_id: &EventId,
        transaction_id: &TransactionId,
        reason: Option<&'a str>,
    ) -> Result<OwnedEventId> {
        let arguments = json!({ "event_id": event_id, "transaction_id": transaction_id, "reason": reason });
        let request = Request::new("redact_event", arguments).about(room_id.as_str());
        let content: Object = reason
            .map(|reason| ("reason".to_owned(), json!(reason)))
            .into_iter()
            .collect();
        let effect = |server: &mut Homeserver, who: &Requester| {
            server.redact_event(
                who,
                room_id.as_str(),
                event_id.as_str(),
                Some(transaction_id.as_str()),
                content,
            )
        };
        decoded("redact_event", self.call(session, request, effect).await?)
    }

    async fn get_event(&self, session: &Session, room_id: &RoomId, event_id: &EventId) -> Result<Event> {
        let request = Request::new("get_event", json!({ "event_id": event_id })).about(room_id.as_str());
        let effect = |server: &mut Homeserver, who: &Requester| {
            server.get_event(who, room_id.as_str(), event_id.as_str())
        };
        decoded(
            "get_event",
            Value::Object(self.call(session, request, effect).await?),
        )
    }

    async fn list_messages(
        &self,
        session: &Session,
        room_id: &RoomId,
        request: &MessagesRequest,
    ) -> Result<MessagesPage> {
        let filter = serde_json::to_value(&request.filter).unwrap_or_default();
        let history = HistoryRequest {
            backward: request.direction == Direction::Backward,
            from: request.from.clone(),
            to: request.to.clone(),
            limit: request.limit.map(u64::from),
            filter: filter.as_object().cloned().unwrap_or_default(),
        };
        let arguments = json!({ "from": history.from, "to": history.to, "limit": history.limit });
        let asked = Request::new("list_messages", arguments).about(room_id.as_str());
        let effect =
            |server: &mut Homeserver, who: &Requester| server.messages(who, room_id.as_str(), &history);
        let answer = self.call(session, asked, effect).await?;
        let mut page = MessagesPage {
            start: text(&answer, "start").unwrap_or_default().to_owned(),
            end: text(&answer, "end").map(ToOwned::to_owned),
            ..MessagesPage::default()
        };
        page.events = convert::events(answer.get("chunk"), Some(room_id.as_str()), &mut page.skipped);
        page.state = convert::events(answer.get("state"), Some(room_id.as_str()), &mut page.skipped);
        Ok(page)
    }

    async fn set_typing(
        &self,
        session: &Session,
        room_id: &RoomId,
        typing_for: Option<Duration>,
    ) -> Result<()> {
        let timeout = typing_for.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let request = Request::new("set_typing", json!({ "timeout": timeout })).about(room_id.as_str());
        let effect = |server: &mut Homeserver, who: &Requester| {
            server.set_typing(who, room_id.as_str(), session.user_id.as_str(), timeout)
        };
        self.call(session, request, effect).await
    }

    async fn send_receipt(
        &self,
        session: &Session,
        room_id: &RoomId,
        event_id: &EventId,
        receipt_type: &ReceiptType,
        thread: &ReceiptThread,
    ) -> Result<()> {
        let kind = receipt_type.to_string();
        let thread = thread.as_str().map(ToOwned::to_owned);
        let arguments = json!({ "event_id": event_id, "receipt_type": kind, "thread_id": thread });
        let request = Request::new("send_receipt", arguments).about(room_id.as_str());
        let effect = |server: &mut Homeserver, who: &Requester| {
            server.send_receipt(who, room_id.as_str(), &kind, event_id.as_str(), thread.as_deref())
        };
        self.call(session, request, effect).await
    }

    async fn sync(&self, session: &Session, request: &SyncRequest) -> Result<SyncResponse> {
        let filter = request.filter.as_ref().map(|filter| match filter {
            SyncFilter::Id(id) => id.clone(),
            SyncFilter::Definition(definition) => json!(definition).to_string(),
        });
        let call = SyncCall {
            since: request.since.clone(),
            timeout: request.timeout.unwrap_or_default(),
            filter,
            full_state: request.full_state,
        };
        let answer = named("sync", self.sync_as(&convert::credentials(session), &call).await)?;
        convert::sync(&answer).map_err(|error| error.with_call("sync"))
    }

    async fn upload_media(&self, session: &Session, upload: &Upload) -> Result<OwnedMxcUri> {
        let arguments = json!({
            "content_type": upload.content_type,
            "filename": upload.filename,
            "bytes": upload.bytes.len(),
        });
        let effect = |server: &mut Homeserver, who: &Requester| {
            let filename = upload.filename.as_deref();
            server.upload(who, Some(&upload.content_type), filename, upload.bytes.clone())
        };
        Ok(self
            .call(session, Request::new("upload_media", arguments), effect)
            .await?
            .into())
    }

    async fn download_media(&self, session: &Session, download: &Download) -> Result<Media> {
        let request = Request::new("download_media", json!({ "uri": download.uri }));
        let parts = download
            .uri
            .parts()
            .map(|(server, id)| (server.to_string(), id.to_owned()));
        let (server_name, media_id) = parts.map_err(|error| {
            let error =
                MatrixError::new(MatrixErrorKind::InvalidRequest, download.uri.as_str()).with_source(error);
            error.with_call("download_media")
        })?;
        let effect = |server: &mut Homeserver, _: &Requester| server.download(&server_name, &media_id);
        let media = self.call(session, request, effect).await?;
        let bytes = media.bytes.unwrap_or_default();
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if let Some(limit) = download.max_bytes.filter(|limit| size > *limit) {
            let error = MatrixError::new(MatrixErrorKind::BodyTooLarge { limit }, format!("{size} bytes"));
            return Err(error.with_call("download_media"));
        }
        Ok(Media::new(media.content_type, media.filename, bytes))
    }

    async fn media_config(&self, session: &Session) -> Result<MediaConfig> {
        let request = Request::new("media_config", json!({}));
        let limit = self
            .call(session, request, |server, _| Ok(server.max_upload_bytes()))
            .await?;
        Ok(MediaConfig::new(Some(limit)))
    }

    async fn ping_appservice<'a>(
        &self,
        session: &Session,
        appservice_id: &str,
        transaction_id: Option<&'a TransactionId>,
    ) -> Result<Duration> {
        let transaction_id = transaction_id.map(TransactionId::as_str);
        let result = self
            .ping_as(&convert::credentials(session), appservice_id, transaction_id)
            .await;
        named("ping_appservice", result)
    }
}
