//! Synapse's administration API. ruma does not have these endpoints.

use async_trait::async_trait;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{Method, header};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedDeviceId, OwnedMxcUri, OwnedRoomAliasId, OwnedRoomId, OwnedUserId,
    RoomId, UserId,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sha1::Sha1;

use super::{
    HttpMatrix,
    reply::Reply,
    transport::{Call, Right, call, endpoint},
};
use crate::{
    MatrixError, MatrixErrorKind, Registered, Result, Session, SynapseAdminApi,
    admin::{RateLimit, RoomDeletion, RoomInfo, RoomsPage, RoomsRequest, SharedSecretRegistration, UserInfo},
};

const ADMIN: &str = "_synapse";

#[async_trait]
impl SynapseAdminApi for HttpMatrix {
    async fn register_with_shared_secret(
        &self,
        secret: &SecretString,
        registration: &SharedSecretRegistration,
    ) -> Result<Registered> {
        #[derive(Deserialize)]
        struct Nonce {
            nonce: String,
        }
        #[derive(Deserialize)]
        struct Answer {
            user_id: OwnedUserId,
            access_token: Option<SecretString>,
            device_id: Option<OwnedDeviceId>,
        }
        let path = [ADMIN, "admin", "v1", "register"];
        let call = call!("admin.register", Read);
        let Nonce { nonce } = self.admin(&call, Method::GET, &path, &[], None, None).await?;
        let body = json!({
            "nonce": nonce,
            "username": registration.localpart,
            "password": registration.password.expose_secret(),
            "displayname": registration.display_name,
            "admin": registration.admin,
            "device_id": registration.device_id,
            "initial_device_display_name": registration.initial_device_display_name,
            "inhibit_login": registration.inhibit_login,
            "mac": proof(secret, &nonce, registration),
        });
        let call = call!("admin.register", Once);
        let answer: Answer = self
            .admin(&call, Method::POST, &path, &[], None, Some(&without_nulls(body)))
            .await?;
        let session = answer.access_token.map(|token| {
            let mut session = Session::with_access_token(answer.user_id.clone(), token);
            session.device_id = answer.device_id;
            session
        });
        Ok(Registered::new(answer.user_id, session))
    }

    async fn get_user(&self, session: &Session, user_id: &UserId) -> Result<UserInfo> {
        #[derive(Deserialize)]
        struct Answer {
            name: OwnedUserId,
            displayname: Option<String>,
            avatar_url: Option<OwnedMxcUri>,
            #[serde(default)]
            admin: bool,
            #[serde(default)]
            deactivated: bool,
            appservice_id: Option<String>,
            creation_ts: Option<u64>,
        }
        let path = [ADMIN, "admin", "v2", "users", user_id.as_str()];
        let call = call!("admin.get_user", Read);
        let answer: Answer = self
            .admin(&call, Method::GET, &path, &[], Some(session), None)
            .await?;
        let mut info = UserInfo::new(answer.name);
        info.display_name = answer.displayname;
        info.avatar_url = answer.avatar_url.filter(|url| !url.as_str().is_empty());
        info.admin = answer.admin;
        info.deactivated = answer.deactivated;
        info.appservice_id = answer.appservice_id;
        // Seconds in this answer, unlike in the list of users.
        let millis = answer.creation_ts.and_then(|seconds| seconds.checked_mul(1000));
        info.created_at = millis
            .and_then(|ms| ms.try_into().ok())
            .map(MilliSecondsSinceUnixEpoch);
        Ok(info)
    }

    async fn set_rate_limit_override(
        &self,
        session: &Session,
        user_id: &UserId,
        limit: &RateLimit,
    ) -> Result<()> {
        let path = [
            ADMIN,
            "admin",
            "v1",
            "users",
            user_id.as_str(),
            "override_ratelimit",
        ];
        let body =
            json!({ "messages_per_second": limit.messages_per_second, "burst_count": limit.burst_count });
        let call = call!("admin.set_rate_limit_override", Idempotent);
        self.admin::<Value>(&call, Method::POST, &path, &[], Some(session), Some(&body))
            .await?;
        Ok(())
    }

    async fn list_rooms(&self, session: &Session, request: &RoomsRequest) -> Result<RoomsPage> {
        #[derive(Deserialize)]
        struct Answer {
            rooms: Vec<Room>,
            total_rooms: u64,
            next_batch: Option<u64>,
        }
        #[derive(Deserialize)]
        struct Room {
            room_id: OwnedRoomId,
            name: Option<String>,
            canonical_alias: Option<OwnedRoomAliasId>,
            joined_members: u64,
            creator: Option<OwnedUserId>,
            version: Option<String>,
            room_type: Option<String>,
        }
        let mut query = vec![
            ("order_by", "name".to_owned()),
            ("from", request.from.to_string()),
        ];
        query.extend(request.limit.map(|limit| ("limit", limit.to_string())));
        query.extend(request.search_term.clone().map(|term| ("search_term", term)));
        let path = [ADMIN, "admin", "v1", "rooms"];
        let call = call!("admin.list_rooms", Read);
        let answer: Answer = self
            .admin(&call, Method::GET, &path, &query, Some(session), None)
            .await?;
        let room = |room: Room| RoomInfo {
            name: room.name,
            canonical_alias: room.canonical_alias,
            creator: room.creator,
            version: room.version,
            room_type: room.room_type,
            ..RoomInfo::new(room.room_id, room.joined_members)
        };
        Ok(RoomsPage::new(
            answer.rooms.into_iter().map(room).collect(),
            answer.total_rooms,
            answer.next_batch,
        ))
    }

    async fn delete_room(
        &self,
        session: &Session,
        room_id: &RoomId,
        deletion: &RoomDeletion,
    ) -> Result<String> {
        #[derive(Deserialize)]
        struct Answer {
            delete_id: String,
        }
        let path = [ADMIN, "admin", "v2", "rooms", room_id.as_str()];
        let body = json!({ "block": deletion.block, "purge": deletion.purge });
        let call = call!("admin.delete_room", Once);
        let answer: Answer = self
            .admin(&call, Method::DELETE, &path, &[], Some(session), Some(&body))
            .await?;
        Ok(answer.delete_id)
    }

    async fn make_room_admin(&self, session: &Session, room_id: &RoomId, user_id: &UserId) -> Result<()> {
        let path = [ADMIN, "admin", "v1", "rooms", room_id.as_str(), "make_room_admin"];
        let body = json!({ "user_id": user_id });
        let call = call!("admin.make_room_admin", Idempotent);
        self.admin::<Value>(&call, Method::POST, &path, &[], Some(session), Some(&body))
            .await?;
        Ok(())
    }
}

impl HttpMatrix {
    async fn admin<T: DeserializeOwned>(
        &self,
        call: &Call,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        session: Option<&Session>,
        body: Option<&Value>,
    ) -> Result<T> {
        let request = self
            .admin_request(method, path, query, session, body)
            .map_err(|error| call.error(error))?;
        let right = session.map_or(Right::None, Right::Session);
        let reply = self.exchange(call, right, request).await?;
        decode(&reply).map_err(|error| call.error(error))
    }

    fn admin_request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        session: Option<&Session>,
        body: Option<&Value>,
    ) -> Result<http::Request<Bytes>> {
        let unbuildable =
            |error: http::Error| MatrixError::new(MatrixErrorKind::InvalidRequest, "").with_source(error);
        let mut url = endpoint(self.base_url(), path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = http::Request::builder().method(method).uri(url.as_str());
        if let Some(session) = session {
            let bearer = format!("Bearer {}", session.token().expose_secret());
            let mut value =
                header::HeaderValue::try_from(bearer).map_err(|error| unbuildable(error.into()))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        request.body(body).map_err(unbuildable)
    }
}

/// The proof of knowing the shared secret: HMAC-SHA1, in hexadecimal, over the fields separated by zero bytes.
fn proof(secret: &SecretString, nonce: &str, registration: &SharedSecretRegistration) -> String {
    // A key of any length is valid for HMAC.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret.expose_secret().as_bytes()) else {
        return String::new();
    };
    let role = if registration.admin { "admin" } else { "notadmin" };
    let fields = [
        nonce,
        &registration.localpart,
        registration.password.expose_secret(),
        role,
    ];
    mac.update(fields.join("\0").as_bytes());
    mac.finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn without_nulls(mut body: Value) -> Value {
    if let Value::Object(fields) = &mut body {
        fields.retain(|_, value| !value.is_null());
    }
    body
}

fn decode<T: DeserializeOwned>(reply: &Reply) -> Result<T> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(&reply.body)).map_err(
        |error| {
            let kind = MatrixErrorKind::Decode {
                path: error.path().to_string(),
            };
            MatrixError::new(kind, error.inner().to_string()).with_status(reply.status)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_what_synapse_computes() {
        // hmac.new(b"reg-secret-for-tests", b"nonce\0alice\0pw\0notadmin", hashlib.sha1).hexdigest()
        let registration = SharedSecretRegistration::new("alice", "pw".into());
        assert_eq!(
            proof(&"reg-secret-for-tests".into(), "nonce", &registration),
            "258be923e17ea90773c3f65c3392c67852e047c3"
        );
    }
}
