use super::*;

fn key(user: &str) -> Key {
    Key::new("create_room", UserId::parse(user).ok().as_deref(), None)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn later(wait: Duration) -> Instant {
    Instant::now() + wait
}

#[tokio::test(start_paused = true)]
async fn nothing_is_in_the_way_until_a_refusal() {
    let gates = Gates::default();
    let alice = key("@alice:matrix.test");
    assert!(
        gates
            .enter(&alice, Instant::now())
            .await
            .is_ok_and(|turn| turn.is_none())
    );
    gates.close(&alice, seconds(5));
    let others = [
        key("@bob:matrix.test"),
        Key::new("create_room", None, None),
        Key::new("create_room", alice.user.as_deref(), Some("somebody")),
        Key::new("join_room", alice.user.as_deref(), None),
    ];
    for other in others {
        let entered = gates.enter(&other, Instant::now()).await;
        assert!(entered.is_ok_and(|turn| turn.is_none()), "{other:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_gate_is_waited_for_or_refuses_at_once() {
    let gates = Gates::default();
    let alice = key("@alice:matrix.test");
    let started = Instant::now();
    gates.close(&alice, seconds(5));
    let refused = gates.enter(&alice, later(seconds(4))).await;
    assert_eq!(refused.err(), Some(TooLate(seconds(5))));
    assert_eq!(started.elapsed(), Duration::ZERO);
    let turn = gates.enter(&alice, later(seconds(5))).await;
    assert!(turn.is_ok_and(|turn| turn.is_some()));
    assert_eq!(started.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_wish_does_not_open_it_and_a_longer_one_is_heard_while_waiting() {
    let gates = Gates::default();
    let alice = key("@alice:matrix.test");
    let started = Instant::now();
    gates.close(&alice, seconds(5));
    gates.close(&alice, seconds(1));
    let longer = async {
        tokio::time::sleep(seconds(4)).await;
        gates.close(&alice, seconds(6));
    };
    let (entered, ()) = tokio::join!(gates.enter(&alice, later(seconds(60))), longer);
    assert!(entered.is_ok());
    assert_eq!(started.elapsed().as_secs(), 10);

    // Too long for one that waits already.
    drop(entered);
    gates.close(&alice, seconds(5));
    let longer = async {
        tokio::time::sleep(seconds(4)).await;
        gates.close(&alice, seconds(100));
    };
    let (entered, ()) = tokio::join!(gates.enter(&alice, later(seconds(10))), longer);
    assert!(entered.is_err_and(|TooLate(wait)| wait > seconds(98)));
}

#[tokio::test(start_paused = true)]
async fn who_waits_passes_one_by_one_in_the_order_of_arrival() {
    let gates = Gates::default();
    let alice = key("@alice:matrix.test");
    gates.close(&alice, seconds(5));
    let passed = Mutex::new(Vec::new());
    let inside = Mutex::new(0);
    let pass = |number: u32| {
        let (gates, alice, passed, inside) = (&gates, &alice, &passed, &inside);
        async move {
            let turn = gates.enter(alice, later(seconds(60))).await.expect("a turn");
            *inside.lock().expect("no panic") += 1;
            assert_eq!(*inside.lock().expect("no panic"), 1, "alone");
            tokio::time::sleep(seconds(1)).await;
            passed.lock().expect("no panic").push(number);
            *inside.lock().expect("no panic") -= 1;
            drop(turn);
        }
    };
    let started = Instant::now();
    futures_util::future::join_all((0..5).map(pass)).await;
    assert_eq!(*passed.lock().expect("no panic"), [0, 1, 2, 3, 4]);
    assert_eq!(started.elapsed().as_secs(), 10);
    assert!(gates.lock().is_empty(), "nobody waits any more");
}

#[tokio::test(start_paused = true)]
async fn what_takes_long_gives_its_turn_away() {
    let gates = Gates::default();
    let alice = key("@alice:matrix.test");
    gates.close(&alice, seconds(5));
    let started = Instant::now();
    let slow = async {
        let mut turn = gates.enter(&alice, later(seconds(60))).await.expect("a turn");
        in_turn(&mut turn, tokio::time::sleep(seconds(60))).await;
    };
    let next = async {
        let turn = gates.enter(&alice, later(seconds(60))).await.expect("a turn");
        assert!(turn.is_some());
        started.elapsed()
    };
    let ((), waited) = tokio::join!(slow, next);
    assert_eq!(waited.as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_is_in_nobodys_way() {
    let gates = Gates::default();
    let alice = key("@alice:matrix.test");
    gates.close(&alice, seconds(5));
    let first = gates.enter(&alice, later(seconds(60))).await.expect("a turn");
    // One gives up at its deadline, another is dropped.
    let late = gates.enter(&alice, later(seconds(1))).await;
    assert_eq!(late.err(), Some(TooLate(Duration::ZERO)));
    let gone = timeout(seconds(1), gates.enter(&alice, later(seconds(60)))).await;
    assert!(gone.is_err());
    drop(first);
    assert!(gates.lock().is_empty());

    gates.close(&alice, seconds(5));
    let gone = timeout(seconds(1), gates.enter(&alice, later(seconds(60)))).await;
    assert!(gone.is_err());
    tokio::time::advance(seconds(5)).await;
    assert!(
        gates
            .enter(&alice, Instant::now())
            .await
            .is_ok_and(|turn| turn.is_none())
    );
    assert!(gates.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn gates_that_opened_are_forgotten_and_their_number_is_bounded() {
    let gates = Gates::default();
    for number in 0..MAX_GATES + 10 {
        gates.close(&key(&format!("@user{number}:matrix.test")), seconds(5));
    }
    assert_eq!(gates.lock().len(), MAX_GATES);
    tokio::time::advance(seconds(6)).await;
    gates.close(&key("@alice:matrix.test"), Duration::MAX);
    assert_eq!(gates.lock().len(), 1);
}
