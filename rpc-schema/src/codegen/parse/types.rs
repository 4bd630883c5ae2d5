//! Which types can travel: owned, concrete ones. What else a type needs, traits check where it is used.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::visit::{self, Visit};
use syn::{GenericArgument, Ident, Lifetime, PathArguments, Type, TypePath, TypeReference, parse_quote};

use super::super::mistakes::Mistakes;

/// What a type is to the method.
#[derive(Clone, Copy)]
pub(super) enum Role {
    Argument,
    Reply,
    Error,
}

impl Role {
    fn owned(self) -> &'static str {
        match self {
            Self::Argument => "an RPC argument is owned, since it arrives as JSON",
            Self::Reply => "an RPC reply is owned, since it arrives as JSON",
            Self::Error => "the error of an RPC is owned, since it arrives as JSON",
        }
    }

    fn concrete(self) -> &'static str {
        match self {
            Self::Argument => "an RPC argument has one concrete type, which its schema describes",
            Self::Reply => "an RPC reply has one concrete type, which its schema describes",
            Self::Error => "the error of an RPC has one concrete type, which its schema describes",
        }
    }
}

/// Reports every part of `ty` that cannot travel.
pub(super) fn check_owned(ty: &Type, role: Role, mistakes: &mut Mistakes) {
    let mut check = Check { role, mistakes };
    match sized_form(ty) {
        Some(sized) => check.use_instead(&sized, ty),
        None => check.visit_type(ty),
    }
}

/// What `str` and `[T]` become when they stand alone; in a `Box` they are fine.
pub(super) fn sized_form(ty: &Type) -> Option<Type> {
    match ty {
        Type::Slice(_) => Some(owned(ty)),
        Type::Path(path) if path.path.is_ident("str") => Some(owned(ty)),
        _ => None,
    }
}

struct Check<'a> {
    role: Role,
    mistakes: &'a mut Mistakes,
}

impl Check<'_> {
    fn use_instead(&mut self, better: &Type, wrong: &impl ToTokens) {
        let (reason, better, text) = (self.role.owned(), type_text(better), type_text(wrong));
        self.mistakes.on(wrong, format_args!("{reason}: use `{better}` instead of `{text}`"));
    }
}

impl<'ast> Visit<'ast> for Check<'_> {
    fn visit_type(&mut self, ty: &'ast Type) {
        let concrete = self.role.concrete();
        match ty {
            Type::ImplTrait(_) | Type::TraitObject(_) | Type::Infer(_) => {
                self.mistakes.on(ty, format_args!("{concrete}: `{}` is none", type_text(ty)));
            }
            Type::Ptr(_) | Type::FnPtr(_) => {
                self.mistakes.on(ty, format_args!("`{}` has no meaning on another machine", type_text(ty)));
            }
            Type::Never(_) | Type::Macro(_) | Type::Verbatim(_) => {
                self.mistakes.on(ty, format_args!("{concrete}: write the type itself"));
            }
            _ => visit::visit_type(self, ty),
        }
    }

    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        self.use_instead(&owned(&reference.elem), reference);
    }

    fn visit_type_path(&mut self, path: &'ast TypePath) {
        match path.path.segments.last() {
            Some(segment) if segment.ident == "Cow" && borrows(&segment.arguments) => {
                if let Some(elem) = first_type(&segment.arguments) {
                    self.use_instead(&owned(elem), path);
                }
            }
            _ if path.path.segments.first().is_some_and(|first| first.ident == "Self") => {
                let concrete = self.role.concrete();
                self.mistakes
                    .on(path, format_args!("{concrete}: `{}` differs by who serves it", type_text(path)));
            }
            _ => visit::visit_type_path(self, path),
        }
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if lifetime.ident != "static" {
            let reason = self.role.owned();
            self.mistakes.on(lifetime, format_args!("{reason}: its type has no lifetime `{lifetime}`"));
        }
    }
}

/// The owned form of what is borrowed.
fn owned(borrowed: &Type) -> Type {
    if let Type::Slice(slice) = borrowed {
        let elem = &slice.elem;
        return parse_quote!(Vec<#elem>);
    }
    let mut owned = borrowed.clone();
    if let Type::Path(path) = &mut owned
        && let Some(segment) = path.path.segments.last_mut()
    {
        let name = match segment.ident.to_string().as_str() {
            "str" => "String",
            "Path" => "PathBuf",
            "OsStr" => "OsString",
            "CStr" => "CString",
            _ => return owned,
        };
        segment.ident = Ident::new(name, segment.ident.span());
    }
    owned
}

fn borrows(arguments: &PathArguments) -> bool {
    let PathArguments::AngleBracketed(arguments) = arguments else { return false };
    arguments
        .args
        .iter()
        .any(|argument| matches!(argument, GenericArgument::Lifetime(lifetime) if lifetime.ident != "static"))
}

fn first_type(arguments: &PathArguments) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// A type as a person writes it.
pub(super) fn type_text(ty: &impl ToTokens) -> String {
    let alias: TokenStream = quote!(type T = #ty;);
    match syn::parse2(alias.clone()) {
        Ok(file) => {
            let text = prettyplease::unparse(&file);
            let text = text.trim().trim_start_matches("type T = ").trim_end_matches(';');
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        }
        Err(_) => ty.to_token_stream().to_string(),
    }
}
