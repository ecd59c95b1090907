//! [`SynapseAdminApi`] on top of the model.

use async_trait::async_trait;
use ruma::{MilliSecondsSinceUnixEpoch, RoomId, UInt, UserId};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{
    FakeMatrix, Homeserver, Object, Request, Requester, accounts::text, convert, refusal::Answer,
    registration::shared_secret_mac,
};
use crate::{
    Registered, Result, Session,
    admin::{
        RateLimit, RoomDeletion, RoomInfo, RoomsPage, RoomsRequest, SharedSecretRegistration,
        SynapseAdminApi, UserInfo,
    },
};

impl FakeMatrix {
    async fn admin_call<T>(
        &self,
        session: &Session,
        request: Request,
        effect: impl FnOnce(&mut Homeserver, &Requester) -> Answer<T>,
    ) -> Result<T> {
        let method = request.method;
        let credentials = convert::credentials(session);
        let result = self.run(request.by(credentials.clone()), |server| {
            let who = server.authenticate_admin(&credentials)?;
            effect(server, &who)
        });
        result
            .await
            .map_err(|failure| failure.to_error().with_call(method))
    }
}

#[async_trait]
impl SynapseAdminApi for FakeMatrix {
    async fn register_with_shared_secret(
        &self,
        secret: &SecretString,
        registration: &SharedSecretRegistration,
    ) -> Result<Registered> {
        const METHOD: &str = "register_with_shared_secret";
        let arguments = json!({ "username": registration.localpart, "admin": registration.admin });
        let effect = |server: &mut Homeserver| {
            let nonce = server.shared_secret_nonce()?;
            let body = shared_secret_body(secret, registration, &nonce);
            server.register_with_shared_secret(&body)
        };
        let answer = self.run(Request::new(METHOD, arguments), effect).await;
        let answer = answer.map_err(|failure| failure.to_error().with_call(METHOD))?;
        let user_id = convert::decode(answer.get("user_id").cloned().unwrap_or_default());
        let user_id = user_id.map_err(|error| error.with_call(METHOD))?;
        let session = match answer.contains_key("access_token") {
            true => Some(convert::session(&answer).map_err(|error| error.with_call(METHOD))?),
            false => None,
        };
        Ok(Registered::new(user_id, session))
    }

    async fn get_user(&self, session: &Session, user_id: &UserId) -> Result<UserInfo> {
        let request = Request::new("get_user", json!({ "user_id": user_id }));
        let answer = self
            .admin_call(session, request, |server, _| server.admin_user(user_id.as_str()))
            .await?;
        let flag = |key: &str| answer.get(key).and_then(Value::as_bool).unwrap_or_default();
        let mut info = UserInfo::new(user_id.to_owned());
        info.display_name = text(&answer, "displayname").map(ToOwned::to_owned);
        info.avatar_url = text(&answer, "avatar_url").map(Into::into);
        info.admin = flag("admin");
        info.deactivated = flag("deactivated");
        info.appservice_id = text(&answer, "appservice_id").map(ToOwned::to_owned);
        let seconds = answer.get("creation_ts").and_then(Value::as_u64);
        info.created_at = seconds
            .and_then(|seconds| UInt::new(seconds * 1000))
            .map(MilliSecondsSinceUnixEpoch);
        Ok(info)
    }

    async fn set_rate_limit_override(
        &self,
        session: &Session,
        user_id: &UserId,
        limit: &RateLimit,
    ) -> Result<()> {
        let RateLimit {
            messages_per_second,
            burst_count,
        } = *limit;
        let arguments = json!({
            "user_id": user_id,
            "messages_per_second": messages_per_second,
            "burst_count": burst_count,
        });
        let effect = |server: &mut Homeserver, _: &Requester| {
            server.admin_set_rate_limit(user_id.as_str(), messages_per_second, burst_count)
        };
        self.admin_call(
            session,
            Request::new("set_rate_limit_override", arguments),
            effect,
        )
        .await?;
        Ok(())
    }

    async fn list_rooms(&self, session: &Session, request: &RoomsRequest) -> Result<RoomsPage> {
        let arguments =
            json!({ "from": request.from, "limit": request.limit, "search_term": request.search_term });
        let limit = request.limit.map_or(100, u64::from);
        let effect = |server: &mut Homeserver, _: &Requester| {
            Ok(server.admin_rooms(request.from, limit, request.search_term.as_deref()))
        };
        let answer = self
            .admin_call(session, Request::new("list_rooms", arguments), effect)
            .await?;
        let rooms: Result<Vec<RoomInfo>> = answer["rooms"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_object)
            .map(room_info)
            .collect();
        let rooms = rooms.map_err(|error| error.with_call("list_rooms"))?;
        let total = answer["total_rooms"].as_u64().unwrap_or_default();
        Ok(RoomsPage::new(rooms, total, answer["next_batch"].as_u64()))
    }

    async fn delete_room(
        &self,
        session: &Session,
        room_id: &RoomId,
        deletion: &RoomDeletion,
    ) -> Result<String> {
        let arguments = json!({ "block": deletion.block, "purge": deletion.purge });
        let request = Request::new("delete_room", arguments).about(room_id.as_str());
        let effect = |server: &mut Homeserver, _: &Requester| {
            server.admin_delete_room(room_id.as_str(), deletion.block, deletion.purge)
        };
        self.admin_call(session, request, effect).await
    }

    async fn make_room_admin(&self, session: &Session, room_id: &RoomId, user_id: &UserId) -> Result<()> {
        let request = Request::new("make_room_admin", json!({ "user_id": user_id })).about(room_id.as_str());
        let effect = |server: &mut Homeserver, _: &Requester| {
            server.admin_make_room_admin(room_id.as_str(), user_id.as_str())
        };
        self.admin_call(session, request, effect).await
    }
}

fn shared_secret_body(secret: &SecretString, registration: &SharedSecretRegistration, nonce: &str) -> Object {
    let (localpart, password) = (&registration.localpart, registration.password.expose_secret());
    let mac = shared_secret_mac(
        secret.expose_secret(),
        nonce,
        localpart,
        password,
        registration.admin,
    );
    let body = json!({
        "nonce": nonce,
        "username": localpart,
        "password": password,
        "admin": registration.admin,
        "mac": mac,
        "displayname": registration.display_name,
        "device_id": registration.device_id,
        "initial_device_display_name": registration.initial_device_display_name,
        "inhibit_login": registration.inhibit_login,
    });
    body.as_object().cloned().unwrap_or_default()
}

fn room_info(room: &Object) -> Result<RoomInfo> {
    let joined = room
        .get("joined_members")
        .and_then(Value::as_u64)
        .unwrap_or_default();
    let field = |key: &str| room.get(key).cloned().unwrap_or_default();
    let mut info = RoomInfo::new(convert::decode(field("room_id"))?, joined);
    info.name = text(room, "name").map(ToOwned::to_owned);
    info.canonical_alias = convert::decode(field("canonical_alias"))?;
    info.creator = convert::decode(field("creator"))?;
    info.version = text(room, "version").map(ToOwned::to_owned);
    info.room_type = text(room, "room_type").map(ToOwned::to_owned);
    Ok(info)
}
