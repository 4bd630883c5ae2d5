//! What methods and types have in common on the page: fields, branches, types in words, JSON in colours.

use serde_json::Value;

use super::escape;
use super::prose::inline;
use crate::outline::{Field, Outline, Piece};
use crate::text::pretty;

/// The anchor of a type.
pub(super) fn type_anchor(name: &str) -> String {
    format!("type-{name}")
}

/// A type in words, the names in it as links.
pub(super) fn type_html(pieces: &[Piece<'_>]) -> String {
    let piece = |piece: &Piece<'_>| match piece {
        Piece::Text(text) => escape(text),
        Piece::Type(name) => {
            format!("<a href=\"#{}\">{}</a>", escape(&type_anchor(name)), escape(name))
        }
    };
    format!("<code class=\"type-text\">{}</code>", pieces.iter().map(piece).collect::<String>())
}

/// The fields and branches of a message or type.
pub(super) fn fields(outline: &Outline<'_>) -> String {
    let mut out = String::new();
    if let Some(whole) = &outline.whole {
        out.push_str(&format!("<p class=\"whole\">{}</p>", type_html(whole)));
    }
    if !outline.fields.is_empty() {
        let fields: String = outline.fields.iter().map(field).collect();
        out.push_str(&format!("<dl class=\"fields\">{fields}</dl>"));
    }
    if !outline.branches.is_empty() {
        let branches = outline.branches.iter().map(|branch| {
            let docs = if branch.docs.is_empty() {
                String::new()
            } else {
                format!("<p>{}</p>", inline(branch.docs))
            };
            format!("<li>{}{docs}</li>", type_html(&branch.pieces))
        });
        let title = if outline.fields.is_empty() { "One of" } else { "And one of" };
        out.push_str(&format!(
            "<p class=\"one-of\">{title}</p><ul class=\"branches\">{}</ul>",
            branches.collect::<String>()
        ));
    }
    out
}

fn field(field: &Field<'_>) -> String {
    let mark = |is: bool, text: &str| {
        if is { format!(" <span class=\"mark\">{text}</span>") } else { String::new() }
    };
    let notes: String =
        field.notes.iter().map(|note| format!("<span class=\"note\">{}</span>", escape(note))).collect();
    let docs = field.docs.split("\n\n").filter(|docs| !docs.is_empty());
    let docs: String = docs.map(|docs| format!("<p>{}</p>", inline(&docs.replace('\n', " ")))).collect();
    format!(
        "<div><dt><code>{}</code>{}{}</dt><dd>{}{notes}{docs}</dd></div>",
        escape(field.name),
        mark(!field.is_required, "optional"),
        mark(field.is_deprecated, "deprecated"),
        type_html(&field.pieces)
    )
}

/// An example: indented JSON in colours.
pub(super) fn json_block(value: &Value) -> String {
    format!("<pre class=\"json\"><code>{}</code></pre>", coloured(&pretty(value)))
}

/// JSON text with keys, strings and other values marked.
fn coloured(mut text: &str) -> String {
    let mut out = String::new();
    while let Some(first) = text.chars().next() {
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '+' | '.');
        let (end, class) = match first {
            '"' => {
                let end = string_end(text);
                (end, if text[end..].starts_with(':') { "key" } else { "text" })
            }
            _ if is_word(first) => (text.find(|letter| !is_word(letter)).unwrap_or(text.len()), "value"),
            _ => (text.find(|letter| letter == '"' || is_word(letter)).unwrap_or(text.len()), ""),
        };
        let (token, rest) = text.split_at(end);
        match class {
            "" => out.push_str(&escape(token)),
            class => out.push_str(&format!("<span class=\"{class}\">{}</span>", escape(token))),
        }
        text = rest;
    }
    out
}

/// Where the string ends that `text` begins with.
fn string_end(text: &str) -> usize {
    let mut is_escaped = false;
    for (index, letter) in text.char_indices().skip(1) {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::coloured;

    #[test]
    fn json_in_colours_is_the_same_text() {
        assert_eq!(
            coloured(r#"{"a\"<": [-1.5e+3, true, "é</script>"]}"#),
            "{<span class=\"key\">&quot;a\\&quot;&lt;&quot;</span>: [<span class=\"value\">-1.5e+3</span>, \
             <span class=\"value\">true</span>, <span class=\"text\">&quot;é&lt;/script&gt;&quot;</span>]}"
        );
    }
}
