use ruma::RoomVersionId;
use serde_json::{Map, Value, json};

use super::{
    CaseResult, Failure, MatrixErrorKind as Kind, NewRoom, RoomId, RoomPreset, Session, Subject, ensure,
    failed, refused, same, some,
};
use crate::{MatrixApiExt, MemberFilter, MembershipState, StateEventType, SyncRequest};

async fn state(t: &Subject, session: &Session, room: &RoomId, kind: StateEventType) -> CaseResult<Value> {
    Ok(t.api().get_state_event(session, room, &kind, "").await?)
}

pub(super) async fn a_new_room_has_its_creator_as_member(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    same(t.api().list_joined_rooms(&user).await?, vec![room.clone()])?;
    let members = t.api().list_members(&user, &room, &MemberFilter::all()).await?;
    same(members.len(), 1)?;
    same(
        (&members[0].user_id, &members[0].membership),
        (&user.user_id, &MembershipState::Join),
    )?;
    let create = t.api().get_room_state(&user, &room).await?;
    let create = create
        .iter()
        .find(|event| event.is_state(&StateEventType::RoomCreate, ""));
    same(&some(create, "create event")?.sender, &user.user_id)
}

pub(super) async fn a_new_room_has_what_was_asked_for(t: &Subject) -> CaseResult {
    let (user, guest) = (t.user().await?, t.user().await?);
    let localpart = t.unique("alias");
    let alias = t.alias(&localpart)?;
    let marker = StateEventType::from("test.letta.marker");
    let new = NewRoom::room()
        .preset(RoomPreset::PrivateChat)
        .name("Agent Alpha")
        .topic("talks 🤖")
        .alias_localpart(&localpart)
        .invite([guest.user_id.clone()])
        .initial_state(marker.clone(), "k", json!({ "agent": "agent-001" }));
    let room = t.api().create_room(&user, &new).await?;
    same(
        state(t, &user, &room, StateEventType::RoomName).await?["name"].as_str(),
        Some("Agent Alpha"),
    )?;
    same(
        state(t, &user, &room, StateEventType::RoomTopic).await?["topic"].as_str(),
        Some("talks 🤖"),
    )?;
    let canonical = state(t, &user, &room, StateEventType::RoomCanonicalAlias).await?;
    same(canonical["alias"].as_str(), Some(alias.as_str()))?;
    same(t.api().resolve_alias(&user, &alias).await?, room.clone())?;
    same(
        t.api().get_state_event(&user, &room, &marker, "k").await?,
        json!({ "agent": "agent-001" }),
    )?;
    let invited = t
        .api()
        .list_members(&user, &room, &MemberFilter::only(MembershipState::Invite))
        .await?;
    same(
        invited
            .into_iter()
            .map(|member| member.user_id)
            .collect::<Vec<_>>(),
        vec![guest.user_id],
    )
}

pub(super) async fn a_taken_alias_is_room_in_use_and_makes_no_room(t: &Subject) -> CaseResult {
    let (first, second) = (t.user().await?, t.user().await?);
    let new = NewRoom::room().alias_localpart(t.unique("alias"));
    let room = t.api().create_room(&first, &new).await?;
    for session in [&first, &second] {
        refused(
            t.api().create_room(session, &new).await,
            &Kind::RoomInUse,
            400,
            "M_ROOM_IN_USE",
        )?;
    }
    same(t.api().list_joined_rooms(&first).await?, vec![room])?;
    same(t.api().list_joined_rooms(&second).await?.len(), 0)
}

pub(super) async fn of_two_rooms_with_one_alias_at_the_same_time_one_is_made(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let localpart = t.unique("alias");
    let new = NewRoom::room().alias_localpart(&localpart);
    let (first, second) =
        futures_util::future::join(t.api().create_room(&user, &new), t.api().create_room(&user, &new)).await;
    let (made, error) = match (first, second) {
        (Ok(room), Err(error)) | (Err(error), Ok(room)) => (room, error),
        both => return super::fail(format!("{both:?}")),
    };
    let found = (error.kind(), error.status());
    let expected = [(&Kind::RoomInUse, Some(400)), (&Kind::Conflict, Some(409))];
    ensure(expected.contains(&found), || format!("{error:?}"))?;
    same(t.api().resolve_alias(&user, &t.alias(&localpart)?).await?, made)
}

pub(super) async fn an_alias_localpart_must_be_one(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let whole = t.alias(&t.unique("alias"))?;
    for localpart in [whole.as_str(), "with space"] {
        let error = failed(
            t.api()
                .create_room(&user, &NewRoom::room().alias_localpart(localpart))
                .await,
        )?;
        same(error.status(), Some(400))?;
    }
    same(t.api().list_joined_rooms(&user).await?.len(), 0)
}

pub(super) async fn an_alias_of_a_namespace_is_exclusive_in_a_new_room_too(t: &Subject) -> CaseResult {
    t.appservice()?;
    let Some(prefix) = &t.facts().alias_prefix else {
        return Err(Failure::skipped("the application service has no aliases"));
    };
    let user = t.user().await?;
    let new = NewRoom::room().alias_localpart(format!("{prefix}{}", t.unique("x")));
    refused(
        t.api().create_room(&user, &new).await,
        &Kind::Exclusive,
        400,
        "M_EXCLUSIVE",
    )?;
    let agent = t.agent().await?;
    t.api().create_room(&agent, &new).await?;
    Ok(())
}

pub(super) async fn an_unknown_room_version_is_unsupported(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let version =
        RoomVersionId::try_from("test.no-such-version").or_else(|error| super::fail(error.to_string()))?;
    let result = t
        .api()
        .create_room(&user, &NewRoom::room().room_version(version))
        .await;
    refused(
        result,
        &Kind::UnsupportedRoomVersion,
        400,
        "M_UNSUPPORTED_ROOM_VERSION",
    )
    .map(|_| ())
}

pub(super) async fn an_unknown_preset_is_refused(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let result = t
        .api()
        .create_room(&user, &NewRoom::room().preset(RoomPreset::from("no_such_preset")))
        .await;
    refused(result, &Kind::BadJson, 400, "M_BAD_JSON").map(|_| ())
}

pub(super) async fn inviting_oneself_is_forbidden(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let result = t
        .api()
        .create_room(&user, &NewRoom::room().invite([user.user_id.clone()]))
        .await;
    refused(result, &Kind::Forbidden, 403, "M_FORBIDDEN").map(|_| ())
}

pub(super) async fn inviting_a_local_user_who_does_not_exist_works(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let nobody = t.user_id(&t.unique("nobody"))?;
    let room = t
        .api()
        .create_room(&user, &NewRoom::room().invite([nobody.clone()]))
        .await?;
    let invited = t
        .api()
        .list_members(&user, &room, &MemberFilter::only(MembershipState::Invite))
        .await?;
    same(
        invited.iter().map(|member| &member.user_id).collect::<Vec<_>>(),
        vec![&nobody],
    )?;
    let other = t.user_id(&t.unique("nobody"))?;
    t.api().invite_user(&user, &room, &other, None).await?;
    Ok(())
}

async fn version(t: &Subject, session: &Session, room: &RoomId) -> CaseResult<String> {
    let create = state(t, session, room, StateEventType::RoomCreate).await?;
    Ok(some(create["room_version"].as_str(), "room version")?.to_owned())
}

pub(super) async fn the_default_version_is_the_one_of_the_server(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    same(
        version(t, &user, &room).await?,
        t.facts().default_room_version.to_string(),
    )
}

async fn room_of(
    t: &Subject,
    session: &Session,
    version: RoomVersionId,
    new: NewRoom,
) -> CaseResult<ruma::OwnedRoomId> {
    let room = t
        .api()
        .create_room(session, &new.room_version(version.clone()))
        .await?;
    same(self::version(t, session, &room).await?, version.to_string())?;
    Ok(room)
}

pub(super) async fn in_version_11_ids_have_a_server_and_creators_a_power_level(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = room_of(t, &user, RoomVersionId::V11, NewRoom::room()).await?;
    same(
        room.server_name().map(ToOwned::to_owned),
        Some(t.facts().server_name.clone()),
    )?;
    let levels = state(t, &user, &room, StateEventType::RoomPowerLevels).await?;
    same(&levels["users"], &json!({ user.user_id.as_str(): 100 }))?;
    let mut overrides = Map::new();
    overrides.insert("users".to_owned(), json!({ user.user_id.as_str(): 100 }));
    room_of(
        t,
        &user,
        RoomVersionId::V11,
        NewRoom::room().power_level_overrides(overrides),
    )
    .await?;
    Ok(())
}

pub(super) async fn in_version_12_ids_have_no_server_and_creators_no_power_level(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = room_of(t, &user, RoomVersionId::V12, NewRoom::room()).await?;
    same(room.server_name(), None)?;
    same(room.as_str().len(), 44)?;
    let events = t.api().get_room_state(&user, &room).await?;
    let create = events
        .iter()
        .find(|event| event.is_state(&StateEventType::RoomCreate, ""));
    same(
        &some(create, "create event")?.event_id.as_str()[1..],
        &room.as_str()[1..],
    )?;
    let levels = state(t, &user, &room, StateEventType::RoomPowerLevels).await?;
    same(&levels["users"], &json!({}))?;
    same(&levels["events"]["m.room.tombstone"], &json!(150))
}

pub(super) async fn in_version_12_naming_the_creator_in_power_levels_is_refused(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let mut overrides = Map::new();
    overrides.insert("users".to_owned(), json!({ user.user_id.as_str(): 100 }));
    let new = NewRoom::room()
        .room_version(RoomVersionId::V12)
        .power_level_overrides(overrides);
    let unknown = Kind::Other {
        errcode: "M_UNKNOWN".to_owned(),
    };
    refused(t.api().create_room(&user, &new).await, &unknown, 400, "M_UNKNOWN")?;
    let room = room_of(t, &user, RoomVersionId::V12, NewRoom::room()).await?;
    let mut levels = state(t, &user, &room, StateEventType::RoomPowerLevels).await?;
    levels["users"] = json!({ user.user_id.as_str(): 100 });
    let set = t
        .api()
        .set_state_event(&user, &room, &StateEventType::RoomPowerLevels, "", &levels)
        .await;
    same(failed(set)?.status(), Some(400))
}

pub(super) async fn a_trusted_private_chat_makes_every_invited_one_a_peer(t: &Subject) -> CaseResult {
    let (user, guest) = (t.user().await?, t.user().await?);
    let trusted = || {
        NewRoom::room()
            .preset(RoomPreset::TrustedPrivateChat)
            .invite([guest.user_id.clone()])
    };
    let old = room_of(t, &user, RoomVersionId::V11, trusted()).await?;
    let levels = state(t, &user, &old, StateEventType::RoomPowerLevels).await?;
    same(&levels["users"][guest.user_id.as_str()], &json!(100))?;
    let new = room_of(t, &user, RoomVersionId::V12, trusted()).await?;
    let create = state(t, &user, &new, StateEventType::RoomCreate).await?;
    same(&create["additional_creators"], &json!([guest.user_id]))
}

pub(super) async fn presets_set_the_join_rule(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    for (preset, rule) in [
        (RoomPreset::PrivateChat, "invite"),
        (RoomPreset::TrustedPrivateChat, "invite"),
        (RoomPreset::PublicChat, "public"),
    ] {
        let room = t
            .api()
            .create_room(&user, &NewRoom::room().preset(preset))
            .await?;
        let rules = state(t, &user, &room, StateEventType::RoomJoinRules).await?;
        same(rules["join_rule"].as_str(), Some(rule))?;
    }
    Ok(())
}

pub(super) async fn power_levels_can_be_overridden(t: &Subject) -> CaseResult {
    let (user, guest) = (t.user().await?, t.user().await?);
    let mut overrides = Map::new();
    overrides.insert("events_default".to_owned(), json!(7));
    overrides.insert("users".to_owned(), json!({ guest.user_id.as_str(): 50 }));
    let room = t
        .api()
        .create_room(&user, &NewRoom::room().power_level_overrides(overrides))
        .await?;
    let levels = state(t, &user, &room, StateEventType::RoomPowerLevels).await?;
    same(&levels["events_default"], &json!(7))?;
    same(&levels["users"][guest.user_id.as_str()], &json!(50))?;
    // What is not named keeps its default.
    same(&levels["kick"], &json!(50))
}

pub(super) async fn a_space_is_a_room_of_its_own_type(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let space = t
        .api()
        .create_room(&user, &NewRoom::space().name("Letta Agents"))
        .await?;
    let create = state(t, &user, &space, StateEventType::RoomCreate).await?;
    same(create["type"].as_str(), Some("m.space"))?;
    let room = t.room(&user).await?;
    same(
        state(t, &user, &room, StateEventType::RoomCreate)
            .await?
            .get("type"),
        None,
    )
}

pub(super) async fn fields_of_the_create_event_can_be_added(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let new = NewRoom::room()
        .federate(false)
        .creation_field("test.letta.agent", json!("agent-001"));
    let room = t.api().create_room(&user, &new).await?;
    let create = state(t, &user, &room, StateEventType::RoomCreate).await?;
    same(
        (&create["m.federate"], &create["test.letta.agent"]),
        (&json!(false), &json!("agent-001")),
    )
}

pub(super) async fn an_invitation_to_a_direct_chat_says_so(t: &Subject) -> CaseResult {
    let (user, guest) = (t.user().await?, t.user().await?);
    let new = NewRoom::room().is_direct(true).invite([guest.user_id.clone()]);
    let room = t.api().create_room(&user, &new).await?;
    let kind = StateEventType::RoomMember;
    let invitation = t
        .api()
        .find_state_event(&user, &room, &kind, guest.user_id.as_str())
        .await?;
    same(&some(invitation, "invitation")?["is_direct"], &json!(true))?;
    let sync = t.api().sync(&guest, &SyncRequest::initial()).await?;
    let invited = some(sync.invited.get(&room), "invitation in the sync")?;
    let own = invited
        .state
        .iter()
        .find(|event| event.state_key == guest.user_id.as_str());
    same(
        &some(own, "invitation itself")?.content["is_direct"],
        &json!(true),
    )
}
