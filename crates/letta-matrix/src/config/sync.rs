//! The settings of the sync.

use std::time::Duration;

use agent_sync::{RemovalConfig, RemovalMode, Rule, Selection, SpaceConfig, SyncConfig};
use jiff::{Span, SpanRelativeTo};
use matrix_client::ruma::{OwnedServerName, RoomVersionId};

use super::{
    BOT_NAME, CHECK_INTERVAL, CONCURRENCY, DISABLED, EXCLUDE, HISTORY, INCLUDE, LISTING_INTERVAL,
    REMOVAL_GRACE, REMOVAL_MAX_SHARE, REMOVAL_MODE, ROOM_VERSION, SPACE_ALIAS, SPACE_NAME, SPACE_TOPIC,
    Setting, Sourced, USER_PREFIX,
    value::{Reader, alias_localpart, list, localpart, shown, text},
};

/// Everything but the people, for whom the permissions are needed. `None` when something makes no sense: the reader has
/// the problems then.
pub(super) fn sync(
    reader: &mut Reader<'_>,
    server_name: Option<&Sourced<OwnedServerName>>,
) -> Option<SyncConfig> {
    let prefix = reader.required(&USER_PREFIX, localpart);
    let bot_name = reader.optional(&BOT_NAME, text);
    let room_version = reader.optional(&ROOM_VERSION, room_version);
    let history = reader.required(&HISTORY, history);
    let space = space(reader);
    let select = selection(reader);
    let removal = removal(reader);
    let check_interval = reader.required(&CHECK_INTERVAL, time);
    let full_listing_interval = reader.required(&LISTING_INTERVAL, time);
    let concurrency = reader.required(&CONCURRENCY, concurrency);

    let mut sync = SyncConfig::new(server_name?.value.clone());
    sync.prefix = prefix?.value;
    sync.bot_name = bot_name.map(|name| name.value).filter(|name| name != "-");
    sync.space = space?;
    sync.room_version = room_version.map(|version| version.value);
    sync.history = history?.value;
    sync.select = select;
    sync.removal = removal?;
    sync.check_interval = check_interval?.value;
    sync.full_listing_interval = full_listing_interval?.value;
    sync.concurrency = concurrency?.value;
    Some(sync)
}

fn space(reader: &mut Reader<'_>) -> Option<SpaceConfig> {
    let name = reader.required(&SPACE_NAME, text);
    let topic = reader.required(&SPACE_TOPIC, text);
    let alias = reader.required(&SPACE_ALIAS, alias_localpart);
    Some(SpaceConfig {
        name: name?.value,
        topic: topic?.value,
        alias_localpart: alias?.value,
    })
}

fn selection(reader: &mut Reader<'_>) -> Selection {
    let mut rules = |setting: &'static Setting, parse| {
        reader
            .optional(setting, parse)
            .map(|rules| rules.value)
            .unwrap_or_default()
    };
    let include = rules(&INCLUDE, self::rules);
    let mut exclude = rules(&EXCLUDE, self::rules);
    exclude.extend(rules(&DISABLED, ids));
    Selection { include, exclude }
}

fn removal(reader: &mut Reader<'_>) -> Option<RemovalConfig> {
    let mode = reader.required(&REMOVAL_MODE, removal_mode);
    let grace = reader.required(&REMOVAL_GRACE, time);
    let max_share = reader.required(&REMOVAL_MAX_SHARE, share);
    Some(RemovalConfig {
        mode: mode?.value,
        grace: grace?.value,
        max_share: max_share?.value,
    })
}

fn rules(text: &str) -> Result<Vec<Rule>, String> {
    list(text)
        .map(|rule| {
            rule.parse()
                .map_err(|error| format!("holds a rule that is none: {error}"))
        })
        .collect()
}

fn ids(text: &str) -> Result<Vec<Rule>, String> {
    Ok(list(text).map(|id| Rule::Id(id.to_owned())).collect())
}

fn removal_mode(text: &str) -> Result<RemovalMode, String> {
    match text {
        "archive" => Ok(RemovalMode::Archive),
        "leave" => Ok(RemovalMode::Leave),
        "keep" => Ok(RemovalMode::Keep),
        other => Err(format!("is {}: there are archive, leave and keep", shown(other))),
    }
}

/// A span of time such as `90s`, `30m`, `1h 30m` or `7d`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let unreadable = || format!("is {}: write a time such as 90s, 30m, 2h or 1h 30m", shown(text));
    let span: Span = text.trim().parse().map_err(|_| unreadable())?;
    span.to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| unreadable())?
        .try_into()
        .map_err(|_| unreadable())
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.trim().strip_suffix('%').unwrap_or(text).trim();
    match number.parse::<u8>() {
        Ok(percent @ 0..=100) => Ok(f64::from(percent) / 100.0),
        _ => Err(format!("is {}: write a share such as 25%", shown(text))),
    }
}

fn history(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(number @ 0..=200) => Ok(number),
        _ => Err(format!("is {}: it must be a number from 0 to 200", shown(text))),
    }
}

fn room_version(text: &str) -> Result<RoomVersionId, String> {
    RoomVersionId::try_from(text)
        .map_err(|error| format!("is {}, which is not a room version: {error}", shown(text)))
}

fn concurrency(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=64) => Ok(number),
        _ => Err(format!("is {}: it must be a number from 1 to 64", shown(text))),
    }
}
