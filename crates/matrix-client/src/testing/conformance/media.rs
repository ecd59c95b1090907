use ruma::mxc_uri;

use super::{
    CaseResult, Failure, MatrixErrorKind as Kind, Session, Subject, ensure, failed, refused, same, some,
};
use crate::{Download, Upload};

pub(super) async fn a_file_can_be_uploaded_and_downloaded_by_others(t: &Subject) -> CaseResult {
    let (user, other) = (t.user().await?, t.user().await?);
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let upload = Upload::new("image/png", bytes.clone()).filename("bild 🤖.png");
    let uri = t.api().upload_media(&user, &upload).await?;
    same(
        uri.server_name().ok().map(ToOwned::to_owned),
        Some(t.facts().server_name.clone()),
    )?;
    let media = t.api().download_media(&other, &Download::new(&uri)).await?;
    same(media.content_type.as_deref(), Some("image/png"))?;
    same(media.filename.as_deref(), Some("bild 🤖.png"))?;
    ensure(media.bytes == bytes, || {
        format!("{} bytes came back", media.bytes.len())
    })
}

pub(super) async fn each_upload_has_an_address_of_its_own(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let upload = Upload::new("text/plain", "the same");
    let (first, second) = (
        t.api().upload_media(&user, &upload).await?,
        t.api().upload_media(&user, &upload).await?,
    );
    ensure(first != second, || format!("twice {first}"))
}

pub(super) async fn an_unknown_file_is_not_found(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let uri = format!("mxc://{}/nosuchfile", t.facts().server_name);
    let result = t.api().download_media(&user, &Download::new((*uri).into())).await;
    refused(result, &Kind::NotFound, 404, "M_NOT_FOUND")?;
    let nonsense = failed(
        t.api()
            .download_media(&user, &Download::new("http://elsewhere.test/x".into()))
            .await,
    )?;
    same(nonsense.kind(), &Kind::InvalidRequest)
}

pub(super) async fn a_file_larger_than_wanted_is_not_taken(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let uri = t
        .api()
        .upload_media(&user, &Upload::new("text/plain", "x".repeat(1000)))
        .await?;
    let error = failed(
        t.api()
            .download_media(&user, &Download::new(&uri).max_bytes(999))
            .await,
    )?;
    same(error.kind(), &Kind::BodyTooLarge { limit: 999 })?;
    let media = t
        .api()
        .download_media(&user, &Download::new(&uri).max_bytes(1000))
        .await?;
    same(media.bytes.len(), 1000)
}

pub(super) async fn downloading_needs_a_token(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let uri = t
        .api()
        .upload_media(&user, &Upload::new("text/plain", "x"))
        .await?;
    let thief = Session::with_access_token(user.user_id.clone(), "never-was-a-token".into());
    let gone = Kind::Unauthorized { soft_logout: false };
    let result = t.api().download_media(&thief, &Download::new(&uri)).await;
    refused(result, &gone, 401, "M_UNKNOWN_TOKEN")?;
    let upload = t
        .api()
        .upload_media(&thief, &Upload::new("text/plain", "x"))
        .await;
    refused(upload, &gone, 401, "M_UNKNOWN_TOKEN")?;
    let unknown = t
        .api()
        .download_media(&thief, &Download::new(mxc_uri!("mxc://matrix.test/x")))
        .await;
    refused(unknown, &gone, 401, "M_UNKNOWN_TOKEN").map(|_| ())
}

pub(super) async fn an_upload_beyond_the_limit_fails(t: &Subject) -> CaseResult {
    const MOST_WE_SEND: u64 = 64 * 1024 * 1024;
    let user = t.user().await?;
    let limit = some(t.api().media_config(&user).await?.max_upload_bytes, "limit")?;
    if limit > MOST_WE_SEND {
        return Err(Failure::skipped(format!("the limit is {limit} bytes")));
    }
    let size = usize::try_from(limit).map_or(usize::MAX, |limit| limit + 1024 * 1024);
    let error = failed(
        t.api()
            .upload_media(&user, &Upload::new("text/plain", vec![b'x'; size]))
            .await,
    )?;
    let expected = matches!(
        error.kind(),
        Kind::TooLarge | Kind::Interrupted | Kind::Connect | Kind::Timeout
    );
    ensure(expected, || format!("{error:?}"))
}
