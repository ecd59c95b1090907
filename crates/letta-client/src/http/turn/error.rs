//! What went wrong, as a stream tells it.

use serde_json::Value;

use crate::{
    Conflict,
    http::failure::{conflict_in_text, is_provider_error, printable, provider_failure},
    types::turn::{TurnError, TurnErrorKind},
};

/// `{"error_type","message","detail"}`, also below `error` as in the bodies of failed answers.
pub(super) fn turn_error(value: &Value) -> TurnError {
    let value = match value.get("error") {
        Some(inner @ Value::Object(_)) => inner,
        _ => value,
    };
    let field = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let error_type = match field("error_type") {
        "" => field("type"),
        error_type => error_type,
    };
    let message = match (field("message"), value.as_str()) {
        ("", Some(text)) => text,
        (message, _) => message,
    };
    let detail = field("detail");
    let both = format!("{message} {detail}");
    let kind = if is_provider_error(error_type) || both.contains("CONTEXT_WINDOW_EXCEEDED") {
        TurnErrorKind::Provider(provider_failure(error_type, &both))
    } else if is_invalid_request(&both) {
        TurnErrorKind::InvalidRequest
    } else {
        match conflict_in_text(&both) {
            Some(Conflict::PendingApproval { .. }) => TurnErrorKind::PendingApproval,
            Some(Conflict::Busy { .. }) => TurnErrorKind::Busy,
            _ => TurnErrorKind::Internal,
        }
    };
    let message = printable(message, 500);
    let detail = printable(detail, 2000);
    TurnError {
        kind,
        detail: Some(detail).filter(|detail| !detail.is_empty() && *detail != message),
        message,
    }
}

/// In a stream the server has no other sign for what would be a status 400 without one.
fn is_invalid_request(text: &str) -> bool {
    text.contains("Invalid tool call IDs")
        || text.contains("Cannot process approval response")
        || text.contains("Message content is empty or invalid")
        || text.contains("INVALID_ARGUMENT")
}
