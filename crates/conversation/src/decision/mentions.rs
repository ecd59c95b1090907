//! Whom a text speaks to, and how it reads without the forms that clients give to that.

use std::{collections::BTreeSet, ops::Range};

use ruma::{MatrixToUri, MatrixUri, OwnedUserId, matrix_uri::MatrixId};

use super::code::code_ranges;
use crate::room::Resident;

/// A link to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pill {
    pub(super) user: OwnedUserId,
    pub(super) text: String,
}

/// The links to users in a message's HTML, but for those in what it quotes and in code.
pub(super) fn pills(html: &str) -> Vec<Pill> {
    let html = without_elements(html, &["mx-reply", "pre", "code"]);
    let lower = html.to_ascii_lowercase();
    let mut pills = Vec::new();
    let mut at = 0;
    while let Some(start) = find_tag(&lower, at, "a") {
        let Some(length) = lower[start..].find('>') else {
            break;
        };
        let end = start + length;
        at = end;
        let Some(user) = href(&html[start..end], &lower[start..end]).and_then(|link| linked_user(&link))
        else {
            continue;
        };
        let close = lower[end..].find("</a").map_or(html.len(), |close| end + close);
        pills.push(Pill {
            user,
            text: plain(&html[end + 1..close]),
        });
    }
    pills
}

/// The user that a link leads to.
fn linked_user(link: &str) -> Option<OwnedUserId> {
    let id = match MatrixToUri::parse(link) {
        Ok(link) => link.id().clone(),
        Err(_) => MatrixUri::parse(link).ok()?.id().clone(),
    };
    match id {
        MatrixId::User(user) => Some(user),
        _ => None,
    }
}

fn href(tag: &str, lower: &str) -> Option<String> {
    let value = lower.find("href").map(|start| start + "href".len())?;
    let rest = tag[value..].trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    rest[1..].split(quote).next().map(unescape)
}

fn plain(html: &str) -> String {
    let mut text = String::new();
    let mut in_tag = false;
    for c in html.chars() {
        match c {
            '<' => in_tag = true,
            '>' => in_tag = false,
            _ if !in_tag => text.push(c),
            _ => {}
        }
    }
    unescape(text.trim())
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

/// Where the tag `<name` begins, from `at` on. `html` is in lower case.
fn find_tag(html: &str, mut at: usize, name: &str) -> Option<usize> {
    while let Some(found) = html[at..].find('<') {
        let start = at + found;
        let rest = html[start + 1..].strip_prefix(name);
        if rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_whitespace() || c == '>')) {
            return Some(start);
        }
        at = start + 1;
    }
    None
}

fn without_elements(html: &str, names: &[&str]) -> String {
    let lower = html.to_ascii_lowercase();
    let mut kept = String::new();
    let mut at = 0;
    while let Some((start, name)) = names
        .iter()
        .filter_map(|name| Some((find_tag(&lower, at, name)?, name)))
        .min()
    {
        kept.push_str(&html[at..start]);
        let close = format!("</{name}");
        at = lower[start..]
            .find(&close)
            .and_then(|close| Some(start + close + lower[start + close..].find('>')? + 1))
            .unwrap_or(html.len());
    }
    kept.push_str(&html[at..]);
    kept
}

/// The agents that a text names: `@Name` or a full id anywhere, `Name:` or `Name,` where a line begins, never in code.
/// The longest name that fits is meant.
pub(super) fn named(text: &str, residents: &[Resident]) -> BTreeSet<usize> {
    let code = code_ranges(text);
    let mut named = BTreeSet::new();
    let mut at = 0;
    let mut begins_line = true;
    let mut previous = '\n';
    while let Some(c) = text[at..].chars().next() {
        if let Some(end) = within(&code, at) {
            (at, previous, begins_line) = (end, '`', false);
            continue;
        }
        let rest = &text[at..];
        if begins_line && let Some((who, length)) = called(rest, residents) {
            named.extend(who);
            at += length;
            at += text[at..].len() - text[at..].trim_start_matches(' ').len();
            continue;
        }
        if c == '@'
            && !is_word(previous)
            && let Some((who, length)) = at_sign(rest, residents, previous != '/')
        {
            named.extend(who);
            at += length;
            (previous, begins_line) = ('x', false);
            continue;
        }
        at += c.len_utf8();
        begins_line = c == '\n' || begins_line && c == ' ';
        previous = c;
    }
    named
}

/// The agents that a command is addressed to at the very beginning of the text, and how long the address is. A name
/// without `@` is one only of agents for which `is_bare` says so.
pub(crate) fn address(
    text: &str,
    residents: &[Resident],
    is_bare: impl Fn(&Resident) -> bool,
) -> Option<(Vec<usize>, usize)> {
    let (who, length) = at_sign(text, residents, true).or_else(|| {
        longest(residents, |resident| {
            if !is_bare(resident) {
                return None;
            }
            let length = prefix(text, resident.agent_name.trim())?;
            is_end(&text[length..]).then_some(length)
        })
    })?;
    let rest = text[length..].trim_start_matches([':', ',']);
    Some((who, text.len() - rest.trim_start().len()))
}

/// `Name:` or `Name,`
fn called(text: &str, residents: &[Resident]) -> Option<(Vec<usize>, usize)> {
    longest(residents, |resident| {
        let length = prefix(text, resident.agent_name.trim())?;
        text[length..].starts_with([':', ',']).then_some(length + 1)
    })
}

/// `@Name` or a full id.
fn at_sign(text: &str, residents: &[Resident], with_names: bool) -> Option<(Vec<usize>, usize)> {
    let name = text.strip_prefix('@')?;
    longest(residents, |resident| {
        let id = prefix(text, resident.user_id.as_str());
        let by_name = || prefix(name, resident.agent_name.trim()).map(|length| length + 1);
        id.or_else(|| with_names.then(by_name).flatten())
            .filter(|length| is_end(&text[*length..]))
    })
}

/// Those who match most of the text, and how much.
fn longest(
    residents: &[Resident],
    length_of: impl Fn(&Resident) -> Option<usize>,
) -> Option<(Vec<usize>, usize)> {
    let lengths: Vec<_> = residents.iter().map(length_of).collect();
    let longest = lengths.iter().copied().flatten().max()?;
    let who = lengths.iter().enumerate();
    Some((
        who.filter(|(_, length)| **length == Some(longest))
            .map(|(index, _)| index)
            .collect(),
        longest,
    ))
}

/// How many bytes of the text are this name, whatever its case.
fn prefix(text: &str, name: &str) -> Option<usize> {
    let mut rest = text.chars();
    let fits = name.chars().all(|expected| {
        rest.next()
            .is_some_and(|c| c == expected || c.to_lowercase().eq(expected.to_lowercase()))
    });
    (fits && !name.is_empty()).then(|| text.len() - rest.as_str().len())
}

/// Whether a name ends here. `@beta:example.org` and `@beta.two` are not `@beta`.
fn is_end(rest: &str) -> bool {
    let mut chars = rest.chars();
    match chars.next() {
        None => true,
        Some('.' | '-' | ':') => !chars.next().is_some_and(is_word),
        Some(c) => !is_word(c),
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn within(ranges: &[Range<usize>], at: usize) -> Option<usize> {
    let next = ranges.partition_point(|range| range.end <= at);
    ranges
        .get(next)
        .filter(|range| range.start <= at)
        .map(|range| range.end)
}

/// The text with the names of those it links to in place of the links and, where a pill says so, in place of their ids.
pub(super) fn plain_words(text: &str, pills: &[Pill], residents: &[Resident]) -> String {
    let mut words = without_links(text);
    for pill in pills {
        let name = residents
            .iter()
            .find(|resident| resident.user_id == pill.user)
            .map_or(pill.text.as_str(), |resident| resident.agent_name.trim());
        if !name.is_empty() && name != pill.user {
            words = replace_id(&words, pill.user.as_str(), name);
        }
    }
    words
}

/// `[Name](https://matrix.to/#/@user:server)` is how some clients write a pill in the plain text.
fn without_links(text: &str) -> String {
    let code = code_ranges(text);
    let mut words = String::new();
    let (mut kept, mut at) = (0, 0);
    while let Some(found) = text[at..].find("](") {
        let middle = at + found;
        at = middle + 2;
        let link = &text[at..];
        let is_link = link.starts_with("https://matrix.to/#/") || link.starts_with("matrix:u/");
        if !is_link || within(&code, middle).is_some() {
            continue;
        }
        let (Some(open), Some(length)) = (text[kept..middle].rfind('['), link.find(')')) else {
            continue;
        };
        if linked_user(&link[..length]).is_some() {
            words.push_str(&text[kept..kept + open]);
            words.push_str(&text[kept + open + 1..middle]);
            kept = at + length + 1;
            at = kept;
        }
    }
    words.push_str(&text[kept..]);
    words
}

fn replace_id(text: &str, id: &str, name: &str) -> String {
    let code = code_ranges(text);
    let mut words = String::new();
    let mut at = 0;
    for (start, _) in text.match_indices(id) {
        if within(&code, start).is_none() && is_end(&text[start + id.len()..]) {
            words.push_str(&text[at..start]);
            words.push_str(name);
            at = start + id.len();
        }
    }
    words.push_str(&text[at..]);
    words
}

/// A reply's text without the lines in which older clients repeat what it replies to.
pub(super) fn without_fallback(body: &str) -> &str {
    if !(body.starts_with("> <@") || body.starts_with("> * <@")) {
        return body;
    }
    let mut rest = body;
    while rest.starts_with('>') {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
    rest.strip_prefix('\n').unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    fn residents() -> Vec<Resident> {
        [
            ("Agent Beta", "@agent_002:matrix.test"),
            ("Agent Beta Two", "@agent_003:matrix.test"),
            ("Ünal", "@agent_004:matrix.test"),
            ("", "@agent_005:matrix.test"),
        ]
        .map(|(name, user)| Resident {
            agent_id: user.into(),
            agent_name: name.to_owned(),
            user_id: user.try_into().unwrap(),
        })
        .to_vec()
    }

    #[test]
    fn names_are_found_where_they_call_somebody() {
        for (text, expected) in [
            ("Agent Beta: hi", &[0][..]),
            ("agent beta, hi", &[0]),
            ("Agent Beta:hi", &[0]),
            ("hello\n  Agent Beta: hi", &[0]),
            ("Agent Beta, Ünal: hi", &[0, 2]),
            ("well @AGENT BETA", &[0]),
            ("well @agent beta.", &[0]),
            ("(@Agent Beta)", &[0]),
            ("@Agent Beta Two and @ünal!", &[1, 2]),
            ("@Agent Beta Twofold", &[0]),
            ("ask @agent_002:matrix.test: now", &[0]),
            ("[x](https://matrix.to/#/@agent_003:matrix.test)", &[1]),
            ("I saw Agent Beta yesterday", &[]),
            ("said Agent Beta: no", &[]),
            ("> Agent Beta: quoted", &[]),
            ("@Agent Betamax", &[]),
            ("me@Agent Beta", &[]),
            ("https://social.test/@Ünal", &[]),
            ("@ünal:example.org", &[]),
            ("@agent_002:matrix.test.example.org", &[]),
            ("@agent_002:matrix.test:8448", &[]),
            ("`@Agent Beta` ``x ` @Agent Beta``", &[]),
            ("```\nAgent Beta: x\n```\nhi", &[]),
            ("```\nAgent Beta: never closed", &[]),
            ("a ` alone, @Agent Beta", &[0]),
            (": @ @: ,", &[]),
        ] {
            let found: Vec<_> = named(text, &residents()).into_iter().collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn two_agents_of_one_name_are_both_meant() {
        let mut residents = residents();
        residents[1].agent_name = "agent beta".to_owned();
        assert_eq!(named("@Agent Beta", &residents), BTreeSet::from([0, 1]));
    }

    #[test]
    fn pills_are_links_to_users() {
        let beta = user_id!("@agent_002:matrix.test");
        for (html, expected) in [
            (
                r#"<a href="https://matrix.to/#/@agent_002:matrix.test">Agent Beta</a>: hi"#,
                Some("Agent Beta"),
            ),
            (
                r#"<A class='x' HREF='https://matrix.to/#/%40agent_002%3Amatrix.test'><b>A &amp; B</b></A>"#,
                Some("A & B"),
            ),
            (r#"<a href="matrix:u/agent_002:matrix.test">@b</a>"#, Some("@b")),
            (
                r#"<a href="https://matrix.to/#/@agent_002:matrix.test">open"#,
                Some("open"),
            ),
            (
                r#"<a href="https://example.org/#/@agent_002:matrix.test">x</a>"#,
                None,
            ),
            (
                r##"<a href="https://matrix.to/#/#agent_002:matrix.test">x</a>"##,
                None,
            ),
            (
                r#"<mx-reply><a href="https://matrix.to/#/@agent_002:matrix.test">x</a></mx-reply>hi"#,
                None,
            ),
            (
                r#"<pre><code><a href="https://matrix.to/#/@agent_002:matrix.test">x</a></code></pre>"#,
                None,
            ),
            (
                r#"<code><a href="https://matrix.to/#/@agent_002:matrix.test">"#,
                None,
            ),
            ("<a href", None),
            ("<a href=>", None),
            ("&lt;a href=\"https://matrix.to/#/@agent_002:matrix.test\">", None),
        ] {
            let pills = pills(html);
            let expected = expected.map(|text| Pill {
                user: beta.to_owned(),
                text: text.to_owned(),
            });
            assert_eq!(pills, expected.into_iter().collect::<Vec<_>>(), "{html}");
        }
    }

    #[test]
    fn links_to_users_read_as_names() {
        let pill = |user: &str, text: &str| Pill {
            user: user.try_into().unwrap(),
            text: text.to_owned(),
        };
        let pills = [
            pill("@agent_002:matrix.test", "whatever"),
            pill("@ann:matrix.test", "Ann"),
        ];
        for (text, expected) in [
            (
                "[Agent Beta](https://matrix.to/#/@agent_002:matrix.test): a [b](c)",
                "Agent Beta: a [b](c)",
            ),
            (
                "@agent_002:matrix.test and @ann:matrix.test.",
                "Agent Beta and Ann.",
            ),
            ("@agent_003:matrix.test", "@agent_003:matrix.test"),
            (
                "`@ann:matrix.test` @ann:matrix.test.org",
                "`@ann:matrix.test` @ann:matrix.test.org",
            ),
            ("](https://matrix.to/#/@a:b", "](https://matrix.to/#/@a:b"),
        ] {
            assert_eq!(plain_words(text, &pills, &residents()), expected);
        }
    }

    #[test]
    fn what_a_reply_repeats_is_dropped_and_what_a_person_quotes_stays() {
        for (body, expected) in [
            ("> <@a:b> x\n> y\n\nhi\n> mine", "hi\n> mine"),
            ("> * <@a:b> waves\n\nhi", "hi"),
            ("> <@a:b> x", ""),
            ("> quoted\n\nhi", "> quoted\n\nhi"),
        ] {
            assert_eq!(without_fallback(body), expected);
        }
    }
}
