//! `traitwire schema export`: the documents of this binary's own services, as files.

use std::path::{Path, PathBuf};

use traitwire_schema::Catalogue;

use super::Failure;
use super::output::print_text;

/// The value of a file that means standard output.
const STANDARD_OUTPUT: &str = "-";

/// Write all documents into a folder, or single ones to files or standard output.
///
/// All documents go into FOLDER; a single one goes into the FILE of its option, or to standard output if FILE is missing or `-`.
///
/// Exit codes: 0 written; 1 a file cannot be written; 2 wrong usage.
#[derive(clap::Args)]
pub(super) struct Export {
    /// The folder for all documents; created where it does not exist.
    #[arg(required_unless_present_any = ["html", "markdown", "openapi", "openrpc", "typescript"])]
    folder: Option<PathBuf>,
    /// Write the page for browsers: one file, which needs no server.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = STANDARD_OUTPUT)]
    html: Option<PathBuf>,
    /// Write the Markdown file.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = STANDARD_OUTPUT)]
    markdown: Option<PathBuf>,
    /// Write the OpenAPI document.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = STANDARD_OUTPUT)]
    openapi: Option<PathBuf>,
    /// Write the OpenRPC document.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = STANDARD_OUTPUT)]
    openrpc: Option<PathBuf>,
    /// Write the TypeScript types and client.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = STANDARD_OUTPUT)]
    typescript: Option<PathBuf>,
}

impl Export {
    pub(super) fn run(&self, catalogue: &Catalogue) -> Result<(), Failure> {
        let single = [
            ("docs.html", &self.html),
            ("schema.md", &self.markdown),
            ("openapi.json", &self.openapi),
            ("openrpc.json", &self.openrpc),
            ("client.ts", &self.typescript),
        ];
        let mut names = String::new();
        for (path, text) in catalogue.files() {
            if let Some(folder) = &self.folder {
                write_file(&folder.join(&path), &text)?;
                names += &format!("{path}\n");
            }
            let wanted = single.iter().find(|(name, _)| *name == path).and_then(|(_, file)| file.as_deref());
            match wanted {
                Some(file) if file == Path::new(STANDARD_OUTPUT) => print_text(&text)?,
                Some(file) => write_file(file, &text)?,
                None => {}
            }
        }
        // A document on standard output is alone there.
        let is_printed =
            |(_, file): &(&str, &Option<PathBuf>)| file.as_deref() == Some(Path::new(STANDARD_OUTPUT));
        if single.iter().any(is_printed) { Ok(()) } else { print_text(&names) }
    }
}

fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(path, text))
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))
}
