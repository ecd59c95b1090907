//! What can be wrong with the people and with the registration file.

use serde_json::json;

use super::{Running, Setup};

#[tokio::test]
async fn a_bridge_without_people_is_told() {
    let mut setup = Setup::new().await;
    setup.program.unset("LETTA_MATRIX_PERMISSIONS");
    let diagnosis = setup.start().await.doctor().await;
    assert_eq!(
        (diagnosis.code, &diagnosis.json["warnings"]),
        (0, &json!(2)),
        "{diagnosis:#?}"
    );
    assert_eq!(
        diagnosis.check("people_invited")["message"],
        "nobody is invited: no person will see the rooms"
    );
    assert_eq!(
        diagnosis.check("people_permitted")["message"],
        "nobody may talk with the agents"
    );
    assert_eq!(
        diagnosis.advice("people_permitted"),
        "Name people and servers in LETTA_MATRIX_PERMISSIONS (people.permissions in the file), such as \
         @you:matrix.test=admin."
    );
}

#[tokio::test]
async fn a_person_whom_the_homeserver_does_not_know_is_told() {
    let mut setup = Setup::new().await;
    setup.program.set(
        "LETTA_MATRIX_INVITE",
        "@admin:matrix.test,@admni:matrix.test,@ann:elsewhere.test",
    );
    let diagnosis = setup.start().await.doctor().await;
    diagnosis.assert_only_warning(
        "people_invited",
        "the homeserver does not know @admni:matrix.test, who is to be invited",
        &["people.invite"],
    );
    assert_eq!(
        diagnosis.advice("people_invited"),
        "Look for a mistake in LETTA_MATRIX_INVITE (from the environment)."
    );
}

async fn with_registration(text: &str) -> Running {
    let mut setup = Setup::new().await;
    std::fs::write(setup.program.folder().join("registration.yaml"), text).unwrap();
    setup.program.set("MATRIX_REGISTRATION", "registration.yaml");
    setup.start().await
}

const REGISTRATION: &str = r#"
id: letta-matrix
url: null
as_token: not-a-real-secret-as
hs_token: not-a-real-secret-hs
sender_localpart: letta_bot
rate_limited: false
namespaces:
  users:
    - { exclusive: true, regex: '@agent_.*:matrix\.test' }
  aliases:
    - { exclusive: true, regex: '#agent_.*:matrix\.test' }
    - { exclusive: true, regex: '#letta-agents:matrix\.test' }
"#;

#[tokio::test]
async fn a_registration_file_that_agrees_is_well() {
    let diagnosis = with_registration(REGISTRATION).await.doctor().await;
    diagnosis.assert_all_well();
    assert_eq!(
        diagnosis.check("registration")["message"],
        "registration.yaml and the settings agree"
    );
}

#[tokio::test]
async fn a_registration_file_that_differs_is_told() {
    for (good, bad, message, setting) in [
        (
            "id: letta-matrix",
            "id: other",
            "its id is \"other\", and not \"letta-matrix\"",
            Some("matrix.appservice_id"),
        ),
        (
            "secret-as",
            "secret-xx",
            "its as_token is another",
            Some("matrix.as_token"),
        ),
        (
            "secret-hs",
            "secret-xx",
            "its hs_token is another",
            Some("matrix.hs_token"),
        ),
        (
            "letta_bot",
            "bridge",
            "its sender_localpart is \"bridge\", and not \"letta_bot\"",
            Some("matrix.sender_localpart"),
        ),
        (
            "rate_limited: false",
            "",
            "rate_limited: false is missing: making the rooms of many agents takes hours",
            None,
        ),
        (
            "exclusive: true, regex: '@agent",
            "exclusive: false, regex: '@agent",
            r"under namespaces, users exclusive: true is missing beside '^@agent_.*:matrix\.test$'",
            Some("matrix.user_prefix"),
        ),
        (
            "'@agent_",
            "'@bot_",
            r"under namespaces, users '^@agent_.*:matrix\.test$' is missing",
            Some("matrix.user_prefix"),
        ),
        (
            "'#agent_",
            "'#bot_",
            r"under namespaces, aliases '^#agent_.*:matrix\.test$' is missing",
            Some("matrix.user_prefix"),
        ),
        (
            "'#letta-agents",
            "'#letta-bots",
            r"under namespaces, aliases '^#letta-agents:matrix\.test$' is missing",
            Some("space.alias"),
        ),
    ] {
        assert!(REGISTRATION.contains(good), "{good}");
        let running = with_registration(&REGISTRATION.replace(good, bad)).await;
        let settings: Vec<&str> = setting.into_iter().collect();
        running.doctor().await.assert_only_problem(
            "registration",
            &format!("registration.yaml: {message}"),
            &settings,
        );
    }
}

#[tokio::test]
async fn a_registration_file_that_cannot_be_read_is_told() {
    for (text, expected) in [
        ("id: [", "it is not the registration of an application service"),
        ("id: x", "it is not the registration of an application service"),
    ] {
        let diagnosis = with_registration(text).await.doctor().await;
        assert_eq!(
            (diagnosis.code, &diagnosis.json["problems"]),
            (1, &json!(1)),
            "{diagnosis:#?}"
        );
        let message = diagnosis.check("registration")["message"].as_str().unwrap();
        assert!(message.contains(expected), "{message}");
        assert_eq!(
            diagnosis.advice("registration"),
            "Check MATRIX_REGISTRATION (from the environment)."
        );
    }
    let running = with_registration(REGISTRATION).await;
    std::fs::remove_file(running.program.folder().join("registration.yaml")).unwrap();
    let diagnosis = running.doctor().await;
    assert_eq!(
        diagnosis.check("registration")["message"],
        "cannot use the registration registration.yaml: no such file or directory"
    );
}
