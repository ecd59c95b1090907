use std::cell::Cell;

use matrix_client::content::Message;
use proptest::prelude::*;
use pulldown_cmark::{Event, Parser, Tag, TagEnd};
use ruma::{event_id, owned_user_id};

use super::*;
use crate::text::render::options;

/// What the parts have in common with the whole: their letters.
fn visible(text: &str) -> String {
    text.split_whitespace().collect()
}

/// The code of all code blocks.
fn code_of(markdown: &str) -> String {
    let mut code = String::new();
    let mut in_code = false;
    for event in Parser::new_ext(markdown, options()) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => in_code = true,
            Event::End(TagEnd::CodeBlock) => in_code = false,
            Event::Text(text) if in_code => code.push_str(&text),
            _ => {}
        }
    }
    code
}

/// The languages of all code blocks.
fn languages(markdown: &str) -> Vec<String> {
    Parser::new_ext(markdown, options())
        .filter_map(|event| match event {
            Event::Start(Tag::CodeBlock(pulldown_cmark::CodeBlockKind::Fenced(info))) => {
                Some(info.to_string())
            }
            _ => None,
        })
        .collect()
}

fn size(part: &str) -> usize {
    let Rendered { body, html } = render(part);
    let json = |text: &str| serde_json::to_string(text).unwrap().len();
    json(&body) + html.map_or(0, |html| json(&html))
}

fn lines(text: &str, count: usize) -> String {
    (1..=count)
        .map(|n| text.replace("{n}", &n.to_string()) + "\n")
        .collect()
}

#[test]
fn a_short_text_stays_whole() {
    assert_eq!(split("  one\n\ntwo ", 100), ["  one\n\ntwo"]);
    assert_eq!(split(" \n", 100), Vec::<String>::new());
    assert_eq!(split("", 100), Vec::<String>::new());
}

#[test]
fn a_text_is_cut_where_it_hurts_least() {
    for (text, max, parts) in [
        (
            "aaaa bbbb\n\ncccc dddd\neeee",
            22,
            vec!["aaaa bbbb", "cccc dddd\neeee"],
        ),
        ("aaaa bbbb\ncccc dddd", 16, vec!["aaaa bbbb\n", "cccc dddd"]),
        (
            "One two. Three four five",
            20,
            vec!["One two.", "Three four five"],
        ),
        ("aaaa bbbb cccc", 13, vec!["aaaa bbbb", "cccc"]),
        ("äääää", 8, vec!["äää", "ää"]),
        (
            "text one\n\n# Head\n\ntext two",
            64,
            vec!["text one", "# Head\n\ntext two"],
        ),
        ("text one\n\n# Head\n\ntwo", 41, vec!["text one", "# Head", "two"]),
    ] {
        let parts: Vec<String> = parts
            .into_iter()
            .map(|part: &str| part.trim_end().to_owned())
            .collect();
        assert_eq!(split(text, max), parts, "{text}");
    }
}

#[test]
fn one_character_larger_than_a_part_still_goes_out() {
    assert_eq!(split("🦀🦀", 1), ["🦀", "🦀"]);
    let parts = split("```\n🦀🦀\n```\n\n- 🦀🦀\n\n> 🦀🦀\n\n|🦀|\n|-|\n|🦀|", 1);
    assert!(parts.len() < 60);
    assert_eq!(parts.concat().matches('🦀').count(), 8);
}

#[test]
fn code_that_must_be_cut_goes_on_in_its_language() {
    let code = lines("let x{n} = \"<{n}>\";", 100);
    for fence in ["```", "~~~~", "`````"] {
        let text = format!("Look:\n\n{fence}rust\n{code}{fence}\n\nDone.");
        let parts = split(&text, 1_000);
        assert!(parts.len() > 3);
        assert_eq!(parts.iter().map(|part| code_of(part)).collect::<String>(), code);
        for part in &parts {
            assert!(size(part) <= 1_000);
            assert_eq!(
                part.lines().filter(|line| line.starts_with(fence)).count(),
                2,
                "{part}"
            );
            assert_eq!(languages(part), ["rust"]);
        }
        assert!(parts[0].starts_with("Look:"));
        assert!(parts.last().unwrap().ends_with("Done."));
    }
}

#[test]
fn code_that_fits_into_a_part_is_not_cut() {
    let code = format!("```sh\n{}```", lines("echo {n}", 20));
    let text = format!("{}\n\n{code}\n\n{}", "word ".repeat(20), "word ".repeat(20));
    let parts = split(&text, 500);
    assert!(parts.contains(&code), "{parts:?}");
}

#[test]
fn code_in_lists_and_quotes_goes_on_as_well() {
    let code = lines("x = {n}  # {n}", 60);
    let indented = code.replace('\n', "\n   ");
    let quoted = code.replace('\n', "\n> ");
    for text in [
        format!(
            "1. Do this:\n\n   ```py\n   {}   ```\n\n2. then that\n",
            indented.trim_end_matches(' ')
        ),
        format!("> ```py\n> {}> ```\n\nend", quoted.trim_end_matches("> ")),
        format!(
            "- a\n- ```py\n  {}  ```\n- b",
            code.replace('\n', "\n  ").trim_end_matches(' ')
        ),
        format!("Unclosed:\n\n```py\n{code}"),
        format!("By blanks:\n\n    {}", code.replace('\n', "\n    ").trim_end()),
        format!(
            "- not closed\n\n  ```py\n  {}\nEnd of list.",
            code.replace('\n', "\n  ").trim_end()
        ),
    ] {
        let parts = split(&text, 500);
        let cut: String = parts.iter().map(|part| code_of(part)).collect();
        assert_eq!(visible(&cut), visible(&code), "{text}\n{parts:#?}");
        assert!(parts.iter().all(|part| size(part) <= 500), "{parts:#?}");
    }
}

#[test]
fn a_table_goes_on_under_the_same_head() {
    let head = "| n | square |\n|---|---:|\n";
    let text = format!("Table:\n\n{head}{}\nEnd.", lines("| {n} | *{n}* |", 60));
    let parts = split(&text, 700);
    assert!(parts.len() > 3);
    for part in &parts[..parts.len() - 1] {
        assert!(part.contains(head) && size(part) <= 700, "{part}");
    }
    let rows: Vec<&str> = parts
        .iter()
        .flat_map(|part| part.lines())
        .filter(|line| line.contains('*'))
        .collect();
    assert_eq!(rows.join("\n") + "\n", lines("| {n} | *{n}* |", 60));
}

#[test]
fn a_numbered_list_goes_on_with_the_next_number() {
    for text in [
        lines("{n}. item *{n}*", 40),
        lines("1. item *{n}*", 40),
        lines("1. item *{n}*\n\n   more", 40),
    ] {
        let parts = split(&text, 400);
        assert!(parts.len() > 3);
        let mut next = 1;
        for part in &parts {
            assert!(
                part.starts_with(&format!("{next}. item *{next}*")),
                "{next}: {part}"
            );
            let html = render(part).html.unwrap();
            assert_eq!(html.contains(&format!("start=\"{next}\"")), next > 1, "{html}");
            assert!(!part.contains("more") || part.ends_with("more"), "{part}");
            next += part.matches("item").count();
        }
        assert_eq!(next, 41);
    }
}

#[test]
fn an_item_that_must_be_cut_leaves_the_numbers_alone() {
    let text = format!(
        "1. first\n1. {}\n1. third\n\n    - nested",
        lines("   Sentence {n}.", 60).trim()
    );
    let parts = split(&text, 400);
    let last = parts.last().unwrap();
    assert!(
        last.contains("\n\n3. third\n") || last.starts_with("3. third\n"),
        "{parts:#?}"
    );
    assert!(parts.iter().all(|part| size(part) <= 400));
}

#[test]
fn a_quote_goes_on_as_a_quote() {
    let text = format!("{}\nAfter.", lines("> Sentence number {n}.", 60));
    let parts = split(&text, 400);
    for part in &parts {
        assert!(part.starts_with("> ") && size(part) <= 400, "{part}");
    }
    assert!(parts.last().unwrap().ends_with("After."));
}

/// The parts, and how many texts were rendered to find them.
fn split_counting(text: &str, max_bytes: usize) -> (Vec<String>, usize) {
    let before = RENDERINGS.with(Cell::get);
    let parts = split(text, max_bytes);
    (parts, RENDERINGS.with(Cell::get) - before)
}

#[test]
fn long_and_hostile_texts_are_cut_with_few_renderings() {
    const MAX_BYTES: usize = 500;
    // In a container everything is done once more.
    let (plain, nested) = (12, 12 * (MAX_CONTAINERS + 1));
    for (name, unit, begin, most) in [
        ("one line", "x", "", plain),
        ("words", "word ", "", plain),
        ("blanks", "                                 x", "", plain),
        ("digits", "1", "", plain),
        ("paragraphs", "a *word* or `two`.\n\n", "", plain),
        ("headings", "# a\n", "", plain),
        ("code", "code\n", "```\n", plain),
        ("code in one line", "c", "```\n", plain),
        ("code by blanks", "    code\n", "", plain),
        ("list", "- a\n", "", plain),
        ("numbered list", "1. a\n", "", plain),
        ("tables", "|b|\n", "|a|\n|-|\n", plain),
        ("brackets", "[", "", plain),
        ("emphasis", "*a _b ", "", plain),
        ("backticks", "`", "", plain),
        ("lines of a quote", "> a\n", "", nested),
        ("a long item", "  *a* b\n", "- a\n", nested),
        ("quotes", "> ", "", nested),
        ("nested lists", "- ", "", nested),
    ] {
        for bytes in [1_000, 3_000] {
            let text = format!("{begin}{}x", unit.repeat(bytes / unit.len()));
            let (parts, renderings) = split_counting(&text, MAX_BYTES);
            assert!(
                renderings <= most * parts.len(),
                "{name}: {renderings} renderings for {} parts of {bytes} bytes",
                parts.len()
            );
            let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count();
            assert!(letters(&parts.concat()) >= letters(&text), "{name}");
            assert!(parts.iter().all(|part| size(part) <= MAX_BYTES), "{name}");
            assert!(
                parts.len() < text.len() / 50 + 10,
                "{name}: {} parts",
                parts.len()
            );
        }
    }
}

#[test]
fn a_huge_text_takes_no_more_renderings_for_a_part_than_a_small_one() {
    let (parts, renderings) = split_counting(&"word ".repeat(60_000), MAX_PART_BYTES);
    assert!(parts.len() <= 12, "{} parts", parts.len());
    assert!(
        renderings <= 12 * parts.len(),
        "{renderings} renderings for {} parts",
        parts.len()
    );
}

#[test]
fn an_edit_to_the_largest_part_leaves_room_in_the_event() {
    for (text, bytes) in [
        ("Words *and* more. ", 20_000),
        ("\"\\\" & <b> ", 20_000),
        ("x", 40_000),
    ] {
        let parts = split(&text.repeat(bytes / text.len()), MAX_PART_BYTES);
        assert!(parts.len() > 1);
        let largest = parts.iter().max_by_key(|part| size(part)).unwrap();
        assert!(size(largest) > MAX_PART_BYTES / 2);
        let Rendered { body, html } = render(largest);
        let message = match html {
            Some(html) => Message::html(body, html),
            None => Message::text(body),
        };
        let edit = message
            .mention([owned_user_id!("@ann:example.org")])
            .edit_of(event_id!("$0123456789012345678901234567890123456789012"))
            .to_content();
        let bytes = serde_json::to_string(&edit).unwrap().len();
        assert!(bytes <= 65_535 - 4 * 1024, "{bytes}");
    }
}

/// A Markdown text of the kind that agents write, with the code in it and the words around.
fn document() -> impl Strategy<Value = String> {
    let words = "[a-zäß]{1,9}( [a-z🦀\"<&]{1,9}){0,12}[.!]?";
    let code = prop::collection::vec("[a-z ]{0,4}[a-z(){};<&\"#*>-]{1,20}", 1..12)
        .prop_map(|lines| lines.join("\n"));
    let indent = |text: String, by: &str| text.replace('\n', &format!("\n{by}"));
    let fenced = (
        code,
        prop::sample::select(vec!["```", "~~~", "````"]),
        "[a-z]{0,4}",
    )
        .prop_map(|(code, fence, language)| format!("{fence}{language}\n{code}\n{fence}"));
    let paragraph = prop::collection::vec(words, 1..5).prop_map(|lines| lines.join("\n"));
    let item = prop_oneof![
        paragraph.clone(),
        (paragraph.clone(), fenced.clone()).prop_map(|(text, code)| format!("{text}\n\n{code}")),
    ];
    let block = prop_oneof![
        3 => paragraph.clone(),
        1 => words.prop_map(|words| format!("## {words}")),
        2 => fenced.clone(),
        1 => prop::collection::vec(item.clone(), 1..5).prop_map(move |items| {
            let items = items.into_iter().map(|item| format!("- {}", indent(item, "  ")));
            items.collect::<Vec<_>>().join("\n")
        }),
        1 => prop::collection::vec(item, 1..5).prop_map(move |items| {
            let items = items.into_iter().enumerate();
            let items = items.map(|(n, item)| format!("{}. {}", n + 8, indent(item, if n < 2 { "   " } else { "    " })));
            items.collect::<Vec<_>>().join("\n")
        }),
        1 => paragraph.prop_map(move |text| format!("> {}", indent(text, "> "))),
        1 => fenced.prop_map(move |text| format!("> {}", indent(text, "> "))),
        1 => prop::collection::vec("[a-z]{1,6}", 1..8).prop_map(|cells| {
            let rows: String = cells.iter().map(|cell| format!("\n| {cell} | *x* |")).collect();
            format!("| a | b |\n|---|---|{rows}")
        }),
    ];
    prop::collection::vec(block, 1..8).prop_map(|blocks| blocks.join("\n\n"))
}

proptest! {
    // Rendering a document takes its time in a debug build.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn parts_of_a_document_fit_and_keep_its_words_and_code(text in document(), max in 300usize..1_500) {
        let parts = split(&text, max);
        let joined = parts.join("\n\n");
        for part in &parts {
            prop_assert!(size(part) <= max, "{} > {}: {}", size(part), max, part);
            prop_assert!(blocks::open_fence(part).is_none(), "{}", part);
        }
        // Every letter, in order; repeated are only heads of tables and languages of code.
        let mut left = joined.chars().filter(|c| c.is_alphabetic());
        for letter in visible(&text).chars().filter(|c| c.is_alphabetic()) {
            prop_assert!(left.any(|c| c == letter), "{:#?}", parts);
        }
        let code: String = parts.iter().map(|part| code_of(part)).collect();
        prop_assert_eq!(code, code_of(&text), "{:#?}", parts);
    }
}

proptest! {
    #[test]
    fn parts_of_plain_text_lose_nothing_but_white_space(text in "([a-z]{1,9}|[ \n]{1,3}|ä|🦀|\"){0,60}", max in 18usize..80) {
        let parts = split(&text, max);
        for part in &parts {
            prop_assert!(!part.trim().is_empty() && size(part) <= max, "{part:?}");
        }
        prop_assert_eq!(visible(&parts.concat()), visible(&text));
    }

    #[test]
    fn anything_is_cut_and_nothing_is_lost(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "word ", "a", "\n", "\n\n", "```", "~~~", "> ", "- ", "1. ", "10) ", "    ", "\t", "|", "|-|", "# ", "*", "`", "[a](b)",
                "<b>", "<!--", "===", "---", "[a]: b", "\u{1}", "\r",
            ]),
            0..60,
        ),
        max in 1usize..200,
    ) {
        let text = pieces.concat();
        let parts = split(&text, max);
        let mut left = parts.iter().flat_map(|part| part.chars()).filter(|c| c.is_alphabetic());
        for letter in text.chars().filter(|c| c.is_alphabetic()) {
            prop_assert!(left.any(|c| c == letter), "{:#?}", parts);
        }
    }
}
