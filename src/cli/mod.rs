//! What the commands are; each has a file of its own.

#![deny(clippy::disallowed_macros)]

mod arguments;
mod backup;
mod bench;
mod call;
mod child;
mod cluster;
mod compat;
mod debug;
mod demo;
mod export;
mod failure;
mod fetch;
mod kv;
mod lock;
mod logging;
mod member;
mod output;
mod restore;
mod schema;
mod serve;
mod signals;
mod status;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::arguments::{Endpoints, key, seconds, server_url};
use self::failure::{Failure, USAGE};

/// A replicated key-value store and lock over JSON and HTTP
#[derive(Parser)]
#[command(name = "traitwire", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Each command is documented where its arguments are: clap shows only one of the two texts.
#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    Cluster(cluster::Cluster),
    Status(status::Status),
    #[command(subcommand)]
    Kv(kv::Kv),
    #[command(subcommand)]
    Member(member::Member),
    Lock(lock::Lock),
    Call(call::Call),
    #[command(subcommand)]
    Schema(schema::Schema),
    #[command(subcommand)]
    Bench(bench::Bench),
    Backup(backup::Backup),
    Restore(restore::Restore),
    #[command(subcommand)]
    Debug(debug::Debug),
    /// See it all work: three nodes, puts and gets, a killed leader, and the lock.
    ///
    /// The nodes are processes with a temporary folder, which is gone afterwards.
    ///
    /// Exit codes: 0 all of it held; 1 something did not; 2 wrong usage.
    Demo,
}

/// The arguments, or the exit code after what clap has printed: a help text, or what is wrong with the arguments.
fn parse(arguments: &[OsString], json: bool) -> Result<Cli, ExitCode> {
    Cli::try_parse_from(arguments).map_err(|message| {
        if message.use_stderr() && json {
            return Failure::usage(message.render().to_string().trim_end()).finish(json);
        }
        match message.print() {
            Err(error) if !message.use_stderr() => output::write_failure(&error).finish(json),
            _ => ExitCode::from(u8::try_from(message.exit_code()).unwrap_or(USAGE)),
        }
    })
}

/// Whether the output is for a program; then a failure is too.
fn wants_json(arguments: &[OsString]) -> bool {
    let own: Vec<_> = arguments.iter().take_while(|argument| *argument != "--").collect();
    own.iter().any(|argument| *argument == "--json" || *argument == "--format=json")
        || own.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json")
}

/// Runs the command that the arguments name.
pub(crate) fn run() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let json = wants_json(&arguments);
    let cli = match parse(&arguments, json) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    logging::start();
    // One thread: calls are far shorter than waking another thread for them (`bench rpc` shows it).
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return Failure::new(format_args!("cannot start: {error}")).finish(json);
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Serve(command) => command.run().await,
            Command::Cluster(command) => command.run().await,
            Command::Status(command) => command.run().await,
            Command::Kv(command) => command.run().await,
            Command::Member(command) => command.run().await,
            Command::Lock(command) => command.run().await,
            Command::Call(command) => command.run().await,
            Command::Schema(command) => command.run().await,
            Command::Bench(command) => signals::or_signal(command.run()).await,
            Command::Backup(command) => signals::or_signal(command.run()).await,
            Command::Restore(command) => command.run(),
            Command::Debug(command) => command.run(),
            Command::Demo => signals::or_signal(demo::run()).await,
        }
    });
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.finish(json),
    }
}
