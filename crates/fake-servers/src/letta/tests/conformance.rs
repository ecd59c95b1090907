//! Our client, talking to the served fake, keeps the contract.

use std::sync::Arc;

use letta_client::fake::FakeLetta;
use letta_client::http::HttpLetta;
use letta_client::testing::{Ability, Skip, Subject};

use crate::letta::{LettaServer, spawn};

const MODEL: &str = "openai-proxy/fake-model";

async fn over_http(name: &str, letta: LettaServer, token: Option<&str>) -> Result<Subject, Skip> {
    let served = spawn(letta).await.map_err(|error| Skip(error.to_string()))?;
    let client = HttpLetta::new(served.base_url().as_str(), token.map(Into::into));
    let client = client.map_err(|error| Skip(error.to_string()))?;
    Ok(Subject::new(name, Arc::new(client))
        .with_model(MODEL)
        .keeping(served))
}

mod strict_and_with_a_token {
    use super::*;

    async fn subject() -> Result<Subject, Skip> {
        let letta = FakeLetta::new().with_token("fake-token");
        over_http(
            "HTTP over the served fake",
            LettaServer::new(letta),
            Some("fake-token"),
        )
        .await
    }

    letta_client::letta_conformance!(subject);
}

mod lenient_with_wrapped_lists_and_without_redis {
    use super::*;

    async fn subject() -> Result<Subject, Skip> {
        let letta = LettaServer::new(FakeLetta::new().lenient().without_redis()).with_wrapped_lists();
        let subject = over_http("HTTP over the lenient served fake", letta, None).await?;
        let subject = subject.without(Ability::KeepsEvents, "it has no Redis");
        Ok(subject.without(Ability::StrictIds, "it is lenient"))
    }

    letta_client::letta_conformance!(subject);
}
