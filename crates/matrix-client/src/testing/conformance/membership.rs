use ruma::{RoomVersionId, room_id};
use serde_json::{Map, json};

use super::{
    CaseResult, MatrixErrorKind as Kind, NewRoom, RoomPreset, Session, Subject, ensure, failed, refused,
    same, some,
};
use crate::{MemberFilter, MembershipState, Profile, StateEventType};

async fn is_joined(t: &Subject, session: &Session, room: &ruma::RoomId) -> CaseResult<bool> {
    Ok(t.api()
        .list_joined_rooms(session)
        .await?
        .iter()
        .any(|joined| joined == room))
}

pub(super) async fn a_public_room_can_be_joined_by_id_and_by_alias(t: &Subject) -> CaseResult {
    let (owner, first, second) = (t.user().await?, t.user().await?, t.user().await?);
    let localpart = t.unique("alias");
    let new = NewRoom::room()
        .preset(RoomPreset::PublicChat)
        .alias_localpart(&localpart);
    let room = t.api().create_room(&owner, &new).await?;
    same(
        t.api().join_room(&first, (&*room).into(), &[]).await?,
        room.clone(),
    )?;
    same(
        t.api()
            .join_room(&second, (&*t.alias(&localpart)?).into(), &[])
            .await?,
        room.clone(),
    )?;
    ensure(
        is_joined(t, &first, &room).await? && is_joined(t, &second, &room).await?,
        || "not joined".to_owned(),
    )
}

pub(super) async fn joining_again_succeeds(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let room = t.public_room(&owner).await?;
    for session in [&owner, &guest, &guest] {
        same(
            t.api().join_room(session, (&*room).into(), &[]).await?,
            room.clone(),
        )?;
    }
    Ok(())
}

pub(super) async fn joining_uninvited_is_forbidden(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    let result = t.api().join_room(&guest, (&*room).into(), &[]).await;
    refused(result, &Kind::Forbidden, 403, "M_FORBIDDEN")?;
    same(is_joined(t, &guest, &room).await?, false)
}

pub(super) async fn joining_what_does_not_exist_is_not_found(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = room_id!("!AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let unknown_room = t.api().join_room(&user, room.into(), &[]).await;
    refused(unknown_room, &Kind::NotFound, 404, "M_UNKNOWN")?;
    let alias = t.alias(&t.unique("alias"))?;
    let unknown_alias = t.api().join_room(&user, (&*alias).into(), &[]).await;
    refused(unknown_alias, &Kind::NotFound, 404, "M_NOT_FOUND").map(|_| ())
}

pub(super) async fn an_invited_user_can_join(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.bring(&owner, &room, &guest).await?;
    same(is_joined(t, &guest, &room).await?, true)
}

pub(super) async fn inviting_again_succeeds_and_inviting_a_member_is_forbidden(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.invite(&owner, &room, &guest).await?;
    t.invite(&owner, &room, &guest).await?;
    t.join(&guest, &room).await?;
    let again = t.api().invite_user(&owner, &room, &guest.user_id, None).await;
    refused(again, &Kind::Forbidden, 403, "M_FORBIDDEN").map(|_| ())
}

pub(super) async fn inviting_without_being_in_the_room_is_forbidden(t: &Subject) -> CaseResult {
    let (owner, stranger, guest) = (t.user().await?, t.user().await?, t.user().await?);
    let room = t.public_room(&owner).await?;
    let result = t.api().invite_user(&stranger, &room, &guest.user_id, None).await;
    refused(result, &Kind::Forbidden, 403, "M_FORBIDDEN").map(|_| ())
}

pub(super) async fn leaving_again_succeeds_and_leaving_what_one_never_was_in_is_forbidden(
    t: &Subject,
) -> CaseResult {
    let (owner, guest, stranger) = (t.user().await?, t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.bring(&owner, &room, &guest).await?;
    t.api().leave_room(&guest, &room, None).await?;
    same(is_joined(t, &guest, &room).await?, false)?;
    t.api().leave_room(&guest, &room, None).await?;
    let never = t.api().leave_room(&stranger, &room, None).await;
    refused(never, &Kind::Forbidden, 403, "M_FORBIDDEN")?;
    // Declining an invitation is leaving as well.
    t.invite(&owner, &room, &stranger).await?;
    t.api().leave_room(&stranger, &room, None).await?;
    let join = t.api().join_room(&stranger, (&*room).into(), &[]).await;
    refused(join, &Kind::Forbidden, 403, "M_FORBIDDEN").map(|_| ())
}

pub(super) async fn a_member_can_be_kicked_once(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.bring(&owner, &room, &guest).await?;
    t.api()
        .kick_user(&owner, &room, &guest.user_id, Some("enough"))
        .await?;
    same(is_joined(t, &guest, &room).await?, false)?;
    let again = t.api().kick_user(&owner, &room, &guest.user_id, None).await;
    refused(again, &Kind::Forbidden, 403, "M_FORBIDDEN").map(|_| ())
}

pub(super) async fn an_invitation_can_be_taken_back(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.invite(&owner, &room, &guest).await?;
    t.api().kick_user(&owner, &room, &guest.user_id, None).await?;
    let join = t.api().join_room(&guest, (&*room).into(), &[]).await;
    refused(join, &Kind::Forbidden, 403, "M_FORBIDDEN").map(|_| ())
}

pub(super) async fn kicking_takes_power(t: &Subject) -> CaseResult {
    let (owner, guest, other) = (t.user().await?, t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.bring(&owner, &room, &guest).await?;
    t.bring(&owner, &room, &other).await?;
    let result = t.api().kick_user(&guest, &room, &other.user_id, None).await;
    refused(result, &Kind::Forbidden, 403, "M_FORBIDDEN")?;
    same(is_joined(t, &other, &room).await?, true)
}

pub(super) async fn in_version_12_nobody_can_kick_a_creator(t: &Subject) -> CaseResult {
    let (owner, admin) = (t.user().await?, t.user().await?);
    let mut overrides = Map::new();
    overrides.insert("users".to_owned(), json!({ admin.user_id.as_str(): 100 }));
    let new = NewRoom::room()
        .room_version(RoomVersionId::V12)
        .power_level_overrides(overrides);
    let room = t.api().create_room(&owner, &new).await?;
    t.bring(&owner, &room, &admin).await?;
    let result = t.api().kick_user(&admin, &room, &owner.user_id, None).await;
    refused(result, &Kind::Forbidden, 403, "M_FORBIDDEN")?;
    // The other way round it works, whatever the level.
    t.api().kick_user(&owner, &room, &admin.user_id, None).await?;
    Ok(())
}

pub(super) async fn a_banned_user_stays_out_until_unbanned(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.bring(&owner, &room, &guest).await?;
    t.api()
        .ban_user(&owner, &room, &guest.user_id, Some("no"))
        .await?;
    t.api()
        .ban_user(&owner, &room, &guest.user_id, Some("no"))
        .await?;
    same(is_joined(t, &guest, &room).await?, false)?;
    let invite = t.api().invite_user(&owner, &room, &guest.user_id, None).await;
    refused(invite, &Kind::BadState, 403, "M_BAD_STATE")?;
    let join = t.api().join_room(&guest, (&*room).into(), &[]).await;
    refused(join, &Kind::BadState, 403, "M_BAD_STATE")?;
    t.api().unban_user(&owner, &room, &guest.user_id, None).await?;
    t.bring(&owner, &room, &guest).await?;
    same(is_joined(t, &guest, &room).await?, true)
}

pub(super) async fn banning_takes_power_but_no_membership(t: &Subject) -> CaseResult {
    let (owner, guest, stranger) = (t.user().await?, t.user().await?, t.user().await?);
    let room = t.public_room(&owner).await?;
    t.join(&guest, &room).await?;
    let by_guest = t.api().ban_user(&guest, &room, &stranger.user_id, None).await;
    refused(by_guest, &Kind::Forbidden, 403, "M_FORBIDDEN")?;
    t.api().ban_user(&owner, &room, &stranger.user_id, None).await?;
    let join = t.api().join_room(&stranger, (&*room).into(), &[]).await;
    refused(join, &Kind::BadState, 403, "M_BAD_STATE")?;
    let unban_by_guest = t.api().unban_user(&guest, &room, &stranger.user_id, None).await;
    refused(unban_by_guest, &Kind::Forbidden, 403, "M_FORBIDDEN").map(|_| ())
}

pub(super) async fn a_room_can_be_forgotten_only_after_leaving(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    let error = failed(t.api().forget_room(&user, &room).await)?;
    same(error.status(), Some(400))?;
    t.api().leave_room(&user, &room, None).await?;
    t.api().forget_room(&user, &room).await?;
    Ok(())
}

pub(super) async fn members_are_listed_by_membership(t: &Subject) -> CaseResult {
    let (owner, joined, invited, left) = (t.user().await?, t.user().await?, t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.bring(&owner, &room, &joined).await?;
    t.invite(&owner, &room, &invited).await?;
    t.bring(&owner, &room, &left).await?;
    t.api().leave_room(&left, &room, None).await?;
    let list = async |filter: MemberFilter| -> CaseResult<Vec<ruma::OwnedUserId>> {
        let members = t.api().list_members(&owner, &room, &filter).await?;
        let mut ids: Vec<_> = members.into_iter().map(|member| member.user_id).collect();
        ids.sort();
        Ok(ids)
    };
    let sorted = |sessions: &[&Session]| {
        let mut ids: Vec<_> = sessions.iter().map(|session| session.user_id.clone()).collect();
        ids.sort();
        ids
    };
    same(
        list(MemberFilter::only(MembershipState::Join)).await?,
        sorted(&[&owner, &joined]),
    )?;
    same(
        list(MemberFilter::only(MembershipState::Invite)).await?,
        sorted(&[&invited]),
    )?;
    same(
        list(MemberFilter::only(MembershipState::Leave)).await?,
        sorted(&[&left]),
    )?;
    same(list(MemberFilter::only(MembershipState::Ban)).await?, sorted(&[]))?;
    same(
        list(MemberFilter::except(MembershipState::Leave)).await?,
        sorted(&[&owner, &joined, &invited]),
    )?;
    same(
        list(MemberFilter::all()).await?,
        sorted(&[&owner, &joined, &invited, &left]),
    )
}

pub(super) async fn joined_members_have_a_name_and_an_avatar(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    t.api().set_display_name(&guest, Some("Guest 🤖")).await?;
    let avatar = ruma::mxc_uri!("mxc://matrix.test/abc");
    t.api().set_avatar_url(&guest, Some(avatar)).await?;
    let room = t.room(&owner).await?;
    t.bring(&owner, &room, &guest).await?;
    let members = t.api().list_joined_members(&owner, &room).await?;
    same(members.len(), 2)?;
    let expected = Profile::new(Some("Guest 🤖".to_owned()), Some(avatar.to_owned()));
    same(some(members.get(&guest.user_id), "guest")?, &expected)
}

pub(super) async fn invitations_are_not_joined_rooms(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.invite(&owner, &room, &guest).await?;
    same(t.api().list_joined_rooms(&guest).await?.len(), 0)
}

pub(super) async fn a_reason_is_told(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.api()
        .invite_user(&owner, &room, &guest.user_id, Some("welcome"))
        .await?;
    let kind = StateEventType::RoomMember;
    let key = guest.user_id.as_str();
    same(
        t.api().get_state_event(&owner, &room, &kind, key).await?["reason"].as_str(),
        Some("welcome"),
    )?;
    t.join(&guest, &room).await?;
    t.api().leave_room(&guest, &room, Some("late")).await?;
    same(
        t.api().get_state_event(&owner, &room, &kind, key).await?["reason"].as_str(),
        Some("late"),
    )?;
    let left = t
        .api()
        .list_members(&owner, &room, &MemberFilter::only(MembershipState::Leave))
        .await?;
    same(
        left.iter()
            .filter_map(|member| member.reason.as_deref())
            .collect::<Vec<_>>(),
        vec!["late"],
    )
}
