use std::time::Duration;

use ruma::DeviceId;

use super::{CaseResult, MatrixErrorKind as Kind, OpenTo, Subject, ensure, failed, refused, same, some};
use crate::{Appservice, LoginRequest, MatrixApiExt, Registration, SyncRequest, content::Message};

pub(super) async fn an_appservice_registers_users_of_its_namespace(t: &Subject) -> CaseResult {
    let token = t.appservice()?.token.clone();
    let name = t.agent_localpart()?;
    let registration = Registration::appservice(&name, token);
    let registered = t.api().register(&registration).await?;
    same(&registered.user_id, &t.user_id(&name)?)?;
    ensure(registered.session.is_none(), || format!("{registered:?}"))?;
    let again = t.api().register(&registration).await;
    refused(again, &Kind::UserInUse, 400, "M_USER_IN_USE")?;
    same(t.api().ensure_registered(&registration).await?, false)?;
    let agent = t.appservice()?.act_as(&registered.user_id);
    let who = t.api().whoami(&agent).await?;
    same((who.user_id, who.device_id), (registered.user_id, None))
}

pub(super) async fn an_appservice_cannot_register_outside_its_namespace(t: &Subject) -> CaseResult {
    let registration = Registration::appservice(t.unique("outside"), t.appservice()?.token.clone());
    refused(
        t.api().register(&registration).await,
        &Kind::Exclusive,
        400,
        "M_EXCLUSIVE",
    )
    .map(|_| ())
}

pub(super) async fn nobody_else_can_register_in_the_namespace(t: &Subject) -> CaseResult {
    let name = t.agent_localpart()?;
    let OpenTo::Anybody = t.facts().registration else {
        return Err(super::Failure::skipped("registration is closed"));
    };
    let registration = Registration::dummy(name, t.password());
    refused(
        t.api().register(&registration).await,
        &Kind::Exclusive,
        400,
        "M_EXCLUSIVE",
    )
    .map(|_| ())
}

pub(super) async fn localparts_of_appservice_users_are_not_checked(t: &Subject) -> CaseResult {
    let token = t.appservice()?.token.clone();
    let upper = format!("{}UPPER", t.agent_localpart()?);
    let registered = t.api().register(&Registration::appservice(&upper, token)).await?;
    same(registered.user_id.localpart(), &*upper)
}

pub(super) async fn a_wrong_appservice_token_is_unauthorized(t: &Subject) -> CaseResult {
    let name = t.agent_localpart()?;
    let registration = Registration::appservice(&name, "not-the-as-token".into());
    let gone = Kind::Unauthorized { soft_logout: false };
    refused(
        t.api().register(&registration).await,
        &gone,
        401,
        "M_UNKNOWN_TOKEN",
    )?;
    let sender = t.appservice()?.sender.clone();
    let imposter = Appservice::new("letta-bridge", "not-the-as-token".into(), sender);
    refused(
        t.api().whoami(&imposter.sender_session()).await,
        &gone,
        401,
        "M_UNKNOWN_TOKEN",
    )
    .map(|_| ())
}

pub(super) async fn the_sender_exists_without_being_registered(t: &Subject) -> CaseResult {
    let sender = t.appservice()?.sender_session();
    same(t.api().whoami(&sender).await?.user_id, sender.user_id.clone())?;
    let room = t.room(&sender).await?;
    let members = t.api().list_joined_members(&sender, &room).await?;
    same(members.into_keys().collect::<Vec<_>>(), vec![sender.user_id])
}

pub(super) async fn acting_for_a_user_outside_the_namespace_is_forbidden(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let outside = t.appservice()?.act_as(&user.user_id);
    refused(
        t.api().whoami(&outside).await,
        &Kind::Forbidden,
        403,
        "M_FORBIDDEN",
    )?;
    refused(
        t.api().set_display_name(&outside, Some("x")).await,
        &Kind::Forbidden,
        403,
        "M_FORBIDDEN",
    )
    .map(|_| ())
}

pub(super) async fn acting_for_an_unregistered_user_is_forbidden(t: &Subject) -> CaseResult {
    let nobody = t.user_id(&t.agent_localpart()?)?;
    let nobody = t.appservice()?.act_as(&nobody);
    refused(
        t.api().whoami(&nobody).await,
        &Kind::Forbidden,
        403,
        "M_FORBIDDEN",
    )?;
    let room = t.api().create_room(&nobody, &crate::NewRoom::room()).await;
    refused(room, &Kind::Forbidden, 403, "M_FORBIDDEN").map(|_| ())
}

pub(super) async fn an_appservice_user_without_a_password_cannot_log_in_with_one(t: &Subject) -> CaseResult {
    let agent = t.agent().await?;
    let login = LoginRequest::with_password(&*agent.user_id, t.password());
    refused(t.api().login(&login).await, &Kind::Forbidden, 403, "M_FORBIDDEN").map(|_| ())
}

pub(super) async fn an_appservice_login_makes_a_session_of_the_users_own(t: &Subject) -> CaseResult {
    let agent = t.agent().await?;
    let token = t.appservice()?.token.clone();
    let login = LoginRequest::as_appservice(&*agent.user_id, token).device_id("BRIDGE");
    let own = t.api().login(&login).await?;
    ensure(!own.is_appservice(), || format!("{own:?}"))?;
    let who = t.api().whoami(&own).await?;
    same(who.user_id, agent.user_id)?;
    same(who.device_id.as_deref().map(DeviceId::as_str), Some("BRIDGE"))
}

pub(super) async fn an_appservice_login_of_nobody_is_not_found(t: &Subject) -> CaseResult {
    let nobody = t.agent_localpart()?;
    let login = LoginRequest::as_appservice(&*nobody, t.appservice()?.token.clone());
    refused(t.api().login(&login).await, &Kind::NotFound, 404, "M_UNKNOWN").map(|_| ())
}

pub(super) async fn an_asserted_device_must_exist(t: &Subject) -> CaseResult {
    let agent = t.agent().await?;
    let device = agent.clone().with_device("BRIDGE".into());
    refused(
        t.api().whoami(&device).await,
        &Kind::UnknownDevice,
        400,
        "M_UNKNOWN_DEVICE",
    )?;
    let token = t.appservice()?.token.clone();
    t.api()
        .login(&LoginRequest::as_appservice(&*agent.user_id, token).device_id("BRIDGE"))
        .await?;
    let who = t.api().whoami(&device).await?;
    same(who.device_id, device.device_id)
}

pub(super) async fn an_appservice_token_cannot_be_logged_out(t: &Subject) -> CaseResult {
    let agent = t.agent().await?;
    let error = failed(t.api().logout(&agent).await)?;
    same(error.status(), Some(401))?;
    t.api().whoami(&agent).await?;
    Ok(())
}

pub(super) async fn a_transaction_id_is_shared_by_all_users_of_an_appservice(t: &Subject) -> CaseResult {
    let (first, second) = (t.agent().await?, t.agent().await?);
    let room = t.room(&first).await?;
    t.bring(&first, &room, &second).await?;
    let txn = t.txn();
    let sent = t
        .api()
        .send_message(&first, &room, &txn, &Message::text("first"))
        .await?;
    let again = t
        .api()
        .send_message(&second, &room, &txn, &Message::text("second"))
        .await?;
    same(&again, &sent)?;
    let event = t.api().get_event(&second, &room, &again).await?;
    same(
        (event.sender, &event.content["body"]),
        (first.user_id, &"first".into()),
    )
}

pub(super) async fn a_ping_reaches_the_appservice_or_says_that_it_does_not(t: &Subject) -> CaseResult {
    let appservice = t.appservice()?;
    let txn = t.txn();
    match t
        .api()
        .ping_appservice(&appservice.sender_session(), &appservice.id, Some(&txn))
        .await
    {
        Ok(duration) => ensure(duration < Duration::from_secs(60), || format!("{duration:?}")),
        Err(error) if error.errcode() == Some("M_URL_NOT_SET") => same(error.status(), Some(400)),
        Err(error) => {
            ensure(matches!(error.kind(), Kind::AppservicePing { .. }), || {
                format!("{error:?}")
            })?;
            same(error.status(), Some(502))
        }
    }
}

pub(super) async fn only_the_appservice_itself_may_ask_for_a_ping(t: &Subject) -> CaseResult {
    let appservice = t.appservice()?;
    let user = t.user().await?;
    let by_user = t.api().ping_appservice(&user, &appservice.id, None).await;
    refused(by_user, &Kind::Forbidden, 403, "M_FORBIDDEN")?;
    let wrong_id = t
        .api()
        .ping_appservice(&appservice.sender_session(), "another-bridge", None)
        .await;
    refused(wrong_id, &Kind::Forbidden, 403, "M_FORBIDDEN").map(|_| ())
}

pub(super) async fn a_sync_of_an_appservice_user_works_and_the_senders_may_not(t: &Subject) -> CaseResult {
    let agent = t.agent().await?;
    let room = t.room(&agent).await?;
    let response = t.api().sync(&agent, &SyncRequest::initial()).await?;
    some(response.joined.get(&room), "room in the sync")?;
    match t
        .api()
        .sync(&t.appservice()?.sender_session(), &SyncRequest::initial())
        .await
    {
        Ok(_) => Ok(()),
        Err(error) => same((error.kind(), error.status()), (&Kind::Server, Some(500))),
    }
}
