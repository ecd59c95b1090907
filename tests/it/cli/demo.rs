//! `demo`: everything inside, a person at the input.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::Duration,
};

use matrix_client::{
    HttpMatrix, LoginRequest, MatrixApi, MatrixApiExt, Session, SyncRequest, content::Message,
};
use ruma::{OwnedRoomId, TransactionId};

use super::program::Program;

fn program() -> Program {
    // The demo needs no settings: nothing listens there.
    Program::new("http://127.0.0.1:1", "http://127.0.0.1:1")
}

async fn talk(input: &str) -> String {
    let program = program();
    let ran = program.run_with_input(&["demo"], input).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        program.files(),
        Vec::<String>::new(),
        "the demo leaves nothing behind"
    );
    ran.stdout
}

/// What an agent of this name said, in order.
fn said_by<'a>(name: &str, output: &'a str) -> Vec<&'a str> {
    output
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .collect()
}

#[tokio::test]
async fn every_line_of_piped_input_is_answered_in_order() {
    let output = talk("[say one]\n[say two]\n[say three]\n/quit\n[say four]\n").await;
    assert_eq!(said_by("Ada", &output), ["one", "two", "three"]);
    assert!(
        output.contains("3 users and 3 rooms in the space \"Letta Agents\", 15 Matrix requests"),
        "{output}"
    );
    assert!(output.contains("nothing to do, 0 Matrix requests"), "{output}");
    assert!(
        !output.contains("you →") && !output.contains("Whom"),
        "prompts are for terminals:\n{output}"
    );
}

#[tokio::test]
async fn the_end_of_the_input_ends_the_demo() {
    assert_eq!(said_by("Ada", &talk("").await), Vec::<&str>::new());
    assert_eq!(
        said_by("Ada", &talk("[say no line break at the end]").await),
        ["no line break at the end"]
    );
}

#[tokio::test]
async fn agents_have_a_character_and_a_memory_of_their_own() {
    let output = talk("my name is Joe\nwhat is my name?\n/agent basil\nwhat is my name?\n").await;
    assert!(said_by("Ada", &output)[1].contains("Joe"), "{output}");
    assert!(!said_by("Basil", &output)[0].contains("Joe"), "{output}");
}

#[tokio::test]
async fn a_rename_in_letta_reaches_the_room_that_the_person_sees() {
    let output = talk("/rename Ada the Second\n[say hi]\n/agents\n").await;
    assert!(output.contains("syncing took 3 Matrix requests"), "{output}");
    assert!(
        output.contains("The room is now called \"Ada the Second\"."),
        "{output}"
    );
    assert_eq!(said_by("Ada the Second", &output), ["hi"]);
}

#[tokio::test]
async fn a_failing_model_is_told_and_the_talk_goes_on() {
    let output = talk("[fail 429]\n[empty]\n[say still here]\n/nonsense\n/agent nobody\n").await;
    for part in [
        "[The language model has too much to do. Try again later. React with 🔁, or write `!retry`, to try again.]",
        "[Ada gave no answer. React with 🔁, or write `!retry`, to try again.]",
        "Ada: still here",
        "There is no /nonsense.",
        "There is no agent \"nobody\".",
    ] {
        assert!(output.contains(part), "{part:?} is missing in:\n{output}");
    }
}

#[tokio::test]
async fn a_matrix_client_can_talk_with_the_agents_too() {
    let mut demo = Running::start();
    let (homeserver, user, password) = demo.invitation();
    let matrix = HttpMatrix::new(homeserver.parse().unwrap()).unwrap();
    let login = LoginRequest::with_password(user.as_str(), password.into());
    let session = matrix.login(&login).await.unwrap();
    let room = room_called(&matrix, &session, "Basil").await;
    let news = matrix.sync(&session, &SyncRequest::initial()).await.unwrap();
    matrix
        .send_message(
            &session,
            &room,
            <&TransactionId>::from("one"),
            &Message::text("[say over HTTP]"),
        )
        .await
        .unwrap();

    let heard = async {
        let mut since = news.next_batch;
        loop {
            let request = SyncRequest::since(since).timeout(Duration::from_secs(10));
            let news = matrix.sync(&session, &request).await.unwrap();
            let timeline = news
                .joined
                .get(&room)
                .map(|room| room.timeline.events.clone())
                .unwrap_or_default();
            if timeline.iter().any(|event| event.content["body"] == "over HTTP") {
                return;
            }
            since = news.next_batch;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), heard)
        .await
        .expect("an answer");
    demo.quit();
}

async fn room_called(matrix: &HttpMatrix, session: &Session, name: &str) -> OwnedRoomId {
    for room in matrix.list_joined_rooms(session).await.unwrap() {
        let state = matrix
            .get_state_event(session, &room, &"m.room.name".into(), "")
            .await;
        if state.is_ok_and(|state| state["name"] == name) {
            return room;
        }
    }
    panic!("no room is called {name}")
}

/// A demo that serves over HTTP and waits for input.
struct Running {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    _program: Program,
}

impl Running {
    fn start() -> Self {
        let program = program();
        let mut child = program
            .command()
            .args(["demo", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (
            child.stdin.take().unwrap(),
            BufReader::new(child.stdout.take().unwrap()),
        );
        Self {
            child,
            stdin,
            stdout,
            _program: program,
        }
    }

    /// Address of the homeserver, user and password.
    fn invitation(&mut self) -> (String, String, String) {
        let mut line = String::new();
        while !line.contains("homeserver http://") {
            line.clear();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the demo ended");
        }
        let after = |word: &str| {
            let rest = line.split_once(word).unwrap().1;
            rest.split([',', ' '])
                .next()
                .unwrap()
                .trim_end_matches('.')
                .to_owned()
        };
        (after("homeserver "), after("user "), after("password "))
    }

    fn quit(mut self) {
        self.stdin.write_all(b"/quit\n").unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}
