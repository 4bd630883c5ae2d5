//! A catalogue as one HTML page that needs nothing else: no server, no other file, no network.
//!
//! The page is whole without its script, which only adds: search, copying, a switch between light and dark, and, where a
//! live server gives the page, forms that call it. All text is escaped where it is written ([`escape`]); the script makes
//! no HTML from text, and the policy forbids every script and style but the page's own.

mod parts;
mod policy;
mod prose;

use std::collections::BTreeMap;

use parts::{fields, json_block, type_anchor, type_html};
use prose::{inline, prose};

use crate::errors::CODES;
use crate::example::refusal_field;
use crate::markdown::EXAMPLE_URL;
use crate::outline::{Outline, Piece};
use crate::text::{curl, first_line};
use crate::walk::{DEFINITIONS, each_reference};
use crate::{Catalogue, Idempotency, Message, MethodDescriptor, ServiceDescriptor, example};

const SCRIPT: &str = include_str!("html/page.js");
const STYLE: &str = include_str!("html/page.css");

/// The little picture of the page: braces, as around a JSON object.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect \
width='32' height='32' rx='8' fill='%23346d6b'/%3E%3Ctext x='16' y='22.5' font-family='monospace' font-size='18' \
font-weight='bold' fill='white' text-anchor='middle'%3E%7B%7D%3C/text%3E%3C/svg%3E";

/// The Content-Security-Policy of the page that [`Catalogue::html`] makes, for a server to send with it: the page may run
/// its own script and style and call the server that it comes from.
pub fn html_policy() -> String {
    policy::policy()
}

/// Where a type or a message is used: the anchor of the place, and what it is called there.
type Users<'a> = BTreeMap<&'a str, Vec<(String, &'a str)>>;

impl Catalogue {
    /// All services, methods, types and error codes as one page of HTML.
    pub fn html(&self) -> String {
        let title = escape(&self.title());
        let users = self.users();
        let services: String = self.services().iter().map(|service| self.html_service(service)).collect();
        let types: String = self.types().keys().map(|name| self.html_type(name, &users)).collect();
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
             <title>{title} API</title>\n<link rel=\"icon\" href=\"{ICON}\">\n<style>{STYLE}</style>\n</head>\n<body>\n\
             <a class=\"skip\" href=\"#main\">Skip to the content</a>\n{bar}\n<div class=\"page\">\n{contents}\n\
             <main id=\"main\" tabindex=\"-1\">\n{intro}\n{services}\
             <section id=\"types\" aria-labelledby=\"types-title\"><h2 id=\"types-title\">Types</h2>\n{types}</section>\n\
             {errors}\n{footer}\n</main>\n</div>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
            policy = html_policy(),
            bar = bar(&title),
            contents = self.html_contents(),
            intro = self.html_intro(),
            errors = errors(),
            footer = self.html_footer(),
        )
    }

    fn html_intro(&self) -> String {
        let methods: usize = self.services().iter().map(|service| service.methods.len()).sum();
        format!(
            "<header class=\"intro\"><h1>{}</h1>\n<p>{}, {}, {}. Every method is <code>POST /method</code> with JSON \
             arguments and a JSON reply.</p>\n<p id=\"found\" class=\"found\" role=\"status\" hidden></p></header>",
            escape(&self.title()),
            counted(self.services().len(), "service"),
            counted(methods, "method"),
            counted(self.types().len(), "type"),
        )
    }

    fn html_contents(&self) -> String {
        let link = |class: &str, anchor: &str, name: &str| {
            format!("<li><a class=\"{class}\" href=\"#{0}\">{1}</a></li>", escape(anchor), escape(name))
        };
        let service = |service: &&ServiceDescriptor| {
            let methods: String = service
                .methods
                .iter()
                .map(|method| {
                    let class = if method.deprecated.is_some() { "mono deprecated" } else { "mono" };
                    link(class, &method_anchor(method.name), method.name)
                })
                .collect();
            let name = escape(service.name);
            let group = format!("<a class=\"group\" href=\"#service-{name}\">{name}</a>");
            if service.is_internal {
                format!(
                    "<li><details class=\"internal\"><summary>{name} <span class=\"mark\">internal</span></summary>{group}\
                     <ul>{methods}</ul></details></li>"
                )
            } else {
                format!("<li>{group}<ul>{methods}</ul></li>")
            }
        };
        let types: String = self.types().keys().map(|name| link("mono", &type_anchor(name), name)).collect();
        format!(
            "<nav aria-label=\"Contents\"><details open><summary>Contents</summary><ul class=\"contents\">{}\
             <li><a class=\"group\" href=\"#types\">Types</a><ul>{types}</ul></li>\
             <li><a class=\"group\" href=\"#errors\">Errors</a></li></ul></details></nav>",
            self.services().iter().map(service).collect::<String>()
        )
    }

    fn html_service(&self, service: &ServiceDescriptor) -> String {
        let name = escape(service.name);
        let methods: String =
            service.methods.iter().map(|method| self.html_method(service, method)).collect();
        let (kind, methods) = if service.is_internal {
            let count = counted(service.methods.len(), "method");
            let summary = format!("{count} for other parts of the same system, not for its users");
            let folded =
                format!("<details class=\"internal\"><summary>{summary}</summary>\n{methods}</details>");
            (Some(("plain", "internal".to_owned())), folded)
        } else {
            (None, methods)
        };
        let compat = (compat_class(service), compat_text(service));
        format!(
            "<section class=\"service\" id=\"service-{name}\" aria-labelledby=\"service-{name}-title\">\n\
             <div class=\"head\"><h2 id=\"service-{name}-title\">{name}</h2>{badges}</div>\n\
             <div class=\"prose\">{docs}</div>\n<p class=\"source\">{file}:{line}</p>\n{methods}</section>\n",
            badges = badges(&kind.into_iter().chain([compat]).collect::<Vec<_>>()),
            docs = prose(service.docs),
            file = escape(service.file),
            line = service.line,
        )
    }

    fn html_method(&self, service: &ServiceDescriptor, method: &MethodDescriptor) -> String {
        let messages = self.messages(method);
        let anchor = escape(&method_anchor(method.name));
        let arguments = example(&self.message_document(&messages.arguments));
        let deprecated = method.deprecated.map(|reason| {
            format!("<p class=\"warning\"><strong>Deprecated:</strong> {}</p>", inline(reason))
        });
        let error = messages.error.as_ref().map(|error| self.html_message("Error of its own", error));
        let refusal = refusal_field(&messages.reply.schema, self.types())
            .map(|field| format!(" data-refusal=\"{}\"", escape(field)));
        let search = format!("{} {} {}", method.name, method.aliases.join(" "), first_line(method.docs));
        format!(
            "<article class=\"method\" id=\"{anchor}\" data-method=\"{name}\" data-search=\"{search}\"{refusal}>\n\
             <div class=\"head\"><h3><a href=\"#{anchor}\"><span class=\"verb\">POST</span> /{name}</a></h3>{badges}</div>\n\
             {deprecated}<div class=\"prose\">{docs}</div>\n\
             <div class=\"messages\">{taken}{reply}{error}</div>\n\
             <div class=\"code\"><pre class=\"shell\"><code>{curl}</code></pre>\
             <button type=\"button\" class=\"copy\" hidden>Copy</button></div>\n\
             {form}</article>\n",
            name = escape(method.name),
            search = escape(&search.to_lowercase()),
            refusal = refusal.unwrap_or_default(),
            badges = badges(&method_badges(service, method)),
            deprecated = deprecated.unwrap_or_default(),
            docs = prose(method.docs),
            taken = self.html_message("Arguments", &messages.arguments),
            reply = self.html_message("Reply", &messages.reply),
            error = error.unwrap_or_default(),
            curl = escape(&curl(EXAMPLE_URL, method.name, &arguments)),
            // Internal methods are not for people to try: a vote for a fresh term deposes a leader.
            form = if service.is_internal { "" } else { "<div class=\"try\" hidden></div>\n" },
        )
    }

    fn html_message(&self, title: &str, message: &Message) -> String {
        let outline = Outline::of(&message.schema, self.types());
        let is_type = self.types().contains_key(&message.document);
        let name = if is_type { type_html(&[Piece::Type(&message.document)]) } else { String::new() };
        let class = title.split(' ').next().unwrap_or_default().to_lowercase();
        format!(
            "<section class=\"message {class}\"><h4>{title} {name}</h4>{}{}</section>",
            fields(&outline),
            json_block(&example(&self.message_document(message)))
        )
    }

    fn html_type(&self, name: &str, users: &Users<'_>) -> String {
        let outline = Outline::of(&self.types()[name], self.types());
        let anchor = escape(&type_anchor(name));
        let used: Vec<String> = users
            .get(name)
            .into_iter()
            .flatten()
            .map(|(anchor, name)| {
                format!("<a class=\"mono\" href=\"#{}\">{}</a>", escape(anchor), escape(name))
            })
            .collect();
        format!(
            "<article class=\"type\" id=\"{anchor}\" data-search=\"{search}\">\n<h3><a href=\"#{anchor}\">{name}</a></h3>\n\
             <div class=\"prose\">{docs}</div>{fields}\n<p class=\"used\">Used by {used}</p>\n</article>\n",
            search = escape(&format!("{name} {}", first_line(outline.docs)).to_lowercase()),
            name = escape(name),
            docs = prose(outline.docs),
            fields = fields(&outline),
            used = used.join(", "),
        )
    }

    /// Which methods and types name each type themselves.
    fn users(&self) -> Users<'_> {
        let mut users = Users::new();
        let mut add = |schema, anchor: String, name| {
            each_reference(schema, &mut |reference| {
                let Some(used) = reference.strip_prefix(DEFINITIONS) else { return };
                let places = users.entry(used).or_default();
                if places.last().is_none_or(|(last, _)| *last != anchor) {
                    places.push((anchor.clone(), name));
                }
            });
        };
        for method in self.services().iter().flat_map(|service| service.methods) {
            for message in self.messages(method).iter() {
                add(&message.schema, method_anchor(method.name), method.name);
            }
        }
        for (name, schema) in self.types() {
            add(schema, type_anchor(name), name.as_str());
        }
        users
    }

    fn html_footer(&self) -> String {
        format!(
            "<footer><p>Fingerprint <code>{}</code></p>\n<p class=\"documents\" hidden>Also as \
             <a href=\"openapi.json\">OpenAPI</a>, <a href=\"openrpc.json\">OpenRPC</a>, \
             <a href=\"client.ts\">TypeScript</a>, <a href=\"schema.md\">Markdown</a>.</p></footer>",
            self.fingerprint()
        )
    }
}

/// A count with its noun, such as `1 method` and `2 methods`.
fn counted(count: usize, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

fn bar(title: &str) -> String {
    format!(
        "<header class=\"bar\"><a class=\"title\" href=\"#main\">{title}</a>\n\
         <search class=\"search\" hidden><label for=\"search\">Search</label>\
         <input id=\"search\" type=\"search\" placeholder=\"Search methods and types\" autocomplete=\"off\" \
         spellcheck=\"false\" aria-keyshortcuts=\"/\"><kbd aria-hidden=\"true\">/</kbd></search>\n\
         <button type=\"button\" id=\"theme\" class=\"theme\" hidden>Dark</button></header>"
    )
}

fn errors() -> String {
    let rows: String = CODES
        .iter()
        .map(|code| {
            format!(
                "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
                code.name,
                code.status,
                escape(code.docs)
            )
        })
        .collect();
    format!(
        "<section id=\"errors\" aria-labelledby=\"errors-title\"><h2 id=\"errors-title\">Errors</h2>\n\
         <div class=\"prose\"><p>A call that fails answers with a code, the HTTP status that goes with it, and a message. Of \
         a method that may change state, the first of the <code>details</code> says whether the request was executed: \
         <code>no</code> is a promise that it has no effect, <code>unknown</code> means that it may have one. An error of a \
         method’s own comes as <code>{{\"error\": …}}</code> in the details of <code>failed_precondition</code>.</p></div>\n\
         <div class=\"table\"><table><thead><tr><th scope=\"col\">Code</th><th scope=\"col\">HTTP</th>\
         <th scope=\"col\">Meaning</th></tr></thead><tbody>{rows}</tbody></table></div></section>"
    )
}

fn compat_class(service: &ServiceDescriptor) -> &'static str {
    match service.compat {
        crate::Compat::Full | crate::Compat::Backward => "compat",
        crate::Compat::None => "loose",
    }
}

fn compat_text(service: &ServiceDescriptor) -> String {
    match service.compat {
        crate::Compat::Full => "full compatibility".to_owned(),
        crate::Compat::Backward => "backward compatible".to_owned(),
        crate::Compat::None => "no compatibility promised".to_owned(),
    }
}

/// What is short to say of a method: a class for its colour, and words.
fn method_badges(service: &ServiceDescriptor, method: &MethodDescriptor) -> Vec<(&'static str, String)> {
    let mut badges = vec![match method.idempotency {
        Idempotency::None => ("changes", "changes state".to_owned()),
        Idempotency::Idempotent => ("idempotent", "idempotent".to_owned()),
        Idempotency::ReadOnly => ("read", "read only".to_owned()),
    }];
    badges.extend(method.deprecated.map(|_| ("deprecated", "deprecated".to_owned())));
    badges.push((compat_class(service), compat_text(service)));
    badges.extend(method.timeout_ms.map(|ms| ("plain", format!("timeout {ms} ms"))));
    badges.extend(method.retries.map(|retries| ("plain", format!("retries {retries}"))));
    badges.extend(method.hedge_ms.map(|ms| ("plain", format!("hedged after {ms} ms"))));
    badges.extend(method.aliases.iter().map(|alias| ("plain", format!("also {alias}"))));
    badges
}

fn badges(badges: &[(&str, String)]) -> String {
    let item = |(class, text): &(&str, String)| format!("<li class=\"{class}\">{}</li>", escape(text));
    format!("<ul class=\"badges\">{}</ul>", badges.iter().map(item).collect::<String>())
}

fn method_anchor(name: &str) -> String {
    format!("method-{name}")
}

/// `text` as it stands in HTML, in elements and in attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter => out.push(letter),
        }
    }
    out
}
