//! The documents for people and for TypeScript: TypeScript, Markdown, HTML. Each is whole, and right for hard types.
#![allow(clippy::unwrap_used)]

mod common;

use common::hard::hard;
use common::many::{METHODS, SERVICES, many};
use common::small::kv;
use expect_test::{ExpectFile, expect_file};
use traitwire_schema::{Catalogue, html_policy};

#[track_caller]
fn golden(text: &str, expected: &ExpectFile) {
    expected.assert_eq(text);
}

#[test]
fn the_documents_of_a_small_service() {
    golden(&kv().typescript(), &expect_file!["golden/client.ts"]);
    golden(&kv().markdown(), &expect_file!["golden/schema.md"]);
    golden(&kv().html(), &expect_file!["golden/docs.html"]);
}

/// What TypeScript makes of these types is compiled by hand when it changes: `tsc --strict --target es2020`.
#[test]
fn the_documents_of_hard_types() {
    golden(&types_of(&hard().typescript()), &expect_file!["golden/hard.ts"]);
    golden(&hard().markdown(), &expect_file!["golden/hard.md"]);
    golden(&text_of(&hard().html()), &expect_file!["golden/hard.txt"]);
}

/// TypeScript without what is the same for all services.
fn types_of(typescript: &str) -> String {
    let (types, _) = typescript.split_once("/**\n * An integer of 64 bits or more").unwrap();
    types.to_owned()
}

/// What a page says, line by line, without its markup, style and script.
fn text_of(html: &str) -> String {
    let (_, body) = html.split_once("<body>").unwrap();
    let (body, _) = body.rsplit_once("<script>").unwrap();
    let mut text = String::new();
    for part in body.split('<').skip(1) {
        let (tag, words) = part.split_once('>').unwrap();
        let name = tag.trim_start_matches('/').split(' ').next().unwrap();
        let breaks =
            ["article", "dd", "div", "dt", "h1", "h2", "h3", "h4", "li", "p", "pre", "section", "tr", "td"];
        if breaks.contains(&name) {
            text.push('\n');
        }
        text.push_str(words);
    }
    let unescaped =
        text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
    let lines = unescaped.replace("&amp;", "&");
    let lines = lines.lines().map(str::trim_end).filter(|line| !line.trim().is_empty());
    lines.map(|line| format!("{line}\n")).collect()
}

/// The documents in which every method and every type must be found.
fn documents(catalogue: &Catalogue) -> [(&'static str, String); 6] {
    [
        ("index", catalogue.index().to_string()),
        ("OpenAPI", catalogue.openapi().to_string()),
        ("OpenRPC", catalogue.openrpc().to_string()),
        ("TypeScript", catalogue.typescript()),
        ("Markdown", catalogue.markdown()),
        ("HTML", catalogue.html()),
    ]
}

#[test]
fn five_hundred_methods_are_in_every_document() {
    let catalogue = many();
    assert_eq!(
        catalogue.services().iter().map(|service| service.methods.len()).sum::<usize>(),
        SERVICES * METHODS
    );
    for (document, text) in documents(&catalogue) {
        let words: std::collections::BTreeSet<&str> = text
            .split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_' || letter == '.'))
            .map(|word| word.trim_end_matches('.'))
            .collect();
        for method in catalogue.services().iter().flat_map(|service| service.methods) {
            assert!(words.contains(method.name), "{document} lacks {}", method.name);
            let docs = method.docs.lines().next().unwrap();
            assert!(text.contains(docs), "{document} lacks the description of {}", method.name);
        }
        for name in catalogue.types().keys() {
            assert!(words.contains(name.as_str()), "{document} lacks {name}");
        }
    }
}

#[test]
fn documents_are_the_same_each_time() {
    for ((name, one), (_, other)) in documents(&hard()).into_iter().zip(documents(&hard())) {
        assert!(one == other, "{name}");
    }
}

#[test]
fn what_stands_in_doc_comments_is_no_html() {
    let page = hard().html();
    // The page's own script is the only one, and it ends where it should.
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("</script").count(), 1);
    assert_eq!(page.matches("</style").count(), 1);
    assert!(!page.contains("<b>bold</b>") && !page.contains("<em>another</em>"));
    assert!(page.contains("&lt;/script&gt;&lt;script&gt;alert(&quot;methods&quot;)"));
    let markdown = hard().markdown();
    assert!(!markdown.contains("<script") && !markdown.contains("<b>bold"));
    assert!(!hard().typescript().contains("comment: */ and"));
}

#[test]
fn the_page_needs_nothing_else_and_its_links_lead_somewhere() {
    let page = hard().html();
    let attributes = |name: &str| -> Vec<String> {
        let begin = format!(" {name}=\"");
        let parts = page.split(begin.as_str()).skip(1);
        parts.map(|part| part.split('"').next().unwrap().to_owned()).collect()
    };
    assert_eq!(attributes("src"), Vec::<String>::new());
    let ids = attributes("id");
    for link in attributes("href") {
        let is_document = ["openapi.json", "openrpc.json", "client.ts", "schema.md"].contains(&link.as_str());
        let leads = link.strip_prefix('#').is_some_and(|id| ids.iter().any(|known| known == id));
        assert!(leads || is_document || link.starts_with("data:"), "{link} leads nowhere");
    }
    let mut unique = ids.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "an id stands twice");
    assert!(page.contains(&html_policy()));
}

/// Links in Markdown lead to anchors of the file.
#[test]
fn links_in_markdown_lead_somewhere() {
    let markdown = hard().markdown();
    let links: Vec<&str> =
        markdown.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
    assert!(links.len() > 20);
    for link in links {
        assert!(markdown.contains(&format!("<a id=\"{link}\">")), "{link} leads nowhere");
    }
}
