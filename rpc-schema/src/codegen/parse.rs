//! Tokens -> model: the trait as a whole. What is wrong is reported, and whatever can be understood still gets into the
//! model.

mod method;
mod types;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Attribute, Item, ItemTrait, Meta, Path, TraitItem, TypeParamBound, parse_quote};

use super::attributes::{ServiceAttributes, conditional, is_rpc};
use super::cfg::cfgs;
use super::mistakes::Mistakes;
use super::model::{Names, Service};
use super::validate::validate;

/// What an annotated item turned out to be.
pub(super) enum Parsed {
    /// A service.
    Service(Box<Service>),
    /// A trait whose shape allows no more than to emit it again, and the path of the runtime.
    TraitOnly(Box<ItemTrait>, Path),
    /// A trait with a `#[cfg]` below `#[service]`, which the compiler has not looked at yet.
    Conditional(TokenStream),
    /// Something else.
    NoTrait(TokenStream),
}

/// Parses an annotated item.
pub(super) fn parse(attribute: TokenStream, item: TokenStream, mistakes: &mut Mistakes) -> Parsed {
    match syn::parse2(item.clone()) {
        Ok(Item::Trait(item)) => parse_trait(attribute, item, mistakes),
        Ok(_) => {
            mistakes.at(
                Span::call_site(),
                "`#[service]` goes on a trait: the trait is the contract, and a type that implements it serves it",
            );
            Parsed::NoTrait(item)
        }
        Err(error) => {
            mistakes.syntax(error);
            Parsed::NoTrait(item)
        }
    }
}

fn parse_trait(attribute: TokenStream, mut item: ItemTrait, mistakes: &mut Mistakes) -> Parsed {
    let cfgs = cfgs(&item.attrs);
    if !cfgs.is_empty() {
        item.attrs.retain(|attribute| !attribute.path().is_ident("cfg"));
        let runtime = ServiceAttributes::parse(attribute.clone(), &mut Mistakes::default()).runtime;
        return Parsed::Conditional(quote! { #(#cfgs)* #[#runtime::service(#attribute)] #item });
    }
    let attributes = ServiceAttributes::parse(attribute, mistakes);
    check_attributes(&mut item.attrs, mistakes);
    let shape = check_shape(&item, mistakes);
    check_supertraits(&mut item, mistakes);
    let mut methods = Vec::new();
    let mut broken = Vec::new();
    for (index, member) in item.items.iter_mut().enumerate() {
        if let TraitItem::Fn(member) = member {
            match method::parse(index, member, &item.ident, &attributes.prefix, mistakes) {
                Some(method) => methods.push(method),
                None => broken.push(member.clone()),
            }
        }
    }
    if !shape {
        return Parsed::TraitOnly(Box::new(item), attributes.runtime);
    }
    let mut service = Service {
        names: Names::of(&item.ident),
        docs: docs(&item.attrs),
        runtime: attributes.runtime,
        attributes: item.attrs,
        visibility: item.vis,
        ident: item.ident,
        supertraits: item.supertraits,
        prefix: attributes.prefix,
        compat: attributes.compat,
        is_internal: attributes.is_internal,
        reserved: attributes.reserved,
        methods,
        broken,
    };
    validate(&mut service, mistakes);
    Parsed::Service(Box::new(service))
}

/// Attributes that do not go on the trait are reported and taken off.
fn check_attributes(attributes: &mut Vec<Attribute>, mistakes: &mut Mistakes) {
    for place in attributes.iter().filter_map(|attribute| conditional(attribute, "rpc")) {
        mistakes.at(place, "`#[rpc]` goes on a method of the trait");
    }
    attributes.retain(|attribute| {
        let is_async_trait =
            attribute.path().segments.last().is_some_and(|segment| segment.ident == "async_trait");
        if is_rpc(attribute) {
            mistakes.on(
                attribute,
                "`#[rpc]` goes on a method; what concerns the whole trait stands in `#[service(..)]`",
            );
        } else if is_async_trait {
            mistakes.on(
                attribute,
                "`#[service]` makes it an `async_trait` already: remove this; implementations need it",
            );
        }
        !is_rpc(attribute) && !is_async_trait
    });
}

/// Whether the trait has a shape that a stub can implement. `dyn` of the trait is what clients hold.
fn check_shape(item: &ItemTrait, mistakes: &mut Mistakes) -> bool {
    let before = mistakes.count();
    if let Some(unsafety) = &item.unsafety {
        mistakes.on(unsafety, "a service is a safe trait: the other side of a wire can promise nothing");
    }
    if let Some(auto) = &item.modifiers.auto_token {
        mistakes.on(auto, "a service has methods, and an `auto trait` has none");
    }
    if !item.generics.params.is_empty() {
        mistakes.on(
            &item.generics.params,
            "a service has no generic parameters: the wire carries concrete types only",
        );
    }
    if let Some(clause) = &item.generics.where_clause {
        mistakes.on(clause, "a service has no `where` clause: write supertraits after the colon");
    }
    for member in &item.items {
        match member {
            TraitItem::Fn(_) => {}
            TraitItem::Type(member) => {
                mistakes.on(
                    &member.ident,
                    "a service has no associated types: the wire carries concrete types only",
                );
            }
            TraitItem::Const(member) => {
                mistakes.on(
                    &member.ident,
                    "a service has no associated constants: they cannot be asked for over a wire",
                );
            }
            TraitItem::Macro(member) => {
                mistakes.on(
                    &member.mac.path,
                    "a service has no macros: what they expand to could not be seen here",
                );
            }
            other => mistakes.on(other, "a service has methods only"),
        }
    }
    if item.items.is_empty() {
        mistakes.on(&item.ident, format_args!("`{}` has no methods: there is nothing to serve", item.ident));
    }
    mistakes.count() == before
}

/// Asks for `Send + Sync` where nothing else can bring them, and adds them, so that the omission is one error.
fn check_supertraits(item: &mut ItemTrait, mistakes: &mut Mistakes) {
    let mut missing = vec!["Send", "Sync"];
    for bound in &item.supertraits {
        // A lifetime brings neither.
        let TypeParamBound::Trait(bound) = bound else { continue };
        match bound.path.segments.last() {
            Some(name) if name.ident == "Send" => missing.retain(|name| *name != "Send"),
            Some(name) if name.ident == "Sync" => missing.retain(|name| *name != "Sync"),
            // Another trait may bring both along; if it does not, the compiler says so.
            _ => return,
        }
    }
    match missing[..] {
        [] => return,
        [one] => mistakes.on(
            &item.ident,
            format_args!(
                "a service is shared by the tasks that serve it: `{}` also needs `{one}`",
                item.ident
            ),
        ),
        _ => mistakes.on(
            &item.ident,
            format_args!(
                "a service is shared by the tasks that serve it: write `trait {}: Send + Sync`",
                item.ident
            ),
        ),
    }
    item.colon_token.get_or_insert_default();
    item.supertraits.push(parse_quote!(::core::marker::Send));
    item.supertraits.push(parse_quote!(::core::marker::Sync));
}

/// The text of a doc comment, without the space after the slashes.
fn docs(attributes: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attribute in attributes {
        if let Meta::NameValue(meta) = &attribute.meta
            && meta.path.is_ident("doc")
            && let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &meta.value
        {
            lines.extend(
                text.value().split('\n').map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned()),
            );
        }
    }
    lines.join("\n").trim().to_owned()
}
