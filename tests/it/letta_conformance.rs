//! The contract of `LettaApi` on everything that claims to keep it.

use std::sync::Arc;

use letta_client::{
    LettaApi,
    fake::FakeLetta,
    layers::Counted,
    testing::{Skip, Subject},
};

use crate::support;

/// The handles that the fakes and the real server offer alike, when the model's provider is the LLM fake.
fn subject(name: &str, api: Arc<dyn LettaApi>) -> Subject {
    Subject::new(name, api)
        .with_model(support::model())
        .with_embedding(support::embedding())
}

mod fake {
    use super::*;

    async fn factory() -> Result<Subject, Skip> {
        Ok(subject("the fake", Arc::new(FakeLetta::new())))
    }

    letta_client::letta_conformance!(factory, paused);
}

mod behind_a_pointer {
    use super::*;

    async fn factory() -> Result<Subject, Skip> {
        let inner: Arc<dyn LettaApi> = Arc::new(FakeLetta::new());
        let boxed: Box<dyn LettaApi> = Box::new(inner);
        Ok(subject("a box around a pointer to the fake", Arc::new(boxed)))
    }

    letta_client::letta_conformance!(factory, paused);
}

mod counted {
    use super::*;

    async fn factory() -> Result<Subject, Skip> {
        Ok(subject(
            "the fake, counted",
            Arc::new(Counted::new(FakeLetta::new())),
        ))
    }

    letta_client::letta_conformance!(factory, paused);
}

mod over_http {
    use fake_servers::letta::{LettaServer, spawn};
    use letta_client::http::HttpLetta;

    use super::*;

    async fn factory() -> Result<Subject, Skip> {
        let fake = FakeLetta::new().with_token("not-a-real-token");
        let served = spawn(LettaServer::new(fake))
            .await
            .map_err(|error| Skip(error.to_string()))?;
        let client = HttpLetta::new(served.base_url().as_str(), Some("not-a-real-token".into()))
            .map_err(|error| Skip(error.to_string()))?;
        Ok(subject("HTTP over the served fake", Arc::new(client)).keeping(served))
    }

    letta_client::letta_conformance!(factory);
}

mod real {
    use letta_client::http::HttpLetta;

    use super::*;

    #[expect(
        clippy::disallowed_methods,
        reason = "a server that outlives the test must be given names it never saw"
    )]
    async fn factory() -> Result<Subject, Skip> {
        if !support::real_services() {
            return Err(Skip(
                "needs a real Letta: start it with tests/real-services/run".to_owned(),
            ));
        }
        let letta = HttpLetta::new(
            support::env("LETTA_API_URL"),
            Some(support::env("LETTA_TOKEN").into()),
        )
        .map_err(|error| Skip(error.to_string()))?;
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let prefix = format!("case-{}", since_epoch.map_or(0, |time| time.as_nanos()));
        Ok(subject("the real server", Arc::new(letta)).with_prefix(prefix))
    }

    letta_client::letta_conformance!(factory);
}
