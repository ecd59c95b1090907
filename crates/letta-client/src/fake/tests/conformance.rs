//! The fake keeps the contract: with and without Redis, strict and lenient.

use std::sync::Arc;

use crate::{
    fake::FakeLetta,
    testing::{Ability, Skip, Subject},
};

mod strict {
    use super::*;

    async fn subject() -> Result<Subject, Skip> {
        Ok(Subject::new("FakeLetta", Arc::new(FakeLetta::new())).with_model("openai-proxy/fake-model"))
    }

    crate::letta_conformance!(subject, paused);
}

mod lenient_and_without_redis {
    use super::*;

    async fn subject() -> Result<Subject, Skip> {
        let letta = FakeLetta::new().lenient().without_redis();
        Ok(Subject::new("lenient FakeLetta without Redis", Arc::new(letta))
            .without(Ability::KeepsEvents, "it has no Redis")
            .without(Ability::StrictIds, "it is lenient"))
    }

    crate::letta_conformance!(subject, paused);
}
