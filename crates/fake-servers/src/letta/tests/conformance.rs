//! Our client, talking to a served fake that is as unlike the usual one as it can be, keeps the contract: lenient,
//! without Redis, with a token, its listings wrapped. (The usual one is among the workspace's tests.)

use std::sync::Arc;

use letta_client::fake::FakeLetta;
use letta_client::http::HttpLetta;
use letta_client::testing::{Ability, Skip, Subject};

use crate::letta::{LettaServer, spawn};

async fn subject() -> Result<Subject, Skip> {
    let letta = FakeLetta::new()
        .lenient()
        .without_redis()
        .with_token("fake-token");
    let server = LettaServer::new(letta).with_wrapped_lists();
    let served = spawn(server).await.map_err(|error| Skip(error.to_string()))?;
    let client = HttpLetta::new(served.base_url().as_str(), Some("fake-token".into()));
    let client = client.map_err(|error| Skip(error.to_string()))?;
    Ok(
        Subject::new("HTTP over the lenient served fake", Arc::new(client))
            .with_model("openai-proxy/fake-model")
            .without(Ability::KeepsEvents, "it has no Redis")
            .without(Ability::StrictIds, "it is lenient")
            .keeping(served),
    )
}

letta_client::letta_conformance!(subject);
