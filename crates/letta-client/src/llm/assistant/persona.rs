//! Who the assistant is, and who it talks with, as the system prompt says.

use super::phrases::NOT_NAMES;

/// The assistant's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Persona {
    /// Its name, if it was given one.
    name: Option<String>,
    /// One sentence about itself, in the first person, with its full stop.
    sentence: Option<String>,
}

impl Persona {
    /// From the persona block of the system messages, else from their first line, else from `otherwise`.
    pub(super) fn read(system: &[&str], otherwise: Option<&str>) -> Self {
        let block = system.iter().rev().find_map(|text| memory_block(text, "persona"));
        let text = block
            .or_else(|| system.iter().find_map(|text| first_line(text)))
            .or(otherwise);
        let Some(sentence) = text.and_then(first_sentence) else {
            return Self {
                name: None,
                sentence: None,
            };
        };
        let name = text.and_then(own_name);
        Self {
            name,
            sentence: Some(first_person(&sentence)),
        }
    }

    /// `I am Alpha, a helpful librarian.`
    pub(super) fn introduction(&self) -> String {
        match (&self.name, &self.sentence) {
            (Some(name), Some(sentence)) if mentions(sentence, name) => sentence.clone(),
            (Some(name), Some(sentence)) => format!("I am {name}. {sentence}"),
            (Some(name), None) => format!("I am {name}."),
            (None, Some(sentence)) => sentence.clone(),
            (None, None) => "I am an assistant without a name.".to_owned(),
        }
    }
}

fn mentions(sentence: &str, name: &str) -> bool {
    sentence.to_lowercase().contains(&name.to_lowercase())
}

/// The name of the person, as the block about them says.
pub(super) fn user_name(system: &[&str]) -> Option<String> {
    let block = system.iter().rev().find_map(|text| memory_block(text, "human"))?;
    let stated = block.lines().find_map(|line| {
        let lower = line.to_lowercase();
        ["name: ", "name is ", "the human is ", "the user is "]
            .iter()
            .find_map(|lead| lower.find(lead).and_then(|at| line.get(at + lead.len()..)))
    })?;
    name_at(stated)
}

/// The value of one of Letta's memory blocks:
/// `<persona> … <value> I am Alpha. </value> </persona>`, or `<persona> I am Alpha. </persona>`.
fn memory_block<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let block = between(text, &format!("<{label}>"), &format!("</{label}>"))?;
    let value = between(block, "<value>", "</value>").unwrap_or(block).trim();
    (!value.is_empty()).then_some(value)
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let start = text.find(open)? + open.len();
    let length = text[start..].find(close)?;
    Some(&text[start..start + length])
}

/// The first line that says something; nothing when the text opens with a tag, for then it is not addressed to
/// anybody's part.
fn first_line(text: &str) -> Option<&str> {
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .filter(|line| !line.starts_with('<'))
}

/// The first sentence of the first line, at most 200 characters, with a full stop.
fn first_sentence(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let line = line.trim_start_matches(['#', '*', '-', ' ']);
    let end = ["\u{2e} ", "! ", "? "]
        .iter()
        .filter_map(|stop| line.find(stop))
        .min()
        .unwrap_or(line.len());
    let sentence: String = line[..end].chars().take(200).collect();
    let sentence = sentence.trim_end_matches(['.', '!', '?', ' ']);
    (!sentence.is_empty()).then(|| format!("{sentence}."))
}

/// `You are Alpha, a librarian.` as the assistant says it of itself.
fn first_person(sentence: &str) -> String {
    const TURNS: [(&str, &str); 8] = [
        ("You are ", "I am "),
        ("You're ", "I am "),
        ("Your name is ", "My name is "),
        ("Your ", "My "),
        ("You ", "I "),
        ("I'm ", "I am "),
        ("Act as ", "I am "),
        ("Name: ", "My name is "),
    ];
    for (lead, own) in TURNS {
        if let Some(rest) = strip_prefix_ignoring_case(sentence, lead) {
            let rest = rest.replace(" your ", " my ").replace(" you are ", " I am ");
            return format!("{own}{rest}");
        }
    }
    sentence.to_owned()
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// The name that a persona gives itself.
fn own_name(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let lower = line.to_ascii_lowercase();
    for lead in [
        "my name is ",
        "your name is ",
        "name: ",
        "i am called ",
        "you are called ",
    ] {
        if let Some(at) = lower.find(lead) {
            return name_at(&line[at + lead.len()..]);
        }
    }
    for lead in ["i am ", "i'm ", "you are ", "you're "] {
        if lower.starts_with(lead) {
            let rest = &line[lead.len()..];
            let is_alone = rest.split_whitespace().count() == 1;
            if is_alone || rest.starts_with(char::is_uppercase) {
                return name_at(rest);
            }
        }
    }
    None
}

/// The name at the beginning of `text`: a word, and the capitalised words after it (`Agent Alpha`).
pub(super) fn name_at(text: &str) -> Option<String> {
    let mut name: Vec<&str> = Vec::new();
    for word in text.split_whitespace() {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        if bare.is_empty() || !name.is_empty() && !bare.starts_with(char::is_uppercase) {
            break;
        }
        name.push(bare);
        if name.len() == 4 || word.ends_with(['.', ',', ';', ':', '!', '?', ')']) {
            break;
        }
    }
    let first = name.first()?;
    let is_name = !NOT_NAMES.contains(&first.to_lowercase().as_str());
    is_name.then(|| name.join(" "))
}
