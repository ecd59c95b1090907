use ruma::{
    events::{room::name::RoomNameEventContent, space::parent::SpaceParentEventContent},
    room_id,
};
use serde_json::json;

use super::{CaseResult, MatrixErrorKind as Kind, NewRoom, Subject, ensure, failed, refused, same, some};
use crate::{MatrixApiExt, MemberFilter, MessagesRequest, StateEventType};

fn marker() -> StateEventType {
    StateEventType::from("test.letta.marker")
}

pub(super) async fn state_can_be_set_and_read(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.bring(&owner, &room, &guest).await?;
    let content =
        json!({ "agent": "agent-001", "nested": { "list": [1, "zwei", null, true], "größe": "🤖" } });
    let first = t
        .api()
        .set_state_event(&owner, &room, &marker(), "a", &content)
        .await?;
    let other = t
        .api()
        .set_state_event(&owner, &room, &marker(), "b", &json!({ "x": 1 }))
        .await?;
    ensure(first != other, || "two events with one id".to_owned())?;
    same(
        t.api().get_state_event(&guest, &room, &marker(), "a").await?,
        content,
    )?;
    same(
        t.api().get_state_event(&guest, &room, &marker(), "b").await?,
        json!({ "x": 1 }),
    )?;
    t.api().set_room_name(&owner, &room, "Agent Beta").await?;
    t.api().set_room_topic(&owner, &room, "news").await?;
    let name = t
        .api()
        .get_state_event(&guest, &room, &StateEventType::RoomName, "")
        .await?;
    same(name["name"].as_str(), Some("Agent Beta"))?;
    let topic = t
        .api()
        .get_state_event(&guest, &room, &StateEventType::RoomTopic, "")
        .await?;
    same(topic["topic"].as_str(), Some("news"))
}

pub(super) async fn setting_the_same_state_again_makes_no_new_event(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    let first = t.api().set_room_name(&user, &room, "one").await?;
    same(t.api().set_room_name(&user, &room, "one").await?, first.clone())?;
    let second = t.api().set_room_name(&user, &room, "two").await?;
    ensure(second != first, || {
        "another content with the same event".to_owned()
    })?;
    let third = t.api().set_room_name(&user, &room, "one").await?;
    ensure(third != first && third != second, || {
        "an event of the past was taken for the present one".to_owned()
    })
}

pub(super) async fn absent_state_is_not_found_and_emptied_state_is_empty(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    let absent = t.api().get_state_event(&user, &room, &marker(), "").await;
    refused(absent, &Kind::NotFound, 404, "M_NOT_FOUND")?;
    same(t.api().find_state_event(&user, &room, &marker(), "").await?, None)?;
    t.api()
        .set_state_event(&user, &room, &marker(), "", &json!({ "x": 1 }))
        .await?;
    let other_key = t.api().get_state_event(&user, &room, &marker(), "other").await;
    refused(other_key, &Kind::NotFound, 404, "M_NOT_FOUND")?;
    t.api()
        .set_state_event(&user, &room, &marker(), "", &json!({}))
        .await?;
    same(
        t.api().get_state_event(&user, &room, &marker(), "").await?,
        json!({}),
    )
}

pub(super) async fn whoever_is_not_in_the_room_may_not_read_its_state(t: &Subject) -> CaseResult {
    let (owner, stranger, invited) = (t.user().await?, t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.invite(&owner, &room, &invited).await?;
    for session in [&stranger, &invited] {
        let one = t
            .api()
            .get_state_event(session, &room, &StateEventType::RoomCreate, "")
            .await;
        refused(one, &Kind::Forbidden, 403, "M_FORBIDDEN")?;
        refused(
            t.api().get_room_state(session, &room).await,
            &Kind::Forbidden,
            403,
            "M_FORBIDDEN",
        )?;
        let members = t.api().list_members(session, &room, &MemberFilter::all()).await;
        refused(members, &Kind::Forbidden, 403, "M_FORBIDDEN")?;
        refused(
            t.api().list_joined_members(session, &room).await,
            &Kind::Forbidden,
            403,
            "M_FORBIDDEN",
        )?;
        let messages = t
            .api()
            .list_messages(session, &room, &MessagesRequest::backward())
            .await;
        refused(messages, &Kind::Forbidden, 403, "M_FORBIDDEN")?;
    }
    Ok(())
}

pub(super) async fn an_unknown_room_is_forbidden_like_any_other(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = room_id!("!AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let read = t
        .api()
        .get_state_event(&user, room, &StateEventType::RoomCreate, "")
        .await;
    refused(read, &Kind::Forbidden, 403, "M_FORBIDDEN")?;
    refused(
        t.api().set_room_name(&user, room, "x").await,
        &Kind::Forbidden,
        403,
        "M_FORBIDDEN",
    )
    .map(|_| ())
}

pub(super) async fn setting_state_takes_power(t: &Subject) -> CaseResult {
    let (owner, guest, stranger) = (t.user().await?, t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.bring(&owner, &room, &guest).await?;
    for session in [&guest, &stranger] {
        let result = t.api().set_room_name(session, &room, "mine").await;
        refused(result, &Kind::Forbidden, 403, "M_FORBIDDEN")?;
    }
    same(
        t.api()
            .find_state_event(&owner, &room, &StateEventType::RoomName, "")
            .await?,
        None,
    )
}

pub(super) async fn content_that_is_not_an_object_is_bad_json(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    for content in [json!([1]), json!("x"), json!(null)] {
        let result = t
            .api()
            .set_state_event(&user, &room, &marker(), "", &content)
            .await;
        refused(result, &Kind::BadJson, 400, "M_BAD_JSON")?;
    }
    Ok(())
}

pub(super) async fn a_canonical_alias_must_point_to_the_room(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let (room, other) = (t.room(&user).await?, t.room(&user).await?);
    let alias = t.alias(&t.unique("alias"))?;
    let canonical = crate::content::canonical_alias(Some(&alias));
    let kind = StateEventType::RoomCanonicalAlias;
    let nowhere = t.api().set_state_event(&user, &room, &kind, "", &canonical).await;
    refused(nowhere, &Kind::BadAlias, 400, "M_BAD_ALIAS")?;
    t.api().create_alias(&user, &alias, &other).await?;
    let elsewhere = t.api().set_state_event(&user, &room, &kind, "", &canonical).await;
    refused(elsewhere, &Kind::BadAlias, 400, "M_BAD_ALIAS")?;
    t.api()
        .set_state_event(&user, &other, &kind, "", &canonical)
        .await?;
    Ok(())
}

pub(super) async fn a_state_key_may_hold_any_character(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    for key in [
        "a/b",
        "k/é ?#%",
        "%2F",
        "!room:matrix.test",
        "🤖",
        "a b",
        "x".repeat(255).as_str(),
    ] {
        let content = json!({ "key": key });
        t.api()
            .set_state_event(&user, &room, &marker(), key, &content)
            .await?;
        same(
            t.api().get_state_event(&user, &room, &marker(), key).await?,
            content,
        )?;
    }
    Ok(())
}

pub(super) async fn the_room_state_lists_every_event(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let new = NewRoom::room()
        .name("x")
        .initial_state(marker(), "k", json!({ "x": 1 }));
    let room = t.api().create_room(&user, &new).await?;
    let changed = t
        .api()
        .set_state_event(&user, &room, &marker(), "k", &json!({ "x": 2 }))
        .await?;
    let state = t.api().get_room_state(&user, &room).await?;
    for (kind, key) in [
        (StateEventType::RoomCreate, ""),
        (StateEventType::RoomMember, user.user_id.as_str()),
        (StateEventType::RoomPowerLevels, ""),
        (StateEventType::RoomJoinRules, ""),
        (StateEventType::RoomName, ""),
        (marker(), "k"),
    ] {
        same(state.iter().filter(|event| event.is_state(&kind, key)).count(), 1)?;
    }
    let event = some(
        state.iter().find(|event| event.is_state(&marker(), "k")),
        "marker",
    )?;
    same(
        (&event.event_id, &event.content["x"], &event.sender),
        (&changed, &json!(2), &user.user_id),
    )
}

pub(super) async fn typed_state_goes_through_and_misshapen_state_is_named(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    same(
        t.api()
            .find_state::<RoomNameEventContent>(&user, &room, "")
            .await?
            .is_none(),
        true,
    )?;
    t.api()
        .set_state(&user, &room, "", &RoomNameEventContent::new("typed".to_owned()))
        .await?;
    let name = t
        .api()
        .find_state::<RoomNameEventContent>(&user, &room, "")
        .await?;
    same(some(name, "name")?.name, "typed")?;
    // Servers check what they use themselves, such as names, and nothing else.
    let name = t
        .api()
        .set_state_event(&user, &room, &StateEventType::RoomName, "", &json!({ "name": 5 }))
        .await;
    same(failed(name)?.status(), Some(400))?;
    let parent = StateEventType::SpaceParent;
    t.api()
        .set_state_event(&user, &room, &parent, room.as_str(), &json!({ "via": [5] }))
        .await?;
    let error = failed(
        t.api()
            .find_state::<SpaceParentEventContent>(&user, &room, room.as_str())
            .await,
    )?;
    same(
        error.kind(),
        &Kind::Decode {
            path: "via[0]".to_owned(),
        },
    )
}
