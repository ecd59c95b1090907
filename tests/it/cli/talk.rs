//! `letta-matrix run` carries messages: pushed by a homeserver, or read from it with accounts.

use std::time::Duration;

use matrix_client::fake::TEST_APPSERVICE_ID;

use super::{
    accounts::Setup,
    person::{Person, times_heard},
    run::running::{Running, until},
    servers::Servers,
};

async fn with_appservice() -> (Servers, Running) {
    let mut servers = Servers::start().await;
    let running = start(&mut servers).await;
    (servers, running)
}

async fn start(servers: &mut Servers) -> Running {
    servers.program.set("MATRIX_AGENT_SYNC_INTERVAL", "24h");
    let running = Running::start(&mut servers.program).await;
    until("the first sync is done", async || {
        running.get("/ready").await.0 == 200
    })
    .await;
    running
}

#[tokio::test]
async fn a_persons_message_is_answered_once() {
    let (servers, running) = with_appservice().await;
    let person = Person::in_the_room_of("Agent Alpha", &servers.matrix).await;
    person.says("hello").await;
    person.hears_at_last("echo: hello").await;
    let second = person.says("and again").await;
    person.hears_at_last("echo: and again").await;
    assert_eq!(person.hears(), ["echo: hello", "echo: and again"]);
    // It is over a moment after it was heard.
    until("it is known what became of it", async || {
        let explained = servers.program.run(&["explain", second.as_str(), "--json"]).await;
        assert_eq!(explained.code, 0, "{explained:?}");
        let fate = explained.json();
        assert_eq!(fate["verdict"], "for agent-001");
        fate["deliveries"][0]["outcome"]["outcome"] == "answered"
    })
    .await;
    let unknown = servers.program.run(&["explain", "$unknown"]).await;
    assert_eq!(unknown.code, 1, "{unknown:?}");

    let log = running.terminated().await;
    assert!(!log.contains(" WARN ") && !log.contains(" ERROR "), "{log}");
    assert!(!log.contains("hello"), "what people say is not logged: {log}");
}

#[tokio::test]
async fn messages_are_carried_while_those_who_watch_cannot_be_told() {
    let mut servers = Servers::start().await;
    servers
        .program
        .set("REDIS_URL", "redis://me:not-a-real-secret-redis@127.0.0.1:1/0");
    let running = start(&mut servers).await;
    let person = Person::in_the_room_of("Agent Alpha", &servers.matrix).await;
    person.says("hello").await;
    person.hears_at_last("echo: hello").await;
    assert_eq!(person.hears(), ["echo: hello"]);
    let log = running.terminated().await;
    assert!(!log.contains("not-a-real-secret-redis"), "{log}");
    assert!(!log.contains(" ERROR "), "{log}");
}

#[tokio::test]
async fn a_stranger_is_not_heard() {
    let mut servers = Servers::start().await;
    servers
        .program
        .set("LETTA_MATRIX_PERMISSIONS", "@somebody:matrix.test=admin");
    let running = start(&mut servers).await;
    let person = Person::in_the_room_of("Agent Alpha", &servers.matrix).await;
    let event = person.says("hello").await;
    until("it was pushed", async || {
        servers.matrix.backlog(TEST_APPSERVICE_ID) == 0
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(person.hears(), Vec::<String>::new());
    assert_eq!(times_heard(&servers, "agent-001", "hello").await, 0);
    let explained = servers.program.run(&["explain", event.as_str()]).await;
    assert!(
        explained.stdout.contains("the sender may not talk with agents"),
        "{explained:?}"
    );
    running.terminated().await;
}

#[tokio::test]
async fn whoever_is_killed_in_the_middle_goes_on_and_says_nothing_twice() {
    let (mut servers, running) = with_appservice().await;
    let person = Person::in_the_room_of("Agent Alpha", &servers.matrix).await;
    person.says("[slow 2] one").await;
    until("the agent heard it", async || servers.letta.count("send") > 0).await;
    person.says("two").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    running.killed().await;
    let running = start(&mut servers).await;
    person.hears_at_last("echo: two").await;
    let heard: Vec<_> = person
        .hears()
        .into_iter()
        .filter(|text| !text.starts_with('⏳'))
        .collect();
    assert_eq!(heard, ["echo: [slow 2] one", "echo: two"]);
    for words in ["[slow 2] one", "two"] {
        assert_eq!(times_heard(&servers, "agent-001", words).await, 1, "{words}");
    }
    running.terminated().await;
}

#[tokio::test]
async fn without_an_application_service_rooms_are_read() {
    let mut setup = Setup::new("open").await;
    setup.matrix.add_user("admin");
    let settings = [
        ("LETTA_MATRIX_PERMISSIONS", "@admin:matrix.test=admin"),
        ("MATRIX_AGENT_SYNC_INTERVAL", "24h"),
    ];
    for (name, value) in settings {
        setup.program.set(name, value);
    }
    let running = Running::start(&mut setup.program).await;
    until("the first sync is done", async || {
        running.get("/ready").await.0 == 200
    })
    .await;
    let person = Person::in_the_room_of("Agent Alpha", &setup.matrix).await;
    // What was said before the account's first sync is not for its agent.
    until("the agent's account asks for what comes next", async || {
        let syncs = setup.matrix.calls_of("sync");
        syncs.iter().filter(|call| call.is_by(&person.agent)).count() >= 2
    })
    .await;
    person.says("hello").await;
    person.hears_at_last("echo: hello").await;
    assert_eq!(person.hears(), ["echo: hello"]);
    running.terminated().await;
}
