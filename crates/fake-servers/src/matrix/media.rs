//! The media repository.

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use matrix_client::fake::{FakeMatrix, Homeserver, Refusal, Requester, StoredMedia};
use serde_json::json;

use super::ask::{Ask, Reply, Routes, done, reply};

pub(super) fn router() -> Router<FakeMatrix> {
    Routes::new()
        .exact("/_matrix/media/v3/upload", post(upload))
        .exact("/_matrix/media/r0/upload", post(upload))
        .exact("/_matrix/media/v1/create", post(create))
        .exact("/_matrix/media/v3/upload/{server_name}/{media_id}", put(fill))
        .exact("/_matrix/media/v3/config", get(config))
        .exact("/_matrix/media/r0/config", get(config))
        .exact("/_matrix/client/v1/media/config", get(config))
        .exact(
            "/_matrix/client/v1/media/download/{server_name}/{media_id}",
            get(download),
        )
        .exact(
            "/_matrix/client/v1/media/download/{server_name}/{media_id}/{filename}",
            get(download_as),
        )
        .exact(
            "/_matrix/client/v1/media/thumbnail/{server_name}/{media_id}",
            get(download),
        )
        .exact(
            "/_matrix/media/v3/download/{server_name}/{media_id}",
            get(legacy_download),
        )
        .exact(
            "/_matrix/media/r0/download/{server_name}/{media_id}",
            get(legacy_download),
        )
        .0
}

fn content_type(ask: &Ask) -> Option<&str> {
    ask.headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
}

async fn upload(ask: Ask) -> Reply {
    let (content_type, filename, bytes) = (content_type(&ask), ask.query("filename"), ask.bytes());
    let arguments = json!({ "content_type": content_type, "filename": filename, "bytes": bytes.len() });
    let effect =
        |server: &mut Homeserver, who: &Requester| server.upload(who, content_type, filename, bytes.clone());
    let uri = ask.call("upload_media", None, arguments, effect).await?;
    reply(json!({ "content_uri": uri }))
}

async fn create(ask: Ask) -> Reply {
    reply(
        ask.call("create_media", None, json!({}), |server, who| {
            Ok(server.create_media(who))
        })
        .await?,
    )
}

async fn fill(Path((_, media_id)): Path<(String, String)>, ask: Ask) -> Reply {
    let (content_type, filename, bytes) = (content_type(&ask), ask.query("filename"), ask.bytes());
    let arguments = json!({ "content_type": content_type, "filename": filename, "bytes": bytes.len() });
    let effect = |server: &mut Homeserver, who: &Requester| {
        server.fill_media(who, &media_id, content_type, filename, bytes.clone())
    };
    ask.call("upload_media", None, arguments, effect).await?;
    done()
}

async fn config(ask: Ask) -> Reply {
    let limit = ask
        .call("media_config", None, json!({}), |server, _| {
            Ok(server.max_upload_bytes())
        })
        .await?;
    reply(json!({ "m.upload.size": limit }))
}

async fn download(Path((server_name, media_id)): Path<(String, String)>, ask: Ask) -> Reply {
    send(&server_name, &media_id, None, ask).await
}

async fn download_as(Path((server_name, media_id, name)): Path<(String, String, String)>, ask: Ask) -> Reply {
    send(&server_name, &media_id, Some(name), ask).await
}

async fn send(server_name: &str, media_id: &str, name: Option<String>, ask: Ask) -> Reply {
    let arguments = json!({ "uri": format!("mxc://{server_name}/{media_id}") });
    let effect = |server: &mut Homeserver, _: &Requester| server.download(server_name, media_id);
    let media = ask.call("download_media", None, arguments, effect).await?;
    Ok(file(media, name))
}

fn file(media: StoredMedia, name: Option<String>) -> Response {
    let mut response = (StatusCode::OK, Body::from(media.bytes.unwrap_or_default())).into_response();
    let headers = response.headers_mut();
    let kind = media
        .content_type
        .and_then(|kind| HeaderValue::try_from(kind).ok());
    headers.insert(
        header::CONTENT_TYPE,
        kind.unwrap_or_else(|| HeaderValue::from_static("application/octet-stream")),
    );
    if let Some(name) = name.or(media.filename)
        && let Ok(disposition) = HeaderValue::try_from(disposition(&name))
    {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'; script-src 'none'; style-src 'unsafe-inline'"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public,max-age=86400,s-maxage=0,proxy-revalidate"),
    );
    response
}

/// `inline; filename=…`, quoted or encoded where the name asks for it.
fn disposition(name: &str) -> String {
    let token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '~');
    if name.chars().all(token) {
        return format!("inline; filename={name}");
    }
    let encoded: String = name
        .bytes()
        .map(|byte| {
            if token(char::from(byte)) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect();
    format!("inline; filename*=utf-8''{encoded}")
}

/// Media of today is not to be had without a token, whatever one shows here.
async fn legacy_download(ask: Ask) -> Reply {
    drop(ask);
    Err(Refusal::new(404, "M_NOT_FOUND", "Not found").into())
}
