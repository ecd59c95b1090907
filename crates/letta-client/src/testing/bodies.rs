//! Error bodies as a real server sends them, measured on Letta 0.16.8.

use serde_json::{Value, json};

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorBody {
    /// HTTP status.
    pub status: u16,
    /// JSON body.
    pub body: Value,
}

impl ErrorBody {
    fn detail(status: u16, detail: impl Into<Value>) -> Self {
        Self {
            status,
            body: json!({"detail": detail.into()}),
        }
    }

    /// The shape in which failures of the model's provider are reported.
    fn provider(status: u16, error_type: &str, message: &str, detail: &str) -> Self {
        Self {
            status,
            body: json!({"error": {"type": error_type, "message": message, "detail": detail}}),
        }
    }
}

/// The token is missing or wrong.
#[must_use]
pub fn unauthorized() -> ErrorBody {
    ErrorBody::detail(401, "Unauthorized")
}

/// There is no agent of this id.
#[must_use]
pub fn agent_not_found(id: &str) -> ErrorBody {
    ErrorBody::detail(404, format!("Agent with ID {id} not found"))
}

/// There is no such conversation or run. `what` is "Conversation" or "Run".
#[must_use]
pub fn not_found(what: &str, id: &str) -> ErrorBody {
    ErrorBody::detail(
        404,
        format!("{what} not found with id='['{id}']', access level in ['read'] for actor='…'"),
    )
}

/// The path is no endpoint at all.
#[must_use]
pub fn no_such_endpoint() -> ErrorBody {
    ErrorBody::detail(404, "Not Found")
}

/// The agent id in the path can not be one.
#[must_use]
pub fn malformed_agent_id(id: &str) -> ErrorBody {
    ErrorBody {
        status: 422,
        body: json!({
            "trace_id": "",
            "detail": format!(
                "[{{'type': 'string_pattern_mismatch', 'loc': ('path', 'agent_id'), \
                 'msg': \"String should match pattern 'agent-{{uuid4}}'\", 'input': '{id}'}}]"
            ),
            "examples": ["agent-123e4567-e89b-42d3-8456-426614174000"],
        }),
    }
}

/// An agent can not be made under this name.
#[must_use]
pub fn invalid_agent_name(name: &str) -> ErrorBody {
    ErrorBody::detail(
        500,
        format!(
            "Export failed: Agent name '{name}' contains invalid characters. Only letters (any language), digits, \
             spaces, hyphens, underscores, and apostrophes are allowed. Please avoid filesystem-unsafe characters \
             like: / \\ : * ? \" < > |"
        ),
    )
}

/// The model named for a new agent does not exist.
#[must_use]
pub fn unknown_model(handle: &str) -> ErrorBody {
    ErrorBody::detail(
        404,
        format!("NOT_FOUND: Handle {handle} not found, must be one of []"),
    )
}

/// A message without content.
#[must_use]
pub fn empty_content() -> ErrorBody {
    ErrorBody::detail(400, "Message content is empty or invalid")
}

/// A decision on a call that does not wait for one.
#[must_use]
pub fn wrong_tool_call(expected: &str, received: &str) -> ErrorBody {
    ErrorBody::detail(
        400,
        format!("Invalid tool call IDs. Expected '['{expected}']', but received '['{received}']'."),
    )
}

/// A message while a tool call waits for approval, as the agent's endpoint answers it.
#[must_use]
pub fn pending_approval(request: &str) -> ErrorBody {
    ErrorBody::detail(
        409,
        json!({"code": "PENDING_APPROVAL", "message": PENDING_APPROVAL, "pending_request_id": request}),
    )
}

/// The same, as the endpoint of a conversation answers it.
#[must_use]
pub fn pending_approval_in_conversation() -> ErrorBody {
    ErrorBody::detail(409, PENDING_APPROVAL)
}

/// The sentence about a pending approval; inside a stream it is the only sign.
pub const PENDING_APPROVAL: &str = "CONFLICT: Cannot send a new message: The agent is waiting for approval on a tool \
                                    call. Please approve or deny the pending request before continuing.";

/// The conversation is busy with another turn.
#[must_use]
pub fn conversation_busy(run: &str) -> ErrorBody {
    ErrorBody {
        status: 409,
        body: json!({
            "detail": format!(
                "CONFLICT: Cannot send a new message: Another request (run_id={run}) is currently being processed \
                 for this conversation. Please wait for it to complete."
            ),
            "run_id": run,
        }),
    }
}

/// Two changes of one thing met. `what` is "Agent" or "Block".
#[must_use]
pub fn concurrent_update(what: &str, id: &str) -> ErrorBody {
    ErrorBody::detail(
        409,
        format!(
            "CONFLICT: {what} with id '{id}' was updated by another transaction. Please retry your request."
        ),
    )
}

/// The database has the row locked. Comes with `Retry-After: 1`.
#[must_use]
pub fn locked() -> ErrorBody {
    ErrorBody::detail(
        409,
        "The resource is currently locked by another operation. Please retry shortly.",
    )
}

/// Nothing runs that could be cancelled. `what` is "agent" or "conversation".
#[must_use]
pub fn nothing_to_cancel(what: &str, id: &str) -> ErrorBody {
    ErrorBody::detail(409, format!("CONFLICT: No active runs to cancel for {what} {id}"))
}

/// The server has no Redis and can not keep the events of a turn.
#[must_use]
pub fn needs_redis() -> ErrorBody {
    ErrorBody::detail(
        503,
        "INTERNAL_SERVER_ERROR: Background streaming requires Redis to be running. Please ensure Redis is properly \
         configured. LETTA_REDIS_HOST: None, LETTA_REDIS_PORT: 6379",
    )
}

/// The events of this run were not kept.
#[must_use]
pub fn not_in_background() -> ErrorBody {
    ErrorBody::detail(
        400,
        "INVALID_ARGUMENT: Run was not created in background mode, so it cannot be retrieved.",
    )
}

/// Letta's key for the model's provider is wrong. Status 401, and yet not about the token for Letta.
#[must_use]
pub fn llm_authentication() -> ErrorBody {
    ErrorBody::provider(
        401,
        "llm_authentication",
        "Authentication failed with the LLM model provider.",
        "UNAUTHENTICATED: Authentication failed with OpenAI: Error code: 401",
    )
}

/// No credits left at the provider.
#[must_use]
pub fn llm_insufficient_credits() -> ErrorBody {
    ErrorBody::provider(
        402,
        "llm_insufficient_credits",
        "Insufficient credits for LLM request. Please check your account.",
        "PAYMENT_REQUIRED: Insufficient credits: Error code: 402",
    )
}

/// Too many requests to the provider.
#[must_use]
pub fn llm_rate_limit() -> ErrorBody {
    ErrorBody::provider(
        429,
        "llm_rate_limit",
        "Rate limit exceeded for LLM model provider. Please wait before making another request.",
        "RATE_LIMIT_EXCEEDED: Rate limited by OpenAI: Error code: 429",
    )
}

/// The provider refused the request.
#[must_use]
pub fn llm_bad_request() -> ErrorBody {
    ErrorBody::provider(
        400,
        "llm_bad_request",
        "The request to the LLM model provider was invalid.",
        "INVALID_ARGUMENT: Bad request to OpenAI-compatible endpoint: Error code: 400",
    )
}

/// Any other failure of the provider.
#[must_use]
pub fn llm_error() -> ErrorBody {
    ErrorBody::provider(
        500,
        "llm_error",
        "An error occurred with the LLM request.",
        "INTERNAL_SERVER_ERROR: OpenAI API error: Error code: 500",
    )
}

/// The conversation is too long for the model. Not in the shape of the other provider failures.
#[must_use]
pub fn context_window_exceeded() -> ErrorBody {
    ErrorBody::detail(
        400,
        "CONTEXT_WINDOW_EXCEEDED: Request too large for OpenAI (413): Error code: 413",
    )
}

/// The server failed and does not say how.
#[must_use]
pub fn server_error() -> ErrorBody {
    ErrorBody::detail(500, "An unknown error occurred")
}
