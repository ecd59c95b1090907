use ruma::DeviceId;

use super::{CaseResult, MatrixErrorKind as Kind, Subject, ensure, refused, same, some};
use crate::{LoginRequest, Session};

const GONE: Kind = Kind::Unauthorized { soft_logout: false };

pub(super) async fn a_password_opens_a_session_by_id_and_by_localpart(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    for request in [
        LoginRequest::with_password(&*user.user_id, t.password()),
        LoginRequest::with_password(user.user_id.localpart(), t.password()),
    ] {
        let session = t.api().login(&request).await?;
        same(&session.user_id, &user.user_id)?;
        let who = t.api().whoami(&session).await?;
        same((who.user_id, who.device_id), (session.user_id, session.device_id))?;
    }
    Ok(())
}

pub(super) async fn each_login_makes_a_device_of_its_own(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let request = LoginRequest::with_password(&*user.user_id, t.password());
    let (first, second) = (t.api().login(&request).await?, t.api().login(&request).await?);
    ensure(
        first.device_id.is_some() && first.device_id != second.device_id,
        || format!("{first:?} {second:?}"),
    )?;
    for session in [&user, &first, &second] {
        t.api().whoami(session).await?;
    }
    Ok(())
}

pub(super) async fn logging_in_on_a_device_keeps_its_transaction_ids(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let request = LoginRequest::with_password(&*user.user_id, t.password())
        .device_id("PHONE")
        .initial_device_display_name("telephone");
    let first = t.api().login(&request).await?;
    same(first.device_id().map(DeviceId::as_str), Some("PHONE"))?;
    let room = t.room(&first).await?;
    let txn = t.txn();
    let content = serde_json::json!({ "msgtype": "m.text", "body": "x" });
    let kind = crate::MessageLikeEventType::RoomMessage;
    let before = t
        .api()
        .send_message_event(&first, &room, &kind, &txn, &content)
        .await?;
    let second = t.api().login(&request).await?;
    same(t.api().whoami(&second).await?.device_id, first.device_id)?;
    let after = t
        .api()
        .send_message_event(&second, &room, &kind, &txn, &content)
        .await?;
    same(after, before)
}

pub(super) async fn a_wrong_password_and_an_unknown_user_are_the_same(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let mut words = Vec::new();
    let nobody = t.unique("nobody");
    let foreign = ruma::user_id!("@somebody:elsewhere.test");
    for request in [
        LoginRequest::with_password(&*user.user_id, "wrong-password".into()),
        LoginRequest::with_password(&*nobody, t.password()),
        LoginRequest::with_password(foreign, t.password()),
    ] {
        let error = refused(
            t.api().login(&request).await,
            &Kind::Forbidden,
            403,
            "M_FORBIDDEN",
        )?;
        words.push(error.message().to_owned());
    }
    ensure(words.iter().all(|word| *word == words[0]), || {
        format!("{words:?}")
    })
}

pub(super) async fn logout_ends_the_session(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let other = t
        .api()
        .login(&LoginRequest::with_password(&*user.user_id, t.password()))
        .await?;
    t.api().logout(&user).await?;
    refused(t.api().whoami(&user).await, &GONE, 401, "M_UNKNOWN_TOKEN")?;
    refused(t.api().logout(&user).await, &GONE, 401, "M_UNKNOWN_TOKEN")?;
    // Other sessions of the user go on.
    t.api().whoami(&other).await?;
    Ok(())
}

pub(super) async fn a_token_that_never_was_is_unauthorized(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    let thief = Session::with_access_token(user.user_id.clone(), "never-was-a-token".into());
    refused(t.api().whoami(&thief).await, &GONE, 401, "M_UNKNOWN_TOKEN")?;
    refused(
        t.api().get_room_state(&thief, &room).await,
        &GONE,
        401,
        "M_UNKNOWN_TOKEN",
    )?;
    refused(
        t.api().set_display_name(&thief, Some("x")).await,
        &GONE,
        401,
        "M_UNKNOWN_TOKEN",
    )?;
    Ok(())
}

pub(super) async fn an_empty_token_is_a_missing_token(t: &Subject) -> CaseResult {
    let id = t.user_id("anybody")?;
    let empty = Session::with_access_token(id, "".into());
    let error = refused(
        t.api().whoami(&empty).await,
        &Kind::MissingToken,
        401,
        "M_MISSING_TOKEN",
    )?;
    some(error.call(), "call").map(|_| ())
}
