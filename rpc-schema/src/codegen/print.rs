//! Prints an expansion for a person.

use proc_macro2::TokenStream;

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

/// The source text, laid out where it can be.
fn pretty(expansion: &TokenStream) -> String {
    match syn::parse2(expansion.clone()) {
        Ok(file) => prettyplease::unparse(&file),
        Err(_) => expansion.to_string(),
    }
}
