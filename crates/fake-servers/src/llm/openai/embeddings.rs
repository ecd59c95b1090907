//! `POST /v1/embeddings`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use letta_client::llm::{DEFAULT_EMBEDDING_DIMENSIONS, FakeLlm};
use serde_json::{Value, json};

use super::super::error::ApiError;

/// The most dimensions, those of `text-embedding-3-large`.
const MOST_DIMENSIONS: usize = 3072;

/// The most inputs of one request.
const MOST_INPUTS: usize = 2048;

pub(super) fn answer(llm: &FakeLlm, body: &Value) -> Result<Value, ApiError> {
    let model = body.get("model").and_then(Value::as_str);
    let model = model.ok_or_else(|| ApiError::invalid("you must provide a model parameter"))?;
    if !llm.config().embedding_models.iter().any(|known| known == model) {
        let message = format!("The model `{model}` does not exist or you do not have access to it.");
        return Err(ApiError::new(404, message));
    }
    let as_base64 = match body.get("encoding_format").filter(|format| !format.is_null()) {
        None => false,
        Some(format) if format == "float" => false,
        Some(format) if format == "base64" => true,
        Some(_) => return Err(invalid("encoding_format", "expected 'float' or 'base64'")),
    };
    let most = if model.ends_with("-large") {
        MOST_DIMENSIONS
    } else {
        DEFAULT_EMBEDDING_DIMENSIONS
    };
    let dimensions = match body.get("dimensions").filter(|dimensions| !dimensions.is_null()) {
        None => most,
        Some(dimensions) => dimensions
            .as_u64()
            .and_then(|dimensions| usize::try_from(dimensions).ok())
            .filter(|dimensions| (1..=most).contains(dimensions))
            .ok_or_else(|| invalid("dimensions", &format!("expected an integer from 1 to {most}")))?,
    };
    let inputs = inputs(body)?;
    let tokens = inputs.iter().map(|text| text.len().div_ceil(4)).sum::<usize>();
    let data = inputs.iter().enumerate().map(|(index, text)| {
        let vector = llm.embed(text, dimensions);
        let embedding = if as_base64 {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            Value::from(BASE64_STANDARD.encode(bytes))
        } else {
            Value::from(vector)
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    Ok(json!({
        "object": "list", "data": data.collect::<Vec<_>>(), "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }))
}

fn invalid(param: &str, expected: &str) -> ApiError {
    ApiError::invalid(format!("Invalid value for '{param}': {expected}."))
        .param(param)
        .code("invalid_value")
}

/// A text, texts, the tokens of a text, or those of several.
fn inputs(body: &Value) -> Result<Vec<String>, ApiError> {
    let refused = || {
        invalid(
            "input",
            "expected a string, an array of strings, or arrays of tokens, none of them empty",
        )
    };
    let is_tokens = |value: &Value| {
        value
            .as_array()
            .is_some_and(|tokens| !tokens.is_empty() && tokens.iter().all(Value::is_u64))
    };
    let inputs = match body.get("input") {
        Some(single @ Value::String(_)) => vec![single],
        Some(single) if is_tokens(single) => vec![single],
        Some(Value::Array(several)) => several.iter().collect(),
        _ => return Err(refused()),
    };
    if inputs.is_empty() || inputs.len() > MOST_INPUTS {
        return Err(refused());
    }
    let texts = inputs.into_iter().map(|input| match input {
        Value::String(text) if !text.is_empty() => Ok(text.clone()),
        tokens if is_tokens(tokens) => Ok(tokens.to_string()),
        _ => Err(refused()),
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(body: &Value) -> Result<Value, ApiError> {
        answer(&FakeLlm::new(), body)
    }

    const MODEL: &str = "text-embedding-3-small";

    #[test]
    fn one_text_gives_one_vector_of_the_usual_length() {
        let body = ask(&json!({"model": MODEL, "input": "hello"})).unwrap();
        assert_eq!(body["data"].as_array().map(Vec::len), Some(1));
        assert_eq!(body["data"][0]["embedding"].as_array().map(Vec::len), Some(1536));
        assert_eq!(body["usage"]["prompt_tokens"], 2);
    }

    #[test]
    fn both_encodings_hold_the_same_numbers() {
        let numbers = ask(&json!({"model": MODEL, "input": ["a", "b"], "dimensions": 3})).unwrap();
        let encoded =
            ask(&json!({"model": MODEL, "input": ["a", "b"], "dimensions": 3, "encoding_format": "base64"}))
                .unwrap();
        for at in 0..2 {
            let bytes = BASE64_STANDARD
                .decode(encoded["data"][at]["embedding"].as_str().unwrap())
                .unwrap();
            let decoded: Vec<f32> = bytes
                .chunks_exact(4)
                .map(|four| f32::from_le_bytes(four.try_into().unwrap()))
                .collect();
            assert_eq!(Value::from(decoded), numbers["data"][at]["embedding"]);
        }
        assert_ne!(numbers["data"][0]["embedding"], numbers["data"][1]["embedding"]);
    }

    #[test]
    fn tokens_are_taken_too() {
        assert_eq!(
            ask(&json!({"model": MODEL, "input": [1, 2]})).unwrap()["data"]
                .as_array()
                .map(Vec::len),
            Some(1)
        );
        assert_eq!(
            ask(&json!({"model": MODEL, "input": [[1], [2]]})).unwrap()["data"]
                .as_array()
                .map(Vec::len),
            Some(2)
        );
    }

    #[test]
    fn what_openai_refuses_is_refused() {
        for (body, status) in [
            (json!({"input": "x"}), 400),
            (json!({"model": "fake-model", "input": "x"}), 404),
            (json!({"model": MODEL}), 400),
            (json!({"model": MODEL, "input": ""}), 400),
            (json!({"model": MODEL, "input": []}), 400),
            (json!({"model": MODEL, "input": ["a", 1]}), 400),
            (json!({"model": MODEL, "input": "x", "dimensions": 0}), 400),
            (json!({"model": MODEL, "input": "x", "dimensions": 1537}), 400),
            (
                json!({"model": MODEL, "input": "x", "encoding_format": "hex"}),
                400,
            ),
        ] {
            assert_eq!(ask(&body).expect_err("refused").status, status, "{body}");
        }
    }
}
