//! Sending, taking back, reading.

use axum::{
    Router,
    extract::Path,
    routing::{get, post, put},
};
use matrix_client::fake::{
    FakeMatrix, HistoryRequest, Homeserver, Object, Page, Refusal, Requester, Sending,
};
use serde_json::{Value, json};

use super::ask::{Ask, Reply, Routes, done, reply};

pub(super) fn router() -> Router<FakeMatrix> {
    Routes::new()
        .both(
            "/rooms/{room_id}/send/{event_type}",
            post(send_without_transaction),
        )
        .both("/rooms/{room_id}/send/{event_type}/{transaction_id}", put(send))
        .both(
            "/rooms/{room_id}/redact/{event_id}",
            post(redact_without_transaction),
        )
        .both("/rooms/{room_id}/redact/{event_id}/{transaction_id}", put(redact))
        .both("/rooms/{room_id}/event/{event_id}", get(get_event))
        .both("/rooms/{room_id}/context/{event_id}", get(context))
        .both("/rooms/{room_id}/messages", get(messages))
        .both("/sendToDevice/{event_type}/{transaction_id}", put(send_to_device))
        .exact(
            "/_matrix/client/v1/rooms/{room_id}/relations/{event_id}",
            get(relations),
        )
        .exact(
            "/_matrix/client/v1/rooms/{room_id}/relations/{event_id}/{rel_type}",
            get(relations_of_type),
        )
        .exact(
            "/_matrix/client/v1/rooms/{room_id}/relations/{event_id}/{rel_type}/{event_type}",
            get(relations_of_types),
        )
        .exact("/_matrix/client/v1/rooms/{room_id}/threads", get(threads))
        .0
}

async fn send(Path((room_id, kind, id)): Path<(String, String, String)>, ask: Ask) -> Reply {
    send_event(&room_id, &kind, Some(&id), ask).await
}

async fn send_without_transaction(Path((room_id, kind)): Path<(String, String)>, ask: Ask) -> Reply {
    send_event(&room_id, &kind, None, ask).await
}

async fn send_event(room_id: &str, kind: &str, id: Option<&str>, ask: Ask) -> Reply {
    let sending = Sending {
        room_id,
        event_type: kind,
        transaction_id: id,
        ts: ask.number("ts")?,
    };
    let content = ask.object();
    let arguments = json!({ "event_type": kind, "transaction_id": id, "content": content.as_ref().ok() });
    let effect = |server: &mut Homeserver, who: &Requester| server.send_event(who, sending, content?);
    let event_id = ask
        .call("send_message_event", Some(room_id), arguments, effect)
        .await?;
    reply(json!({ "event_id": event_id }))
}

async fn redact(Path((room_id, event_id, id)): Path<(String, String, String)>, ask: Ask) -> Reply {
    redact_event(&room_id, &event_id, Some(&id), ask).await
}

async fn redact_without_transaction(Path((room_id, event_id)): Path<(String, String)>, ask: Ask) -> Reply {
    redact_event(&room_id, &event_id, None, ask).await
}

async fn redact_event(room_id: &str, event_id: &str, id: Option<&str>, ask: Ask) -> Reply {
    let content = ask.object_or_nothing()?;
    let arguments = json!({ "event_id": event_id, "transaction_id": id, "reason": content.get("reason") });
    let effect =
        |server: &mut Homeserver, who: &Requester| server.redact_event(who, room_id, event_id, id, content);
    let redaction = ask.call("redact_event", Some(room_id), arguments, effect).await?;
    reply(json!({ "event_id": redaction }))
}

async fn get_event(Path((room_id, event_id)): Path<(String, String)>, ask: Ask) -> Reply {
    let arguments = json!({ "event_id": event_id });
    let effect = |server: &mut Homeserver, who: &Requester| server.get_event(who, &room_id, &event_id);
    reply(ask.call("get_event", Some(&room_id), arguments, effect).await?)
}

async fn context(Path((room_id, event_id)): Path<(String, String)>, ask: Ask) -> Reply {
    let limit = ask.number("limit")?.unwrap_or(10);
    let arguments = json!({ "event_id": event_id });
    let effect = |server: &mut Homeserver, who: &Requester| server.context(who, &room_id, &event_id, limit);
    reply(ask.call("context", Some(&room_id), arguments, effect).await?)
}

async fn messages(Path(room_id): Path<String>, ask: Ask) -> Reply {
    let backward = match ask.query("dir") {
        Some("b") => true,
        Some("f") => false,
        Some(_) => {
            let words = "Query parameter 'dir' must be one of ['b', 'f']";
            return Err(Refusal::new(400, "M_INVALID_PARAM", words).into());
        }
        None => false,
    };
    let filter = match ask.query("filter") {
        None => Object::new(),
        Some(text) => serde_json::from_str(text).map_err(|_| {
            Refusal::new(
                400,
                "M_NOT_JSON",
                "Query parameter filter must be a valid JSON object",
            )
        })?,
    };
    let history = HistoryRequest {
        backward,
        from: ask.query("from").map(ToOwned::to_owned),
        to: ask.query("to").map(ToOwned::to_owned),
        limit: ask.number("limit")?,
        filter,
    };
    let arguments = json!({ "from": history.from, "to": history.to, "limit": history.limit });
    let effect = |server: &mut Homeserver, who: &Requester| server.messages(who, &room_id, &history);
    reply(
        ask.call("list_messages", Some(&room_id), arguments, effect)
            .await?,
    )
}

async fn send_to_device(Path((kind, _)): Path<(String, String)>, ask: Ask) -> Reply {
    let body = ask.object()?;
    let messages = body
        .get("messages")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let effect = |server: &mut Homeserver, who: &Requester| {
        server.send_to_device(who, &kind, &messages);
        Ok(())
    };
    ask.call("send_to_device", None, json!({ "event_type": kind }), effect)
        .await?;
    done()
}

async fn relations(Path((room_id, event_id)): Path<(String, String)>, ask: Ask) -> Reply {
    related(&room_id, &event_id, None, None, ask).await
}

async fn relations_of_type(
    Path((room_id, event_id, rel)): Path<(String, String, String)>,
    ask: Ask,
) -> Reply {
    related(&room_id, &event_id, Some(&rel), None, ask).await
}

async fn relations_of_types(
    Path((room_id, event_id, rel, kind)): Path<(String, String, String, String)>,
    ask: Ask,
) -> Reply {
    related(&room_id, &event_id, Some(&rel), Some(&kind), ask).await
}

async fn related(room_id: &str, event_id: &str, rel: Option<&str>, kind: Option<&str>, ask: Ask) -> Reply {
    let forward = ask.query("dir") == Some("f");
    let page = Page {
        from: ask.query("from"),
        limit: ask.number("limit")?,
        forward,
    };
    let arguments = json!({ "event_id": event_id, "rel_type": rel, "event_type": kind });
    let effect =
        |server: &mut Homeserver, who: &Requester| server.relations(who, room_id, event_id, rel, kind, &page);
    reply(ask.call("relations", Some(room_id), arguments, effect).await?)
}

async fn threads(Path(room_id): Path<String>, ask: Ask) -> Reply {
    let page = Page {
        from: ask.query("from"),
        limit: ask.number("limit")?,
        forward: false,
    };
    reply(
        ask.call("threads", Some(&room_id), json!({}), |server, who| {
            server.threads(who, &room_id, &page)
        })
        .await?,
    )
}
