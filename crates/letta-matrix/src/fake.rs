//! `letta-matrix fake`: the fakes as servers, for anybody's tests.

mod letta;
mod llm;
mod matrix;

use std::{future::Future, io, net::SocketAddr};

use clap::{Args, Subcommand, ValueEnum};
use letta_client::llm::{Behaviour, LlmConfig};
use tokio::net::TcpListener;

use crate::{
    failure::{Failure, plain},
    output::to_stdout,
    signals::Stop,
};

/// Serve a fake server, for tests of yours
///
/// The first line on the standard output is its address. It serves until it is interrupted, keeps everything in
/// memory, and can be steered under /_fake/ (docs/TESTING_MOCKS.md).
#[derive(Debug, Args)]
pub(crate) struct FakeArgs {
    #[command(subcommand)]
    server: FakeServer,
}

#[derive(Debug, Subcommand)]
enum FakeServer {
    Letta(letta::LettaArgs),
    Matrix(matrix::MatrixArgs),
    Llm(llm::LlmArgs),
}

/// What all fakes have in common.
#[derive(Debug, Args)]
struct Common {
    /// Where to listen; port 0 chooses a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Ids, tokens and wordings follow from it: the same seed and the same requests give the same answers
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// How a model answers.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Answers {
    /// `echo: <text>`; markers such as [fail 429] or [tool:NAME {json}] steer it
    Echo,
    /// In character, from the system prompt and the conversation; the same markers work
    Assistant,
}

impl Answers {
    fn config(self, seed: u64) -> LlmConfig {
        let mut config = LlmConfig::default();
        config.seed = seed;
        config.behaviour = match self {
            Self::Echo => Behaviour::Echo,
            Self::Assistant => Behaviour::Assistant,
        };
        config
    }
}

/// Serves until the program is interrupted.
pub(crate) async fn run(args: &FakeArgs) -> Result<(), Failure> {
    match &args.server {
        FakeServer::Letta(args) => letta::run(args).await,
        FakeServer::Matrix(args) => matrix::run(args).await,
        FakeServer::Llm(args) => llm::run(args).await,
    }
}

/// Ready when the program is told to stop.
type Stopped = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Listens, says where, and serves.
async fn serve<S: Future<Output = io::Result<()>>>(
    address: SocketAddr,
    serve: impl FnOnce(TcpListener, String, Stopped) -> S,
) -> Result<(), Failure> {
    let cannot = |what: &str, error: &io::Error| {
        Failure::new(format!("cannot {what} at {address}: {}", plain(error)))
            .advice("Give --listen another address.")
    };
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| cannot("listen", &error))?;
    let bound = listener.local_addr().map_err(|error| cannot("listen", &error))?;
    let url = format!("http://{bound}");
    let stop = Stop::listen();
    to_stdout(&format!("{url}\n"))?;
    let stopped = Box::pin(async {
        stop.requested().await;
    });
    serve(listener, url, stopped)
        .await
        .map_err(|error| cannot("serve", &error))
}
