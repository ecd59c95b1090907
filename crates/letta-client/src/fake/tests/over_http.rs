//! A planned failure is the same to a client of the fake and to [`HttpLetta`] that gets its status and body.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    AgentInclude, Conflict, LettaApi, LettaErrorKind, ProviderFailure,
    fake::Refusal,
    http::{HttpLetta, RetryPolicy},
};

/// Answers one request with what the fake would refuse it with.
async fn answer_with(refusal: &Refusal) -> crate::LettaError {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (content_type, body) = match refusal.body() {
        serde_json::Value::String(page) => ("text/html", page.clone()),
        json => ("application/json", json.to_string()),
    };
    let status = refusal.status().unwrap();
    let answer = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: {content_type}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let served = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _ = socket.read(&mut request).await.unwrap();
        socket.write_all(answer.as_bytes()).await.unwrap();
    });
    let letta = HttpLetta::builder(format!("http://{address}"))
        .retry(RetryPolicy::none())
        .build()
        .unwrap();
    let id = "agent-123e4567-e89b-42d3-8456-426614174000".into();
    let error = letta.get_agent(&id, AgentInclude::default()).await.unwrap_err();
    served.await.unwrap();
    error
}

#[tokio::test]
async fn every_kind_that_has_a_status_comes_back_as_itself() {
    for kind in [
        LettaErrorKind::Unauthorized,
        LettaErrorKind::Forbidden,
        LettaErrorKind::NotFound,
        LettaErrorKind::InvalidRequest,
        LettaErrorKind::Conflict(Conflict::Busy {
            run: Some("run-1".into()),
        }),
        LettaErrorKind::Conflict(Conflict::PendingApproval {
            request: Some("message-1".into()),
        }),
        LettaErrorKind::Conflict(Conflict::ConcurrentUpdate),
        LettaErrorKind::Conflict(Conflict::NothingToCancel),
        LettaErrorKind::Conflict(Conflict::Other),
        LettaErrorKind::RateLimited,
        LettaErrorKind::Provider(ProviderFailure::Authentication),
        LettaErrorKind::Provider(ProviderFailure::InsufficientCredits),
        LettaErrorKind::Provider(ProviderFailure::RateLimit),
        LettaErrorKind::Provider(ProviderFailure::BadRequest),
        LettaErrorKind::Provider(ProviderFailure::ContextWindowExceeded),
        LettaErrorKind::Provider(ProviderFailure::Other),
        LettaErrorKind::Unsupported,
        LettaErrorKind::Server,
        LettaErrorKind::Decode,
        LettaErrorKind::NotLetta,
    ] {
        let refusal = Refusal::of_kind(kind.clone(), None);
        let error = answer_with(&refusal).await;
        assert_eq!(error.kind(), &kind, "{error:?}");
        assert_eq!(error.is_retryable(), refusal.to_error().is_retryable());
    }
}
