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
    let fact = statement(text)?;
    let subject = words(&fact.subject).join(" ");
    (subject == wanted).then(|| fact.to_string())
}

/// What a text tells about its author: `your favourite colour is blue`, `the key is under the mat`.
pub(super) fn told_fact(text: &str) -> Option<String> {
    if let Some(rest) = after(
        text,
        &["remember that ", "please remember: ", "remember: ", "remember, "],
    ) {
        let rest = rest.trim().trim_end_matches(['.', '!']);
        return (!rest.is_empty())
            .then(|| statement(rest).map_or_else(|| rest.to_owned(), |fact| fact.to_string()));
    }
    statement(text).map(|fact| fact.to_string())
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

fn statement(text: &str) -> Option<Statement> {
    let sentence = text
        .split_inclusive(['.', '!', '?', '\n'])
        .find(|sentence| after(sentence, &["my "]).is_some())?;
    if sentence.contains('?') {
        return None;
    }
    let rest = after(sentence, &["my "])?;
    let (at, verb) = ["is", "are", "was"]
        .into_iter()
        .filter_map(|verb| Some((rest.find(&format!(" {verb} "))?, verb)))
        .min()?;
    let subject = rest[..at].trim();
    let value = rest[at + verb.len() + 2..]
        .trim()
        .trim_end_matches(['.', '!', ' ']);
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
