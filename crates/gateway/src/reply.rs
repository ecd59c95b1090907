//! Answers in JSON.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

/// An error in a sentence.
pub(crate) fn refuse(status: StatusCode, error: impl Into<String>) -> Response {
    (status, Json(json!({ "error": error.into() }))).into_response()
}

/// An error as the homeserver expects it.
pub(crate) fn refuse_matrix(status: StatusCode, errcode: &str, error: &str) -> Response {
    (status, Json(json!({ "errcode": errcode, "error": error }))).into_response()
}

/// There is no such endpoint, or not for this method. The specification wants it said in these words.
pub(crate) fn unrecognized(status: StatusCode) -> Response {
    refuse_matrix(status, "M_UNRECOGNIZED", "there is no such endpoint here")
}
