//! Synapse's administration API.

use axum::{
    Router,
    extract::Path,
    http::StatusCode,
    response::IntoResponse,
    routing::{delete, get, post},
};
use matrix_client::fake::{FakeMatrix, Homeserver, Object, Refusal, Requester};
use serde_json::{Value, json};

use super::ask::{Ask, Reply, Routes, done, reply, required, text};

pub(super) fn router() -> Router<FakeMatrix> {
    Routes::new()
        .exact("/_synapse/admin/v1/server_version", get(server_version))
        .exact("/_synapse/admin/v1/register", get(nonce).post(register))
        .exact("/_synapse/admin/v1/username_available", get(username_available))
        .exact("/_synapse/admin/v2/users", get(users))
        .exact("/_synapse/admin/v2/users/{user_id}", get(user).put(put_user))
        .exact("/_synapse/admin/v1/users/{user_id}/login", post(login_as))
        .exact(
            "/_synapse/admin/v1/users/{user_id}/joined_rooms",
            get(joined_rooms),
        )
        .exact(
            "/_synapse/admin/v1/users/{user_id}/override_ratelimit",
            get(rate_limit).post(set_rate_limit).delete(clear_rate_limit),
        )
        .exact(
            "/_synapse/admin/v1/reset_password/{user_id}",
            post(reset_password),
        )
        .exact("/_synapse/admin/v1/deactivate/{user_id}", post(deactivate))
        .exact("/_synapse/admin/v1/rooms", get(rooms))
        .exact(
            "/_synapse/admin/v1/rooms/{room_id}",
            get(room).delete(delete_room_v1),
        )
        .exact("/_synapse/admin/v2/rooms/{room_id}", delete(delete_room))
        .exact("/_synapse/admin/v1/rooms/{room_id}/members", get(room_members))
        .exact("/_synapse/admin/v1/rooms/{room_id}/state", get(room_state))
        .exact(
            "/_synapse/admin/v1/rooms/{room_id}/make_room_admin",
            post(make_room_admin),
        )
        .exact("/_synapse/admin/v1/join/{room}", post(join))
        .0
}

async fn server_version(ask: Ask) -> Reply {
    let answer = json!({ "server_version": "1.163.2" });
    reply(ask.open_call("server_version", json!({}), |_| Ok(answer)).await?)
}

async fn nonce(ask: Ask) -> Reply {
    let nonce = ask
        .open_call("shared_secret_nonce", json!({}), |server| {
            server.shared_secret_nonce()
        })
        .await?;
    reply(json!({ "nonce": nonce }))
}

async fn register(ask: Ask) -> Reply {
    let body = ask.object()?;
    let arguments = json!({ "username": body.get("username"), "admin": body.get("admin") });
    let effect = |server: &mut Homeserver| server.register_with_shared_secret(&body);
    reply(
        ask.open_call("register_with_shared_secret", arguments, effect)
            .await?,
    )
}

async fn username_available(ask: Ask) -> Reply {
    let username = ask.query("username").unwrap_or_default();
    let effect = |server: &mut Homeserver, _: &Requester| server.admin_username_available(username);
    ask.admin_call(
        "username_available",
        None,
        json!({ "username": username }),
        effect,
    )
    .await?;
    reply(json!({ "available": true }))
}

async fn users(ask: Ask) -> Reply {
    let (from, limit) = (
        ask.number("from")?.unwrap_or(0),
        ask.number("limit")?.unwrap_or(100),
    );
    reply(
        ask.admin_call("list_users", None, json!({}), |server, _| {
            Ok(server.admin_users(from, limit))
        })
        .await?,
    )
}

async fn user(Path(user_id): Path<String>, ask: Ask) -> Reply {
    let arguments = json!({ "user_id": user_id });
    reply(
        ask.admin_call("get_user", None, arguments, |server, _| {
            server.admin_user(&user_id)
        })
        .await?,
    )
}

async fn put_user(Path(user_id): Path<String>, ask: Ask) -> Reply {
    let body = ask.object()?;
    let arguments = json!({ "user_id": user_id });
    let effect = |server: &mut Homeserver, who: &Requester| server.admin_put_user(who, &user_id, &body);
    let (is_new, user) = ask.admin_call("put_user", None, arguments, effect).await?;
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, axum::Json(Value::Object(user))).into_response())
}

async fn login_as(Path(user_id): Path<String>, ask: Ask) -> Reply {
    let arguments = json!({ "user_id": user_id });
    reply(
        ask.admin_call("login_as", None, arguments, |server, _| {
            server.admin_login_as(&user_id)
        })
        .await?,
    )
}

async fn joined_rooms(Path(user_id): Path<String>, ask: Ask) -> Reply {
    let arguments = json!({ "user_id": user_id });
    let effect = |server: &mut Homeserver, _: &Requester| Ok(server.admin_joined_rooms(&user_id));
    reply(
        ask.admin_call("list_rooms_of_user", None, arguments, effect)
            .await?,
    )
}

async fn rate_limit(Path(user_id): Path<String>, ask: Ask) -> Reply {
    let arguments = json!({ "user_id": user_id });
    let effect = |server: &mut Homeserver, _: &Requester| server.admin_rate_limit(&user_id);
    reply(
        ask.admin_call("rate_limit_override", None, arguments, effect)
            .await?,
    )
}

async fn set_rate_limit(Path(user_id): Path<String>, ask: Ask) -> Reply {
    let body = ask.object()?;
    let number = |key: &str| match body.get(key) {
        None => Ok(0),
        Some(value) => {
            let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
            let words = format!("{value} parameter must be a positive int");
            number.ok_or_else(|| Refusal::new(400, "M_INVALID_PARAM", words))
        }
    };
    let (per_second, burst) = (number("messages_per_second")?, number("burst_count")?);
    let arguments = json!({ "user_id": user_id, "messages_per_second": per_second, "burst_count": burst });
    let effect =
        |server: &mut Homeserver, _: &Requester| server.admin_set_rate_limit(&user_id, per_second, burst);
    reply(
        ask.admin_call("set_rate_limit_override", None, arguments, effect)
            .await?,
    )
}

async fn clear_rate_limit(Path(user_id): Path<String>, ask: Ask) -> Reply {
    let arguments = json!({ "user_id": user_id });
    let effect = |server: &mut Homeserver, _: &Requester| server.admin_clear_rate_limit(&user_id);
    reply(
        ask.admin_call("clear_rate_limit_override", None, arguments, effect)
            .await?,
    )
}

async fn reset_password(Path(user_id): Path<String>, ask: Ask) -> Reply {
    let body = ask.object()?;
    let arguments = json!({ "user_id": user_id });
    let effect = |server: &mut Homeserver, _: &Requester| server.admin_reset_password(&user_id, &body);
    reply(ask.admin_call("reset_password", None, arguments, effect).await?)
}

async fn deactivate(Path(user_id): Path<String>, ask: Ask) -> Reply {
    let body = ask.object_or_nothing()?;
    let erase = body.get("erase").and_then(Value::as_bool).unwrap_or_default();
    let arguments = json!({ "user_id": user_id, "erase": erase });
    let effect = |server: &mut Homeserver, _: &Requester| server.admin_deactivate(&user_id, erase);
    reply(ask.admin_call("deactivate", None, arguments, effect).await?)
}

async fn rooms(ask: Ask) -> Reply {
    let (from, limit) = (
        ask.number("from")?.unwrap_or(0),
        ask.number("limit")?.unwrap_or(100),
    );
    let search = ask.query("search_term");
    if search == Some("") {
        let words = "search_term cannot be an empty string";
        return Err(Refusal::new(400, "M_INVALID_PARAM", words).into());
    }
    let arguments = json!({ "from": from, "limit": limit, "search_term": search });
    let effect = |server: &mut Homeserver, _: &Requester| Ok(server.admin_rooms(from, limit, search));
    reply(ask.admin_call("list_rooms", None, arguments, effect).await?)
}

async fn room(Path(room_id): Path<String>, ask: Ask) -> Reply {
    reply(
        ask.admin_call("get_room", Some(&room_id), json!({}), |server, _| {
            server.admin_room(&room_id)
        })
        .await?,
    )
}

async fn room_members(Path(room_id): Path<String>, ask: Ask) -> Reply {
    let effect = |server: &mut Homeserver, _: &Requester| server.admin_room_members(&room_id);
    reply(
        ask.admin_call("get_room_members", Some(&room_id), json!({}), effect)
            .await?,
    )
}

async fn room_state(Path(room_id): Path<String>, ask: Ask) -> Reply {
    let effect = |server: &mut Homeserver, who: &Requester| server.admin_room_state(who, &room_id);
    reply(
        ask.admin_call("get_state_of_room", Some(&room_id), json!({}), effect)
            .await?,
    )
}

/// Whether the room is blocked and whether it is purged.
fn deletion(body: &Object) -> (bool, bool) {
    let flag = |key: &str, default: bool| body.get(key).and_then(Value::as_bool).unwrap_or(default);
    (flag("block", false), flag("purge", true))
}

async fn delete_room(Path(room_id): Path<String>, ask: Ask) -> Reply {
    let (block, purge) = deletion(&ask.object_or_nothing()?);
    let arguments = json!({ "block": block, "purge": purge });
    let effect = |server: &mut Homeserver, _: &Requester| server.admin_delete_room(&room_id, block, purge);
    let id = ask
        .admin_call("delete_room", Some(&room_id), arguments, effect)
        .await?;
    reply(json!({ "delete_id": id }))
}

async fn delete_room_v1(Path(room_id): Path<String>, ask: Ask) -> Reply {
    let (block, purge) = deletion(&ask.object_or_nothing()?);
    let arguments = json!({ "block": block, "purge": purge });
    let effect = |server: &mut Homeserver, _: &Requester| {
        let kicked = server.admin_room_members(&room_id)?["members"].take();
        server.admin_delete_room(&room_id, block, purge)?;
        Ok(json!({
            "kicked_users": kicked,
            "failed_to_kick_users": [],
            "local_aliases": [],
            "new_room_id": null,
        }))
    };
    reply(
        ask.admin_call("delete_room", Some(&room_id), arguments, effect)
            .await?,
    )
}

async fn make_room_admin(Path(room_id): Path<String>, ask: Ask) -> Reply {
    let body = ask.object_or_nothing()?;
    let arguments = json!({ "user_id": body.get("user_id") });
    let effect = |server: &mut Homeserver, who: &Requester| {
        let user_id = text(&body, "user_id").unwrap_or(&who.user_id);
        server.admin_make_room_admin(&room_id, user_id)
    };
    ask.admin_call("make_room_admin", Some(&room_id), arguments, effect)
        .await?;
    done()
}

async fn join(Path(room): Path<String>, ask: Ask) -> Reply {
    let body = ask.object()?;
    let arguments = json!({ "room": room, "user_id": body.get("user_id") });
    let effect =
        |server: &mut Homeserver, who: &Requester| server.admin_join(who, &room, required(&body, "user_id")?);
    let room_id = ask.admin_call("admin_join", None, arguments, effect).await?;
    reply(json!({ "room_id": room_id }))
}
