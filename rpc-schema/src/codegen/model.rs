//! What is known of an annotated trait: the middle of parse -> model -> expand. The model holds tokens where they are
//! emitted again, and plain values where they are decided upon.

use proc_macro2::Span;
use syn::punctuated::Punctuated;
use syn::{Attribute, Ident, Path, Token, TraitItemFn, Type, TypeParamBound, Visibility};

use crate::{Compat, Idempotency};

pub use super::names::Names;

/// One annotated trait.
pub struct Service {
    /// The path of the runtime crate in generated code, `::traitwire` unless `crate = ".."` says otherwise.
    pub runtime: Path,
    /// The attributes that stay on the trait.
    pub attributes: Vec<Attribute>,
    /// The visibility of the trait and of everything that is generated for it.
    pub visibility: Visibility,
    /// The trait's name.
    pub ident: Ident,
    /// What stands after the colon.
    pub supertraits: Punctuated<TypeParamBound, Token![+]>,
    /// The doc comment.
    pub docs: String,
    /// The wire prefix; empty without one.
    pub prefix: String,
    /// What `schema check` holds the service to.
    pub compat: Compat,
    /// Whether the service is for other parts of the same system and not for its users.
    pub is_internal: bool,
    /// Wire names that may not be used again.
    pub reserved: Vec<WireName>,
    /// The methods that have no mistake in their signature, in the order of the trait.
    pub methods: Vec<Method>,
    /// The methods that have one. They stay in the trait as they are written, and the stub and the mock get a body that
    /// is never run, so that the mistake is the only error.
    pub broken: Vec<TraitItemFn>,
    /// The names of what is generated.
    pub names: Names,
}

/// One method.
pub struct Method {
    /// The place among all methods of the trait, which tells its types apart from those of the others.
    pub index: usize,
    /// The method as it is written, without its `#[rpc(..)]`.
    pub item: TraitItemFn,
    /// Its `#[cfg]`s, which go on everything generated for it.
    pub cfgs: Vec<Attribute>,
    /// The doc comment.
    pub docs: String,
    /// The name of its descriptor, a constant of the stub: `APPEND_ENTRIES`.
    pub constant: Ident,
    /// The name on the wire, prefix included.
    pub wire_name: WireName,
    /// Further names on the wire.
    pub aliases: Vec<WireName>,
    /// What a client may repeat by itself.
    pub idempotency: Idempotency,
    /// The default deadline of a call.
    pub timeout_ms: Option<u64>,
    /// How often a client repeats a call that failed.
    pub retries: Option<u32>,
    /// When a client sends a second copy.
    pub hedge_ms: Option<u64>,
    /// Whether the handler runs to its end when its caller leaves.
    pub detach: bool,
    /// Why, and in favour of what, the method is deprecated.
    pub deprecated: Option<String>,
    /// The parameters after `&self`, and how they become one JSON value.
    pub parameters: Parameters,
    /// The `T` of `RpcResult<T>`.
    pub reply: Type,
    /// The `E` of `Result<T, E>`, unless it is `RpcError`.
    pub error: Option<Type>,
}

/// The parameters after `&self`, and how they become one JSON value.
pub struct Parameters {
    /// The parameters, in their order.
    pub list: Vec<Parameter>,
    /// The name of the struct, `KvPutArgs`, whose fields they are. One parameter has none: it is the message itself.
    pub arguments: Option<Ident>,
}

/// One parameter.
pub struct Parameter {
    /// Its `mut`, which only a default body can have.
    pub mutability: Option<Token![mut]>,
    /// Its name.
    pub ident: Ident,
    /// Its type.
    pub ty: Type,
}

/// A whole name on the wire, and where the source says it.
#[derive(Clone)]
pub struct WireName {
    /// The name.
    pub text: String,
    /// The token that gives it.
    pub span: Span,
}

impl Method {
    /// The method's name.
    pub fn ident(&self) -> &Ident {
        &self.item.sig.ident
    }

    /// The wire name and the aliases.
    pub fn wire_names(&self) -> impl Iterator<Item = &WireName> {
        std::iter::once(&self.wire_name).chain(&self.aliases)
    }
}
