//! What the tests share.

/// Whether real servers are there. Says so when they are not.
#[expect(
    clippy::print_stdout,
    reason = "whoever reads the tests' output is to know what did not run"
)]
pub fn real_services() -> bool {
    let available = std::env::var("REAL_SERVICES_AVAILABLE").is_ok_and(|value| value == "1");
    if !available {
        println!("skipped: needs real servers, start it with tests/real-services/run");
    }
    available
}

/// A variable that `tests/real-services/run` sets.
pub fn env(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: start this with tests/real-services/run"))
}

/// The model that a real Letta offers when its provider is the LLM fake.
pub fn model() -> String {
    "openai-proxy/fake-model".to_owned()
}

/// The embedding model that goes with it.
pub fn embedding() -> String {
    "openai/text-embedding-3-small".to_owned()
}
