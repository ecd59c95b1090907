//! The schema of the events.

use schemars::{generate::SchemaSettings, transform::RestrictFormats};
use serde_json::Value;

use crate::AgentEvent;

/// The JSON Schema (draft 2020-12) of [`AgentEvent`], made from the code. A copy is in `docs/agent-event.schema.json`.
#[must_use]
pub fn json_schema() -> Value {
    let schema = SchemaSettings::draft2020_12()
        .with_transform(RestrictFormats::default())
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<AgentEvent>();
    schema.to_value()
}
