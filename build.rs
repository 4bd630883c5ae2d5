//! Writes the service index, the static list of all annotated services in `src/services`, to `OUT_DIR`. It generates no
//! stubs (the macro does) and no schemas (the types do not exist yet).

use std::path::PathBuf;
use std::process::ExitCode;

use traitwire_schema::codegen::index::ServiceIndex;

fn main() -> ExitCode {
    println!("cargo:rerun-if-changed=build.rs");
    let index = match ServiceIndex::scan("src/services/mod.rs", "crate::services") {
        Ok(index) => index,
        Err(errors) => {
            for error in errors {
                eprintln!("error: {error}");
            }
            return ExitCode::FAILURE;
        }
    };
    for file in index.files() {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    let out_dir = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts");
    let file = PathBuf::from(out_dir).join("service_index.rs");
    if let Err(error) = std::fs::write(&file, index.render()) {
        eprintln!("error: {}: {error}", file.display());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
