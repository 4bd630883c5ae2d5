//! Lays out an expansion for a person.

use proc_macro2::TokenStream;
use syn::{File, Item, ItemMacro};

/// Set to the name of a trait, or to `1` for all, it makes the macro print what it generates on standard error. Cargo
/// does not know that a crate depends on it: touch the file of the trait to see it again.
const VARIABLE: &str = "TRAITWIRE_EXPAND";

/// Prints `expansion` if the environment asks for the service of this name.
pub(super) fn print_if_asked(service: &str, expansion: &TokenStream) {
    let Ok(asked) = std::env::var(VARIABLE) else { return };
    if asked == "1" || asked == service {
        eprintln!("// The expansion of `{service}`.\n{}", pretty(expansion));
    }
}

/// The source text of an expansion, laid out.
pub fn pretty(expansion: &TokenStream) -> String {
    let Ok(file) = syn::parse2::<File>(expansion.clone()) else { return expansion.to_string() };
    let mut text = String::new();
    for item in file.items {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&pretty_item(item));
    }
    text
}

fn pretty_item(item: Item) -> String {
    match item {
        // The printer of the language leaves the content of a macro as it is.
        Item::Macro(item) if is_if_testing(&item) => {
            let path = item.mac.path;
            let content = pretty(&item.mac.tokens);
            let indented: String = content
                .lines()
                .map(|line| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") })
                .collect();
            format!("{}! {{\n{indented}}}\n", super::fingerprint::tokens_text(&path).replace(' ', ""))
        }
        item => prettyplease::unparse(&File {
            shebang: None,
            frontmatter: None,
            attrs: Vec::new(),
            items: vec![item],
        }),
    }
}

fn is_if_testing(item: &ItemMacro) -> bool {
    item.mac.path.segments.last().is_some_and(|segment| segment.ident == "if_testing")
}
