//! Whether the homeserver limits our requests. Then the rooms of 200 agents take hours.

use futures_util::future::join_all;
use matrix_client::{HierarchyRequest, MatrixApi, MatrixErrorKind, ruma::RoomId};

use super::{Doctor, appservice::Sender, finding::Finding};

const CHECK: &str = "rate_limit";

/// Synapse lets a limited user read the hierarchy of a space 10 times at once and 5 times a second: a limit that no
/// setting lifts but `rate_limited`, that nothing else shares, and that is forgotten after two seconds.
const AT_ONCE: usize = 24;

pub(super) async fn check(doctor: &Doctor<'_>, sender: &Sender) -> Finding {
    let Ok(nowhere) = RoomId::parse(format!("!letta_matrix_doctor:{}", sender.server_name)) else {
        return Finding::skipped(CHECK, "the homeserver's name makes no room id");
    };
    let request = HierarchyRequest::new().limit(1);
    let asked = (0..AT_ONCE).map(|_| {
        doctor
            .matrix
            .list_space_children(&sender.session, &nowhere, &request)
    });
    let mut unclear = None;
    for answer in join_all(asked).await {
        match answer {
            Ok(_) => {}
            Err(error) => {
                match error.kind() {
                    MatrixErrorKind::LimitExceeded { .. } => {
                        return Finding::problem(
                        CHECK,
                        "the homeserver limits our requests: making the rooms of many agents takes hours",
                    )
                    .advice("Write rate_limited: false into the registration file and restart the homeserver.");
                    }
                    MatrixErrorKind::Forbidden | MatrixErrorKind::NotFound => {}
                    _ => unclear = Some(error),
                }
            }
        }
    }
    match unclear {
        Some(error) => Finding::skipped(
            CHECK,
            format!("whether we are limited could not be tried: {error}"),
        ),
        None => Finding::ok(CHECK, format!("{AT_ONCE} requests at once were not limited")),
    }
}
