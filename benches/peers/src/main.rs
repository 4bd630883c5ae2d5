//! This project beside its peers, and beside itself: a table for each subcommand.
//!
//! - `harness`: what all benches share.
//! - `consensus`: the algorithm alone, beside raft-rs and openraft.
//! - `kv`: the key-value store, beside etcd.
//! - `rpc`: calls, beside other ways to make them.
//! - `keys`, `nodes`, `failover`: the key-value store with more keys, with more nodes, and without its leader.
//! - `growth`: how what an operation costs grows, with pictures.

mod consensus;
mod failover;
mod growth;
mod harness;
mod keys;
mod kv;
mod nodes;
mod rpc;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(about = "Measures this project beside its peers", version)]
enum Bench {
    /// Commits a second of the consensus, beside raft-rs and openraft, in one process and in memory.
    Consensus(consensus::Arguments),
    /// Puts and gets of three nodes as processes, beside three of etcd.
    Kv(kv::Arguments),
    /// Calls that give a message of about 100 bytes back, beside other ways to make them.
    Rpc(rpc::Arguments),
    /// What a store with many keys takes: memory, snapshots, restarts.
    Keys(keys::Arguments),
    /// The same load on clusters of several sizes.
    Nodes(nodes::Arguments),
    /// How long a cluster is without a leader when that is killed.
    Failover(failover::Arguments),
    /// How what an operation costs grows, as a table and as pictures.
    Growth(growth::Arguments),
    /// Serves for `rpc`, which starts it.
    #[command(hide = true)]
    ServeRpc(rpc::Serve),
}

fn main() -> ExitCode {
    let done = match Bench::parse() {
        Bench::Consensus(arguments) => consensus::run(&arguments),
        Bench::Kv(arguments) => kv::run(&arguments),
        Bench::Rpc(arguments) => rpc::run(&arguments),
        Bench::Keys(arguments) => keys::run(&arguments),
        Bench::Nodes(arguments) => nodes::run(&arguments),
        Bench::Failover(arguments) => failover::run(&arguments),
        Bench::Growth(arguments) => growth::run(&arguments),
        Bench::ServeRpc(serve) => rpc::serve(&serve),
    };
    if let Err(error) = done {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
