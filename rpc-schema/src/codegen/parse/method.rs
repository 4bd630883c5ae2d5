//! Tokens -> model: one method.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::{
    Attribute, Expr, ExprLit, FnArg, GenericArgument, Ident, Lit, LitStr, Meta, Pat, PatType, PathArguments,
    Receiver, ReceiverKind, ReturnType, Safety, Signature, TraitItemFn, Type, parse_quote,
};

use super::super::attributes::{MethodAttributes, is_rpc, reject_conditional};
use super::super::cfg::cfgs;
use super::super::mistakes::Mistakes;
use super::super::model::{Method, Parameter, Parameters, WireName};
use super::super::names;
use super::docs;
use super::types::{Role, check_owned, sized_form, type_text};

/// Parses a method, and takes off it what does not go on the emitted trait. Nothing if its signature is wrong; what is
/// wrong with its attributes counts as not said.
pub(super) fn parse(
    index: usize,
    item: &mut TraitItemFn,
    service: &Ident,
    prefix: &str,
    mistakes: &mut Mistakes,
) -> Option<Method> {
    reject_conditional(&mut item.attrs, mistakes);
    let attributes = MethodAttributes::parse(&item.attrs, mistakes);
    item.attrs.retain(|attribute| !is_rpc(attribute));
    let deprecated = deprecation(&mut item.attrs, attributes.deprecated.as_ref(), mistakes);
    let wire_name = wire_name(&item.sig.ident, attributes.name.as_ref(), prefix, mistakes);

    let before = mistakes.count();
    check_qualifiers(&mut item.sig, mistakes);
    check_receiver(&item.sig, mistakes);
    let has_body = item.default.is_some();
    let parameters = parameters(&mut item.sig, has_body, mistakes);
    let output = output(&item.sig, mistakes);
    if mistakes.count() > before {
        return None;
    }
    let (reply, error) = output?;
    let is_message = parameters.len() == 1;
    let arguments = (!is_message).then(|| names::arguments(service, &item.sig.ident));
    Some(Method {
        index,
        cfgs: cfgs(&item.attrs),
        docs: docs(&item.attrs),
        constant: names::constant(&item.sig.ident),
        item: item.clone(),
        wire_name,
        idempotency: attributes.idempotency(),
        detach: attributes.detach(),
        aliases: attributes.aliases,
        timeout_ms: attributes.timeout_ms,
        retries: attributes.retries,
        hedge_ms: attributes.hedge_ms,
        deprecated,
        parameters: Parameters { list: parameters, arguments },
        reply,
        error,
    })
}

/// The whole name on the wire: what `name` says or the method is called, after the prefix.
fn wire_name(method: &Ident, name: Option<&LitStr>, prefix: &str, mistakes: &mut Mistakes) -> WireName {
    let (bare, span) = match name {
        Some(name) => (name.value(), name.span()),
        None => (method.unraw().to_string(), method.span()),
    };
    if let Some(fault) = names::wire_name_fault(&bare) {
        let hint = if name.is_none() { "; give it another with `#[rpc(name = \"..\")]`" } else { "" };
        mistakes.at(span, format_args!("{fault}{hint}"));
    }
    let text = if prefix.is_empty() { bare } else { format!("{prefix}.{bare}") };
    WireName { text, span }
}

/// Why the method is deprecated. The language's own attribute and `#[rpc(deprecated = "..")]` say the same, so either
/// makes both: callers in Rust get the warning, everyone else the document.
fn deprecation(
    attributes: &mut Vec<Attribute>,
    said: Option<&LitStr>,
    mistakes: &mut Mistakes,
) -> Option<String> {
    let own = attributes.iter().find(|attribute| attribute.path().is_ident("deprecated"));
    match (own, said) {
        (Some(_), Some(said)) => {
            mistakes.on(said, "`#[deprecated]` on the method says it already: give one of them");
            Some(said.value())
        }
        (Some(own), None) => Some(deprecation_note(own)),
        (None, Some(said)) => {
            attributes.push(parse_quote!(#[deprecated = #said]));
            Some(said.value())
        }
        (None, None) => None,
    }
}

/// The text of `#[deprecated]`, `#[deprecated = ".."]` or `#[deprecated(note = "..")]`.
fn deprecation_note(attribute: &Attribute) -> String {
    let mut note = None;
    match &attribute.meta {
        Meta::NameValue(meta) => {
            if let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &meta.value {
                note = Some(text.value());
            }
        }
        Meta::List(_) => {
            // What is wrong with it, the compiler reports.
            let _reported_by_the_compiler = attribute.parse_nested_meta(|meta| {
                let text: LitStr = meta.value()?.parse()?;
                if meta.path.is_ident("note") {
                    note = Some(text.value());
                }
                Ok(())
            });
        }
        Meta::Path(_) => {}
    }
    note.unwrap_or_else(|| "deprecated".to_owned())
}

/// What stands around a signature. `const` and `...` are taken off: the compiler would refuse them a second time.
fn check_qualifiers(signature: &mut Signature, mistakes: &mut Mistakes) {
    let name = signature.ident.clone();
    if let Some(constness) = signature.constness.take() {
        mistakes.on(constness, format_args!("an RPC runs on another machine: write `async fn {name}`"));
    } else if signature.asyncness.is_none() {
        mistakes.on(signature.fn_token, format_args!("an RPC is waited for: write `async fn {name}`"));
    }
    if let Safety::Unsafe(unsafety) = &signature.safety {
        mistakes.on(unsafety, "an RPC is safe: the other side of a wire can promise nothing");
    }
    if let Some(abi) = &signature.abi {
        mistakes.on(abi, "an RPC speaks JSON: it has no `extern` calling convention");
    }
    if let Some(variadic) = signature.variadic.take() {
        mistakes.on(variadic.dots, "an RPC has a fixed number of arguments: pass a `Vec`");
    }
    if !signature.generics.params.is_empty() {
        mistakes.on(
            &signature.generics.params,
            "an RPC has no generic parameters: its schema describes concrete types",
        );
    }
    if let Some(clause) = &signature.generics.where_clause {
        mistakes.on(clause, "an RPC has no `where` clause: its schema describes concrete types");
    }
}

fn check_receiver(signature: &Signature, mistakes: &mut Mistakes) {
    const REASON: &str = "an RPC takes `&self`, since many calls run at the same time";
    match signature.receiver() {
        Some(Receiver { kind: ReceiverKind::Reference(_, None, None), .. }) => {}
        Some(receiver) => mistakes.on(receiver, format_args!("{REASON}: write `&self` here")),
        None => mistakes.on(&signature.ident, format_args!("{REASON}: `{}` has no `self`", signature.ident)),
    }
}

fn parameters(signature: &mut Signature, has_body: bool, mistakes: &mut Mistakes) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    for input in &mut signature.inputs {
        if let FnArg::Typed(input) = input {
            parameters.extend(parameter(input, has_body, mistakes));
        }
    }
    parameters
}

fn parameter(input: &mut PatType, has_body: bool, mistakes: &mut Mistakes) -> Option<Parameter> {
    for attribute in std::mem::take(&mut input.attrs) {
        mistakes.on(
            attribute,
            "a parameter has no attributes: to say more about it, make it a field of a message type",
        );
    }
    check_owned(&input.ty, Role::Argument, mistakes);
    if let Some(sized) = sized_form(&input.ty) {
        *input.ty = sized;
    }
    match &*input.pat {
        Pat::Ident(pattern)
            if pattern.by_ref.is_none()
                && pattern.subpat.is_none()
                && (has_body || pattern.mutability.is_none()) =>
        {
            Some(Parameter {
                mutability: pattern.mutability,
                ident: pattern.ident.clone(),
                ty: (*input.ty).clone(),
            })
        }
        pattern => {
            mistakes.on(
                pattern,
                format_args!("a parameter has a plain name, as in `args: {}`", type_text(&input.ty)),
            );
            // What is emitted again must be a signature that a trait may have.
            *input.pat = parse_quote!(_);
            None
        }
    }
}

/// The reply and, where the method has one of its own, the error.
fn output(signature: &Signature, mistakes: &mut Mistakes) -> Option<(Type, Option<Type>)> {
    let ReturnType::Type(_, ty) = &signature.output else {
        let end: Span = signature.paren_token.span.close();
        mistakes.at(end, "an RPC can fail, if only on its way: return `RpcResult<()>`");
        return None;
    };
    let (name, types) = result_types(ty);
    match (name.as_deref(), &types[..]) {
        (Some("RpcResult"), [reply]) => {
            check_owned(reply, Role::Reply, mistakes);
            Some((reply.clone(), None))
        }
        (Some("Result"), [reply, error]) => {
            check_owned(reply, Role::Reply, mistakes);
            let own = last_segment(error).is_none_or(|segment| segment.ident != "RpcError");
            if own {
                check_owned(error, Role::Error, mistakes);
            }
            Some((reply.clone(), own.then(|| error.clone())))
        }
        (Some("Result"), [reply]) => {
            let reply = type_text(reply);
            mistakes.on(
                ty,
                format_args!(
                    "the error of this `Result` cannot be seen here: write `RpcResult<{reply}>`, or `Result<{reply}, E>` \
                     with an error of your own"
                ),
            );
            None
        }
        (Some("RpcResult"), _) => {
            mistakes.on(
                ty,
                "`RpcResult` takes one type, the reply; for an error of your own write `Result<T, E>`",
            );
            None
        }
        _ => {
            let reply = type_text(ty);
            mistakes.on(
                ty,
                format_args!(
                    "an RPC can fail, if only on its way: return `RpcResult<{reply}>` instead of `{reply}`"
                ),
            );
            None
        }
    }
}

/// The name of the type and its type arguments, where it is a path.
fn result_types(ty: &Type) -> (Option<String>, Vec<Type>) {
    let Some(segment) = last_segment(ty) else { return (None, Vec::new()) };
    let mut types = Vec::new();
    if let PathArguments::AngleBracketed(arguments) = &segment.arguments {
        for argument in &arguments.args {
            if let GenericArgument::Type(ty) = argument {
                types.push(ty.clone());
            }
        }
    }
    (Some(segment.ident.to_string()), types)
}

fn last_segment(ty: &Type) -> Option<&syn::PathSegment> {
    match ty {
        Type::Path(path) => path.path.segments.last(),
        Type::Group(group) => last_segment(&group.elem),
        Type::Paren(paren) => last_segment(&paren.elem),
        _ => None,
    }
}
