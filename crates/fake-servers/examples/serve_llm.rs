//! Serves the LLM fake until Ctrl-C: `cargo run -p fake-servers --example serve_llm -- 127.0.0.1:0`.
//!
//! The first line on standard output is its base URL.

use fake_servers::llm::{self, LlmServer};
use tokio::net::TcpListener;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the address is this program's output")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    let interrupted = async {
        // Without a handler for Ctrl-C the process simply ends.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    llm::serve(listener, LlmServer::default(), interrupted).await
}
