//! Which agents have a home.

use std::{fmt, str::FromStr};

use letta_client::Agent;
use wildmatch::WildMatch;

/// Which agents have a home: those that a rule of `include` names (all, if there is none), without those that a rule
/// of `exclude` names.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Selection {
    /// Who is in; empty: everybody.
    pub include: Vec<Rule>,
    /// Who is out all the same.
    pub exclude: Vec<Rule>,
}

impl Selection {
    /// Whether the agent has a home.
    #[must_use]
    pub fn contains(&self, agent: &Agent) -> bool {
        (self.include.is_empty() || self.include.iter().any(|rule| rule.matches(agent)))
            && !self.exclude.iter().any(|rule| rule.matches(agent))
    }

    /// Whether agents must be listed with their tags, which costs Letta extra.
    pub(crate) fn needs_tags(&self) -> bool {
        let mut rules = self.include.iter().chain(&self.exclude);
        rules.any(|rule| matches!(rule, Rule::Tag(_)))
    }
}

/// What an agent is recognised by.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// Its id, exactly.
    Id(String),
    /// Its name: `*` stands for any text, `?` for any one character. Upper and lower case are the same.
    Name(WildMatch),
    /// A tag of it, exactly.
    Tag(String),
    /// Its type, exactly, such as `sleeptime_agent`.
    Type(String),
}

impl Rule {
    fn matches(&self, agent: &Agent) -> bool {
        match self {
            Self::Id(id) => agent.id.as_str() == id,
            Self::Name(pattern) => pattern.matches(&agent.name.to_lowercase()),
            Self::Tag(tag) => agent.tags.contains(tag),
            Self::Type(agent_type) => agent.agent_type.as_ref() == Some(agent_type),
        }
    }
}

/// `agent-…` or `id:…`, `name:…`, `tag:…`, `type:…`.
impl FromStr for Rule {
    type Err = UnknownRule;

    fn from_str(text: &str) -> Result<Self, UnknownRule> {
        let text = text.trim();
        let (kind, value) = match text.split_once(':') {
            Some((kind, value)) => (kind.trim(), value.trim()),
            None if text.starts_with("agent-") => ("id", text),
            None => return Err(UnknownRule(text.to_owned())),
        };
        match kind {
            _ if value.is_empty() => Err(UnknownRule(text.to_owned())),
            "id" => Ok(Self::Id(value.to_owned())),
            "name" => Ok(Self::Name(WildMatch::new(&value.to_lowercase()))),
            "tag" => Ok(Self::Tag(value.to_owned())),
            "type" => Ok(Self::Type(value.to_owned())),
            _ => Err(UnknownRule(text.to_owned())),
        }
    }
}

/// A text that is no rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownRule(String);

impl fmt::Display for UnknownRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} names no agents: write an agent's id, name:PATTERN, tag:TAG or type:TYPE",
            self.0
        )
    }
}

impl std::error::Error for UnknownRule {}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(texts: &[&str]) -> Vec<Rule> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn agent() -> Agent {
        let mut agent = Agent::new("agent-001", "Support Bot");
        agent.tags = vec!["family".to_owned()];
        agent.agent_type = Some("letta_v1_agent".to_owned());
        agent
    }

    #[test]
    fn everybody_is_in_unless_something_else_is_said() {
        assert!(Selection::default().contains(&agent()));
    }

    #[test]
    fn an_agent_is_recognised_by_id_name_tag_and_type() {
        for rule in [
            "agent-001",
            "id:agent-001",
            "name:support*",
            "name:SUPPORT ???",
            "tag:family",
            "type:letta_v1_agent",
        ] {
            let only = Selection {
                include: rules(&[rule]),
                exclude: Vec::new(),
            };
            assert!(only.contains(&agent()), "{rule}");
            let without = Selection {
                include: Vec::new(),
                exclude: rules(&[rule]),
            };
            assert!(!without.contains(&agent()), "{rule}");
        }
        for rule in ["agent-00", "name:support", "tag:fam", "type:sleeptime_agent"] {
            assert!(!rules(&[rule])[0].matches(&agent()), "{rule}");
        }
    }

    #[test]
    fn whoever_is_excluded_is_out_even_if_included() {
        let selection = Selection {
            include: rules(&["tag:family"]),
            exclude: rules(&["agent-001"]),
        };
        assert!(!selection.contains(&agent()));
    }

    #[test]
    fn what_is_no_rule_is_told() {
        for text in ["", "support", "colour:red", "name:", "tag: "] {
            let error = text.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains("name:PATTERN"), "{error}");
        }
    }

    #[test]
    fn tags_are_asked_for_only_where_a_rule_needs_them() {
        assert!(!Selection::default().needs_tags());
        let selection = Selection {
            include: Vec::new(),
            exclude: rules(&["name:x", "tag:y"]),
        };
        assert!(selection.needs_tags());
    }
}
