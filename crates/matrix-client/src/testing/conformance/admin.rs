use ruma::RoomVersionId;
use serde_json::json;

use super::{
    CaseResult, MatrixErrorKind as Kind, NewRoom, SharedSecretRegistration, Subject, ensure, eventually,
    refused, same, some,
};
use crate::{
    LoginRequest, StateEventType,
    admin::{RateLimit, RoomDeletion, RoomsRequest},
};

pub(super) async fn the_shared_secret_registers_users(t: &Subject) -> CaseResult {
    let (admin, secret) = t.admin()?;
    let name = t.unique("user");
    let registration = SharedSecretRegistration::new(&name, t.password())
        .display_name("Somebody")
        .device_id("SHAREDSECRET");
    let registered = admin.register_with_shared_secret(secret, &registration).await?;
    same(&registered.user_id, &t.user_id(&name)?)?;
    let session = some(registered.session, "session")?;
    let who = t.api().whoami(&session).await?;
    same(&who.user_id, &registered.user_id)?;
    same(
        who.device_id.as_ref().map(|device| device.as_str()),
        Some("SHAREDSECRET"),
    )?;
    same(&who.device_id, &session.device_id)?;
    t.api()
        .login(&LoginRequest::with_password(&*registered.user_id, t.password()))
        .await?;
    let profile = t.api().get_profile(&session, &registered.user_id).await?;
    same(profile.display_name.as_deref(), Some("Somebody"))?;
    let again = admin.register_with_shared_secret(secret, &registration).await;
    refused(again, &Kind::UserInUse, 400, "M_USER_IN_USE")?;
    let silent = SharedSecretRegistration::new(t.unique("user"), t.password()).inhibit_login();
    let registered = admin.register_with_shared_secret(secret, &silent).await?;
    ensure(registered.session.is_none(), || format!("{registered:?}"))
}

pub(super) async fn a_wrong_shared_secret_is_forbidden(t: &Subject) -> CaseResult {
    let (admin, _) = t.admin()?;
    let registration = SharedSecretRegistration::new(t.unique("user"), t.password());
    let result = admin
        .register_with_shared_secret(&"not-the-secret".into(), &registration)
        .await;
    refused(result, &Kind::Forbidden, 403, "M_UNKNOWN").map(|_| ())
}

pub(super) async fn a_user_is_known_or_not_found(t: &Subject) -> CaseResult {
    let (admin, _) = t.admin()?;
    let boss = t.server_admin().await?;
    let user = t.user().await?;
    let info = admin.get_user(&boss, &user.user_id).await?;
    same(
        (&info.user_id, info.admin, info.deactivated),
        (&user.user_id, false, false),
    )?;
    same(info.display_name.as_deref(), Some(user.user_id.localpart()))?;
    same(info.appservice_id, None)?;
    let created_at = some(info.created_at, "time of creation")?;
    ensure(u64::from(created_at.get()) > 1_500_000_000_000, || {
        format!("{created_at:?}")
    })?;
    same(admin.get_user(&boss, &boss.user_id).await?.admin, true)?;
    let nobody = t.user_id(&t.unique("nobody"))?;
    refused(
        admin.get_user(&boss, &nobody).await,
        &Kind::NotFound,
        404,
        "M_NOT_FOUND",
    )?;
    if let Ok(appservice) = t.appservice() {
        let agent = t.agent().await?;
        let info = admin.get_user(&boss, &agent.user_id).await?;
        same(info.appservice_id.as_deref(), Some(&*appservice.id))?;
    }
    Ok(())
}

pub(super) async fn administration_is_forbidden_for_others(t: &Subject) -> CaseResult {
    let (admin, _) = t.admin()?;
    let user = t.user().await?;
    let room = t.room(&user).await?;
    refused(
        admin.get_user(&user, &user.user_id).await,
        &Kind::Forbidden,
        403,
        "M_FORBIDDEN",
    )?;
    refused(
        admin.list_rooms(&user, &RoomsRequest::new()).await,
        &Kind::Forbidden,
        403,
        "M_FORBIDDEN",
    )?;
    let limit = admin
        .set_rate_limit_override(&user, &user.user_id, &RateLimit::UNLIMITED)
        .await;
    refused(limit, &Kind::Forbidden, 403, "M_FORBIDDEN")?;
    let delete = admin.delete_room(&user, &room, &RoomDeletion::purge()).await;
    refused(delete, &Kind::Forbidden, 403, "M_FORBIDDEN")?;
    let make = admin.make_room_admin(&user, &room, &user.user_id).await;
    refused(make, &Kind::Forbidden, 403, "M_FORBIDDEN").map(|_| ())
}

pub(super) async fn administrators_have_no_right_in_rooms(t: &Subject) -> CaseResult {
    let boss = t.server_admin().await?;
    let user = t.user().await?;
    let room = t.room(&user).await?;
    let read = t
        .api()
        .get_state_event(&boss, &room, &StateEventType::RoomCreate, "")
        .await;
    refused(read, &Kind::Forbidden, 403, "M_FORBIDDEN")?;
    let join = t.api().join_room(&boss, (&*room).into(), &[]).await;
    refused(join, &Kind::Forbidden, 403, "M_FORBIDDEN").map(|_| ())
}

pub(super) async fn a_rate_limit_can_be_lifted(t: &Subject) -> CaseResult {
    let (admin, _) = t.admin()?;
    let boss = t.server_admin().await?;
    let user = t.user().await?;
    admin
        .set_rate_limit_override(&boss, &user.user_id, &RateLimit::UNLIMITED)
        .await?;
    admin
        .set_rate_limit_override(&boss, &user.user_id, &RateLimit::UNLIMITED)
        .await?;
    let room = t.room(&user).await?;
    for number in 0..30 {
        t.say(&user, &room, &number.to_string()).await?;
    }
    let nobody = t.user_id(&t.unique("nobody"))?;
    let result = admin
        .set_rate_limit_override(&boss, &nobody, &RateLimit::UNLIMITED)
        .await;
    refused(result, &Kind::NotFound, 404, "M_NOT_FOUND").map(|_| ())
}

pub(super) async fn rooms_are_listed_in_pages_and_found_by_name(t: &Subject) -> CaseResult {
    let (admin, _) = t.admin()?;
    let boss = t.server_admin().await?;
    let user = t.user().await?;
    let name = t.unique("searched");
    let mut made = Vec::new();
    for number in 0..3 {
        made.push(
            t.api()
                .create_room(&user, &NewRoom::room().name(format!("{name} {number}")))
                .await?,
        );
    }
    let mut found = Vec::new();
    let mut request = RoomsRequest::new().search_term(&name).limit(2);
    loop {
        let page = admin.list_rooms(&boss, &request).await?;
        same(page.total, 3)?;
        ensure(page.rooms.len() <= 2, || {
            format!("{} rooms on a page of 2", page.rooms.len())
        })?;
        found.extend(page.rooms);
        match page.next_batch {
            Some(next) if found.len() < 10 => request = request.from(next),
            _ => break,
        }
    }
    same(
        found.iter().map(|room| &room.room_id).collect::<Vec<_>>(),
        made.iter().collect::<Vec<_>>(),
    )?;
    same(found[0].name.as_deref(), Some(&*format!("{name} 0")))?;
    same(
        (found[0].joined_members, found[0].creator.as_ref()),
        (1, Some(&user.user_id)),
    )
}

pub(super) async fn a_room_can_be_deleted(t: &Subject) -> CaseResult {
    let (admin, _) = t.admin()?;
    let boss = t.server_admin().await?;
    let user = t.user().await?;
    let room = t.room(&user).await?;
    let id = admin.delete_room(&boss, &room, &RoomDeletion::purge()).await?;
    ensure(!id.is_empty(), || "no id of the work".to_owned())?;
    let user = &user;
    eventually("the members are gone", || async move {
        Ok(t.api().list_joined_rooms(user).await?.is_empty())
    })
    .await
}

pub(super) async fn a_user_can_be_made_admin_of_a_room(t: &Subject) -> CaseResult {
    let (admin, _) = t.admin()?;
    let boss = t.server_admin().await?;
    let (owner, guest) = (t.user().await?, t.user().await?);
    let room = t
        .api()
        .create_room(&owner, &NewRoom::room().room_version(RoomVersionId::V11))
        .await?;
    t.bring(&owner, &room, &guest).await?;
    admin.make_room_admin(&boss, &room, &guest.user_id).await?;
    let levels = t
        .api()
        .get_state_event(&owner, &room, &StateEventType::RoomPowerLevels, "")
        .await?;
    same(&levels["users"][guest.user_id.as_str()], &json!(100))
}
