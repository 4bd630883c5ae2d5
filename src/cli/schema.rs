//! `traitwire schema list`, `show` and `export`: the schemas of this binary's own services.

use traitwire_kv::index::SERVICES;
use traitwire_schema::{Catalogue, Compat, nearest};

use super::Failure;
use super::output::{print_line, print_text};

/// Where `show` sends its curl line when no server is named.
const URL_DEFAULT: &str = "http://127.0.0.1:7101";

/// Look at the schemas of this binary's services, and compare them with others.
///
/// Exit codes: 0 done; 1 a promise of compatibility is broken, or a file cannot be written; 2 wrong usage, or an input cannot be
/// read.
#[derive(clap::Subcommand)]
pub(super) enum Schema {
    /// List every method, with what may be repeated and where it is declared.
    ///
    /// Exit codes: 0 listed; 1 standard output cannot be written; 2 wrong usage. With --json, a failure is
    /// `{"error":{"code","message"}}` on standard output.
    List {
        /// Print the index document.
        #[arg(long)]
        json: bool,
    },
    /// Show one method, or one type: what it is for, its fields, examples and, for a method, a curl line.
    ///
    /// Exit codes: 0 shown; 1 standard output cannot be written; 2 wrong usage, or there is no such method or type.
    Show {
        /// The method's name on the wire, such as `put`, or the name of a type, such as `PutArgs`.
        name: String,
    },
    Export(super::export::Export),
    #[command(flatten)]
    Compat(super::compat::Compat),
}

impl Schema {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        let catalogue = || Catalogue::new(SERVICES).map_err(Failure::new);
        match self {
            Self::List { json: true } => print_line(format_args!("{:#}", catalogue()?.index()))?,
            Self::List { json: false } => print_text(list(&catalogue()?))?,
            Self::Show { name } => print_text(show(&catalogue()?, &name)?)?,
            Self::Compat(command) => return command.run().await,
            Self::Export(command) => command.run(&catalogue()?)?,
        }
        Ok(0)
    }
}

/// The method or the type of this name, as a person reads it.
fn show(catalogue: &Catalogue, name: &str) -> Result<String, Failure> {
    let shown = catalogue.show(name, URL_DEFAULT).or_else(|| catalogue.show_type(name));
    shown.ok_or_else(|| {
        let methods = catalogue.services().iter().flat_map(|service| service.methods);
        let names = methods.map(|method| method.name).chain(catalogue.document_names());
        let hint = match nearest(name, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`schema list` lists the methods".to_owned(),
        };
        Failure::usage(format!("there is no method or type `{name}`; {hint}"))
    })
}

fn list(catalogue: &Catalogue) -> String {
    let mut text = String::new();
    for service in catalogue.services() {
        let compat = match service.compat {
            Compat::None => String::new(),
            level @ (Compat::Full | Compat::Backward) => format!(", {} compatible", level.as_str()),
        };
        let internal = if service.is_internal { ", internal" } else { "" };
        text += &format!("{} ({}:{}{compat}{internal})\n", service.name, service.file, service.line);
        for method in service.methods {
            let first_line = method.docs.lines().next().unwrap_or_default();
            text += &format!("  {:<24} {:<10} {first_line}\n", method.name, method.idempotency.as_str());
        }
    }
    text
}
