//! `traitwire schema list`, `show` and `export`: the schemas of this binary's own services.

use traitwire_kv::index::SERVICES;
use traitwire_schema::{Catalogue, Compat};

use super::Failure;

/// Where `show` sends its curl line when no server is named.
const URL_DEFAULT: &str = "http://127.0.0.1:7101";

#[derive(clap::Subcommand)]
pub(super) enum Schema {
    /// List every method, with what may be repeated and where it is declared.
    List {
        /// Print the index document.
        #[arg(long)]
        json: bool,
    },
    /// Show one method: signature, description, an example and a curl line.
    Show {
        /// The method's name on the wire.
        method: String,
    },
    /// Write all documents into a folder, or single ones to files or standard output.
    Export(super::export::Export),
    #[command(flatten)]
    Compat(super::compat::Compat),
}

impl Schema {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        let catalogue = Catalogue::new(SERVICES).map_err(Failure::new)?;
        match self {
            Self::List { json: true } => println!("{:#}", catalogue.index()),
            Self::List { json: false } => list(&catalogue),
            Self::Show { method } => match catalogue.show(&method, URL_DEFAULT) {
                Some(text) => println!("{text}"),
                None => {
                    let services = catalogue.services();
                    return Err(Failure::new(
                        traitwire::codegen::unknown_method(services, &method).message(),
                    ));
                }
            },
            Self::Compat(command) => return command.run().await,
            Self::Export(command) => command.run(&catalogue)?,
        }
        Ok(0)
    }
}

fn list(catalogue: &Catalogue) {
    for service in catalogue.services() {
        let compat = match service.compat {
            Compat::None => String::new(),
            level @ (Compat::Full | Compat::Backward) => format!(", {} compatible", level.as_str()),
        };
        println!("{} ({}:{}{compat})", service.name, service.file, service.line);
        for method in service.methods {
            let first_line = method.docs.lines().next().unwrap_or_default();
            println!("  {:<24} {:<10} {first_line}", method.name, method.idempotency.as_str());
        }
    }
}
