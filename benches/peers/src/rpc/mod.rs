//! Calls that give a message back, from one process to another, beside other ways to make them. All workers share one client.

mod frames;
mod handwritten;
mod jsonrpsee;
mod message;
mod peer;
mod tarpc;
mod tonic;
mod traitwire;

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use tempfile::TempDir;

use self::message::{Echo, Message};
pub use self::peer::Peer;
use crate::harness::child::{Child, temporary_folder};
use crate::harness::comparison::{self, Row};
use crate::harness::load::{self, Worker};
use crate::harness::sample::Sample;
use crate::harness::{Folder, Output, Repeat, block_on, positive, turns};

/// What to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// How many calls are under way at once.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256,1024", value_parser = positive)]
    concurrency: Vec<usize>,
    /// Only these.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Peer>,
    /// The threads of the tokio runtime of each process; 0 is the runtime of the current thread.
    #[arg(long, default_value_t = 0)]
    workers: usize,
    #[command(flatten)]
    repeat: Repeat,
    #[command(flatten)]
    folder: Folder,
    #[command(flatten)]
    output: Output,
}

/// What the server process is told.
#[derive(clap::Args)]
pub struct Serve {
    /// Who serves.
    #[arg(value_enum)]
    peer: Peer,
    /// The threads of the tokio runtime; 0 is the runtime of the current thread.
    #[arg(long, default_value_t = 0)]
    workers: usize,
}

/// Serves until the process is killed.
pub fn serve(serve: &Serve) -> Result<()> {
    block_on(serve.workers, serve.peer.serve())
}

#[derive(Clone, Copy)]
struct Case {
    concurrency: usize,
    peer: Peer,
}

/// Measures and shows the table.
pub fn run(arguments: &Arguments) -> Result<()> {
    block_on(arguments.workers, measure(arguments))
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let is_wanted = |peer: &Peer| arguments.only.is_empty() || arguments.only.contains(peer);
    let peers: Vec<_> = Peer::value_variants().iter().copied().filter(is_wanted).collect();
    let mut cases = Vec::new();
    for concurrency in &arguments.concurrency {
        cases.extend(peers.iter().map(|peer| Case { concurrency: *concurrency, peer: *peer }));
    }
    let time = arguments.repeat.time();
    let name = |case: &Case| format!("{} at {}", case.peer.name(), case.concurrency);
    let samples = turns::take(&cases, arguments.repeat.rounds, name, async |case: &Case| {
        let server = Server::start(case.peer, arguments.workers, &arguments.folder).await?;
        server.measure(case.concurrency, time).await
    });
    let medians: Vec<_> = samples.await?.iter().map(|samples| Sample::medians(samples)).collect();
    comparison::show(&rows(&cases, &medians), "calls/s", &arguments.output)
}

/// A process that serves, and is gone when this is dropped.
pub struct Server {
    peer: Peer,
    address: SocketAddr,
    child: Child,
    // Below the process, whose log is in it.
    _folder: TempDir,
}

impl Server {
    /// Starts it, with so many threads of its tokio runtime; 0 is the runtime of the current thread.
    pub async fn start(peer: Peer, workers: usize, folder: &Folder) -> Result<Self> {
        let folder = temporary_folder(&folder.folder)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve-rpc", &peer.name(), "--workers", &workers.to_string()]);
        let mut child = Child::start(&mut command, &folder.path().join("server.log"))?;
        let address = child.first_line().await?;
        let address = address.trim().parse().context("the server has not said its address")?;
        Ok(Self { peer, address, child, _folder: folder })
    }

    /// Calls it for so long, with so many calls under way at once.
    pub async fn measure(&self, concurrency: usize, time: Duration) -> Result<Sample> {
        self.peer.measure(self.address, self.child.id(), concurrency, time).await
    }
}

fn rows(cases: &[Case], medians: &[Sample]) -> Vec<Row> {
    let measured = || cases.iter().zip(medians);
    let ours = |concurrency| {
        let of_ours = (Peer::Traitwire, concurrency);
        measured().find(|(case, _)| (case.peer, case.concurrency) == of_ours)
    };
    let row = |(case, median): (&Case, &Sample)| {
        let ours = ours(case.concurrency).map(|(_, median)| median);
        Row::new(case.concurrency, case.peer.name(), median, ours)
    };
    measured().map(row).collect()
}

/// Calls through a client that all workers share.
struct Caller<E> {
    client: E,
    message: Message,
}

impl<E: Echo> Worker for Caller<E> {
    async fn call(&mut self) -> bool {
        self.message.version += 1;
        let reply = self.client.echo(self.message.clone()).await;
        reply.is_ok_and(|reply| reply == self.message)
    }
}

async fn call(client: impl Echo, server: u32, concurrency: usize, time: Duration) -> Result<Sample> {
    let caller =
        |number| Caller { client: client.clone(), message: Message::numbered(u64::from(u32::MAX) * number) };
    load::run((0..concurrency as u64).map(caller).collect(), &[server], time).await
}
