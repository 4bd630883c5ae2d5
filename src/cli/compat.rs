//! `traitwire schema diff`, `check`, `bless` and `probe`: what changed between contracts, and whether it was promised not
//! to.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;
use traitwire_kv::index::SERVICES;
use traitwire_schema::diff::{Finding, History, Report, Style, compare};
use traitwire_schema::{Allowance, Catalogue, Contract, Lock, Refusal};

use super::fetch::fetch;
use super::output::{note, print_line, print_text};
use super::{Failure, USAGE, seconds, server_url};

/// The exit code for a broken promise.
const BREAKING: u8 = 1;
/// The exit code for what cannot be read.
const UNREADABLE: u8 = USAGE;

/// Where a server shows its contract.
const CONTRACT_PATH: &str = "_schema/contract.json";

#[derive(Subcommand)]
pub(super) enum Compat {
    /// Compare two contracts: what changed from OLD to NEW, and whom it breaks.
    ///
    /// A contract is a file (a contract document or a lock), the URL of a running server, or `self` for the services of
    /// this binary.
    ///
    /// `B` breaks old clients at a new server, `F` new clients at an old server. A service with `compat = "full"` promises
    /// that neither happens, one with `backward` that `B` does not, one with `none` nothing.
    ///
    /// Exit code 0: no promise is broken; 1: one is; 2: an input cannot be read.
    Diff {
        /// What was.
        old: String,
        /// What is.
        new: String,
        #[command(flatten)]
        fetch: Fetch,
        #[command(flatten)]
        output: Output,
    },
    /// Compare the services of this binary with the lock.
    ///
    /// Exit code 0: no promise is broken; 1: one is; 2: the lock cannot be read.
    Check {
        #[command(flatten)]
        lock: LockFile,
        #[command(flatten)]
        output: Output,
    },
    /// Take the services of this binary into the lock, so that later versions are held to them.
    ///
    /// A breaking change must be allowed by its rule and path, with a reason, which the lock keeps:
    ///
    ///   traitwire schema bless --allow R07:put.arguments.ttl --reason "nobody has released a client yet"
    ///
    /// Exit code 0: blessed; 1: a breaking change is not allowed; 2: wrong usage, or the lock cannot be read.
    #[command(verbatim_doc_comment)]
    Bless {
        #[command(flatten)]
        lock: LockFile,
        /// A breaking change that is made knowingly; may be repeated.
        #[arg(long, value_name = "RULE:PATH")]
        allow: Vec<Allowance>,
        /// Why: one reason for all that is allowed, or one for each in the same order.
        #[arg(long)]
        reason: Vec<String>,
        /// The release that the contract belongs to.
        #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
        release: String,
    },
    /// Compare a running server (old) with this binary (new): one line when they agree.
    ///
    /// Exit code 0: this binary breaks no promise of the server's; 1: it does; 2: the server cannot be asked.
    Probe {
        /// Where the server is, such as `http://127.0.0.1:7101`.
        #[arg(value_parser = server_url)]
        url: String,
        #[command(flatten)]
        fetch: Fetch,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Args)]
pub(super) struct Fetch {
    /// How long a server may take to send its contract, such as 5, 0.5 or 500ms.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
}

#[derive(Args)]
pub(super) struct LockFile {
    /// The lock file; by default `rpc-schema/rpc.lock.json` in the current folder or the nearest one above it that has one.
    #[arg(long = "lock", value_name = "FILE", default_value_os_t = default_lock(), hide_default_value = true)]
    path: PathBuf,
}

/// Where the lock of the repository is that the current folder belongs to.
fn default_lock() -> PathBuf {
    const LOCK: &str = "rpc-schema/rpc.lock.json";
    let current = std::env::current_dir().unwrap_or_default();
    let found = current.ancestors().map(|folder| folder.join(LOCK)).find(|path| path.exists());
    // Found where it always was, it is shown by that name.
    found.filter(|path| *path != current.join(LOCK)).unwrap_or_else(|| LOCK.into())
}

#[derive(Args)]
pub(super) struct Output {
    /// For people, for programs, or one line a finding with its place in the source.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
    Line,
}

/// A contract, with what its lock remembers.
enum Source {
    Contract(Contract),
    Lock(Box<Lock>),
}

impl Compat {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        match self {
            Self::Diff { old, new, fetch, output } => {
                let (old, new) =
                    (Source::read(&old, &fetch).await?, Source::read(&new, &fetch).await?.into_contract());
                let findings = match old {
                    Source::Lock(lock) => lock.check(&new),
                    Source::Contract(old) => compare(&old, &new, &History::default()),
                };
                output.print(&findings)
            }
            Self::Check { lock, output } => check(&lock, &output),
            Self::Bless { lock, allow, reason, release } => {
                bless(&lock, with_reasons(allow, reason)?, &release)
            }
            Self::Probe { url, fetch, output } => probe(&url, &fetch, &output).await,
        }
    }
}

fn check(lock: &LockFile, output: &Output) -> Result<u8, Failure> {
    let (known, own) = (lock.read()?, own_contract()?);
    let Some(known) = known else {
        let path = lock.path.display();
        return Err(unreadable(format!(
            "there is no lock {path} here: run this in the repository that has it, name it with --lock, or make one with \
             `traitwire schema bless`"
        )));
    };
    let code = output.print(&known.check(&own))?;
    if code == 0 && known.contract != own {
        note("the lock does not hold all of this yet: `traitwire schema bless` takes it in");
    }
    Ok(code)
}

fn bless(lock: &LockFile, allowances: Vec<Allowance>, release: &str) -> Result<u8, Failure> {
    let own = own_contract()?;
    let blessed = match lock.read()? {
        Some(mut known) => known.bless(own, release, &allowances).map(|findings| (known, findings)),
        None if allowances.is_empty() => Ok((Lock::first(own, release), Vec::new())),
        None => Err(Refusal::Unused(allowances)),
    };
    match blessed {
        Ok((known, findings)) => {
            let path = lock.path.display();
            std::fs::write(&lock.path, known.to_text())
                .map_err(|error| Failure::new(format!("cannot write {path}: {error}")))?;
            if !findings.is_empty() {
                print_text(Report::new(&findings).text(style()))?;
            }
            print_line(format_args!("{path} holds the contract of release {release}"))?;
            Ok(0)
        }
        Err(refusal) => {
            if let Refusal::Breaking(findings) = &refusal {
                print_text(Report::new(findings).text(style()))?;
            }
            let code = if matches!(refusal, Refusal::Breaking(_)) { BREAKING } else { UNREADABLE };
            Err(Failure::with_code(code, refusal))
        }
    }
}

async fn probe(url: &str, fetch: &Fetch, output: &Output) -> Result<u8, Failure> {
    let (theirs, own) = (Contract::from_json(&fetch.contract(url).await?), own_contract()?);
    let theirs = theirs.map_err(|error| unreadable(format!("{url}: {error}")))?;
    if theirs.fingerprint == own.fingerprint {
        match output.format {
            Format::Text => {
                print_line(format_args!("{url} has the schema of this binary, {}", own.fingerprint))?;
            }
            Format::Json => print_line(format_args!("{:#}", Report::new(&[]).json()))?,
            Format::Line => {}
        }
        return Ok(0);
    }
    if matches!(output.format, Format::Text) {
        print_line(format_args!(
            "{url} has schema {}, this binary {}\n",
            theirs.fingerprint, own.fingerprint
        ))?;
    }
    output.print(&compare(&theirs, &own, &History::default()))
}

/// Gives each allowance its reason.
fn with_reasons(allow: Vec<Allowance>, reasons: Vec<String>) -> Result<Vec<Allowance>, Failure> {
    let reasons = match (allow.len(), reasons.as_slice()) {
        (0, []) => return Ok(allow),
        (count, [one]) if count > 0 => vec![one.clone(); count],
        (count, several) if count == several.len() => reasons,
        (count, several) => {
            let counts = format!("{count} of --allow and {} of --reason", several.len());
            return Err(unreadable(format!("{counts}: give one reason for all, or one for each")));
        }
    };
    let both = allow.into_iter().zip(reasons);
    Ok(both.map(|(allowance, reason)| Allowance { reason, ..allowance }).collect())
}

impl LockFile {
    /// The lock, if there is one.
    fn read(&self) -> Result<Option<Lock>, Failure> {
        if !self.path.exists() {
            return Ok(None);
        }
        let document = read_file(&self.path)?;
        let lock = Lock::from_json(&document);
        lock.map(Some).map_err(|error| unreadable(format!("{}: {error}", self.path.display())))
    }
}

impl Source {
    /// Reads what an argument names.
    async fn read(name: &str, fetch: &Fetch) -> Result<Self, Failure> {
        let document = match name {
            "self" | "." => return own_contract().map(Self::Contract),
            // A file may have a colon in its name, but hardly such a beginning.
            _ if name.contains("://") => fetch.contract(&server_url(name).map_err(Failure::usage)?).await?,
            _ => read_file(Path::new(name))?,
        };
        let source = if document.get("contract").is_some() {
            Lock::from_json(&document).map(|lock| Self::Lock(Box::new(lock)))
        } else {
            Contract::from_json(&document).map(Self::Contract)
        };
        source.map_err(|error| unreadable(format!("{name}: {error}")))
    }

    fn into_contract(self) -> Contract {
        match self {
            Self::Contract(contract) => contract,
            Self::Lock(lock) => lock.contract,
        }
    }
}

impl Output {
    /// Prints findings and gives the exit code for them.
    fn print(&self, findings: &[Finding]) -> Result<u8, Failure> {
        let report = Report::new(findings);
        match self.format {
            Format::Text => print_text(report.text(style()))?,
            Format::Json => print_line(format_args!("{:#}", report.json()))?,
            Format::Line => print_text(report.lines(place))?,
        }
        Ok(if report.is_compatible() { 0 } else { BREAKING })
    }
}

/// Where this binary declares a service.
fn place(service: &str) -> Option<String> {
    let service = SERVICES.iter().find(|known| known.name == service)?;
    Some(format!("{}:{}", service.file, service.line))
}

/// Colours are for terminals, and for who has not asked to be spared them (no-color.org).
fn style() -> Style {
    let spared = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if std::io::stdout().is_terminal() && !spared { Style::Coloured } else { Style::Plain }
}

fn own_contract() -> Result<Contract, Failure> {
    Catalogue::new(SERVICES).map(|catalogue| Contract::of(&catalogue)).map_err(Failure::new)
}

fn unreadable(message: impl std::fmt::Display) -> Failure {
    Failure::with_code(UNREADABLE, message)
}

fn read_file(path: &Path) -> Result<Value, Failure> {
    let name = path.display();
    let text = std::fs::read(path).map_err(|error| unreadable(format!("cannot read {name}: {error}")))?;
    serde_json::from_slice(&text).map_err(|error| unreadable(format!("{name} is not JSON: {error}")))
}

impl Fetch {
    /// The contract document of the server at `url`, which may name the document itself.
    async fn contract(&self, url: &str) -> Result<Value, Failure> {
        let url = if url.ends_with(".json") {
            url.to_owned()
        } else {
            format!("{}/{CONTRACT_PATH}", url.trim_end_matches('/'))
        };
        let document = fetch(&url, self.timeout).await;
        document.map_err(|error| unreadable(format!("{error}: there is no contract")))
    }
}
