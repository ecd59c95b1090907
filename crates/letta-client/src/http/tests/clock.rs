//! The server's clock.

use jiff::{SignedDuration, Timestamp};

use super::server::{Act, Scripted, answer};
use crate::LettaApi;

#[tokio::test]
async fn the_servers_time_comes_with_every_answer_an_error_too() {
    let page = answer(
        "502 Bad Gateway",
        "content-type: text/html\ndate: Sat, 21 Nov 2026 01:23:40 GMT",
        "<h1>down</h1>",
    );
    let server = Scripted::new([Act::Bytes(page)]).await;
    let client = server.client();
    let told: Timestamp = "2026-11-21T01:23:40Z".parse().unwrap();
    assert_eq!(client.server_time(), None);
    assert_eq!(client.clock_skew(told), None);
    client.health().await.unwrap_err();
    let late = SignedDuration::from_secs(3600);
    let skew = client.clone().clock_skew(told + late).unwrap();
    // The clock goes on after the answer, here for a moment.
    assert!(skew >= -late && skew < SignedDuration::ZERO, "{skew:?}");
}
