//! Aliases, the directory of rooms, and that of users.

use axum::{
    Router,
    extract::Path,
    routing::{get, post},
};
use matrix_client::fake::{FakeMatrix, Homeserver, Refusal, Requester};
use serde_json::{Value, json};

use super::ask::{Ask, Reply, Routes, done, reply, required, text};

pub(super) fn router() -> Router<FakeMatrix> {
    Routes::new()
        .both("/directory/room/{alias}", get(resolve).put(create).delete(delete))
        .both(
            "/directory/list/room/{room_id}",
            get(visibility).put(set_visibility),
        )
        .both("/rooms/{room_id}/aliases", get(room_aliases))
        .both("/publicRooms", get(public_rooms).post(search_rooms))
        .both("/user_directory/search", post(search_users))
        .0
}

async fn resolve(Path(alias): Path<String>, ask: Ask) -> Reply {
    let room_id = ask.matrix.resolve_alias_as(&ask.credentials, &alias).await?;
    let (_, server) = alias.split_once(':').unwrap_or_default();
    reply(json!({ "room_id": room_id, "servers": [server] }))
}

async fn create(Path(alias): Path<String>, ask: Ask) -> Reply {
    let body = ask.object()?;
    let room_id = text(&body, "room_id").map(ToOwned::to_owned);
    let Some(room_id) = room_id else {
        return Err(Refusal::new(400, "M_MISSING_PARAM", "room_id: Field required").into());
    };
    let arguments = json!({ "alias": alias });
    let effect = |server: &mut Homeserver, who: &Requester| server.create_alias(who, &alias, &room_id);
    ask.call("create_alias", Some(&room_id), arguments, effect)
        .await?;
    done()
}

async fn delete(Path(alias): Path<String>, ask: Ask) -> Reply {
    let arguments = json!({ "alias": alias });
    ask.call("delete_alias", None, arguments, |server, who| {
        server.delete_alias(who, &alias)
    })
    .await?;
    done()
}

async fn visibility(Path(room_id): Path<String>, ask: Ask) -> Reply {
    let arguments = json!({ "room_id": room_id });
    reply(
        ask.open_call("directory_visibility", arguments, |server| {
            server.directory_visibility(&room_id)
        })
        .await?,
    )
}

async fn set_visibility(Path(room_id): Path<String>, ask: Ask) -> Reply {
    let body = ask.object_or_nothing()?;
    let public = match text(&body, "visibility") {
        None | Some("public") => true,
        Some("private") => false,
        Some(_) => {
            let words = "visibility: Input should be 'public' or 'private'";
            return Err(Refusal::new(400, "M_BAD_JSON", words).into());
        }
    };
    let arguments = json!({ "public": public });
    let effect =
        |server: &mut Homeserver, who: &Requester| server.set_directory_visibility(who, &room_id, public);
    ask.call("set_directory_visibility", Some(&room_id), arguments, effect)
        .await?;
    done()
}

async fn room_aliases(Path(room_id): Path<String>, ask: Ask) -> Reply {
    let effect = |server: &mut Homeserver, who: &Requester| server.room_aliases(who, &room_id);
    let aliases = ask
        .call("room_aliases", Some(&room_id), json!({}), effect)
        .await?;
    reply(json!({ "aliases": aliases }))
}

async fn public_rooms(ask: Ask) -> Reply {
    let limit = ask.number("limit")?;
    reply(
        ask.call("public_rooms", None, json!({}), |server, _| {
            Ok(server.public_rooms(limit, None))
        })
        .await?,
    )
}

async fn search_rooms(ask: Ask) -> Reply {
    let body = ask.object_or_nothing()?;
    let limit = body.get("limit").and_then(Value::as_u64);
    let filter = body.get("filter").and_then(Value::as_object);
    let term = filter
        .and_then(|filter| text(filter, "generic_search_term"))
        .filter(|term| !term.is_empty());
    let arguments = json!({ "limit": limit, "generic_search_term": term });
    reply(
        ask.call("public_rooms", None, arguments, |server, _| {
            Ok(server.public_rooms(limit, term))
        })
        .await?,
    )
}

async fn search_users(ask: Ask) -> Reply {
    let body = ask.object()?;
    let limit = body.get("limit").and_then(Value::as_u64).unwrap_or(10).min(50);
    let limit = usize::try_from(limit).unwrap_or(10);
    let effect = |server: &mut Homeserver, who: &Requester| {
        let term = required(&body, "search_term")?;
        Ok(server.search_users(who, term, limit))
    };
    reply(
        ask.call("search_users", None, json!({ "limit": limit }), effect)
            .await?,
    )
}
