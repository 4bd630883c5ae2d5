//! The index as Rust source.

use std::fmt::Write;

use syn::{Attribute, parse_quote};

use super::super::fingerprint;
use super::IndexedService;

/// The static list and the assertions.
pub(super) fn render(services: &[IndexedService]) -> String {
    let mut source = String::from(
        "/// Every annotated service that the build script found, in the order of the source.\n\
         pub static SERVICES: &[&::traitwire::ServiceDescriptor] = &[\n",
    );
    for indexed in services {
        write(&mut source, format_args!("    // {}\n", indexed.place()));
        write(&mut source, format_args!("    {}&{},\n", cfgs(indexed, " "), descriptor(indexed)));
    }
    source.push_str("];\n");
    for indexed in services {
        assertion(indexed, &mut source);
    }
    source
}

fn assertion(indexed: &IndexedService, source: &mut String) {
    let descriptor = descriptor(indexed);
    let fingerprint = fingerprint::of(&indexed.service);
    let place = indexed.place();
    let name = &indexed.service.names.service;
    write(
        source,
        format_args!(
            "\n{}const _: () = ::core::assert!(\n    {descriptor}.fingerprint == {fingerprint:#018x},\n    \
             \"the build script read another `{name}` at {} than the macro did\",\n);\n",
            cfgs(indexed, "\n"),
            place.escape_default(),
        ),
    );
}

/// The conditions of the service, each followed by `separator`.
fn cfgs(indexed: &IndexedService, separator: &str) -> String {
    indexed.cfgs.iter().map(|cfg| format!("{}{separator}", cfg_text(cfg))).collect()
}

/// An attribute as a person writes it.
fn cfg_text(cfg: &Attribute) -> String {
    let text = prettyplease::unparse(&parse_quote! { #cfg struct Item; });
    text.trim_end().trim_end_matches("struct Item;").trim_end().to_owned()
}

fn descriptor(indexed: &IndexedService) -> String {
    format!("{}::{}", indexed.module, indexed.service.names.descriptor)
}

fn write(source: &mut String, text: std::fmt::Arguments<'_>) {
    source.write_fmt(text).expect("writing to a string cannot fail");
}
