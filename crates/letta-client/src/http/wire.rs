//! What several answers have in common. Shapes of one endpoint stand next to the method that reads them.

use std::{fmt, marker::PhantomData};

use jiff::{Timestamp, civil, tz::TimeZone};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;

/// Why an answer could not be read.
#[derive(Debug)]
pub(super) struct DecodeError {
    /// Path of the field, e.g. `[3].name`; `.` is the answer itself.
    pub(super) path: String,
    /// Whether the text ends before the value does.
    pub(super) is_truncated: bool,
    pub(super) source: serde_json::Error,
}

/// Reads JSON and remembers where it went wrong.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(located)?;
    deserializer.end().map_err(|source| DecodeError {
        path: ".".to_owned(),
        is_truncated: false,
        source,
    })?;
    Ok(value)
}

/// Reads a value that was parsed before.
pub(super) fn decode_value<T: DeserializeOwned>(value: Value) -> Result<T, DecodeError> {
    serde_path_to_error::deserialize(value).map_err(located)
}

fn located(error: serde_path_to_error::Error<serde_json::Error>) -> DecodeError {
    DecodeError {
        path: error.path().to_string(),
        is_truncated: error.inner().is_eof(),
        source: error.into_inner(),
    }
}

/// A list: bare, or under `data` of an object.
#[derive(Debug)]
pub(super) struct List<T>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T>(PhantomData<T>);

        #[derive(Deserialize)]
        struct Wrapped<T> {
            data: Vec<T>,
        }

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list, or an object with a list under `data`")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Wrapped::deserialize(MapAccessDeserializer::new(map)).map(|wrapped| List(wrapped.data))
            }
        }

        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

/// An entry of a list: the thing itself, or nothing but its id.
#[derive(Debug)]
pub(super) enum Entry<T> {
    Id(String),
    Whole(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entry<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for EntryVisitor<T> {
            type Value = Entry<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or an id")
            }

            fn visit_str<E: serde::de::Error>(self, id: &str) -> Result<Self::Value, E> {
                Ok(Entry::Id(id.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Entry::Whole)
            }
        }

        deserializer.deserialize_any(EntryVisitor(PhantomData))
    }
}

/// A time. The server writes some with a zone and some without (they are UTC); one that can not be read is no
/// reason to refuse what it is attached to.
pub(super) fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let value = Option::<Value>::deserialize(deserializer)?;
    Ok(value.as_ref().and_then(Value::as_str).and_then(parse_timestamp))
}

pub(super) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| {
        let without_zone: civil::DateTime = text.parse().ok()?;
        without_zone
            .to_zoned(TimeZone::UTC)
            .ok()
            .map(|zoned| zoned.timestamp())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Named {
        name: String,
    }

    fn names(body: &str) -> Result<Vec<String>, DecodeError> {
        let List(entries) = decode::<List<Entry<Named>>>(body.as_bytes())?;
        Ok(entries
            .into_iter()
            .map(|entry| match entry {
                Entry::Id(id) => id,
                Entry::Whole(named) => named.name,
            })
            .collect())
    }

    #[test]
    fn a_list_is_read_bare_and_under_data() {
        assert_eq!(names(r#"[{"name":"a"},"b"]"#).unwrap(), ["a", "b"]);
        assert_eq!(
            names(r#"{"total":2,"data":[{"name":"a"},"b"]}"#).unwrap(),
            ["a", "b"]
        );
        assert_eq!(names("[]").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn an_error_names_the_path_in_both_shapes() {
        assert_eq!(
            names(r#"[{"name":"a"},{"name":7}]"#).unwrap_err().path,
            "[1].name"
        );
        assert_eq!(
            names(r#"{"data":[{"name":"a"},{"name":7}]}"#).unwrap_err().path,
            "data[1].name"
        );
        assert_eq!(names(r#"{"items":[]}"#).unwrap_err().path, ".");
    }

    #[test]
    fn half_an_answer_is_told_from_a_wrong_one() {
        assert!(names(r#"[{"name":"a"},{"na"#).unwrap_err().is_truncated);
        assert!(!names(r#"[{"name":"a"}] and more"#).unwrap_err().is_truncated);
    }

    #[test]
    fn times_are_read_with_and_without_a_zone() {
        let expected = parse_timestamp("2026-11-21T01:25:18.828045Z");
        assert!(expected.is_some());
        assert_eq!(parse_timestamp("2026-11-21T01:25:18.828045"), expected);
        assert_eq!(parse_timestamp("2026-11-21T01:25:18.828045+00:00"), expected);
        assert_eq!(parse_timestamp("yesterday"), None);
    }
}
