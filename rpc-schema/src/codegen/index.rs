//! The source scan for build scripts: finds every annotated trait below a module, checks what no macro can see because
//! it spans several traits, and writes the service index, a static list of all descriptors.
//!
//! ```no_run
//! use traitwire_schema::codegen::index::ServiceIndex;
//!
//! // In build.rs:
//! match ServiceIndex::scan("src/services/mod.rs", "crate::services") {
//!     Ok(index) => println!("{}", index.render()),
//!     Err(errors) => errors.iter().for_each(|error| eprintln!("{error}")),
//! }
//! ```
//!
//! The scan follows `mod name;`, `#[path]` and inline modules, and carries their `#[cfg]`s. It knows `#[service]` by the
//! last part of its path. It does not look into function bodies or macros, and it does not evaluate `#[cfg]`: two
//! services that claim one name collide unless one demands in plain words what the other denies (`#[cfg(x)]` and
//! `#[cfg(not(x))]`). A module's file that is missing is an error, unless the module has a `#[cfg]`.
//!
//! A trait with mistakes of its own is left out: the macro reports them, with better places than a build script has.

mod collisions;
mod render;
mod scan;

use std::fmt;
use std::path::{Path, PathBuf};

use syn::Attribute;

use super::model::Service;

/// All annotated traits below a module.
pub struct ServiceIndex {
    services: Vec<IndexedService>,
    files: Vec<PathBuf>,
}

/// An annotated trait, and where it stands.
struct IndexedService {
    service: Service,
    /// The path of its module: `crate::services::kv`.
    module: String,
    /// The conditions of the trait and of all modules around it.
    cfgs: Vec<Attribute>,
    file: PathBuf,
    line: usize,
}

/// What is wrong with the services as a whole, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanError {
    /// The file, as it was reached from the root.
    pub file: PathBuf,
    /// The line, counted from 1; 0 where the file could not be read.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl ServiceIndex {
    /// Scans `root`, a file or a directory with a `mod.rs`, which is the module `module`, such as `crate::services`.
    ///
    /// # Errors
    /// Gives all that is wrong: files that cannot be read or parsed, services that the index could not name, and names
    /// that two services claim.
    pub fn scan(root: impl AsRef<Path>, module: &str) -> Result<Self, Vec<ScanError>> {
        let root = root.as_ref();
        let file = if root.is_dir() { root.join("mod.rs") } else { root.to_owned() };
        let (index, mut errors) = scan::scan(&file, module);
        errors.extend(collisions::check(&index.services));
        if errors.is_empty() { Ok(index) } else { Err(errors) }
    }

    /// The index as Rust source, to be included where all services can be named: `SERVICES`, and one assertion a service
    /// that the macro read the same trait.
    pub fn render(&self) -> String {
        render::render(&self.services)
    }

    /// The files that were read, for `cargo:rerun-if-changed`.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

impl IndexedService {
    /// The place of the trait: `src/services/kv.rs:9`.
    fn place(&self) -> String {
        self.place_of(self.line)
    }

    /// The place of one of its lines.
    fn place_of(&self, line: usize) -> String {
        format!("{}:{line}", self.file.display())
    }
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.message)
    }
}

impl std::error::Error for ScanError {}
