//! Doc comments as HTML: the Markdown that they use most, with everything else as it is written and nothing unescaped.

use super::escape;

/// A doc comment in HTML: paragraphs, lists, headings, fenced code; inside of lines code, emphasis and links.
pub(super) fn prose(docs: &str) -> String {
    let mut out = String::new();
    let mut lines = docs.lines().peekable();
    while let Some(line) = lines.next() {
        let text = line.trim();
        if text.is_empty() {
            continue;
        }
        if text.starts_with("```") {
            let code: Vec<&str> =
                lines.by_ref().take_while(|line| !line.trim_start().starts_with("```")).collect();
            out.push_str(&format!("<pre><code>{}</code></pre>", escape(&code.join("\n"))));
        } else if let Some(heading) = heading(text) {
            out.push_str(&format!("<p class=\"heading\">{}</p>", inline(heading)));
        } else if let Some((list, first)) = item(text) {
            out.push_str(&format!("<{list}>"));
            let mut text = first.to_owned();
            while let Some(next) = lines.next_if(|line| !line.trim().is_empty()) {
                match item(next.trim()) {
                    Some((_, next)) => {
                        out.push_str(&format!("<li>{}</li>", inline(&text)));
                        text = next.to_owned();
                    }
                    None => text = format!("{text} {}", next.trim()),
                }
            }
            out.push_str(&format!("<li>{}</li></{list}>", inline(&text)));
        } else {
            let mut paragraph = text.to_owned();
            let goes_on = |line: &&str| {
                let text = line.trim();
                !text.is_empty()
                    && !text.starts_with("```")
                    && item(text).is_none()
                    && heading(text).is_none()
            };
            while let Some(line) = lines.next_if(goes_on) {
                paragraph = format!("{paragraph} {}", line.trim());
            }
            out.push_str(&format!("<p>{}</p>", inline(&paragraph)));
        }
    }
    out
}

fn heading(line: &str) -> Option<&str> {
    let text = line.trim_start_matches('#');
    (text.len() < line.len()).then(|| text.strip_prefix(' ')).flatten()
}

/// The kind of list that `line` is an item of, and the item.
fn item(line: &str) -> Option<(&'static str, &str)> {
    if let Some(item) = line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")) {
        return Some(("ul", item));
    }
    let digits = line.len() - line.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
    let item = line[digits..].strip_prefix(". ").filter(|_| digits > 0)?;
    Some(("ol", item))
}

/// A piece of a line in HTML: code, emphasis and links.
pub(super) fn inline(mut text: &str) -> String {
    let mut out = String::new();
    while let Some(at) = text.find(['`', '*', '[']) {
        let (before, rest) = text.split_at(at);
        out.push_str(&escape(before));
        let (html, rest) = marked(rest);
        out.push_str(&html);
        text = rest;
    }
    out + &escape(text)
}

/// What begins with a mark, and what follows it.
fn marked(text: &str) -> (String, &str) {
    let delimited = |mark: &str| {
        let (inner, rest) = text.strip_prefix(mark)?.split_once(mark)?;
        (!inner.is_empty() && !inner.starts_with(' ')).then_some((inner, rest))
    };
    if let Some((code, rest)) = delimited("`") {
        return (format!("<code>{}</code>", escape(code)), rest);
    }
    if let Some((strong, rest)) = delimited("**") {
        return (format!("<strong>{}</strong>", inline(strong)), rest);
    }
    if let Some((weak, rest)) = delimited("*") {
        return (format!("<em>{}</em>", inline(weak)), rest);
    }
    if let Some((label, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        let target = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        if let Some((url, rest)) = target.filter(|(url, _)| is_web(url)) {
            return (format!("<a href=\"{}\" rel=\"noreferrer\">{}</a>", escape(url), inline(label)), rest);
        }
        // A link to an item of the source, which leads nowhere here.
        if label.starts_with('`') && label.ends_with('`') {
            return (inline(label), target.map_or(rest, |(_, rest)| rest));
        }
    }
    // The mark stands for itself.
    let (mark, rest) = text.split_at(1);
    (escape(mark), rest)
}

/// Whether a link is one that a page may follow: no scripts.
fn is_web(url: &str) -> bool {
    (url.starts_with("https://") || url.starts_with("http://")) && !url.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::prose;

    #[track_caller]
    fn check(docs: &str, expected: &str) {
        assert_eq!(prose(docs), expected);
    }

    #[test]
    fn paragraphs_lists_headings_and_code() {
        check("One\nline.\n\nTwo.", "<p>One line.</p><p>Two.</p>");
        check("Of:\n- a\n  b\n- c\n\nEnd.", "<p>Of:</p><ul><li>a b</li><li>c</li></ul><p>End.</p>");
        check("1. a\n2. b", "<ol><li>a</li><li>b</li></ol>");
        check("# Errors\nFails.", "<p class=\"heading\">Errors</p><p>Fails.</p>");
        check("```json\n<a>\n```\nB.", "<pre><code>&lt;a&gt;</code></pre><p>B.</p>");
    }

    #[test]
    fn marks_inside_of_lines() {
        check("`a<b>` **b** *c* 2 * 3", "<p><code>a&lt;b&gt;</code> <strong>b</strong> <em>c</em> 2 * 3</p>");
        check(
            "[x](https://e.org/a?b&c)",
            "<p><a href=\"https://e.org/a?b&amp;c\" rel=\"noreferrer\">x</a></p>",
        );
        check(
            "[`Name`] [`Name`](crate::Name) [0, 1] é*",
            "<p><code>Name</code> <code>Name</code> [0, 1] é*</p>",
        );
    }

    #[test]
    fn nothing_comes_through_as_html() {
        check("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>");
        check("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>");
        check(
            "[x](https://a\"onclick=1)",
            "<p><a href=\"https://a&quot;onclick=1\" rel=\"noreferrer\">x</a></p>",
        );
        check("**`<b>`** *<i>*", "<p><strong><code>&lt;b&gt;</code></strong> <em>&lt;i&gt;</em></p>");
    }
}
