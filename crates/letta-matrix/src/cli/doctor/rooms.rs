//! The rooms that there are: a homeserver's choices for new rooms show in them alone.

use matrix_client::{
    Event, MatrixApi, MatrixErrorKind, Session,
    ruma::{RoomId, UserId},
};
use serde_json::Value;
use store::Binding;

use super::{
    Doctor, Users,
    finding::{Finding, Report},
};
use crate::{config::DATABASE, output::one_line};

/// How many rooms are read. What a homeserver does to new rooms it does to all.
const SAMPLE: usize = 3;

/// Rooms of this version and newer have what the bridge relies on.
const OLDEST_VERSION: u32 = 10;

/// Reads the newest rooms, each as its agent.
pub(super) async fn check(doctor: &Doctor<'_>, users: &Users<'_>, bindings: &[Binding], report: &mut Report) {
    let mut newest: Vec<(&Binding, &RoomId)> = bindings
        .iter()
        .filter_map(|binding| Some((binding, binding.room_id.as_deref()?)))
        .collect();
    newest.sort_by_key(|(binding, _)| std::cmp::Reverse(binding.created_at));
    newest.truncate(SAMPLE);
    if newest.is_empty() {
        report.add(Finding::skipped(
            "rooms",
            "whether the homeserver encrypts new rooms shows in a room only: run doctor again after the first sync",
        ));
        return;
    }
    let mut sound = 0;
    for (binding, room_id) in newest {
        // Without a session of its own an agent's room cannot be looked into.
        let Some(session) = users.session(&binding.user_id).await else {
            continue;
        };
        let findings = room(doctor, &session, binding, room_id).await;
        if findings.is_empty() {
            sound += 1;
        }
        let is_broken = findings.iter().any(Finding::is_problem);
        findings.into_iter().for_each(|finding| report.add(finding));
        if is_broken {
            // Then it is wrong with all of them, and once is enough.
            return;
        }
    }
    if sound > 0 {
        let rooms = if sound == 1 {
            "1 room was".to_owned()
        } else {
            format!("{sound} rooms were")
        };
        report.add(Finding::ok(
            "rooms",
            format!("{rooms} looked into: not encrypted, and made as rooms are made today"),
        ));
    }
}

async fn room(doctor: &Doctor<'_>, session: &Session, binding: &Binding, room_id: &RoomId) -> Vec<Finding> {
    let name = one_line(&binding.agent_name, 60);
    match doctor.matrix.get_room_state(session, room_id).await {
        Ok(state) => judge(&name, room_id, &binding.user_id, &state),
        Err(error) if *error.kind() == MatrixErrorKind::Forbidden => {
            vec![
                Finding::warning(
                    "room_membership",
                    format!(
                        "{} is not in the room {room_id} of {name}: {}",
                        binding.user_id,
                        error.message()
                    ),
                )
                .settings(&[&DATABASE])
                .advice(format!(
                    "Somebody removed it, or {} is the state of another homeserver.",
                    doctor.config.database.name()
                )),
            ]
        }
        Err(error) => vec![Finding::skipped(
            "rooms",
            format!("the room {room_id} of {name} cannot be read: {error}"),
        )],
    }
}

/// What is wrong with a room. Pure.
fn judge(agent: &str, room_id: &RoomId, agent_user: &UserId, state: &[Event]) -> Vec<Finding> {
    let find = |event_type: &str| {
        state.iter().find(|event| {
            event.event_type.to_string() == event_type && event.state_key.as_deref() == Some("")
        })
    };
    let mut findings = Vec::new();
    if let Some(encryption) = find("m.room.encryption") {
        findings.push(encrypted(
            agent,
            room_id,
            encryption.sender == agent_user,
            &encryption.sender,
        ));
    }
    let create = find("m.room.create").map(|event| &event.content);
    let version = create
        .and_then(|content| content.get("room_version"))
        .and_then(Value::as_str)
        .unwrap_or("1");
    if version
        .parse::<u32>()
        .is_ok_and(|version| version < OLDEST_VERSION)
    {
        findings.push(
            Finding::warning(
                "room_recipe",
                format!("the room {room_id} of {agent} has version {version}, which is old"),
            )
            .advice("It goes on working. Upgrade it in a Matrix client (/upgraderoom 11) when it suits you."),
        );
    }
    let creators: Vec<&str> = create
        .and_then(|content| content.get("additional_creators"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !creators.is_empty() {
        findings.push(
            Finding::warning(
                "room_recipe",
                format!(
                    "the room {room_id} of {agent} was made by an old recipe (trusted_private_chat): {} is its \
                     creator for ever, and the agent can never remove them",
                    creators.join(" and ")
                ),
            )
            .advice("Rooms that this version makes are free of it. Only a new room gets rid of it."),
        );
    }
    findings
}

fn encrypted(agent: &str, room_id: &RoomId, by_server: bool, who: &UserId) -> Finding {
    let lost =
        format!("the room {room_id} of {agent} is encrypted, and the bridge cannot read what is said there");
    if by_server {
        Finding::problem(
            "room_encryption",
            format!("{lost}: the homeserver encrypts new rooms by itself"),
        )
        .advice(
            "For Synapse set encryption_enabled_by_default_for_room_type: off in homeserver.yaml and restart it. \
             Encryption cannot be taken from a room: those that have it must be made anew.",
        )
    } else {
        Finding::warning("room_encryption", format!("{lost}: {who} switched that on"))
            .advice("Encryption cannot be taken from a room: it must be made anew.")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(event_type: &str, sender: &str, content: &Value) -> Event {
        serde_json::from_value(json!({
            "event_id": "$1:matrix.test", "sender": sender, "type": event_type, "state_key": "",
            "origin_server_ts": 1, "content": content,
        }))
        .unwrap()
    }

    fn judged(state: &[Event]) -> Vec<String> {
        let (room, user) = (
            RoomId::parse("!a:matrix.test").unwrap(),
            UserId::parse("@agent_001:matrix.test").unwrap(),
        );
        judge("Ada", &room, &user, state)
            .iter()
            .map(|finding| serde_json::to_string(finding).unwrap())
            .collect()
    }

    #[test]
    fn a_room_of_today_is_sound() {
        let agent = "@agent_001:matrix.test";
        for version in ["10", "11", "12", "org.example.new"] {
            let create = event("m.room.create", agent, &json!({ "room_version": version }));
            assert_eq!(judged(&[create]), Vec::<String>::new(), "{version}");
        }
    }

    #[test]
    fn an_old_recipe_is_told() {
        let create = json!({ "room_version": "12", "additional_creators": ["@ann:matrix.test"] });
        let found = judged(&[event("m.room.create", "@agent_001:matrix.test", &create)]);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].contains("@ann:matrix.test is its creator for ever"),
            "{found:?}"
        );
        let found = judged(&[event("m.room.create", "@agent_001:matrix.test", &json!({}))]);
        assert!(found[0].contains("has version 1, which is old"), "{found:?}");
    }

    #[test]
    fn encryption_by_the_server_is_a_problem_and_by_a_person_a_warning() {
        let create = event(
            "m.room.create",
            "@agent_001:matrix.test",
            &json!({ "room_version": "12" }),
        );
        for (sender, expected) in [
            ("@agent_001:matrix.test", "\"problem\""),
            ("@ann:matrix.test", "@ann:matrix.test switched that on"),
        ] {
            let encryption = event(
                "m.room.encryption",
                sender,
                &json!({ "algorithm": "m.megolm.v1.aes-sha2" }),
            );
            let found = judged(&[create.clone(), encryption]);
            assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
        }
    }
}
