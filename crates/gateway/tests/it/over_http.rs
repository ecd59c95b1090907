//! Over a socket.

use std::{net::SocketAddr, time::Duration};

use gateway::serve;
use secrecy::SecretString;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

use crate::world::{HS_TOKEN, SECRET, World};

struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn serve_world(world: &World) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let router = world.router.clone();
    let task = tokio::spawn(async move {
        serve(listener, router, async {
            let _ = stopped.await;
        })
        .await;
    });
    Served { address, stop, task }
}

impl Served {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits until it has ended, which takes seconds at most.
    async fn stopped(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(30), self.task)
            .await
            .unwrap()
            .unwrap();
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

#[tokio::test]
async fn a_signed_call_brings_an_agent_home() {
    let mut world = World::new();
    let served = serve_world(&world).await;
    world.start();
    world.until(|status| status.completed_at.is_some()).await;
    world.letta.add_agent("agent-004", "Agent Delta");
    let body = r#"{"agent_id": "agent-004"}"#;
    let now = store::Clock::now(&*world.clock).as_second();
    let response = client()
        .post(served.url("/webhook/new-agent?wait=true"))
        .header(
            "X-Letta-Signature",
            gateway::sign(&SecretString::from(SECRET), now, body.as_bytes()),
        )
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let report: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(report["rooms_created"], 1);
    served.stopped().await;
}

#[tokio::test]
async fn a_large_transaction_is_read_before_it_is_refused() {
    let world = World::new();
    let served = serve_world(&world).await;
    let response = client()
        .put(served.url("/_matrix/app/v1/transactions/1"))
        .bearer_auth(HS_TOKEN)
        .body(vec![b' '; 33 * 1024 * 1024])
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.text().await.unwrap().contains("NOT_CARRIED_YET"));
    served.stopped().await;
}

#[tokio::test]
async fn stopping_hangs_up_on_idle_connections_and_waits_for_none() {
    let world = World::new();
    let served = serve_world(&world).await;
    let mut half = TcpStream::connect(served.address).await.unwrap();
    half.write_all(b"POST /webhook/new-agent HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    served.stopped().await;
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
}
