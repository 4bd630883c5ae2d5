//! What the commands are; each has a file of its own.

#![deny(clippy::disallowed_macros)]

mod bench;
mod call;
mod child;
mod cluster;
mod compat;
mod debug;
mod demo;
mod export;
mod fetch;
mod kv;
mod lock;
mod logging;
mod output;
mod schema;
mod serve;
mod signals;
mod status;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use traitwire::RpcClient;
use traitwire_kv::kv_raft::client::ClusterKvClient;

/// The exit code for wrong usage.
const USAGE: u8 = 2;

/// A versioned key-value store and lock over JSON and HTTP.
#[derive(Parser)]
#[command(name = "traitwire", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    Cluster(cluster::Cluster),
    /// Show what the nodes are and how far they have come.
    Status(status::Status),
    /// Read and write keys.
    #[command(subcommand)]
    Kv(kv::Kv),
    /// Run a command while holding a lock.
    Lock(lock::Lock),
    /// Call any method of a running server, once its arguments are checked against its schema.
    Call(call::Call),
    /// Look at the schemas of this binary's services.
    #[command(subcommand)]
    Schema(schema::Schema),
    /// Measure.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Look into what a node keeps on disk.
    #[command(subcommand)]
    Debug(debug::Debug),
    /// See it all work: three nodes, puts and gets, a killed leader, and the lock.
    Demo,
}

/// Where the servers are.
#[derive(Args, Clone)]
struct Endpoints {
    /// The URLs of the nodes, or of some of them.
    #[arg(
        long = "endpoints",
        value_name = "URL,…",
        value_delimiter = ',',
        env = "TRAITWIRE_ENDPOINTS",
        default_value = "http://127.0.0.1:7101"
    )]
    urls: Vec<String>,
}

impl Endpoints {
    /// A client of each node.
    fn clients(&self) -> impl Iterator<Item = (String, RpcClient)> {
        // Only this process's calls share the id, so that a proxy can tell commands apart.
        let id = std::process::id() as usize;
        self.urls.iter().map(move |url| (url.clone(), RpcClient::new(url.clone(), id)))
    }

    /// A client of the first node.
    fn first(&self) -> Result<RpcClient, Failure> {
        let (_, client) =
            self.clients().next().ok_or_else(|| Failure::with_code(2, "--endpoints names no URL"))?;
        Ok(client)
    }

    /// A client of the store that these nodes serve together.
    fn kv(&self) -> Result<ClusterKvClient, Failure> {
        self.first()?;
        Ok(ClusterKvClient::new(self.urls.iter().cloned(), std::process::id() as usize))
    }
}

/// Why a command failed, and with which exit code.
struct Failure {
    code: u8,
    /// Written to standard error, if there is anything to say.
    message: Option<String>,
}

impl Failure {
    /// A failure with exit code 1.
    fn new(message: impl std::fmt::Display) -> Self {
        Self::with_code(1, message)
    }

    fn with_code(code: u8, message: impl std::fmt::Display) -> Self {
        Self { code, message: Some(message.to_string()) }
    }

    /// A failure that nobody needs to read about.
    fn silent(code: u8) -> Self {
        Self { code, message: None }
    }

    /// Reports it, and gives the exit code.
    fn report(self) -> ExitCode {
        if let Some(message) = self.message {
            output::note(format_args!("traitwire: {message}"));
        }
        ExitCode::from(self.code)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message.as_deref().unwrap_or_default())
    }
}

/// The arguments, or the exit code after what clap has printed: a help text, or what is wrong with the arguments.
fn parse() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|message| match message.print() {
        Err(error) if !message.use_stderr() => output::write_failure(&error).report(),
        _ => ExitCode::from(u8::try_from(message.exit_code()).unwrap_or(USAGE)),
    })
}

/// Runs the command that the arguments name.
pub(crate) fn run() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    logging::start();
    // One thread: calls are far shorter than waking another thread for them (`bench rpc` shows it).
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return Failure::new(format_args!("cannot start: {error}")).report();
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Serve(command) => command.run().await,
            Command::Cluster(command) => command.run().await,
            Command::Status(command) => command.run().await,
            Command::Kv(command) => command.run().await,
            Command::Lock(command) => command.run().await,
            Command::Call(command) => command.run().await,
            Command::Schema(command) => command.run().await,
            Command::Bench(command) => signals::or_signal(command.run()).await,
            Command::Debug(command) => command.run(),
            Command::Demo => signals::or_signal(demo::run()).await,
        }
    });
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.report(),
    }
}
