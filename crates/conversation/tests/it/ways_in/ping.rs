//! Asking the homeserver for what it has queued.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use conversation::ways_in::{Backoff, PingKeeper};
use matrix_client::{
    MatrixApi, MatrixError, MatrixErrorKind, MockMatrixApi,
    content::Message,
    fake::{EndpointAnswer, FakeMatrix, RecordingEndpoint},
};
use ruma::TransactionId;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

fn keeper(matrix: Arc<dyn MatrixApi>) -> PingKeeper {
    let appservice = FakeMatrix::with_test_data().test_appservice();
    PingKeeper::new(matrix, &appservice, Backoff::new(|wait| wait))
}

/// When pings were made, in seconds since the beginning; and how they go.
#[derive(Clone)]
struct Pings {
    began: Instant,
    at: Arc<Mutex<Vec<u64>>>,
    fail: Arc<AtomicBool>,
}

impl Pings {
    fn new(fail: bool) -> Self {
        Self {
            began: Instant::now(),
            at: Arc::default(),
            fail: Arc::new(AtomicBool::new(fail)),
        }
    }

    fn api(&self, kind: MatrixErrorKind) -> Arc<MockMatrixApi> {
        let mut api = MockMatrixApi::new();
        let pings = self.clone();
        api.expect_ping_appservice().returning(move |_, id, _| {
            assert_eq!(id, matrix_client::fake::TEST_APPSERVICE_ID);
            pings.at.lock().unwrap().push(pings.began.elapsed().as_secs());
            let result = match pings.fail.load(Ordering::Relaxed) {
                true => Err(MatrixError::new(kind.clone(), "no")),
                false => Ok(Duration::from_millis(1)),
            };
            Box::pin(async { result })
        });
        Arc::new(api)
    }

    fn at(&self) -> Vec<u64> {
        self.at.lock().unwrap().clone()
    }

    /// Until so many seconds after the beginning.
    async fn until(&self, second: u64) {
        tokio::time::sleep_until(self.began + Duration::from_secs(second)).await;
    }
}

fn unreachable() -> MatrixErrorKind {
    MatrixErrorKind::AppservicePing {
        status: None,
        body: None,
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_tried_until_it_works_and_then_every_ten_minutes() {
    for kind in [
        unreachable(),
        MatrixErrorKind::Connect,
        MatrixErrorKind::Forbidden,
    ] {
        let pings = Pings::new(true);
        let task = tokio::spawn(keeper(pings.api(kind)).run(pending()));
        pings.until(190).await;
        assert_eq!(pings.at(), [0, 1, 3, 7, 15, 31, 63, 123, 183]);
        pings.fail.store(false, Ordering::Relaxed);
        pings.until(1500).await;
        assert_eq!(pings.at()[9..], [243, 843, 1443]);
        pings.fail.store(true, Ordering::Relaxed);
        pings.until(2060).await;
        assert_eq!(
            pings.at()[12..],
            [2043, 2044, 2046, 2050, 2058],
            "from the beginning"
        );
        task.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn what_will_not_work_is_not_tried_often() {
    let pings = Pings::new(true);
    let task = tokio::spawn(keeper(pings.api(MatrixErrorKind::Unrecognized)).run(pending()));
    pings.until(1300).await;
    assert_eq!(pings.at(), [0, 600, 1200]);
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_nudge_pings_at_once() {
    let pings = Pings::new(true);
    let keeper = keeper(pings.api(unreachable()));
    let nudge = keeper.nudge();
    let task = tokio::spawn(keeper.run(pending()));
    pings.until(40).await;
    pings.fail.store(false, Ordering::Relaxed);
    nudge.nudge();
    nudge.nudge();
    pings.until(41).await;
    assert_eq!(pings.at(), [0, 1, 3, 7, 15, 31, 40]);
    pings.until(100).await;
    nudge.nudge();
    pings.until(800).await;
    assert_eq!(pings.at()[7..], [100, 700]);
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn it_stops_in_the_middle_of_a_ping() {
    let mut api = MockMatrixApi::new();
    api.expect_ping_appservice()
        .times(1)
        .returning(|_, _, _| Box::pin(pending()));
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(keeper(Arc::new(api)).run(async { stopped.await.unwrap_or_default() }));
    sleep(Duration::from_secs(5)).await;
    stop.send(()).unwrap();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_waits_in_the_queue_comes_at_once() {
    let matrix = FakeMatrix::with_test_data();
    let appservice = matrix.test_appservice();
    let endpoint = RecordingEndpoint::new();
    endpoint.answer_with(EndpointAnswer::status(503));
    matrix.attach_appservice(&appservice.id, endpoint.clone());
    let room = matrix.rooms()[0].room_id.clone();
    let sender = matrix.room(&room).unwrap().joined()[0].to_owned();
    let login = matrix_client::LoginRequest::with_password(
        sender.localpart(),
        matrix_client::fake::TEST_PASSWORD.into(),
    );
    let session = matrix.login(&login).await.unwrap();
    let content = Message::text("hello").to_content();
    let id = <&TransactionId>::from("one");
    matrix
        .send_message_event(&session, &room, &"m.room.message".into(), id, &content)
        .await
        .unwrap();
    // By now the homeserver waits for minutes between two tries.
    sleep(Duration::from_secs(400)).await;
    endpoint.answer_with(EndpointAnswer::ok());
    let backlog = matrix.backlog(&appservice.id);
    assert!(backlog > 0);
    let keeper = PingKeeper::new(Arc::new(matrix.clone()), &appservice, Backoff::new(|wait| wait));
    let task = tokio::spawn(keeper.run(pending()));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(endpoint.pings(), 1);
    assert_eq!(matrix.backlog(&appservice.id), 0);
    task.abort();
}
