use super::{CaseResult, Failure, MatrixErrorKind as Kind, Subject, refused, same};
use crate::MatrixApiExt;

pub(super) async fn an_alias_can_be_made_resolved_and_deleted(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    let alias = t.alias(&t.unique("alias"))?;
    t.api().create_alias(&user, &alias, &room).await?;
    same(t.api().resolve_alias(&user, &alias).await?, room)?;
    t.api().delete_alias(&user, &alias).await?;
    refused(
        t.api().resolve_alias(&user, &alias).await,
        &Kind::NotFound,
        404,
        "M_NOT_FOUND",
    )
    .map(|_| ())
}

pub(super) async fn an_alias_that_exists_is_a_conflict(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let (room, other) = (t.room(&user).await?, t.room(&user).await?);
    let alias = t.alias(&t.unique("alias"))?;
    t.api().create_alias(&user, &alias, &room).await?;
    for target in [&room, &other] {
        let again = t.api().create_alias(&user, &alias, target).await;
        refused(again, &Kind::Conflict, 409, "M_UNKNOWN")?;
    }
    same(t.api().resolve_alias(&user, &alias).await?, room)
}

pub(super) async fn an_unknown_alias_is_not_found(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let alias = t.alias(&t.unique("alias"))?;
    refused(
        t.api().resolve_alias(&user, &alias).await,
        &Kind::NotFound,
        404,
        "M_NOT_FOUND",
    )?;
    refused(
        t.api().delete_alias(&user, &alias).await,
        &Kind::NotFound,
        404,
        "M_NOT_FOUND",
    )?;
    same(t.api().find_alias(&user, &alias).await?, None)
}

pub(super) async fn an_alias_of_an_appservices_namespace_is_exclusive(t: &Subject) -> CaseResult {
    t.appservice()?;
    let Some(prefix) = &t.facts().alias_prefix else {
        return Err(Failure::skipped("the application service has no aliases"));
    };
    let user = t.user().await?;
    let room = t.room(&user).await?;
    let alias = t.alias(&format!("{prefix}{}", t.unique("x")))?;
    let by_user = t.api().create_alias(&user, &alias, &room).await;
    refused(by_user, &Kind::Exclusive, 400, "M_EXCLUSIVE")?;
    let agent = t.agent().await?;
    let room = t.room(&agent).await?;
    t.api().create_alias(&agent, &alias, &room).await?;
    same(t.api().resolve_alias(&user, &alias).await?, room)
}

pub(super) async fn an_alias_may_hold_any_character(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    for odd in ["100%", "a/b", "é☃", "q?x=y&z", "%2F"] {
        let alias = t.alias(&format!("{}{odd}", t.unique("alias")))?;
        t.api().create_alias(&user, &alias, &room).await?;
        same(t.api().resolve_alias(&user, &alias).await?, room.clone())?;
        t.api().delete_alias(&user, &alias).await?;
    }
    Ok(())
}
