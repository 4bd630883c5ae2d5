//! `traitwire kv get` and `traitwire kv put`.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use traitwire::Limits;

use super::output::{note, print_line, print_text};
use super::{Endpoints, Failure, key, seconds};

/// The value that means standard input.
const STANDARD_INPUT: &str = "-";
/// What a request has beside the JSON of key and value.
const ENVELOPE_BYTES: usize = 1_024;

/// Read and write keys.
///
/// Keys and values are text in UTF-8. The nodes of --endpoints need not include the leader; a server that keeps its keys in
/// memory works too.
///
/// Exit codes: 0 done; 1 the call failed; 2 wrong usage; 3 the key does not exist; 4 it has another version; 5 the put may or
/// may not have been applied. With --json, a failure is an object `{"error":{"code","message"}}` on standard output.
#[derive(clap::Subcommand)]
pub(super) enum Kv {
    /// Print a key's value.
    ///
    /// The value goes to standard output exactly as it is stored, without an added line break unless standard output is a
    /// terminal; its version goes to standard error.
    ///
    /// Exit codes: 0 done; 1 the call failed; 2 wrong usage; 3 the key does not exist. With --json, the output is
    /// `{"value","version"}`, and a failure is `{"error":{"code","message"}}` on standard output.
    Get {
        /// The key.
        #[arg(value_parser = key)]
        key: String,
        #[command(flatten)]
        options: Options,
    },
    /// Write a key if it has the version given.
    ///
    /// The value is VALUE, or standard input if VALUE is `-`, or the contents of --file. After `--`, VALUE is always taken
    /// literally: `kv put KEY -- -` writes a hyphen. A value is text in UTF-8 and has, with its key, up to 3 MiB as JSON;
    /// encode binary data, for example by base64.
    ///
    /// Exit codes: 0 done; 1 the call failed; 2 wrong usage or a value that cannot be stored; 3 the key does not exist, and
    /// --version is not 0; 4 it has another version; 5 the put may or may not have been applied. With --json, the output is
    /// `{"version"}`, and a failure is `{"error":{"code","message"}}` on standard output, where code `version` comes with the
    /// `version` that the key has.
    #[command(
        override_usage = "traitwire kv put [OPTIONS] KEY VALUE\n       traitwire kv put [OPTIONS] KEY --file FILE\n       traitwire kv put [OPTIONS] KEY -- VALUE"
    )]
    Put(Put),
}

#[derive(clap::Args)]
pub(super) struct Put {
    /// The key.
    #[arg(value_parser = key)]
    key: Option<String>,
    /// The new value; `-` reads it from standard input.
    value: Option<String>,
    /// Read the new value from a file.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The version the key has now; 0 if it does not exist.
    #[arg(long, default_value_t = 0)]
    version: u64,
    #[command(flatten)]
    options: Options,
    /// The new value, or the key and the new value, taken literally.
    #[arg(last = true, num_args = 0..=2, hide = true)]
    literal: Vec<String>,
}

#[derive(clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    endpoints: Endpoints,
    /// How long to wait for an answer, such as 5, 0.5 or 500ms.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    timeout: Duration,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Kv {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        match self {
            Self::Get { key, options } => {
                let (value, version) = options.endpoints.kv().try_get(&key, options.timeout).await?;
                if options.json {
                    print_line(json!({ "value": value, "version": version }))?;
                } else {
                    let line_break = if io::stdout().is_terminal() { "\n" } else { "" };
                    print_text(format_args!("{value}{line_break}"))?;
                    note(format_args!("version {version}"));
                }
            }
            Self::Put(put) => put.run().await?,
        }
        Ok(0)
    }
}

impl Put {
    async fn run(self) -> Result<(), Failure> {
        let Self { version, ref options, .. } = self;
        let (key, value) = self.key_and_value()?;
        options.endpoints.kv().try_put(&key, &value, version, options.timeout).await?;
        if options.json {
            print_line(json!({ "version": version + 1 }))?;
        } else {
            note(format_args!("version {}", version + 1));
        }
        Ok(())
    }

    fn key_and_value(&self) -> Result<(String, String), Failure> {
        let mut literal = self.literal.iter();
        let key = match &self.key {
            Some(key) => key.clone(),
            None => {
                let text = literal.next().ok_or_else(|| Failure::usage("the key is missing"))?;
                key(text).map_err(Failure::usage)?
            }
        };
        let literal: Vec<_> = literal.collect();
        let value = match (&self.value, &self.file, literal.as_slice()) {
            (Some(value), None, []) if value == STANDARD_INPUT => {
                read_value("standard input", io::stdin().lock())?
            }
            (None, Some(path), []) => read_file(path)?,
            (Some(value), None, []) => value.clone(),
            (None, None, [value]) => (*value).clone(),
            (None, None, []) => {
                return Err(Failure::usage("the value is missing: give VALUE, `-` or --file"));
            }
            _ => return Err(Failure::usage("there are several values: give one of VALUE, `-` and --file")),
        };
        check_size(&key, &value)?;
        Ok((key, value))
    }
}

fn read_file(path: &Path) -> Result<String, Failure> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| Failure::new(format!("cannot read {name}: {error}")))?;
    read_value(&name, file)
}

/// Reads a value to its end, unless it is too long to be stored.
fn read_value(name: &str, from: impl Read) -> Result<String, Failure> {
    let bytes_max = Limits::default().body_bytes;
    let mut bytes = Vec::new();
    let read = from.take(bytes_max as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::new(format!("cannot read {name}: {error}")))?;
    if bytes.len() > bytes_max {
        return Err(Failure::usage(format!("{name} has more than {bytes_max} bytes, too many for a value")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        Failure::usage(format!(
            "{name} is not UTF-8 at byte {offset}: values are text, so encode binary data, for example by base64"
        ))
    })
}

/// A server takes requests up to a size, in which control characters count as their escapes.
fn check_size(key: &str, value: &str) -> Result<(), Failure> {
    let bytes_max = Limits::default().body_bytes - ENVELOPE_BYTES;
    let json = |text: &str| serde_json::to_string(text).map_err(Failure::new);
    let bytes = json(key)?.len() + json(value)?.len();
    if bytes > bytes_max {
        return Err(Failure::usage(format!(
            "key and value have {bytes} bytes as JSON, more than the {bytes_max} that fit into a request"
        )));
    }
    Ok(())
}
