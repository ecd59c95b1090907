//! What people said about themselves earlier in the conversation.

use super::persona::name_at;
use super::phrases::{COMMON_WORDS, NOT_NAMES};
use super::{contains_phrase, words};

/// The newest earlier text that shares a telling word with a question like "what did I say about Paris?".
pub(super) fn about<'a>(question: &[String], earlier: &'a [String]) -> Option<&'a str> {
    let at = question.iter().position(|word| word == "about")?;
    let telling: Vec<_> = question[at + 1..]
        .iter()
        .filter(|word| !COMMON_WORDS.contains(&word.as_str()) && !NOT_NAMES.contains(&word.as_str()))
        .collect();
    let shares = |text: &&String| words(text).iter().any(|word| telling.contains(&word));
    earlier
        .iter()
        .rev()
        .filter(|text| !text.contains('?'))
        .find(shares)
        .map(String::as_str)
}

/// What a question asks for: `favourite colour` of "what is my favourite colour?", `name` of "who am I?".
pub(super) fn asked_fact(question: &[String]) -> Option<String> {
    if contains_phrase(question, "who am i") && !contains_phrase(question, "who am i talking to") {
        return Some("name".to_owned());
    }
    const LEADS: [&str; 9] = [
        "what is my",
        "whats my",
        "what are my",
        "what was my",
        "who is my",
        "whos my",
        "where is my",
        "do you know my",
        "do you remember my",
    ];
    let lead = LEADS.into_iter().find(|lead| contains_phrase(question, lead))?;
    let length = lead.split(' ').count();
    let lead: Vec<_> = lead.split(' ').collect();
    let at = question.windows(length).position(|window| window == lead)?;
    let wanted: Vec<_> = question[at + length..]
        .iter()
        .map(String::as_str)
        .take(5)
        .collect();
    (!wanted.is_empty()).then(|| wanted.join(" "))
}

/// `your favourite colour is blue`, when `text` says so of the `wanted`.
pub(super) fn told(text: &str, wanted: &str) -> Option<String> {
    let facts = statements(text);
    let fact = facts
        .into_iter()
        .rev()
        .find(|fact| words(&fact.subject).join(" ") == wanted)?;
    Some(fact.to_string())
}

/// What a text tells about its author: `your favourite colour is blue`, `the key is under the mat`.
pub(super) fn told_fact(text: &str) -> Option<String> {
    let facts: Vec<_> = statements(text).iter().map(ToString::to_string).collect();
    if !facts.is_empty() {
        return Some(facts.join(" and "));
    }
    let rest = after(
        text,
        &["remember that ", "please remember: ", "remember: ", "remember, "],
    )?;
    let rest = rest.trim().trim_end_matches(['.', '!']);
    (!rest.is_empty()).then(|| rest.to_owned())
}

/// `my SUBJECT is VALUE`.
struct Statement {
    subject: String,
    verb: &'static str,
    value: String,
}

impl std::fmt::Display for Statement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "your {} {} {}", self.subject, self.verb, self.value)
    }
}

/// All that a text states about what is its author's; questions state nothing.
fn statements(text: &str) -> Vec<Statement> {
    let sentences = text
        .split_inclusive(['.', '!', '?', '\n'])
        .filter(|sentence| !sentence.contains('?'));
    sentences.flat_map(clauses).filter_map(statement).collect()
}

/// `my dog is Rex and my cat is Tom` in its two parts.
fn clauses(sentence: &str) -> Vec<&str> {
    let lower = sentence.to_ascii_lowercase();
    let mut starts: Vec<usize> = [" and my ", ", my ", "; my "]
        .iter()
        .flat_map(|joint| lower.match_indices(joint).map(|(at, _)| at))
        .collect();
    starts.push(0);
    starts.push(sentence.len());
    starts.sort_unstable();
    starts
        .windows(2)
        .filter_map(|pair| sentence.get(pair[0]..pair[1]))
        .collect()
}

fn statement(clause: &str) -> Option<Statement> {
    let rest = after(clause, &["my "])?;
    let verbs = ["is", "are", "was"].into_iter();
    let (at, verb) = verbs
        .filter_map(|verb| Some((rest.find(&format!(" {verb} "))?, verb)))
        .min()?;
    let subject = rest[..at].trim();
    let value = rest[at + verb.len() + 2..]
        .trim()
        .trim_end_matches(['.', '!', ',', ' ']);
    let is_short = subject.split_whitespace().count() <= 5;
    (is_short && !subject.is_empty() && !value.is_empty()).then(|| Statement {
        subject: subject.to_owned(),
        verb,
        value: value.to_owned(),
    })
}

/// What follows the first of `leads` that stands at the beginning of a word, in any case.
fn after<'a>(text: &'a str, leads: &[&str]) -> Option<&'a str> {
    let lower = text.to_ascii_lowercase();
    leads.iter().find_map(|lead| {
        let starts_word = |at: usize| !lower[..at].ends_with(|c: char| c.is_alphanumeric());
        let (at, _) = lower.match_indices(lead).find(|(at, _)| starts_word(*at))?;
        Some(&text[at + lead.len()..])
    })
}

/// The name by which a text introduces its author: "my name is Bob", "call me Bob", "I'm Bob".
pub(super) fn introduction(text: &str) -> Option<String> {
    if text.contains('?') {
        return None;
    }
    if let Some(rest) = after(text, &["my name is ", "my name's ", "call me ", "i am called "]) {
        return name_at(rest);
    }
    // "I am tired" is no introduction: the name must be written as one.
    let rest = after(text, &["i am ", "i'm ", "i’m ", "this is "])?;
    rest.starts_with(char::is_uppercase).then(|| name_at(rest))?
}
