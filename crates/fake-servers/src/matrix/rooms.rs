//! Rooms: making them, their members, their state.

use axum::{
    Router,
    extract::Path,
    routing::{get, post, put},
};
use matrix_client::fake::{Answer, FakeMatrix, HierarchyQuery, Homeserver, Object, Refusal, Requester};
use serde_json::{Value, json};

use super::ask::{Ask, Reply, Routes, done, reply, required, text};

pub(super) fn router() -> Router<FakeMatrix> {
    Routes::new()
        .both("/createRoom", post(create_room))
        .both("/joined_rooms", get(joined_rooms))
        .both("/join/{room}", post(join_by_id_or_alias))
        .both("/knock/{room}", post(knock))
        .both("/rooms/{room_id}/join", post(join))
        .both("/rooms/{room_id}/leave", post(leave))
        .both("/rooms/{room_id}/forget", post(forget))
        .both("/rooms/{room_id}/upgrade", post(upgrade))
        .both("/rooms/{room_id}/invite", post(invite))
        .both("/rooms/{room_id}/kick", post(kick))
        .both("/rooms/{room_id}/ban", post(ban))
        .both("/rooms/{room_id}/unban", post(unban))
        .both("/rooms/{room_id}/members", get(members))
        .both("/rooms/{room_id}/joined_members", get(joined_members))
        .both("/rooms/{room_id}/state", get(room_state))
        .both(
            "/rooms/{room_id}/state/{event_type}",
            get(get_state).put(set_state),
        )
        .both(
            "/rooms/{room_id}/state/{event_type}/",
            get(get_state).put(set_state),
        )
        .both(
            "/rooms/{room_id}/state/{event_type}/{state_key}",
            get(get_keyed_state).put(set_keyed_state),
        )
        .both("/rooms/{room_id}/typing/{user_id}", put(set_typing))
        .both(
            "/rooms/{room_id}/receipt/{receipt_type}/{event_id}",
            post(send_receipt),
        )
        .both("/rooms/{room_id}/read_markers", post(read_markers))
        .exact("/_matrix/client/v1/rooms/{room_id}/hierarchy", get(hierarchy))
        .exact("/_matrix/client/v1/room_summary/{room}", get(room_summary))
        .exact(
            "/_matrix/client/unstable/im.nheko.summary/rooms/{room}/summary",
            get(room_summary),
        )
        .exact(
            "/_matrix/client/unstable/im.nheko.summary/summary/{room}",
            get(room_summary),
        )
        .0
}

async fn create_room(ask: Ask) -> Reply {
    let config = ask.object()?;
    let room_id = ask.matrix.create_room_as(&ask.credentials, config).await?;
    reply(json!({ "room_id": room_id }))
}

async fn joined_rooms(ask: Ask) -> Reply {
    let rooms = ask
        .call("list_joined_rooms", None, json!({}), |server, who| {
            Ok(server.joined_rooms(who))
        })
        .await?;
    reply(json!({ "joined_rooms": rooms }))
}

/// The room of a call that takes an id or an alias.
fn about(room: &str) -> Option<&str> {
    room.starts_with('!').then_some(room)
}

async fn join_by_id_or_alias(Path(room): Path<String>, ask: Ask) -> Reply {
    let effect = |server: &mut Homeserver, room: &str| server.check_room_or_alias(room);
    join_with(&room, ask, effect).await
}

async fn join(Path(room_id): Path<String>, ask: Ask) -> Reply {
    join_with(&room_id, ask, |_, _| Ok(())).await
}

async fn join_with(room: &str, ask: Ask, check: impl FnOnce(&mut Homeserver, &str) -> Answer<()>) -> Reply {
    let mut content = ask.object_or_nothing()?;
    content.remove("third_party_signed");
    let arguments = json!({ "room": room });
    let effect = |server: &mut Homeserver, who: &Requester| {
        check(server, room)?;
        server.join_room(who, room, content)
    };
    let room_id = ask.call("join_room", about(room), arguments, effect).await?;
    reply(json!({ "room_id": room_id }))
}

async fn knock(Path(room): Path<String>, ask: Ask) -> Reply {
    let content = ask.object_or_nothing()?;
    let arguments = json!({ "room": room });
    let effect = |server: &mut Homeserver, who: &Requester| server.knock_room(who, &room, content);
    let room_id = ask.call("knock_room", about(&room), arguments, effect).await?;
    reply(json!({ "room_id": room_id }))
}

async fn leave(Path(room_id): Path<String>, ask: Ask) -> Reply {
    let body = ask.object_or_nothing()?;
    let reason = text(&body, "reason");
    let arguments = json!({ "reason": reason });
    ask.call("leave_room", Some(&room_id), arguments, |server, who| {
        server.leave_room(who, &room_id, reason)
    })
    .await?;
    done()
}

async fn forget(Path(room_id): Path<String>, ask: Ask) -> Reply {
    ask.call("forget_room", Some(&room_id), json!({}), |server, who| {
        server.forget_room(who, &room_id)
    })
    .await?;
    done()
}

async fn upgrade(Path(room_id): Path<String>, ask: Ask) -> Reply {
    let body = ask.object()?;
    let arguments = json!({ "new_version": body.get("new_version") });
    let effect = |server: &mut Homeserver, who: &Requester| server.upgrade_room(who, &room_id, &body);
    let replacement = ask
        .call("upgrade_room", Some(&room_id), arguments, effect)
        .await?;
    reply(json!({ "replacement_room": replacement }))
}

async fn invite(path: Path<String>, ask: Ask) -> Reply {
    change_member("invite_user", "invite", path, ask).await
}

async fn kick(path: Path<String>, ask: Ask) -> Reply {
    change_member("kick_user", "kick", path, ask).await
}

async fn ban(path: Path<String>, ask: Ask) -> Reply {
    change_member("ban_user", "ban", path, ask).await
}

async fn unban(path: Path<String>, ask: Ask) -> Reply {
    change_member("unban_user", "unban", path, ask).await
}

async fn change_member(method: &'static str, action: &str, Path(room_id): Path<String>, ask: Ask) -> Reply {
    let body = ask.object()?;
    let arguments = json!({ "user_id": body.get("user_id"), "reason": body.get("reason") });
    let effect = |server: &mut Homeserver, who: &Requester| {
        if body.get("user_id").is_some_and(|user_id| !user_id.is_string()) {
            return Err(Refusal::new(500, "M_UNKNOWN", "Internal server error"));
        }
        let user_id = required(&body, "user_id")?;
        server.change_member(who, &room_id, user_id, action, text(&body, "reason"))
    };
    ask.call(method, Some(&room_id), arguments, effect).await?;
    done()
}

async fn members(Path(room_id): Path<String>, ask: Ask) -> Reply {
    let (wanted, unwanted) = (ask.query("membership"), ask.query("not_membership"));
    let arguments = json!({ "membership": wanted, "not_membership": unwanted });
    let effect = |server: &mut Homeserver, who: &Requester| server.members(who, &room_id, wanted, unwanted);
    let chunk = ask
        .call("list_members", Some(&room_id), arguments, effect)
        .await?;
    reply(json!({ "chunk": chunk }))
}

async fn joined_members(Path(room_id): Path<String>, ask: Ask) -> Reply {
    let effect = |server: &mut Homeserver, who: &Requester| server.joined_members(who, &room_id);
    reply(
        ask.call("list_joined_members", Some(&room_id), json!({}), effect)
            .await?,
    )
}

async fn room_state(Path(room_id): Path<String>, ask: Ask) -> Reply {
    let effect = |server: &mut Homeserver, who: &Requester| server.room_state(who, &room_id);
    reply(json!(
        ask.call("get_room_state", Some(&room_id), json!({}), effect)
            .await?
    ))
}

async fn get_state(Path((room_id, kind)): Path<(String, String)>, ask: Ask) -> Reply {
    read_state(&room_id, &kind, "", ask).await
}

async fn get_keyed_state(Path((room_id, kind, key)): Path<(String, String, String)>, ask: Ask) -> Reply {
    read_state(&room_id, &kind, &key, ask).await
}

async fn read_state(room_id: &str, kind: &str, key: &str, ask: Ask) -> Reply {
    let whole = match ask.query("format") {
        None | Some("content") => false,
        Some("event") => true,
        Some(_) => {
            let words = "Query parameter 'format' must be one of ['content', 'event']";
            return Err(Refusal::new(400, "M_INVALID_PARAM", words).into());
        }
    };
    let arguments = json!({ "event_type": kind, "state_key": key });
    let effect =
        |server: &mut Homeserver, who: &Requester| server.get_state_event(who, room_id, kind, key, whole);
    reply(
        ask.call("get_state_event", Some(room_id), arguments, effect)
            .await?,
    )
}

async fn set_state(Path((room_id, kind)): Path<(String, String)>, ask: Ask) -> Reply {
    write_state(&room_id, &kind, "", ask).await
}

async fn set_keyed_state(Path((room_id, kind, key)): Path<(String, String, String)>, ask: Ask) -> Reply {
    write_state(&room_id, &kind, &key, ask).await
}

async fn write_state(room_id: &str, kind: &str, key: &str, ask: Ask) -> Reply {
    let ts = ask.number("ts")?;
    let content = ask.object();
    let arguments = json!({ "event_type": kind, "state_key": key, "content": content.as_ref().ok() });
    let effect = |server: &mut Homeserver, who: &Requester| {
        server.set_state_event(who, room_id, kind, key, content?, ts)
    };
    let event_id = ask
        .call("set_state_event", Some(room_id), arguments, effect)
        .await?;
    reply(json!({ "event_id": event_id }))
}

async fn set_typing(Path((room_id, user_id)): Path<(String, String)>, ask: Ask) -> Reply {
    let body = ask.object()?;
    let Some(typing) = body.get("typing").and_then(Value::as_bool) else {
        return Err(Refusal::new(500, "M_UNKNOWN", "Internal server error").into());
    };
    let timeout = body.get("timeout").and_then(Value::as_u64).unwrap_or(30_000);
    let timeout = typing.then_some(timeout);
    let arguments = json!({ "timeout": timeout });
    let effect =
        |server: &mut Homeserver, who: &Requester| server.set_typing(who, &room_id, &user_id, timeout);
    ask.call("set_typing", Some(&room_id), arguments, effect).await?;
    done()
}

async fn send_receipt(Path((room_id, kind, event_id)): Path<(String, String, String)>, ask: Ask) -> Reply {
    let body = ask.object()?;
    let thread = match body.get("thread_id") {
        None => None,
        Some(Value::String(thread)) if !thread.is_empty() => Some(thread.as_str()),
        Some(_) => {
            let words = "thread_id field must be a non-empty string";
            return Err(Refusal::new(400, "M_INVALID_PARAM", words).into());
        }
    };
    let arguments = json!({ "event_id": event_id, "receipt_type": kind, "thread_id": thread });
    let effect = |server: &mut Homeserver, who: &Requester| {
        server.send_receipt(who, &room_id, &kind, &event_id, thread)
    };
    ask.call("send_receipt", Some(&room_id), arguments, effect)
        .await?;
    done()
}

async fn read_markers(Path(room_id): Path<String>, ask: Ask) -> Reply {
    let body = ask.object()?;
    let effect = |server: &mut Homeserver, who: &Requester| set_markers(server, who, &room_id, &body);
    ask.call(
        "read_markers",
        Some(&room_id),
        Value::Object(body.clone()),
        effect,
    )
    .await?;
    done()
}

fn set_markers(server: &mut Homeserver, who: &Requester, room_id: &str, body: &Object) -> Answer<()> {
    for kind in ["m.fully_read", "m.read", "m.read.private"] {
        if let Some(event_id) = text(body, kind) {
            server.send_receipt(who, room_id, kind, event_id, None)?;
        }
    }
    Ok(())
}

async fn hierarchy(Path(room_id): Path<String>, ask: Ask) -> Reply {
    let query = HierarchyQuery {
        from: ask.query("from").map(ToOwned::to_owned),
        limit: ask.number("limit")?,
        max_depth: ask.number("max_depth")?,
        suggested_only: ask.flag("suggested_only"),
    };
    let arguments = json!({ "from": query.from, "limit": query.limit, "max_depth": query.max_depth });
    let effect = |server: &mut Homeserver, who: &Requester| server.hierarchy(who, &room_id, &query);
    reply(
        ask.call("list_space_children", Some(&room_id), arguments, effect)
            .await?,
    )
}

async fn room_summary(Path(room): Path<String>, ask: Ask) -> Reply {
    let arguments = json!({ "room": room });
    reply(
        ask.call("room_summary", about(&room), arguments, |server, who| {
            server.room_summary(who, &room)
        })
        .await?,
    )
}
