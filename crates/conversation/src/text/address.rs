//! To whom an answer speaks.

use pulldown_cmark::{Event, Parser, Tag};
use ruma::{OwnedUserId, UserId};

use super::render::options;

/// How much of an answer is searched for those it addresses.
const MAX_SEARCHED_BYTES: usize = 64 * 1024;

/// Whether the agent chose to say nothing: the answer is `<no-reply/>` and nothing else.
pub fn is_silence(answer: &str) -> bool {
    let answer = answer.trim().trim_matches('`').trim();
    ["<no-reply/>", "<no-reply />", "<no-reply>"]
        .iter()
        .any(|silence| answer.eq_ignore_ascii_case(silence))
}

/// Which of the candidates (Matrix id and display name) an answer addresses: by the full Matrix id as a word, or by
/// `@` and the display name, in any case. Of names that begin alike the longest counts; those of the same name are
/// all meant. What stands in code is addressed to nobody.
pub fn mentions<'a>(
    answer: &str,
    candidates: impl Iterator<Item = (&'a UserId, &'a str)>,
) -> Vec<OwnedUserId> {
    let end = answer.floor_char_boundary(MAX_SEARCHED_BYTES);
    let text = without_code(&answer[..end]).to_lowercase();
    let mut wanted: Vec<(String, &UserId)> = Vec::new();
    let mut users: Vec<&UserId> = Vec::new();
    for (user, name) in candidates {
        users.push(user);
        wanted.push((user.as_str().to_lowercase(), user));
        let name = name.trim().trim_start_matches('@');
        if !name.is_empty() {
            wanted.push((format!("@{}", name.to_lowercase()), user));
        }
    }
    wanted.sort_by_key(|(words, _)| std::cmp::Reverse(words.len()));

    let mut mentioned: Vec<&UserId> = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find('@').map(|at| from + at) {
        from = at + 1;
        if !begins_word(&text[..at]) {
            continue;
        }
        let here = &text[at..];
        let Some((longest, _)) = wanted
            .iter()
            .find(|(words, _)| here.strip_prefix(words.as_str()).is_some_and(ends_word))
        else {
            continue;
        };
        from = at + longest.len();
        mentioned.extend(
            wanted
                .iter()
                .filter(|(words, _)| words == longest)
                .map(|(_, user)| user),
        );
    }
    users.retain(|user| mentioned.contains(user));
    let mut addressed: Vec<OwnedUserId> = Vec::new();
    for user in users {
        if !addressed.iter().any(|known| known == user) {
            addressed.push(user.to_owned());
        }
    }
    addressed
}

/// Not in the middle of a word or of an address.
fn begins_word(before: &str) -> bool {
    let last = before.chars().next_back();
    !last.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '=' | '+' | '@'))
}

/// The word does not go on, neither as a longer name nor with a server's name.
fn ends_word(after: &str) -> bool {
    let mut characters = after.chars();
    match characters.next() {
        None => true,
        Some('.' | ':' | '-') => !characters.next().is_some_and(char::is_alphanumeric),
        Some(next) => !next.is_alphanumeric() && next != '_',
    }
}

/// The Markdown without code, and without the backslashes that keep a name from being markup.
fn without_code(markdown: &str) -> String {
    let mut text = String::with_capacity(markdown.len());
    let mut from = 0;
    for (event, range) in Parser::new_ext(markdown, options()).into_offset_iter() {
        if matches!(event, Event::Code(_) | Event::Start(Tag::CodeBlock(_))) && range.start >= from {
            text.push_str(&markdown[from..range.start]);
            text.push(' ');
            from = range.end;
        }
    }
    text.push_str(&markdown[from..]);
    text.replace('\\', "")
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[test]
    fn an_agent_that_says_only_that_it_says_nothing_is_silent() {
        for silent in [
            "<no-reply/>",
            " <NO-REPLY>\n",
            "`<no-reply/>`",
            "```\n<no-reply/>\n```",
            "<no-reply />",
        ] {
            assert!(is_silence(silent), "{silent}");
        }
        for answer in [
            "",
            "no-reply",
            "<no-reply/> but",
            "I would say <no-reply/>",
            "<noreply/>",
        ] {
            assert!(!is_silence(answer), "{answer}");
        }
    }

    #[test]
    fn an_answer_addresses_whom_it_names_outside_code() {
        let ann = user_id!("@ann:example.org");
        let ann_lee = user_id!("@lee:example.org");
        let bot = user_id!("@_letta_bot_:example.org");
        let twin = user_id!("@twin:example.org");
        let cases: [(&str, &[&UserId]); 20] = [
            ("hi @ann:example.org, all good?", &[ann]),
            ("(@ANN:example.org)", &[ann]),
            ("see [her](https://matrix.to/#/@ann:example.org)", &[ann]),
            ("hi @Ann!", &[ann]),
            ("**@ann**", &[ann]),
            ("hi @ann lee.", &[ann_lee]),
            ("@Ann Leeward", &[ann]),
            ("@Ann and @Ann Lee", &[ann, ann_lee]),
            ("@_letta_bot_:example.org: your turn", &[bot]),
            ("@my\\_bot go", &[bot, twin]),
            ("@my_bot go", &[bot, twin]),
            ("`@ann` and\n```\n@ann lee\n```", &[]),
            ("mail me: x@ann.org or foo@ann", &[]),
            ("@ann:other.org is somebody else", &[]),
            ("@ann:example.organic", &[]),
            ("@annette", &[]),
            ("ann", &[]),
            ("@", &[]),
            ("", &[]),
            ("@ann @ann @ann", &[ann]),
        ];
        for (answer, expected) in cases {
            let candidates = [
                (ann, "Ann"),
                (ann_lee, "Ann Lee"),
                (bot, "my_bot"),
                (twin, "my_bot"),
            ];
            assert_eq!(mentions(answer, candidates.into_iter()), expected, "{answer}");
        }
        assert_eq!(
            mentions("@ @x", [(ann, " ")].into_iter()),
            Vec::<OwnedUserId>::new()
        );
    }
}
