//! A catalogue as one Markdown file, to be read by people.

use std::fmt::Write;

use crate::errors::CODES;
use crate::outline::{Outline, Piece};
use crate::text::{badge_list, curl, first_line, pretty};
use crate::{Catalogue, Message, ServiceDescriptor, example};

/// The server that command lines speak to; a reader puts his own in its place.
pub(crate) const EXAMPLE_URL: &str = "http://127.0.0.1:7101";

impl Catalogue {
    /// All services, methods, types and error codes as one Markdown file. Names of types lead to their sections.
    pub fn markdown(&self) -> String {
        let mut page = Page::default();
        page.line(&format!("# {}\n", self.title()));
        page.line(&format!(
            "Every method is `POST /{{method}}` with JSON arguments and a JSON reply. Fingerprint `{}`.\n",
            self.fingerprint()
        ));
        page.line("| Method | Service | |\n|---|---|---|");
        for service in self.services() {
            for method in service.methods {
                let link = format!("[`{0}`](#{1})", method.name, method_anchor(method.name));
                page.line(&format!("| {link} | {} | {} |", service.name, cell(first_line(method.docs))));
            }
        }
        for service in self.services() {
            self.markdown_service(service, &mut page);
        }
        page.line("\n## Types");
        for name in self.types().keys() {
            page.line(&format!("\n<a id=\"{}\"></a>\n\n### `{name}`", type_anchor(name)));
            let outline = Outline::of(&self.types()[name], self.types());
            if !outline.docs.is_empty() {
                page.line(&format!("\n{}", prose(outline.docs)));
            }
            page.outline(&outline);
        }
        page.line(
            "\n## Errors\n\n\
             A call that fails answers `{\"code\": ..., \"message\": ..., \"details\": [...]}`. Of a method that may change \
             state, the first of the details says whether the request was executed: `{\"executed\": \"no\"}` is a promise \
             that it has no effect, `{\"executed\": \"unknown\"}` means that it may have one. An error of a method's own \
             comes as `{\"error\": ...}` in the details of `failed_precondition`.\n\n| Code | HTTP | |\n|---|---|---|",
        );
        for code in &CODES {
            page.line(&format!("| `{}` | {} | {} |", code.name, code.status, code.docs));
        }
        page.text
    }

    fn markdown_service(&self, service: &ServiceDescriptor, page: &mut Page) {
        page.line(&format!("\n## {}", service.name));
        if service.is_internal {
            page.line("\nInternal: other parts of the same system call this service, its users do not.");
        }
        if !service.docs.is_empty() {
            page.line(&format!("\n{}", prose(service.docs)));
        }
        page.line(&format!(
            "\nCompatibility: {}. Declared in `{}:{}`.",
            service.compat.as_str(),
            service.file,
            service.line
        ));
        for method in service.methods {
            let messages = self.messages(method);
            page.line(&format!("\n<a id=\"{}\"></a>\n\n### `{}`", method_anchor(method.name), method.name));
            page.line(&format!("\n{}.", badge_list(service, method).split_off(1).join(" · ")));
            if !method.docs.is_empty() {
                page.line(&format!("\n{}", prose(method.docs)));
            }
            self.markdown_message("Arguments", &messages.arguments, page);
            self.markdown_message("Reply", &messages.reply, page);
            if let Some(error) = &messages.error {
                self.markdown_message("Error", error, page);
            }
            let arguments = example(&self.message_document(&messages.arguments));
            page.line(&format!("\n```sh\n{}\n```", curl(EXAMPLE_URL, method.name, &arguments)));
        }
    }

    fn markdown_message(&self, title: &str, message: &Message, page: &mut Page) {
        let outline = Outline::of(&message.schema, self.types());
        let name = match self.types().contains_key(&message.document) {
            true => format!(": {}", linked(&[Piece::Type(&message.document)])),
            false => String::new(),
        };
        page.line(&format!("\n**{title}**{name}"));
        if outline.fields.is_empty() && !name.is_empty() && outline.branches.is_empty() {
            // The type's own section says it all.
        } else {
            page.outline(&outline);
        }
        page.line(&format!("\n```json\n{}\n```", pretty(&example(&self.message_document(message)))));
    }
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: &str) {
        writeln!(self.text, "{line}").expect("a string can be written to");
    }

    fn outline(&mut self, outline: &Outline<'_>) {
        if let Some(whole) = &outline.whole {
            self.line(&format!("\nType: {}", linked(whole)));
        }
        if !outline.fields.is_empty() {
            self.line("\n| Field | Type | |\n|---|---|---|");
        }
        for field in &outline.fields {
            let mut about = Vec::new();
            about.extend((!field.is_required).then(|| "Optional.".to_owned()));
            about.extend(field.is_deprecated.then(|| "Deprecated.".to_owned()));
            about.extend((!field.docs.is_empty()).then(|| field.docs.to_owned()));
            about.extend((!field.notes.is_empty()).then(|| format!("({})", field.notes.join(", "))));
            self.line(&format!(
                "| {} | {} | {} |",
                code(field.name),
                linked(&field.pieces),
                cell(&about.join(" "))
            ));
        }
        if !outline.branches.is_empty() {
            self.line(if outline.fields.is_empty() { "\nOne of:\n" } else { "\nAnd one of:\n" });
        }
        for branch in &outline.branches {
            let docs =
                if branch.docs.is_empty() { String::new() } else { format!(": {}", cell(branch.docs)) };
            self.line(&format!("- {}{docs}", linked(&branch.pieces)));
        }
    }
}

fn method_anchor(name: &str) -> String {
    format!("method-{name}")
}

fn type_anchor(name: &str) -> String {
    format!("type-{name}")
}

/// A type in words, the names in it as links.
fn linked(pieces: &[Piece<'_>]) -> String {
    let piece = |piece: &Piece<'_>| match piece {
        Piece::Text(text) => code(text),
        Piece::Type(name) => format!("[`{name}`](#{})", type_anchor(name)),
    };
    pieces.iter().map(piece).collect()
}

/// `text` as code inside a line, also of a table. Blanks at its ends would be lost inside, so they stand outside.
fn code(text: &str) -> String {
    let inner = text.trim();
    if inner.is_empty() {
        return text.to_owned();
    }
    let (before, after) = (text.starts_with(' '), text.ends_with(' '));
    let blank = |is: bool| if is { " " } else { "" };
    // A fence longer than any run of the same marks inside.
    let longest = inner.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if inner.starts_with('`') || inner.ends_with('`') { " " } else { "" };
    let inner = inner.replace('|', "\\|");
    format!("{}{fence}{pad}{inner}{pad}{fence}{}", blank(before), blank(after))
}

/// A doc comment inside a line or a cell of a table.
fn cell(docs: &str) -> String {
    let line = docs.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    safe(&line).replace('|', "\\|")
}

/// A doc comment as paragraphs of their own. It is Markdown already; its headings would cut the page's own.
fn prose(docs: &str) -> String {
    let mut is_code = false;
    let line = |line: &str| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        if is_code || is_fence {
            return line.to_owned();
        }
        match line.trim_start_matches('#') {
            heading if heading.len() < line.len() && heading.starts_with(' ') => {
                format!("**{}**", safe(heading.trim()))
            }
            _ => safe(line),
        }
    };
    docs.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// `line` without HTML: outside of code, `<` stands for itself.
fn safe(line: &str) -> String {
    let parts = line.split('`').enumerate();
    let part = |(index, part): (usize, &str)| {
        if index % 2 == 0 { part.replace('<', "&lt;") } else { part.to_owned() }
    };
    parts.map(part).collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::{cell, code, prose};

    #[test]
    fn doc_comments_bring_no_html_and_no_headings() {
        assert_eq!(
            prose("A `<b>` and <b>.\n# Errors\n```\n# <x>\n```"),
            "A `<b>` and &lt;b>.\n**Errors**\n```\n# <x>\n```"
        );
        assert_eq!(cell("one |\n\n two"), "one \\| two");
    }

    #[test]
    fn code_keeps_its_marks() {
        assert_eq!([code("a"), code(" | "), code("`x`")], ["`a`", " `\\|` ", "`` `x` ``"]);
    }

    #[test]
    fn values_are_shown_as_they_are() {
        assert_eq!(code("\"a\""), "`\"a\"`");
    }
}
