//! `init`: what it writes is what the other commands read, and what a homeserver reads.

use std::{os::unix::fs::PermissionsExt, path::Path};

use fake_servers::letta::LettaServer;
use letta_client::fake::FakeLetta;
use matrix_client::{HttpMatrix, MatrixApi};
use rexpect::session::spawn_command;
use ruma::api::appservice::Registration;
use serde_json::{Value, json};

use super::{
    fake::Fake,
    program::{LETTA_TOKEN, Program, Ran},
    raw_server::closed_port,
};

const CONFIG: &str = "letta-matrix.toml";
const REGISTRATION: &str = "letta-matrix-registration.yaml";
const ACCOUNT_PASSWORD: &str = "not-a-real-secret-account";

/// Nothing is set: everything comes from what `init` writes.
fn newcomer() -> Program {
    let mut program = Program::new("", "");
    for name in [
        "LETTA_API_URL",
        "LETTA_TOKEN",
        "MATRIX_HOMESERVER_URL",
        "MATRIX_SERVER_NAME",
        "MATRIX_AS_TOKEN",
        "MATRIX_HS_TOKEN",
    ] {
        program.unset(name);
    }
    program
}

fn read(program: &Program, file: &str) -> String {
    std::fs::read_to_string(program.folder().join(file)).unwrap()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// The value of a line `name = "value"`.
fn setting<'a>(config: &'a str, name: &str) -> &'a str {
    let line = config
        .lines()
        .find(|line| line.starts_with(&format!("{name} = ")));
    line.unwrap_or_else(|| panic!("no {name} in {config}"))
        .split('"')
        .nth(1)
        .unwrap()
}

fn registration(program: &Program) -> Registration {
    serde_saphyr::from_str(&read(program, REGISTRATION)).unwrap()
}

/// Whoever follows the printed steps arrives: init, the homeserver with the registration, doctor, sync.
#[tokio::test]
async fn what_it_writes_passes_the_doctor_and_brings_agents_home() {
    let letta = FakeLetta::with_test_agents().with_token(LETTA_TOKEN);
    let letta = fake_servers::letta::spawn(LettaServer::new(letta)).await.unwrap();
    let homeserver = closed_port().await;
    let bridge = closed_port().await;
    let mut program = newcomer();
    program.set("LETTA_TOKEN", LETTA_TOKEN);
    let ran = program
        .run(&[
            "init",
            "--letta-url",
            letta.base_url().as_str(),
            "--homeserver-url",
            &homeserver,
            "--server-name",
            "example.org",
            "--admin",
            "@boss:example.org",
            "--listen",
            bridge.trim_start_matches("http://"),
            "--url",
            &bridge,
        ])
        .await;
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert_eq!(program.files(), [REGISTRATION, CONFIG]);
    program.unset("LETTA_TOKEN");

    let _homeserver = Fake::start(&[
        "matrix",
        "--listen",
        homeserver.trim_start_matches("http://"),
        "--server-name",
        "example.org",
        "--rate-limits",
        "--as-registration",
        program.folder().join(REGISTRATION).to_str().unwrap(),
    ]);
    make_user(&homeserver, "boss").await;

    let doctor = program.run(&["doctor", "--json"]).await;
    assert_eq!(doctor.code, 0, "{doctor:#?}");
    let diagnosis = doctor.json();
    assert_eq!(
        (&diagnosis["problems"], &diagnosis["warnings"]),
        (&json!(0), &json!(0)),
        "{diagnosis:#}"
    );
    assert_eq!(
        message(&diagnosis, "ping"),
        format!(
            "the homeserver reaches us at {}",
            bridge.trim_start_matches("http://")
        )
    );
    assert!(
        message(&diagnosis, "registration").ends_with("and the settings agree"),
        "{diagnosis:#}"
    );

    let sync = program.run(&["sync", "--json"]).await;
    assert_eq!(
        (sync.code, &sync.json()["rooms_created"]),
        (0, &json!(3)),
        "{sync:?}"
    );
    let again = program.run(&["doctor", "--json"]).await.json();
    assert_eq!(
        (&again["problems"], &again["warnings"]),
        (&json!(0), &json!(0)),
        "{again:#}"
    );
    let status = program.run(&["status", "--json"]).await.json();
    assert_eq!(
        status[0]["invitations"],
        json!({ "@boss:example.org": "invited" })
    );
}

async fn make_user(homeserver: &str, localpart: &str) {
    let response = reqwest::Client::new()
        .post(format!("{homeserver}/_fake/users"))
        .header("content-type", "application/json")
        .body(json!({ "localpart": localpart }).to_string())
        .send()
        .await
        .unwrap();
    assert!(response.status().is_success(), "{response:?}");
}

/// As its owner would, by open registration.
async fn make_account(homeserver: &str, localpart: &str, password: &str) {
    let matrix = HttpMatrix::new(homeserver.parse().unwrap()).unwrap();
    let registration = matrix_client::Registration::dummy(localpart, password.into());
    matrix.register(&registration).await.unwrap();
}

fn message<'a>(diagnosis: &'a Value, check: &str) -> &'a str {
    let checks = diagnosis["checks"].as_array().unwrap();
    let found = checks.iter().find(|found| found["check"] == check);
    found.unwrap_or_else(|| panic!("no {check} in {diagnosis:#}"))["message"]
        .as_str()
        .unwrap()
}

#[tokio::test]
async fn it_says_what_to_do_next() {
    let program = newcomer();
    let folder = program.folder().canonicalize().unwrap();
    let ran = program
        .run(&["init", "--server-name", "example.org", "--admin", "ann"])
        .await;
    let expected = format!(
        "Wrote {folder}/letta-matrix.toml
  and {folder}/letta-matrix-registration.yaml
Both hold secrets: only you can read them.

If Letta asks for a password, write it to {folder}/letta-matrix.toml as token, or set LETTA_TOKEN.

What to do next:
1. Give the homeserver the registration. For Synapse, copy it to where Synapse can read it and name it in
   homeserver.yaml:
     app_service_config_files:
       - {folder}/letta-matrix-registration.yaml
2. Restart the homeserver.
3. letta-matrix doctor
4. letta-matrix sync
",
        folder = folder.display()
    );
    assert_eq!(ran.stdout, expected, "{ran:?}");

    std::fs::create_dir(program.folder().join("etc")).unwrap();
    let ran = program
        .run(&["init", "--server-name", "example.org", "--dir", "etc"])
        .await;
    for expected in [
        format!(
            "3. letta-matrix --config {}/etc/letta-matrix.toml doctor\n",
            folder.display()
        ),
        format!(
            "Nobody is invited yet: name yourself under [people] in {}/etc/letta-matrix.toml.\n",
            folder.display()
        ),
    ] {
        assert!(ran.stdout.contains(&expected), "{ran:?}");
    }
}

#[tokio::test]
async fn only_the_owner_can_read_the_files_and_tokens_are_never_the_same() {
    let program = newcomer();
    let init = async |arguments: &[&str]| {
        let ran = program
            .run(&[&["init", "--server-name", "example.org"], arguments].concat())
            .await;
        assert_eq!(ran.code, 0, "{ran:?}");
        for file in [CONFIG, REGISTRATION] {
            assert_eq!(mode(&program.folder().join(file)), 0o600, "{file}");
        }
        let (config, registration) = (read(&program, CONFIG), registration(&program));
        let tokens = [
            setting(&config, "as_token").to_owned(),
            setting(&config, "hs_token").to_owned(),
        ];
        assert_eq!([registration.as_token, registration.hs_token], tokens);
        assert!(
            !ran.stdout.contains(&tokens[0]) && !ran.stdout.contains(&tokens[1]),
            "{ran:?}"
        );
        tokens
    };
    let mut tokens = init(&[]).await.to_vec();
    tokens.extend(init(&["--force"]).await);
    for token in &tokens {
        assert_eq!(token.len(), 64, "{token}");
        assert!(token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    }
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 4);
    assert_eq!(
        program.files(),
        [REGISTRATION, CONFIG],
        "nothing else is left behind"
    );
}

#[tokio::test]
async fn the_registration_asks_for_what_is_needed_and_no_more() {
    let program = newcomer();
    program
        .run(&["init", "--server-name", "matrix.example.org:8448"])
        .await;
    let registration = registration(&program);
    let regexes = |namespaces: &[ruma::api::appservice::Namespace]| {
        namespaces
            .iter()
            .map(|namespace| (namespace.exclusive, namespace.regex.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        regexes(&registration.namespaces.users),
        [
            (true, r"^@agent_.*:matrix\.example\.org:8448$".to_owned()),
            (true, r"^@letta_bot:matrix\.example\.org:8448$".to_owned()),
        ]
    );
    assert_eq!(
        regexes(&registration.namespaces.aliases),
        [
            (true, r"^#agent_.*:matrix\.example\.org:8448$".to_owned()),
            (true, r"^#letta-agents:matrix\.example\.org:8448$".to_owned()),
        ]
    );
    assert!(registration.namespaces.rooms.is_empty());
    assert_eq!(registration.url, None);
    assert_eq!(
        (
            registration.id.as_str(),
            registration.sender_localpart.as_str(),
            registration.rate_limited
        ),
        ("letta-matrix", "letta_bot", Some(false))
    );
    assert!(!registration.receive_ephemeral);
}

#[tokio::test]
async fn files_that_are_there_are_left_alone() {
    for file in [CONFIG, REGISTRATION] {
        let program = newcomer();
        std::fs::write(program.folder().join(file), "mine").unwrap();
        program
            .run(&["init", "--server-name", "example.org"])
            .await
            .assert_could_not_run(&[&format!("{file} exists already"), "--force"]);
        assert_eq!(program.files(), [file]);
        assert_eq!(read(&program, file), "mine");
    }
    // A link that leads nowhere is somebody's too.
    let program = newcomer();
    std::os::unix::fs::symlink("/nowhere/at/all", program.folder().join(CONFIG)).unwrap();
    let ran = program.run(&["init", "--server-name", "example.org"]).await;
    ran.assert_could_not_run(&["exists already"]);
}

async fn refused(arguments: &[&str]) -> Ran {
    let program = newcomer();
    let ran = program.run(&[&["init"], arguments].concat()).await;
    assert_eq!(program.files(), Vec::<String>::new());
    ran
}

#[tokio::test]
async fn values_that_make_no_sense_are_told_all_at_once() {
    let ran = refused(&[
        "--letta-url",
        "letta.test",
        "--homeserver-url",
        "ftp://matrix.test",
        "--server-name",
        "https://example.org",
        "--admin",
        "@ann:a b",
        "--listen",
        "8470",
        "--url",
        "here",
    ])
    .await;
    ran.assert_could_not_run(&[
        "--letta-url is \"letta.test\", without http:// or https:// in front",
        "--homeserver-url must begin with http:// or https://",
        "--server-name is \"https://example.org\", which is not a server name: it is the bare name, without https://",
        "--admin is \"@ann:a b\", which is not a Matrix id such as @ann:example.org",
        "--listen is \"8470\", which is not an address and a port such as 127.0.0.1:8470",
        "--url is \"here\", without http:// or https:// in front",
    ]);
}

#[tokio::test]
async fn without_a_terminal_the_servers_name_must_be_told() {
    refused(&[])
        .await
        .assert_could_not_run(&["--server-name is needed", "letta-matrix init --help"]);
    refused(&["--yes"])
        .await
        .assert_could_not_run(&["--server-name is needed"]);
    let dir = ["--server-name", "example.org", "--dir", "missing"];
    refused(&dir)
        .await
        .assert_could_not_run(&["there is no folder ", "/missing", "--dir"]);
}

#[test]
fn on_a_terminal_it_asks_and_asks_again_where_an_answer_makes_no_sense() {
    let program = newcomer();
    let mut command = program.command();
    command.args(["init", "--listen", "127.0.0.1:9000"]);
    let mut terminal = spawn_command(command, Some(30_000)).unwrap();
    for (question, answer) in [
        ("Address of the Letta server", "letta.test"),
        ("this is \"letta.test\", without http:// or https:// in front", ""),
        ("Address of the Letta server", ""),
        ("Password of the Letta server", LETTA_TOKEN),
        ("Address of the homeserver", "https://matrix.example.org"),
        ("Name of the homeserver", ""),
        ("Your Matrix id", "ann"),
        ("May you install an application service", "y"),
        ("Can the homeserver reach the bridge there?", "y"),
        ("The address under which the homeserver reaches the bridge", ""),
    ] {
        terminal.exp_string(question).unwrap();
        if !question.starts_with("this is") {
            terminal.send_line(answer).unwrap();
        }
    }
    terminal.exp_string("Wrote ").unwrap();
    let rest = terminal.exp_eof().unwrap();
    assert!(rest.contains("letta-matrix doctor"), "{rest}");
    let config = read(&program, CONFIG);
    for line in [
        "url = \"http://127.0.0.1:8283\"",
        &format!("token = \"{LETTA_TOKEN}\""),
        "homeserver_url = \"https://matrix.example.org\"",
        "server_name = \"example.org\"",
        "listen = \"127.0.0.1:9000\"",
        "\"@ann:example.org\" = \"admin\"",
    ] {
        assert!(
            config.lines().any(|found| found == line),
            "{line} is missing in {config}"
        );
    }
    assert_eq!(
        registration(&program).url.as_deref(),
        Some("http://127.0.0.1:9000")
    );
}

/// What is written is read again as it was, whatever it holds.
#[tokio::test]
async fn names_that_toml_and_yaml_find_special_are_kept() {
    let mut program = newcomer();
    program.set("LETTA_TOKEN", r#"not-a-real-secret"\'#{}[]&*!|>%@`"#);
    std::fs::create_dir(program.folder().join("a \"quoted\" # folder")).unwrap();
    let ran = program
        .run(&[
            "init",
            "--server-name",
            "[2001:db8::1]:8448",
            "--admin",
            "ann",
            "--dir",
            "a \"quoted\" # folder",
        ])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    program.unset("LETTA_TOKEN");
    let config = program.folder().join("a \"quoted\" # folder/letta-matrix.toml");
    let ran = program
        .run(&["--config", config.to_str().unwrap(), "doctor", "--json"])
        .await;
    // Nobody listens there; the settings and the registration are read all the same.
    let diagnosis = ran.json();
    assert!(
        message(&diagnosis, "state").contains("# folder/letta-matrix.db"),
        "{diagnosis:#}"
    );
    assert!(
        message(&diagnosis, "registration").ends_with("and the settings agree"),
        "{diagnosis:#}"
    );
}

/// Where nobody may install an application service: an account, its password from the environment, and nothing to give to
/// the homeserver.
#[tokio::test]
async fn without_an_application_service_it_writes_what_accounts_need() {
    let letta = fake_servers::letta::spawn(LettaServer::new(FakeLetta::with_test_agents()))
        .await
        .unwrap();
    let homeserver = closed_port().await;
    let mut program = newcomer();
    program.set("MATRIX_PASSWORD", ACCOUNT_PASSWORD);
    let arguments = [
        "init",
        "--letta-url",
        letta.base_url().as_str(),
        "--homeserver-url",
        &homeserver,
        "--server-name",
        "example.org",
        "--username",
        "bridge",
    ];
    let ran = program.run(&arguments).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(
        ran.stdout
            .contains("1. Make the account @bridge:example.org, if there is none yet."),
        "{ran:?}"
    );
    assert_eq!(program.files(), [CONFIG], "no registration");
    assert_eq!(mode(&program.folder().join(CONFIG)), 0o600);
    let config = read(&program, CONFIG);
    assert_eq!(setting(&config, "username"), "@bridge:example.org");
    assert_eq!(setting(&config, "account_key").len(), 64);
    program.unset("MATRIX_PASSWORD");

    let _homeserver = Fake::start(&[
        "matrix",
        "--listen",
        homeserver.trim_start_matches("http://"),
        "--server-name",
        "example.org",
    ]);
    make_account(&homeserver, "bridge", ACCOUNT_PASSWORD).await;
    let doctor = program.run(&["doctor", "--json"]).await;
    assert_eq!(doctor.json()["problems"], json!(0), "{doctor:#?}");
    let synced = program.run(&["sync", "--json"]).await;
    assert_eq!(
        (synced.code, &synced.json()["rooms_created"]),
        (0, &json!(3)),
        "{synced:?}"
    );
    let again = program.run(&["sync", "--json"]).await.json();
    assert_eq!(again["requests"]["matrix"], json!(0));
    assert_eq!(
        program.run(&arguments).await.code,
        2,
        "files that are there are left alone"
    );
}

#[tokio::test]
async fn an_account_needs_its_password_and_this_homeserver() {
    let mut program = newcomer();
    let run = [
        "init",
        "--server-name",
        "example.org",
        "--username",
        "@bridge:other.test",
    ];
    program
        .run(&run)
        .await
        .assert_could_not_run(&["--username is @bridge:other.test, which is no user of example.org"]);
    let run = ["init", "--server-name", "example.org", "--username", "bridge"];
    program
        .run(&run)
        .await
        .assert_could_not_run(&["MATRIX_PASSWORD is needed in the environment"]);
    program.set("MATRIX_PASSWORD", ACCOUNT_PASSWORD);
    program.set("MATRIX_REGISTRATION_SHARED_SECRET", "not-a-real-secret-shared");
    assert_eq!(program.run(&run).await.code, 0);
    let config = read(&program, CONFIG);
    assert_eq!(
        setting(&config, "registration_shared_secret"),
        "not-a-real-secret-shared"
    );
}

#[test]
fn on_a_terminal_whoever_may_not_install_an_application_service_is_asked_for_an_account() {
    let program = newcomer();
    let mut command = program.command();
    command.args([
        "init",
        "--server-name",
        "example.org",
        "--letta-url",
        "http://127.0.0.1:8283",
    ]);
    command.args(["--homeserver-url", "http://127.0.0.1:8008", "--admin", "ann"]);
    command.args(["--listen", "127.0.0.1:9000"]);
    let mut terminal = spawn_command(command, Some(30_000)).unwrap();
    for (question, answer) in [
        ("Password of the Letta server", ""),
        ("May you install an application service", "n"),
        ("The bridge's own account", "@bridge:other.test"),
        ("this is @bridge:other.test, which is no user of example.org", ""),
        ("The bridge's own account", "bridge"),
        ("Its password", ACCOUNT_PASSWORD),
        ("How are agents' accounts made?", ""),
    ] {
        terminal.exp_string(question).unwrap();
        if !question.starts_with("this is") {
            terminal.send_line(answer).unwrap();
        }
    }
    terminal.exp_string("Wrote ").unwrap();
    let rest = terminal.exp_eof().unwrap();
    assert!(
        rest.contains("letta-matrix doctor") && !rest.contains(ACCOUNT_PASSWORD),
        "{rest}"
    );
    assert_eq!(program.files(), [CONFIG]);
    let config = read(&program, CONFIG);
    assert_eq!(setting(&config, "username"), "@bridge:example.org");
    assert_eq!(setting(&config, "password"), ACCOUNT_PASSWORD);
    assert_eq!(setting(&config, "account_registration"), "open");
}
