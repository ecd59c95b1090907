use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn html(markdown: &str) -> String {
    render(markdown)
        .html
        .unwrap_or_else(|| panic!("{markdown:?} has no HTML"))
}

#[test]
fn markdown_becomes_the_html_of_matrix() {
    for (markdown, expected) in [
        (
            "**b** *i* ~~s~~ `c`",
            "<strong>b</strong> <em>i</em> <del>s</del> <code>c</code>",
        ),
        ("# h", "<h1>h</h1>"),
        ("one\ntwo *x*", "one<br>\ntwo <em>x</em>"),
        ("a\n\n*b*", "<p>a</p>\n<p><em>b</em></p>"),
        ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>"),
        ("3. a\n4. b", "<ol start=\"3\">\n<li>a</li>\n<li>b</li>\n</ol>"),
        ("- [ ] a\n- [x] b", "<ul>\n<li>☐ a</li>\n<li>☑ b</li>\n</ul>"),
        ("> q", "<blockquote>\n<p>q</p>\n</blockquote>"),
        ("---", "<hr>"),
        (
            "```rust ignore\nlet a = 1 < 2;\n```",
            "<pre><code class=\"language-rust\">let a = 1 &lt; 2;\n</code></pre>",
        ),
        ("    code\n    more", "<pre><code>code\nmore</code></pre>"),
        (
            "| a | b |\n|:-:|---|\n| 1 | 2 |",
            "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody>\n<tr><td>1</td><td>2</td></tr>\n</tbody></table>",
        ),
        (
            "[x](https://a.example/?q=1&r=2 \"title\")",
            "<a href=\"https://a.example/?q=1&amp;r=2\">x</a>",
        ),
        (
            "<https://a.example>",
            "<a href=\"https://a.example\">https://a.example</a>",
        ),
        (
            "<ann@a.example>",
            "<a href=\"mailto:ann@a.example\">ann@a.example</a>",
        ),
        (
            "[x](matrix:u/ann:a.example)",
            "<a href=\"matrix:u/ann:a.example\">x</a>",
        ),
        (
            "![alt](https://a.example/i.png)",
            "<a href=\"https://a.example/i.png\">alt</a>",
        ),
        (
            "![](https://a.example/i.png)",
            "<a href=\"https://a.example/i.png\">https://a.example/i.png</a>",
        ),
        (
            "[![alt](https://b.example/i)](https://a.example)",
            "<a href=\"https://a.example\">alt</a>",
        ),
        (
            "![a [b](https://b.example)](https://a.example)",
            "<a href=\"https://a.example\">a b</a>",
        ),
        ("1\\. not a list &amp; so on", "1. not a list &amp; so on"),
    ] {
        assert_eq!(html(markdown), expected, "{markdown}");
    }
}

#[test]
fn a_plain_answer_stays_plain() {
    for plain in [
        "hello",
        "one\ntwo\n\nthree",
        "1 < 2 & 3 > 2",
        "a_b_c * d",
        "<b>bold?</b>",
        "",
        " \n",
        "@room",
        "[a]: https://a.example",
        "#",
    ] {
        assert_eq!(render(plain).html, None, "{plain}");
    }
    assert_eq!(render(" \n\n one \n").body, " one");
}

#[test]
fn hostile_markdown_shows_as_text_or_not_at_all() {
    for (markdown, expected) in [
        (
            "x <script>alert(1)</script> *x*",
            "x &lt;script&gt;alert(1)&lt;/script&gt; <em>x</em>",
        ),
        (
            "*x* <img src=x onerror=alert(1)>",
            "<em>x</em> &lt;img src=x onerror=alert(1)&gt;",
        ),
        ("*x* [a](javascript:alert(1))", "<em>x</em> a"),
        ("*x* [a](JaVaScRiPt:alert(1))", "<em>x</em> a"),
        ("*x* [a](data:text/html,x)", "<em>x</em> a"),
        ("*x* [a](java&#10;script:alert(1))", "<em>x</em> a"),
        ("*x* [a](&#1;javascript:alert(1))", "<em>x</em> a"),
        ("*x* [a](/relative) [b](//host/x) [c](#id)", "<em>x</em> a b c"),
        ("*x* ![a](data:image/png;base64,x)", "<em>x</em> a"),
        ("*x* ![a](mxc://a.example/b)", "<em>x</em> a"),
        ("*x* \u{202e}evil\u{0}", "<em>x</em> evil"),
        ("*x* @room", "<em>x</em> @\u{200b}room"),
    ] {
        assert_eq!(html(markdown), expected, "{markdown}");
    }
    let quoted = html("```a\"><script>\nx\n```");
    assert_eq!(quoted, "<pre><code>x\n</code></pre>");
    assert_eq!(
        html("<div>\n*x*\n\n*y*"),
        "<p>&lt;div&gt;<br>\n*x*</p>\n<p><em>y</em></p>"
    );
    assert_eq!(
        render("hi @room and @ROOM").body,
        "hi @\u{200b}room and @\u{200b}ROOM"
    );
}

#[test]
fn only_the_tags_and_attributes_of_the_specification_pass() {
    // The specification's list less `span` and `img`.
    let allowed = "del h1 h2 h3 h4 h5 h6 blockquote p a ul ol sup sub li b i u strong em s code hr br div pre details summary";
    for tag in allowed.split(' ') {
        let dirty = format!(
            "<{tag} onclick=\"x()\" style=\"color:red\" class=\"c\" id=\"i\" title=\"t\" target=\"_blank\" rel=\"x\">"
        );
        assert!(
            sanitise(&dirty).starts_with(&format!("<{tag}>")),
            "{tag}: {}",
            sanitise(&dirty)
        );
    }
    let table = "<table><caption>c</caption><thead><tr><th>h</th></tr></thead><tbody><tr><td>d</td></tr></tbody></table>";
    assert_eq!(sanitise(table), table);
    for tag in [
        "img src=\"mxc://a/b\"",
        "span",
        "font",
        "video",
        "iframe",
        "object",
        "embed",
        "form",
        "input",
        "button",
        "svg",
        "math",
        "base",
        "link",
        "meta",
        "marquee",
        "html",
        "body",
        "template",
        "noscript",
        "select",
        "textarea",
        "audio",
        "picture",
    ] {
        assert!(!sanitise(&format!("<{tag}>x")).contains('<'), "{tag}");
    }
    for (dirty, clean) in [
        ("<script>x</script>", ""),
        ("<style>x</style>", ""),
        ("<mx-reply>x</mx-reply>y", "y"),
        ("<!-- x -->y", "y"),
        ("<a href=\"https://a/\">x</a>", "<a href=\"https://a/\">x</a>"),
        ("<a href=\"ftp://a/\">x</a>", "<a href=\"ftp://a/\">x</a>"),
        ("<a href=\"magnet:?x\">x</a>", "<a href=\"magnet:?x\">x</a>"),
        ("<a href=\"javascript:x\">x</a>", "<a>x</a>"),
        ("<a href=\"vbscript:x\">x</a>", "<a>x</a>"),
        ("<a href=\"mxc://a/b\">x</a>", "<a>x</a>"),
        ("<a href=\"/x\">x</a>", "<a>x</a>"),
        ("<ol start=\"7\"></ol>", "<ol start=\"7\"></ol>"),
        ("<ol start=\"x\"></ol>", "<ol></ol>"),
        (
            "<code class=\"x language-a y\">x</code>",
            "<code class=\"language-a\">x</code>",
        ),
        ("<code class=\"x\">x</code>", "<code>x</code>"),
        ("<div data-mx-maths=\"x\">x</div>", "<div>x</div>"),
    ] {
        assert_eq!(sanitise(dirty), clean, "{dirty}");
    }
}

fn depth(html: &str) -> usize {
    let mut depth = 0usize;
    let mut deepest = 0;
    for tag in html.split('<').skip(1) {
        match tag {
            _ if tag.starts_with('/') => depth -= 1,
            _ if tag.starts_with("br") || tag.starts_with("hr") => {}
            _ => depth += 1,
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[test]
fn markdown_bombs_are_fast_and_bounded() {
    for count in [10_000, 500_000] {
        for (name, bomb) in [
            ("quotes", "> ".repeat(count)),
            ("quotes with text", format!("{}x *y*", ">".repeat(count))),
            ("list markers", format!("{}x", "- ".repeat(count))),
            ("stars", format!("{}x", "* ".repeat(count))),
            ("numbers", format!("{}x", "1. ".repeat(count))),
            ("brackets", "[".repeat(count)),
            (
                "closed brackets",
                format!("{}{}", "[".repeat(count), "](x)".repeat(count)),
            ),
            (
                "images",
                format!("{}{}", "![".repeat(count), "](https://a)".repeat(count)),
            ),
            (
                "emphasis",
                format!("{}x{}", "*a ".repeat(count), " b*".repeat(count)),
            ),
            ("strong", format!("{}x{}", "**".repeat(count), "**".repeat(count))),
            ("underscores", "_a__b".repeat(count)),
            ("strikes", "~~a".repeat(count)),
            (
                "backticks",
                (1..150)
                    .map(|n| "`".repeat(n) + " ")
                    .collect::<String>()
                    .repeat(count / 10_000),
            ),
            ("tags", "<a ".repeat(count)),
            ("comments", "<!--".repeat(count)),
            (
                "tables",
                format!("{}\n{}\n", "|a".repeat(count), "|-".repeat(count)),
            ),
            ("definitions", "[a]: b\n".repeat(count)),
            ("entities", "&a".repeat(count)),
            ("fences", "```\n".repeat(count)),
        ] {
            let started = Instant::now();
            let rendered = render(&bomb);
            // A debug build on a busy machine.
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "{count} {name}: {:?}",
                started.elapsed()
            );
            let html = rendered.html.unwrap_or_default();
            assert!(depth(&html) <= 100, "{name}: {}", depth(&html));
        }
    }
}

#[test]
fn a_deep_table_or_list_is_text_or_whole() {
    for levels in 55..70 {
        let quotes = "> ".repeat(levels);
        let html = html(&format!(
            "{quotes}| a |\n{quotes}|---|\n{quotes}| b |\n{quotes}\n{quotes}- item\n"
        ));
        assert!(depth(&html) <= 100);
        assert!(html.contains('b') && html.contains("item"), "{html}");
        assert_eq!(html.contains("<table>"), html.contains("<td>"), "{html}");
        assert_eq!(html.contains("<ul>"), html.contains("<li>"), "{html}");
    }
}

proptest! {
    #[test]
    fn whatever_comes_in_only_allowed_tags_come_out(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "<script>", "</p>", "<img src=x onerror=y>", "[a](", "javascript:x", ")", "![", "](https://a)", "`", "```", "\n",
                "> ", "- ", "1. ", "*", "**", "~~", "|", "|-|", "&lt;", "\"", "'", "<", ">", "text", " ", "# ", "    ", "<!--", "@room",
                "\u{202e}", "\u{0}", "\\",
            ]),
            0..40,
        ),
    ) {
        let Rendered { body, html } = render(&pieces.concat());
        prop_assert!(!body.contains("@room"));
        let tricks = body.contains(['\u{202e}', '\u{0}']);
        prop_assert!(!tricks);
        let html = html.unwrap_or_default();
        for tag in html.split('<').skip(1) {
            let inside = tag.split('>').next().unwrap();
            let name = inside.trim_start_matches('/').split(' ').next().unwrap();
            prop_assert!(TAGS.contains(&name) || name == "summary", "{}", html);
            let attribute = inside.split_once(' ').map_or("", |(_, attribute)| attribute);
            prop_assert!(
                attribute.is_empty() || ["href=\"https://", "href=\"mailto:", "start=\"", "class=\"language-"].iter().any(|a| attribute.starts_with(a)),
                "{}", html
            );
        }
        prop_assert_eq!(sanitise(&html), html.clone());
    }
}
