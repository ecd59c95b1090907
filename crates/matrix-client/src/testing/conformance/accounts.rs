use ruma::{DeviceId, mxc_uri};

use super::{
    CaseResult, Failure, MatrixErrorKind as Kind, OpenTo, Subject, ensure, eventually, failed, refused, same,
    some,
};
use crate::{MatrixApiExt, Profile, Registration, Session};

fn open_registration(t: &Subject) -> CaseResult {
    match t.facts().registration {
        OpenTo::Anybody => Ok(()),
        _ => Err(Failure::skipped("a server with open registration")),
    }
}

pub(super) async fn registration_makes_a_user_with_a_session(t: &Subject) -> CaseResult {
    open_registration(t)?;
    let name = t.unique("new");
    let registration = Registration::dummy(&name, t.password())
        .device_id("PHONE")
        .initial_device_display_name("x");
    let registered = t.api().register(&registration).await?;
    same(&registered.user_id, &t.user_id(&name)?)?;
    let session = some(registered.session, "session")?;
    same(session.device_id.as_deref().map(DeviceId::as_str), Some("PHONE"))?;
    let who = t.api().whoami(&session).await?;
    same(
        (who.user_id, who.device_id, who.is_guest),
        (registered.user_id, session.device_id, false),
    )
}

pub(super) async fn registration_without_login_makes_only_the_user(t: &Subject) -> CaseResult {
    open_registration(t)?;
    let registration = Registration::dummy(t.unique("new"), t.password()).inhibit_login(true);
    let registered = t.api().register(&registration).await?;
    ensure(registered.session.is_none(), || format!("{registered:?}"))
}

pub(super) async fn a_name_that_exists_is_in_use(t: &Subject) -> CaseResult {
    open_registration(t)?;
    let registration = Registration::dummy(t.unique("new"), t.password());
    t.api().register(&registration).await?;
    refused(
        t.api().register(&registration).await,
        &Kind::UserInUse,
        400,
        "M_USER_IN_USE",
    )?;
    same(t.api().ensure_registered(&registration).await?, false)
}

pub(super) async fn the_server_may_lower_case_a_name(t: &Subject) -> CaseResult {
    open_registration(t)?;
    let name = t.unique("NEW");
    let registered = t
        .api()
        .register(&Registration::dummy(&name, t.password()))
        .await?;
    same(registered.user_id.localpart(), name.to_lowercase())
}

pub(super) async fn the_server_chooses_a_name_when_none_is_wanted(t: &Subject) -> CaseResult {
    open_registration(t)?;
    let registration = Registration::dummy("unused", t.password()).any_localpart();
    let first = t.api().register(&registration).await?;
    let second = t.api().register(&registration).await?;
    ensure(first.user_id != second.user_id, || {
        format!("twice {}", first.user_id)
    })
}

/// In one case because the server limits this call to one per second.
pub(super) async fn availability_tells_free_taken_reserved_and_impossible_names(t: &Subject) -> CaseResult {
    open_registration(t)?;
    let name = t.unique("name");
    same(t.api().is_username_available(&name).await?, true)?;
    t.user_named(&name).await?;
    same(t.api().is_username_available(&name).await?, false)?;
    let impossible = t.api().is_username_available("Not A Name").await;
    refused(impossible, &Kind::InvalidUsername, 400, "M_INVALID_USERNAME")?;
    if let Ok(reserved) = t.agent_localpart() {
        let reserved = t.api().is_username_available(&reserved).await;
        refused(reserved, &Kind::Exclusive, 400, "M_EXCLUSIVE")?;
    }
    Ok(())
}

pub(super) async fn a_registration_token_lets_in_and_is_checked(t: &Subject) -> CaseResult {
    let OpenTo::Token(token) = &t.facts().registration else {
        return Err(Failure::skipped("a server that asks for a registration token"));
    };
    let name = t.unique("new");
    let without = failed(t.api().register(&Registration::dummy(&name, t.password())).await)?;
    same(without.status(), Some(401))?;
    let Kind::InteractiveAuthRequired { flows } = without.kind() else {
        return super::fail(format!("{without:?}"));
    };
    let asked = flows
        .iter()
        .flatten()
        .any(|stage| stage == "m.login.registration_token");
    ensure(asked, || format!("{flows:?}"))?;
    let wrong = Registration::with_token(&name, t.password(), "not-the-token".into());
    refused(
        t.api().register(&wrong).await,
        &Kind::Forbidden,
        401,
        "M_UNAUTHORIZED",
    )?;
    let right = Registration::with_token(&name, t.password(), token.clone());
    let registered = t.api().register(&right).await?;
    same(&registered.user_id, &t.user_id(&name)?)?;
    let session = some(registered.session, "session")?;
    same(t.api().whoami(&session).await?.user_id, registered.user_id)?;
    refused(
        t.api().register(&right).await,
        &Kind::UserInUse,
        400,
        "M_USER_IN_USE",
    )
    .map(|_| ())
}

pub(super) async fn closed_registration_is_forbidden(t: &Subject) -> CaseResult {
    let OpenTo::Nobody = t.facts().registration else {
        return Err(Failure::skipped("a server with closed registration"));
    };
    let name = t.unique("new");
    let register = t.api().register(&Registration::dummy(&name, t.password())).await;
    refused(register, &Kind::Forbidden, 403, "M_FORBIDDEN")?;
    let available = t.api().is_username_available(&name).await;
    refused(available, &Kind::Forbidden, 403, "M_FORBIDDEN")?;
    // An application service registers its users all the same.
    if t.appservice().is_ok() {
        t.agent().await?;
    }
    Ok(())
}

async fn display_name(t: &Subject, session: &Session) -> CaseResult<Option<String>> {
    let profile = t.api().find_profile(session, &session.user_id).await?;
    Ok(profile.and_then(|profile| profile.display_name))
}

pub(super) async fn a_display_name_is_the_localpart_until_it_is_set(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    same(
        display_name(t, &user).await?.as_deref(),
        Some(user.user_id.localpart()),
    )
}

pub(super) async fn a_display_name_can_be_set_changed_and_removed(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    for name in ["Agent Alpha", "Агент 🤖", "agent\u{202e}beta"] {
        t.api().set_display_name(&user, Some(name)).await?;
        same(display_name(t, &user).await?.as_deref(), Some(name))?;
        // Setting it again changes nothing.
        t.api().set_display_name(&user, Some(name)).await?;
    }
    t.api().set_display_name(&user, None).await?;
    same(display_name(t, &user).await?, None)?;
    t.api().set_display_name(&user, Some("x")).await?;
    t.api().set_display_name(&user, Some("")).await?;
    same(display_name(t, &user).await?, None)
}

pub(super) async fn a_display_name_reaches_the_rooms_and_the_last_one_wins(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let rooms = [t.room(&user).await?, t.room(&user).await?];
    for name in ["one", "two", "three"] {
        t.api().set_display_name(&user, Some(name)).await?;
    }
    for room in &rooms {
        let user = &user;
        eventually("the room knows the last name", || async move {
            let members = t.api().list_joined_members(user, room).await?;
            let name = members
                .get(&user.user_id)
                .and_then(|profile| profile.display_name.as_deref());
            Ok(name == Some("three"))
        })
        .await?;
    }
    Ok(())
}

pub(super) async fn a_display_name_beyond_256_characters_is_refused(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    t.api().set_display_name(&user, Some(&"x".repeat(256))).await?;
    let error = failed(t.api().set_display_name(&user, Some(&"x".repeat(257))).await)?;
    same(error.status(), Some(400))?;
    same(display_name(t, &user).await?.map(|name| name.len()), Some(256))
}

pub(super) async fn an_avatar_can_be_set_to_anything_and_removed(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    t.api().set_display_name(&user, Some("x")).await?;
    for avatar in [
        mxc_uri!("mxc://matrix.test/abc"),
        <&ruma::MxcUri>::from("http://elsewhere.test/a.png"),
    ] {
        t.api().set_avatar_url(&user, Some(avatar)).await?;
        let profile = t.api().get_profile(&user, &user.user_id).await?;
        same(
            profile,
            Profile::new(Some("x".to_owned()), Some(avatar.to_owned())),
        )?;
    }
    t.api().set_avatar_url(&user, None).await?;
    same(t.api().get_profile(&user, &user.user_id).await?.avatar_url, None)
}

pub(super) async fn the_profile_of_nobody_is_not_found(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let nobody = t.user_id(&t.unique("nobody"))?;
    let error = failed(t.api().get_profile(&user, &nobody).await)?;
    same((error.kind(), error.status()), (&Kind::NotFound, Some(404)))?;
    same(t.api().find_profile(&user, &nobody).await?, None)
}
