//! Serves a fake homeserver until Ctrl-C: `cargo run -p fake-servers --example serve_matrix [ADDRESS [APPSERVICE_URL]]`.

use fake_servers::matrix;
use matrix_client::fake::{FakeMatrix, TEST_SHARED_SECRET, test_registration};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let mut registration = test_registration("matrix.test");
    registration.url = arguments.next();
    let listener = TcpListener::bind(address).await?;
    let url = format!("http://{}/", listener.local_addr()?);
    #[expect(clippy::print_stdout, reason = "this is what whoever started it waits for")]
    {
        println!("a fake homeserver on {url}");
    }
    let server = FakeMatrix::builder("matrix.test")
        .appservice(registration)
        .shared_secret(TEST_SHARED_SECRET.into())
        .base_url(url)
        .build();
    let stopped = async {
        // Without a signal handler it runs until it is killed, which is the second best.
        let _ = tokio::signal::ctrl_c().await;
    };
    matrix::serve(listener, server, stopped).await
}
