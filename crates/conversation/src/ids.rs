//! Ids that are derived, so that the same thing done twice has the same id.

use letta_client::{Otid, RunId};
use ruma::{EventId, OwnedTransactionId};
use uuid::{Uuid, uuid};

/// Ours alone: ids made in it meet nobody else's.
const NAMESPACE: Uuid = uuid!("5f3e3c0e-7d0b-4b69-9c46-0d1f8a3a6c52");

/// The id under which Letta keeps a message.
pub(crate) fn otid(event_id: &EventId) -> Otid {
    Otid::new(Uuid::new_v5(&NAMESPACE, event_id.as_bytes()).to_string())
}

/// The transaction id of one part of an answer. A homeserver remembers them per application service and room, whoever
/// of its users speaks; the run's id is unique among all agents.
pub(crate) fn part(run: &RunId, part: usize) -> OwnedTransactionId {
    format!("{run}.{part}").into()
}

/// The transaction id of the notice about a message.
pub(crate) fn notice(event_id: &EventId) -> OwnedTransactionId {
    format!("{}.notice", otid(event_id)).into()
}

/// The transaction id of one part of an answer whose run the server did not name.
pub(crate) fn part_of_unnamed_run(event_id: &EventId, part: usize) -> OwnedTransactionId {
    format!("{}.{part}", otid(event_id)).into()
}

#[cfg(test)]
mod tests {
    use ruma::event_id;

    use super::*;

    #[test]
    fn the_same_event_has_the_same_id_for_ever() {
        // Written down: a new version must find what an older one sent.
        assert_eq!(
            otid(event_id!("$one")).as_str(),
            "cc7d966c-635a-5b81-b1a6-99da9d3fa70d"
        );
        assert_ne!(otid(event_id!("$one")), otid(event_id!("$two")));
    }

    #[test]
    fn parts_runs_and_notices_have_ids_of_their_own() {
        let (one, two) = (RunId::new("run-1"), RunId::new("run-2"));
        let event = event_id!("$one");
        let ids = [
            part(&one, 0),
            part(&one, 1),
            part(&two, 0),
            notice(event),
            part_of_unnamed_run(event, 0),
        ];
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }
}
