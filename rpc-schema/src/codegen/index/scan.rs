//! Walks the modules, as the compiler does.

use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{Attribute, Expr, ExprLit, Item, ItemMod, ItemTrait, Lit, Meta, Visibility};

use super::super::attributes::conditional;
use super::super::cfg::cfgs;
use super::{IndexedService, ScanError, ServiceIndex};

/// Scans `root` as the module `module`; what could be read, and what is wrong.
pub(super) fn scan(root: &Path, module: &str) -> (ServiceIndex, Vec<ScanError>) {
    let mut scan = Scan {
        index: ServiceIndex { services: Vec::new(), files: Vec::new() },
        errors: Vec::new(),
        open: Vec::new(),
    };
    let is_mod_rs = root
        .file_name()
        .is_some_and(|name| ["mod.rs", "lib.rs", "main.rs"].iter().any(|mod_rs| name == *mod_rs));
    let directory = if is_mod_rs { parent(root) } else { root.with_extension("") };
    scan.file(
        root,
        &Module { path: module.to_owned(), cfgs: Vec::new(), path_base: parent(root), directory },
    );
    (scan.index, scan.errors)
}

struct Scan {
    index: ServiceIndex,
    errors: Vec<ScanError>,
    /// The files that are being read, outermost first: one of them cannot be a module of itself.
    open: Vec<PathBuf>,
}

/// A module on the way from the root.
#[derive(Clone)]
struct Module {
    /// Its path in the crate.
    path: String,
    /// The conditions on it and around it.
    cfgs: Vec<Attribute>,
    /// What `#[path]` in it is relative to.
    path_base: PathBuf,
    /// Where the files of its modules are.
    directory: PathBuf,
}

impl Scan {
    fn file(&mut self, file: &Path, module: &Module) {
        if self.open.iter().any(|open| open == file) {
            return self.error(file, 1, "the file is a module of itself".to_owned());
        }
        if !self.index.files.iter().any(|known| known == file) {
            self.index.files.push(file.to_owned());
        }
        let source = match std::fs::read_to_string(file) {
            Ok(source) => source,
            Err(error) => return self.error(file, 0, format!("cannot be read: {error}")),
        };
        match syn::parse_file(&source) {
            Ok(parsed) => {
                let mut module = module.clone();
                module.cfgs.extend(cfgs(&parsed.attrs));
                self.open.push(file.to_owned());
                self.items(file, &parsed.items, &module);
                self.open.pop();
            }
            Err(error) => self.error(file, error.span().start().line, error.to_string()),
        }
    }

    fn items(&mut self, file: &Path, items: &[Item], module: &Module) {
        for item in items {
            match item {
                Item::Mod(item) => self.module(file, item, module),
                Item::Trait(item) => self.service(file, item, module),
                _ => {}
            }
        }
    }

    fn module(&mut self, file: &Path, item: &ItemMod, parent_module: &Module) {
        let line = item.ident.span().start().line;
        if let Some(place) = item.attrs.iter().find_map(|attribute| conditional(attribute, "path")) {
            let message =
                "`#[path]` in a `cfg_attr` cannot be followed: write two modules with `#[cfg]` instead";
            return self.error(file, place.start().line, message.to_owned());
        }
        let name = item.ident.unraw().to_string();
        let path = path_attribute(&item.attrs).map(|path| parent_module.path_base.join(path));
        let mut module = parent_module.clone();
        module.path = format!("{}::{}", module.path, item.ident);
        let own_cfgs = cfgs(&item.attrs);
        let is_conditional = !own_cfgs.is_empty();
        module.cfgs.extend(own_cfgs);
        if let Some((_, items)) = &item.content {
            module.directory = path.unwrap_or_else(|| parent_module.directory.join(&name));
            module.path_base = module.directory.clone();
            return self.items(file, items, &module);
        }
        let found = match path {
            Some(path) => {
                module.directory = parent(&path);
                Some(path).filter(|path| path.is_file())
            }
            None => {
                module.directory = parent_module.directory.join(&name);
                let flat = module.directory.with_file_name(format!("{name}.rs"));
                [flat, module.directory.join("mod.rs")].into_iter().find(|candidate| candidate.is_file())
            }
        };
        match found {
            Some(found) => {
                module.path_base = parent(&found);
                self.file(&found, &module);
            }
            // Whether the condition holds, only the compiler knows; if it does, it misses the file itself.
            None if is_conditional => {}
            None => self.error(file, line, format!("the file of `mod {name}` is missing")),
        }
    }

    fn service(&mut self, file: &Path, item: &ItemTrait, module: &Module) {
        let line = item.ident.span().start().line;
        if let Some(place) = item.attrs.iter().find_map(|attribute| conditional(attribute, "service")) {
            let message = "`#[service]` in a `cfg_attr` cannot be followed: put the `#[cfg]` on the trait";
            return self.error(file, place.start().line, message.to_owned());
        }
        let Some(annotation) = item.attrs.iter().find(|attribute| is_service(attribute)) else { return };
        if matches!(item.vis, Visibility::Inherited) {
            let message =
                format!("`{}` is private, so that no index can name it: make it `pub(crate)`", item.ident);
            return self.error(file, line, message);
        }
        let attribute = match &annotation.meta {
            Meta::List(list) => list.tokens.clone(),
            Meta::Path(_) | Meta::NameValue(_) => TokenStream::new(),
        };
        let mut cfgs_of_all = module.cfgs.clone();
        cfgs_of_all.extend(cfgs(&item.attrs));
        let mut item = item.clone();
        item.attrs.retain(|attribute| !is_service(attribute) && !attribute.path().is_ident("cfg"));
        if let Ok(service) = super::super::parse(attribute, item.to_token_stream()) {
            self.index.services.push(IndexedService {
                service,
                module: module.path.clone(),
                cfgs: cfgs_of_all,
                file: file.to_owned(),
                line,
            });
        }
    }

    fn error(&mut self, file: &Path, line: usize, message: String) {
        self.errors.push(ScanError { file: file.to_owned(), line, message });
    }
}

fn is_service(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|segment| segment.ident == "service")
}

/// The value of `#[path = ".."]`.
fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("path") => match &meta.value {
            Expr::Lit(ExprLit { lit: Lit::Str(path), .. }) => Some(path.value()),
            _ => None,
        },
        _ => None,
    })
}

fn parent(file: &Path) -> PathBuf {
    file.parent().map(Path::to_owned).unwrap_or_default()
}
