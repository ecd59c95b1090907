//! Makes a value that fits a JSON schema, for calls that a request demands.

use serde_json::{Map, Value, json};

/// How deep a schema is followed.
const DEEPEST: usize = 16;

/// A value for `schema`: the required fields of an object, the first of an enumeration, `text` for every string, zero,
/// `false`, an empty list.
pub(super) fn example(schema: &Value, text: &str) -> Value {
    let value = example_at(schema, text, 0);
    if value.is_object() { value } else { json!({}) }
}

fn example_at(schema: &Value, text: &str, depth: usize) -> Value {
    if depth > DEEPEST {
        return Value::Null;
    }
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    if let Some(first) = schema
        .get("enum")
        .and_then(Value::as_array)
        .and_then(|values| values.first())
    {
        return first.clone();
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema
            .get(choice)
            .and_then(Value::as_array)
            .and_then(|schemas| schemas.first())
        {
            return example_at(first, text, depth + 1);
        }
    }
    let kind = schema
        .get("type")
        .and_then(|kind| kind.as_str().or_else(|| kind.get(0)?.as_str()));
    match kind {
        Some("string") => text.into(),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| 0.into()),
        Some("boolean") => false.into(),
        Some("array") => {
            let wanted = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0).min(8);
            let item = schema.get("items").unwrap_or(&Value::Null);
            (0..wanted).map(|_| example_at(item, text, depth + 1)).collect()
        }
        Some("null") => Value::Null,
        _ if schema.get("properties").is_some() || kind == Some("object") => {
            let names = schema
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            let fields = names.map(|name| {
                let field = schema
                    .get("properties")
                    .and_then(|known| known.get(name))
                    .unwrap_or(&Value::Null);
                (name.to_owned(), example_at(field, text, depth + 1))
            });
            Value::Object(fields.collect::<Map<_, _>>())
        }
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_has_what_is_required() {
        let schema = json!({
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"enum": ["celsius", "kelvin"]},
                "days": {"type": "integer", "minimum": 1},
                "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                "where": {"type": "object", "properties": {"exact": {"type": ["boolean", "null"]}}, "required": ["exact"]},
                "note": {"anyOf": [{"type": "null"}, {"type": "string"}]},
                "unwanted": {"type": "string"},
            },
            "required": ["city", "unit", "days", "tags", "where", "note"],
        });
        let expected = json!({
            "city": "Rome", "unit": "celsius", "days": 1, "tags": ["Rome"], "where": {"exact": false}, "note": null,
        });
        assert_eq!(example(&schema, "Rome"), expected);
    }

    #[test]
    fn anything_else_is_an_empty_object() {
        assert_eq!(example(&Value::Null, "x"), json!({}));
        assert_eq!(example(&json!({"type": "string"}), "x"), json!({}));
    }
}
