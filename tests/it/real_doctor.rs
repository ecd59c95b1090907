//! `doctor` on a real Synapse and a real Letta: it finds nothing wrong where nothing is, and what a test breaks.

use serde_json::{Value, json};

use crate::{
    cli::Program,
    support::{env, real_services},
};

/// The program with the settings of the real servers.
fn program() -> Program {
    let mut program = Program::new(&env("LETTA_API_URL"), &env("MATRIX_HOMESERVER_URL"));
    for name in [
        "LETTA_TOKEN",
        "MATRIX_SERVER_NAME",
        "MATRIX_AS_TOKEN",
        "MATRIX_HS_TOKEN",
        "LETTA_MATRIX_LISTEN",
    ] {
        program.set(name, env(name));
    }
    let admin = format!(
        "@{}:{}=admin",
        env("MATRIX_ADMIN_USERNAME"),
        env("MATRIX_SERVER_NAME")
    );
    program.set("LETTA_MATRIX_PERMISSIONS", admin);
    program
}

/// What ended like this: check and message.
fn ended<'a>(diagnosis: &'a Value, result: &str) -> Vec<(&'a str, &'a str)> {
    let checks = diagnosis["checks"].as_array().unwrap();
    checks
        .iter()
        .filter(|check| check["result"] == result)
        .map(|check| {
            (
                check["check"].as_str().unwrap(),
                check["message"].as_str().unwrap(),
            )
        })
        .collect()
}

#[tokio::test]
async fn nothing_is_wrong_with_real_servers_that_are_set_up_right() {
    if !real_services() {
        return;
    }
    let program = program();
    let ran = program.run(&["doctor", "--json"]).await;
    let diagnosis = ran.json();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{diagnosis:#}");
    assert_eq!(ended(&diagnosis, "problem"), [], "{diagnosis:#}");
    assert_eq!(ended(&diagnosis, "warning"), [], "{diagnosis:#}");
    // Everything could be seen but what only rooms show.
    let unseen: Vec<&str> = ended(&diagnosis, "skipped")
        .into_iter()
        .map(|(check, _)| check)
        .collect();
    assert_eq!(unseen, ["rooms"], "{diagnosis:#}");
    assert_eq!(program.files(), Vec::<String>::new());
}

#[tokio::test]
async fn tokens_that_real_servers_refuse_are_named() {
    if !real_services() {
        return;
    }
    let mut program = program();
    program.set("LETTA_TOKEN", "not-a-real-secret-wrong");
    program.set("MATRIX_AS_TOKEN", "not-a-real-secret-wrong");
    let ran = program.run(&["doctor", "--json"]).await;
    let diagnosis = ran.json();
    assert_eq!(ran.code, 1, "{diagnosis:#}");
    let (letta, homeserver) = (env("LETTA_API_URL"), env("MATRIX_HOMESERVER_URL"));
    assert_eq!(
        ended(&diagnosis, "problem"),
        [
            (
                "letta_agents",
                format!("LETTA_TOKEN (from the environment) was refused by {letta}: HTTP 401").as_str()
            ),
            (
                "as_token",
                format!("MATRIX_AS_TOKEN (from the environment) was refused by {homeserver}: HTTP 401")
                    .as_str()
            ),
        ]
    );
}

#[tokio::test]
async fn names_that_a_real_synapse_does_not_leave_to_us_are_told() {
    if !real_services() {
        return;
    }
    let mut program = program();
    for (name, value) in [
        ("MATRIX_USER_PREFIX", "doctor_bot_"),
        ("MATRIX_SENDER_LOCALPART", "doctor"),
        ("MATRIX_APPSERVICE_ID", "doctor"),
        ("LETTA_MATRIX_SPACE_ALIAS", "doctor-space"),
        ("LETTA_MATRIX_INVITE", "@doctor-nobody:matrix.test"),
    ] {
        program.set(name, value);
    }
    let ran = program.run(&["doctor", "--json"]).await;
    let diagnosis = ran.json();
    assert_eq!(ran.code, 1, "{diagnosis:#}");
    let problems: Vec<&str> = ended(&diagnosis, "problem")
        .into_iter()
        .map(|(check, _)| check)
        .collect();
    assert_eq!(
        problems,
        [
            "sender",
            "user_namespace",
            "alias_namespace",
            "space_alias",
            "ping"
        ],
        "{diagnosis:#}"
    );
    assert_eq!(
        ended(&diagnosis, "warning"),
        [(
            "people_invited",
            "the homeserver does not know @doctor-nobody:matrix.test, who is to be invited"
        )]
    );
    let message = diagnosis["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["check"] == "server_name")
        .map(|check| &check["message"]);
    let name = env("MATRIX_SERVER_NAME");
    assert_eq!(
        message,
        Some(&json!(format!("the homeserver calls itself {name}")))
    );
}
