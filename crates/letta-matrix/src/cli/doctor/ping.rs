//! Whether the homeserver reaches us. It is asked to call, and while it does, we listen where the bridge will.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    routing::post,
};
use matrix_client::{MatrixApi, MatrixError, MatrixErrorKind, ruma::OwnedTransactionId};
use secrecy::{ExposeSecret, SecretString};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    Doctor,
    appservice::Sender,
    finding::{Finding, Report},
    unused_name,
};
use crate::{
    config::{APPSERVICE_ID, AppserviceMode, HS_TOKEN, LISTEN},
    failure::{self, plain},
};

const CHECK: &str = "ping";

pub(super) async fn check(doctor: &Doctor<'_>, mode: &AppserviceMode, sender: &Sender, report: &mut Report) {
    let listen = &doctor.config.listen;
    let hs_token = mode.hs_token.as_ref().map(|token| token.value.clone());
    let ear = match Ear::open(listen.value, hs_token).await {
        Ok(ear) => Ok(Some(ear)),
        // The bridge itself, most likely: it answers.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
        Err(error) => Err(error),
    };
    let transaction: Option<OwnedTransactionId> = unused_name().ok().map(Into::into);
    let id = doctor.value(&APPSERVICE_ID);
    let answer = doctor
        .matrix
        .ping_appservice(&sender.session, &id, transaction.as_deref())
        .await;
    match answer {
        Err(error) if error.errcode() == Some("M_URL_NOT_SET") => {
            report.add(Finding::ok(
                CHECK,
                "the registration has no url, so nothing is pushed to us: enough for `letta-matrix sync`, and not \
                 for conversations",
            ));
            return;
        }
        Err(error) if *error.kind() == MatrixErrorKind::Forbidden => {
            report.add(wrong_id(doctor, &id));
            return;
        }
        Err(error)
            if matches!(
                error.kind(),
                MatrixErrorKind::Unrecognized | MatrixErrorKind::NotFound
            ) =>
        {
            report.add(Finding::skipped(
                CHECK,
                "this homeserver cannot be asked to call us (Matrix 1.7 brought that)",
            ));
            return;
        }
        answer => report.add(match ear {
            Ok(ear) => heard(doctor, answer.map(|_| ()), ear.as_ref()),
            Err(error) => cannot_listen(doctor, &error),
        }),
    }
    if mode.hs_token.is_none() {
        report.add(
            Finding::warning(
                "hs_token",
                "the homeserver pushes events to us, and without the hs_token nobody can tell that they are its own",
            )
            .settings(&[&HS_TOKEN])
            .advice(format!(
                "Set {} to the hs_token of the registration file.",
                doctor.name(&HS_TOKEN)
            )),
        );
    }
}

/// `ear`: where we listened; `None` where somebody else does.
fn heard(doctor: &Doctor<'_>, answer: Result<(), MatrixError>, ear: Option<&Ear>) -> Finding {
    let listen = &doctor.config.listen;
    let where_url_leads = format!(
        "The url of the registration file must lead to {}, where {} lets the bridge listen. After a change restart \
         the homeserver.",
        listen.value,
        listen.name()
    );
    let answer = answer.or_else(|error| if was_answered(&error) { Ok(()) } else { Err(error) });
    let called = ear.is_some_and(|ear| ear.heard.called.load(Ordering::Relaxed));
    let wrong_token = ear.is_some_and(|ear| ear.heard.wrong_token.load(Ordering::Relaxed));
    match answer {
        _ if wrong_token => Finding::problem(
            CHECK,
            format!(
                "the homeserver reaches us and shows another hs_token than {} holds",
                doctor.name(&HS_TOKEN)
            ),
        )
        .settings(&[&HS_TOKEN])
        .advice("Set it to the hs_token of the registration file, and restart the homeserver if that file changed."),
        // That we heard it says enough, whatever the homeserver made of our answer.
        _ if called => Finding::ok(CHECK, format!("the homeserver reaches us at {}", listen.value)),
        Ok(()) if ear.is_none() => Finding::ok(
            CHECK,
            format!("the homeserver reaches what listens at {}", listen.value),
        ),
        Ok(()) => Finding::problem(
            CHECK,
            format!(
                "the homeserver's call was answered, but not by us: the url of the registration leads elsewhere than \
                 to {}",
                listen.value
            ),
        )
        .settings(&[&LISTEN])
        .advice(where_url_leads),
        Err(error) => match error.kind() {
            MatrixErrorKind::AppservicePing { status: Some(status), .. } => Finding::problem(
                CHECK,
                format!("the url of the registration leads to something that answers the homeserver with HTTP {status}"),
            )
            .settings(&[&LISTEN])
            .advice(where_url_leads),
            MatrixErrorKind::AppservicePing { status: None, .. } => Finding::problem(
                CHECK,
                format!(
                    "the homeserver cannot reach us under the url of the registration: {}",
                    error.message()
                ),
            )
            .settings(&[&LISTEN])
            .advice(where_url_leads),
            _ => Finding::failed(CHECK, &failure::of_matrix(&error, doctor.config)),
        },
    }
}

/// A Synapse that delivers again what it kept in that very moment takes an answered call for a failed one: it trips over
/// its own timer.
fn was_answered(error: &MatrixError) -> bool {
    ["AlreadyCalled:", "AlreadyCancelled:"]
        .iter()
        .any(|words| error.message().starts_with(words))
}

fn wrong_id(doctor: &Doctor<'_>, id: &str) -> Finding {
    let name = doctor.name(&APPSERVICE_ID);
    Finding::problem(
        CHECK,
        format!("the id of the registration is not {id}, as {name} says"),
    )
    .settings(&[&APPSERVICE_ID])
    .advice(format!("Set {name} to the id of the registration file."))
}

fn cannot_listen(doctor: &Doctor<'_>, error: &io::Error) -> Finding {
    let listen = &doctor.config.listen;
    Finding::problem(
        CHECK,
        format!("nothing can listen at {}: {}", listen.value, plain(error)),
    )
    .settings(&[&LISTEN])
    .advice(format!(
        "Give {} an address of this machine and a free port.",
        listen.name()
    ))
}

/// Listens for the call. Dropping it ends that.
struct Ear {
    heard: Arc<Heard>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Heard {
    hs_token: Option<SecretString>,
    called: AtomicBool,
    wrong_token: AtomicBool,
}

impl Ear {
    async fn open(address: SocketAddr, hs_token: Option<SecretString>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let heard = Arc::new(Heard {
            hs_token,
            ..Heard::default()
        });
        // A homeserver that hears us begins to deliver what it kept. What we took it would not send again: everything
        // but the call is refused, and it keeps the rest for the bridge.
        let router = Router::new()
            .route("/_matrix/app/v1/ping", post(take_call))
            .fallback(|| async { (StatusCode::SERVICE_UNAVAILABLE, "{}") })
            .with_state(Arc::clone(&heard));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::debug!(%error, "no longer listening");
            }
        });
        Ok(Self { heard, task })
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take_call(State(heard): State<Arc<Heard>>, headers: HeaderMap) -> (StatusCode, &'static str) {
    let shown = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if let Some(token) = &heard.hs_token
        && !shown.is_some_and(|shown| same(shown, token.expose_secret().as_bytes()))
    {
        heard.wrong_token.store(true, Ordering::Relaxed);
        return (StatusCode::FORBIDDEN, r#"{"errcode":"M_FORBIDDEN"}"#);
    }
    heard.called.store(true, Ordering::Relaxed);
    (StatusCode::OK, "{}")
}

/// Takes equally long wherever the two differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    async fn ear(hs_token: Option<&str>) -> (Ear, SocketAddr) {
        // Whoever asks for a free port and lets go of it can have it again.
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let ear = Ear::open(address, hs_token.map(Into::into)).await.unwrap();
        (ear, address)
    }

    async fn status_of(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "{request} HTTP/1.1\r\nHost: bridge.test\r\nAuthorization: Bearer obviously-fake\r\nConnection: close\r\n\
             Content-Length: 2\r\n\r\n{{}}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    }

    #[tokio::test]
    async fn events_are_refused_so_that_the_homeserver_keeps_them() {
        let (ear, address) = ear(Some("obviously-fake")).await;
        for request in [
            "PUT /_matrix/app/v1/transactions/1",
            "GET /_matrix/app/v1/users/@agent_1:matrix.test",
            "PUT /transactions/1",
        ] {
            assert_eq!(status_of(address, request).await, "503", "{request}");
        }
        assert!(!ear.heard.called.load(Ordering::Relaxed));
        assert_eq!(status_of(address, "POST /_matrix/app/v1/ping").await, "200");
        assert!(ear.heard.called.load(Ordering::Relaxed));
    }

    #[test]
    fn synapse_in_the_middle_of_delivering_again_has_called() {
        for (words, expected) in [
            (
                "AlreadyCancelled: Tried to cancel an already-cancelled event.",
                true,
            ),
            ("AlreadyCalled: Tried to cancel an already-called event.", true),
            (
                "ConnectionRefusedError: Connection was refused by other side",
                false,
            ),
        ] {
            let error = MatrixError::from_matrix(502, "M_CONNECTION_FAILED", words);
            assert_eq!(was_answered(&error), expected, "{words}");
        }
    }

    #[tokio::test]
    async fn a_call_with_another_token_is_noticed() {
        for wrong in ["obviously-fakE", "obviously-fake2", "x"] {
            let (ear, address) = ear(Some(wrong)).await;
            assert_eq!(
                status_of(address, "POST /_matrix/app/v1/ping").await,
                "403",
                "{wrong}"
            );
            assert!(
                ear.heard.wrong_token.load(Ordering::Relaxed) && !ear.heard.called.load(Ordering::Relaxed)
            );
        }
        let (ear, address) = ear(None).await;
        assert_eq!(status_of(address, "POST /_matrix/app/v1/ping").await, "200");
        assert!(!ear.heard.wrong_token.load(Ordering::Relaxed));
    }
}
