//! Query strings, and the validation errors for those that do not fit.

use axum::response::Response;
use letta_client::AgentOrder;
use letta_client::Direction;
use letta_client::fake::rest::Stretch;
use letta_client::fake::{Include, ListAgents};
use serde_json::Value;
use url::form_urlencoded;

use super::reply;

/// The parameters of a query string, in their order.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(Vec<(String, String)>);

/// A parameter, or the response that refuses it.
type Read<T> = Result<T, Box<Response>>;

impl Query {
    pub(super) fn read(query: Option<&str>) -> Self {
        Self(
            form_urlencoded::parse(query.unwrap_or_default().as_bytes())
                .into_owned()
                .collect(),
        )
    }

    /// The last value of this name.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Every value of this name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn required(&self, name: &str) -> Read<&str> {
        self.text(name)
            .ok_or_else(|| refuse("missing", name, "Field required", "None"))
    }

    pub(super) fn integer(&self, name: &str) -> Read<Option<i64>> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| {
            let message = "Input should be a valid integer, unable to parse string as an integer";
            refuse("int_parsing", name, message, &quoted(text))
        })
    }

    /// A number from 0; below it the real server fails in its database.
    fn length(&self, name: &str) -> Read<Option<usize>> {
        let Some(number) = self.integer(name)? else {
            return Ok(None);
        };
        usize::try_from(number)
            .map(Some)
            .map_err(|_| Box::new(reply::detail(500, "A database error occurred.")))
    }

    pub(super) fn flag(&self, name: &str) -> Read<Option<bool>> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" | "t" | "y" => Ok(Some(true)),
            "false" | "0" | "no" | "off" | "f" | "n" => Ok(Some(false)),
            _ => {
                let message = "Input should be a valid boolean, unable to interpret input";
                Err(refuse("bool_parsing", name, message, &quoted(text)))
            }
        }
    }

    fn order(&self) -> Read<Option<Direction>> {
        let order = self.one_of("order", &["asc", "desc"])?;
        Ok(order.map(|order| {
            if order == "asc" {
                Direction::Ascending
            } else {
                Direction::Descending
            }
        }))
    }

    /// A value that must be one of these.
    fn one_of(&self, name: &str, known: &[&str]) -> Read<Option<&str>> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        if known.contains(&text) {
            return Ok(Some(text));
        }
        let known: Vec<_> = known.iter().map(|one| quoted(one)).collect();
        let expected = match known.split_last() {
            Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
            _ => known.concat(),
        };
        let error = format!(
            "{{'type': 'literal_error', 'loc': ('query', '{name}'), 'msg': \"Input should be {expected}\", 'input': {}, \
             'ctx': {{'expected': \"{expected}\"}}}}",
            quoted(text)
        );
        Err(Box::new(reply::unprocessable(&error)))
    }

    /// `limit`, `before`, `after` and `order` of a listing of messages.
    pub(super) fn stretch(&self) -> Read<Stretch> {
        Ok(Stretch {
            limit: self.length("limit")?,
            before: self.text("before").map(str::to_owned),
            after: self.text("after").map(str::to_owned),
            oldest: self.order()? == Some(Direction::Ascending),
        })
    }

    /// `limit` of a listing that has a default of its own.
    pub(super) fn limit(&self) -> Read<Option<usize>> {
        self.length("limit")
    }

    /// Refuses a `limit` outside of these bounds.
    pub(super) fn limit_between(&self, least: i64, most: i64) -> Read<()> {
        let Some(limit) = self.integer("limit")? else {
            return Ok(());
        };
        let (kind, words, name, bound) = if limit < least {
            ("greater_than_equal", "greater", "ge", least)
        } else if limit > most {
            ("less_than_equal", "less", "le", most)
        } else {
            return Ok(());
        };
        let error = format!(
            "{{'type': '{kind}', 'loc': ('query', 'limit'), 'msg': 'Input should be {words} than or equal to {bound}', \
             'input': '{limit}', 'ctx': {{'{name}': {bound}}}}}"
        );
        Err(Box::new(reply::unprocessable(&error)))
    }

    /// One page of a listing in its order: what follows `after` and precedes `before`, at most `limit` of it. Cursors
    /// that are not in the listing are ignored.
    pub(super) fn page(&self, items: Vec<Value>, default: usize) -> Read<Vec<Value>> {
        self.page_between(items, self.text("after"), self.text("before"), default)
    }

    /// The same where the server has the two cursors the wrong way round.
    pub(super) fn page_with_swapped_cursors(&self, items: Vec<Value>, default: usize) -> Read<Vec<Value>> {
        self.page_between(items, self.text("before"), self.text("after"), default)
    }

    fn page_between(
        &self,
        mut items: Vec<Value>,
        after: Option<&str>,
        before: Option<&str>,
        default: usize,
    ) -> Read<Vec<Value>> {
        let limit = self.length("limit")?.unwrap_or(default);
        let place = |items: &[Value], id: &str| items.iter().position(|item| item["id"] == id);
        if let Some(end) = before.and_then(|id| place(&items, id)) {
            items.truncate(end);
        }
        if let Some(last) = after.and_then(|id| place(&items, id)) {
            items.drain(..=last);
        }
        items.truncate(limit);
        Ok(items)
    }

    pub(super) fn include(&self, all: bool) -> Include {
        let wanted = self.all("include");
        if all && self.text("include").is_none() {
            return Include::from_names([
                "agent.tags",
                "agent.tools",
                "agent.blocks",
                "agent.pending_approval",
            ]);
        }
        Include::from_names(wanted)
    }

    pub(super) fn list_agents(&self, include_all: bool) -> Read<ListAgents> {
        Ok(ListAgents {
            limit: self.integer("limit")?,
            after: self.text("after").map(str::to_owned),
            before: self.text("before").map(str::to_owned),
            order: self.order()?,
            order_by: match self.one_of("order_by", &["created_at", "updated_at", "last_run_completion"])? {
                Some("updated_at") => AgentOrder::UpdatedAt,
                Some("last_run_completion") => AgentOrder::LastRunCompletion,
                _ => AgentOrder::CreatedAt,
            },
            name: self.text("name").map(str::to_owned),
            query_text: self.text("query_text").map(str::to_owned),
            tags: self.all("tags").map(str::to_owned).collect(),
            match_all_tags: self.flag("match_all_tags")?.unwrap_or(false),
            show_hidden: self.flag("show_hidden_agents")?.unwrap_or(false),
            include: self.include(include_all),
        })
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn refuse(kind: &str, name: &str, message: &str, input: &str) -> Box<Response> {
    let error =
        format!("{{'type': '{kind}', 'loc': ('query', '{name}'), 'msg': '{message}', 'input': {input}}}");
    Box::new(reply::unprocessable(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read() {
        let query = Query::read(Some(
            "limit=5&tags=a&tags=b%20c&order=asc&after=agent-1&match_all_tags=True",
        ));
        let listed = query.list_agents(false).unwrap();
        assert_eq!(
            (listed.limit, listed.order, listed.match_all_tags),
            (Some(5), Some(Direction::Ascending), true)
        );
        assert_eq!(listed.tags, ["a", "b c"]);
        assert_eq!(listed.after.as_deref(), Some("agent-1"));
        assert_eq!(listed.include, Include::default());
    }

    #[test]
    fn a_page_lies_between_its_cursors() {
        let listing: Vec<Value> = ["e", "d", "c", "b", "a"]
            .map(|id| serde_json::json!({ "id": id }))
            .into();
        let page = |query: &str, swapped: bool| -> String {
            let query = Query::read(Some(query));
            let page = if swapped {
                query.page_with_swapped_cursors(listing.clone(), 3)
            } else {
                query.page(listing.clone(), 3)
            };
            page.unwrap()
                .iter()
                .map(|item| item["id"].as_str().unwrap())
                .collect()
        };
        assert_eq!(page("", false), "edc");
        assert_eq!(page("after=d", false), "cba");
        assert_eq!(page("after=e&before=b&limit=1", false), "d");
        assert_eq!(page("after=unknown", false), "edc");
        assert_eq!(page("after=a", false), "");
        assert_eq!(page("after=c", true), "ed");
        assert_eq!(page("before=c", true), "ba");
    }

    #[test]
    fn clients_of_before_version_1_get_everything_included() {
        let all = Include {
            tags: true,
            tools: true,
            blocks: true,
            pending_approval: true,
        };
        assert_eq!(Query::read(None).include(true), all);
        assert_eq!(
            Query::read(Some("include=agent.tags")).include(true),
            Include {
                tags: true,
                ..Include::default()
            }
        );
    }

    #[test]
    fn what_does_not_fit_is_unprocessable() {
        for query in ["limit=many", "order=up", "match_all_tags=maybe", "order_by=name"] {
            let refused = Query::read(Some(query)).list_agents(false).unwrap_err();
            assert_eq!(refused.status(), 422, "{query}");
        }
        assert_eq!(Query::read(Some("limit=-1")).stretch().unwrap_err().status(), 500);
        assert_eq!(Query::read(None).required("agent_id").unwrap_err().status(), 422);
    }
}
