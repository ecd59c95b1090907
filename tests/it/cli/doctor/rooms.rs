//! What shows only once there are rooms.

use matrix_client::{MatrixApi, MatrixErrorKind, Session, fake::Fault};
use ruma::{OwnedRoomId, RoomVersionId, owned_user_id, user_id};
use serde_json::json;

use super::{AS_TOKEN, Running, Setup};

async fn synced(setup: Setup) -> Running {
    let running = setup.start().await;
    let ran = running.program.run(&["sync"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    running
}

fn room_of_alpha(running: &Running) -> OwnedRoomId {
    running
        .matrix
        .rooms()
        .into_iter()
        .find(|room| !room.is_space() && room.has_joined(user_id!("@agent_001:matrix.test")))
        .unwrap()
        .room_id
}

fn alpha() -> Session {
    Session::as_appservice_user(owned_user_id!("@agent_001:matrix.test"), AS_TOKEN.into())
}

#[tokio::test]
async fn rooms_of_today_are_well() {
    let running = synced(Setup::new().await).await;
    running.matrix.clear_journal();
    let diagnosis = running.doctor().await;
    diagnosis.assert_all_well();
    assert_eq!(
        diagnosis.check("rooms")["message"],
        "3 rooms were looked into: not encrypted, and made as rooms are made today"
    );
    assert_eq!(
        diagnosis.check("state")["message"],
        "letta-matrix.db knows 3 agents"
    );
}

#[tokio::test]
async fn rooms_that_the_homeserver_encrypts_are_told_once() {
    let running = synced(Setup::new().await).await;
    let encryption = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    for room in running.matrix.rooms() {
        let agent = room.creator.clone();
        let session = Session::as_appservice_user(agent, AS_TOKEN.into());
        running
            .matrix
            .set_state_event(
                &session,
                &room.room_id,
                &"m.room.encryption".into(),
                "",
                &encryption,
            )
            .await
            .unwrap();
    }
    let diagnosis = running.doctor().await;
    assert_eq!(
        (
            diagnosis.code,
            &diagnosis.json["problems"],
            &diagnosis.json["warnings"]
        ),
        (1, &json!(1), &json!(0)),
        "{diagnosis:#?}"
    );
    let message = diagnosis.check("room_encryption")["message"].as_str().unwrap();
    assert!(
        message.ends_with(
            " is encrypted, and the bridge cannot read what is said there: the homeserver encrypts new rooms by itself"
        ),
        "{message}"
    );
}

#[tokio::test]
async fn an_old_room_version_is_told() {
    let mut setup = Setup::new().await;
    setup.homeserver = setup.homeserver.default_room_version(RoomVersionId::V9);
    let diagnosis = synced(setup).await.doctor().await;
    assert_eq!(
        (diagnosis.code, &diagnosis.json["warnings"]),
        (0, &json!(3)),
        "{diagnosis:#?}"
    );
    for warning in diagnosis.checks("warning") {
        let message = warning["message"].as_str().unwrap();
        assert_eq!(warning["check"], "room_recipe");
        assert!(message.ends_with(" has version 9, which is old"), "{message}");
    }
}

#[tokio::test]
async fn an_agent_that_is_no_longer_in_its_room_is_told() {
    let running = synced(Setup::new().await).await;
    let room = room_of_alpha(&running);
    running.matrix.leave_room(&alpha(), &room, None).await.unwrap();
    running.matrix.forget_room(&alpha(), &room).await.unwrap();
    let diagnosis = running.doctor().await;
    assert_eq!(
        (diagnosis.code, &diagnosis.json["warnings"]),
        (0, &json!(1)),
        "{diagnosis:#?}"
    );
    let message = diagnosis.check("room_membership")["message"].as_str().unwrap();
    assert!(
        message.starts_with(&format!(
            "@agent_001:matrix.test is not in the room {room} of Agent Alpha: "
        )),
        "{message}"
    );
}

#[tokio::test]
async fn agents_that_could_not_be_brought_home_are_told() {
    let running = Setup::new().await.start().await;
    running.matrix.plan(
        Fault::on("create_room")
            .user(user_id!("@agent_002:matrix.test"))
            .always()
            .fail(MatrixErrorKind::Forbidden),
    );
    running.program.run(&["sync"]).await;
    running.matrix.clear_faults();
    let diagnosis = running.doctor().await;
    assert_eq!(
        (diagnosis.code, &diagnosis.json["warnings"]),
        (0, &json!(1)),
        "{diagnosis:#?}"
    );
    let check = diagnosis.check("state_agents");
    let message = check["message"].as_str().unwrap();
    assert!(
        message.starts_with("Agent Beta could not be brought home: "),
        "{message}"
    );
}

#[tokio::test]
async fn a_state_that_cannot_be_read_is_told_and_left_as_it_is() {
    let mut setup = Setup::new().await;
    let text = "this is no database at all, it is only text that is long enough to be looked at";
    std::fs::write(setup.program.folder().join("garbage.db"), text).unwrap();
    setup.program.set("DATABASE_URL", "garbage.db");
    let running = setup.start().await;
    let diagnosis = running.doctor().await;
    assert_eq!(
        (diagnosis.code, &diagnosis.json["problems"]),
        (1, &json!(1)),
        "{diagnosis:#?}"
    );
    let check = diagnosis.check("state");
    let message = check["message"].as_str().unwrap();
    assert!(
        message.starts_with("the state file garbage.db cannot be used"),
        "{message}"
    );
    assert_eq!(check["settings"], json!(["database"]));
    assert_eq!(running.program.files(), ["garbage.db"]);
    assert_eq!(
        std::fs::read_to_string(running.program.folder().join("garbage.db")).unwrap(),
        text
    );
}
