use ruma::event_id;
use serde_json::{Map, Value, json};

use super::{CaseResult, MatrixErrorKind as Kind, Subject, ensure, failed, refused, same, some};
use crate::{
    MatrixApiExt, MessagesRequest,
    content::{self, Message},
};

fn replacement(unsigned: &Map<String, Value>) -> Option<&Value> {
    unsigned.get("m.relations")?.get("m.replace")
}

pub(super) async fn an_edited_event_keeps_its_content_and_names_the_edit(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    let id = t.say(&user, &room, "before").await?;
    let edit = t
        .api()
        .edit_message(&user, &room, &id, &t.txn(), &Message::text("after"))
        .await?;
    let event = t.api().get_event(&user, &room, &id).await?;
    same(event.content["body"].as_str(), Some("before"))?;
    let replace = some(replacement(&event.unsigned), "edit in unsigned")?;
    same(replace["event_id"].as_str(), Some(edit.as_str()))?;
    let edit = t.api().get_event(&user, &room, &edit).await?;
    same(content::edited_event(&edit.content), Some(&*id))?;
    same(edit.content["m.new_content"]["body"].as_str(), Some("after"))
}

pub(super) async fn an_edit_of_somebody_elses_event_is_delivered_but_not_applied(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.bring(&owner, &room, &guest).await?;
    let id = t.say(&owner, &room, "mine").await?;
    let forged = t
        .api()
        .edit_message(&guest, &room, &id, &t.txn(), &Message::text("forged"))
        .await?;
    let event = t.api().get_event(&owner, &room, &id).await?;
    same(replacement(&event.unsigned), None)?;
    let page = t
        .api()
        .list_messages(&owner, &room, &MessagesRequest::backward())
        .await?;
    let delivered = some(
        page.events.iter().find(|event| event.event_id == forged),
        "forged edit",
    )?;
    same(&delivered.sender, &guest.user_id)
}

pub(super) async fn the_same_reaction_twice_is_a_duplicate(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.bring(&owner, &room, &guest).await?;
    let id = t.say(&owner, &room, "x").await?;
    let txn = t.txn();
    let first = t.api().send_reaction(&owner, &room, &id, &txn, "✅").await?;
    let again = t.api().send_reaction(&owner, &room, &id, &t.txn(), "✅").await;
    refused(again, &Kind::DuplicateAnnotation, 400, "M_DUPLICATE_ANNOTATION")?;
    // With the same transaction id it is the same request, another key or another user is another reaction.
    same(
        t.api().send_reaction(&owner, &room, &id, &txn, "✅").await?,
        first.clone(),
    )?;
    t.api().send_reaction(&owner, &room, &id, &t.txn(), "❌").await?;
    t.api().send_reaction(&guest, &room, &id, &t.txn(), "✅").await?;
    let event = t.api().get_event(&guest, &room, &first).await?;
    same(content::reaction_target(&event.content), Some((&*id, "✅")))
}

pub(super) async fn a_thread_cannot_start_from_an_event_with_a_relation(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    let root = t.say(&user, &room, "root").await?;
    let reply = Message::text("reply").in_thread(&root, &root);
    let reply = t.api().send_message(&user, &room, &t.txn(), &reply).await?;
    let event = t.api().get_event(&user, &room, &reply).await?;
    same(content::thread_root(&event.content), Some(&*root))?;
    let nested = Message::text("nested").in_thread(&reply, &reply);
    let error = failed(t.api().send_message(&user, &room, &t.txn(), &nested).await)?;
    same(error.status(), Some(400))
}

pub(super) async fn a_thread_needs_an_event_that_exists(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    let unknown = event_id!("$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let message = Message::text("x").in_thread(unknown, unknown);
    let error = failed(t.api().send_message(&user, &room, &t.txn(), &message).await)?;
    same(error.status(), Some(400))
}

pub(super) async fn messages_mention_whom_they_name(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    for (message, mentions) in [
        (Message::text("@room hi"), json!({})),
        (
            Message::notice("hi").mention([guest.user_id.clone()]),
            json!({ "user_ids": [guest.user_id] }),
        ),
    ] {
        let id = t.api().send_message(&owner, &room, &t.txn(), &message).await?;
        let event = t.api().get_event(&owner, &room, &id).await?;
        same(&event.content["m.mentions"], &mentions)?;
        ensure(event.content["msgtype"].is_string(), || format!("{event:?}"))?;
    }
    Ok(())
}
