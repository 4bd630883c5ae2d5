//! What is measured: sweeps over one quantity each, which is all that differs between their points.

use std::fmt;

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use traitwire_kv::kv_raft::client::ClusterKvClient;

use super::Arguments;
use super::points::Point;
use crate::harness::cluster::{Cluster, Shape};
use crate::harness::load;
use crate::harness::sample::Sample;
use crate::harness::turns;
use crate::harness::workload::{Load, Op, Size};
use crate::keys::{CATCH_UP_TIME, Population};
use crate::kv::System;
use crate::rpc::{Peer, Server};

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sweep {
    /// How many operations on the store are under way.
    Concurrency,
    /// How many calls are under way.
    Calls,
    /// How many keys the store has.
    Keys,
    /// How many entries the log has that was not cut.
    Log,
    /// How many nodes the cluster has.
    Nodes,
}

impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// What is done to a store.
const OPS: [Op; 2] = [Op::Put, Op::Get];

/// Who makes calls: ours, what is between the others, and the limit.
const PEERS: [Peer; 5] = [Peer::Traitwire, Peer::Frames, Peer::Handwritten, Peer::Tonic, Peer::TarpcBincode];

/// Bytes of a value where keys are many.
const VALUE_BYTES: usize = 100;

/// How many keys the entries of a log are of, or as many as there are workers.
const LOG_KEYS: usize = 4096;

/// What a run measures.
#[derive(Clone, Copy)]
enum Subject {
    Store(System, Op),
    Calls(Peer),
    /// Both operations, one after the other, with so many keys.
    Keys,
    /// The same with so many entries.
    Log,
    /// A cluster of so many nodes.
    Nodes(Op),
}

/// What a cluster of three has before it is measured.
struct Filled {
    keys: usize,
    puts: usize,
    snapshot_log_bytes: Option<usize>,
}

#[derive(Clone, Copy)]
struct Case {
    x: usize,
    subject: Subject,
}

/// Measures all points of a sweep: the medians of their runs, which take turns.
pub async fn measure(arguments: &Arguments, sweep: Sweep) -> Result<Vec<Point>> {
    let name = |case: &Case| format!("{sweep} {}", case.x);
    let cases = cases(arguments, sweep);
    let runs = turns::take(&cases, arguments.repeat.rounds, name, async |case: &Case| {
        run_one(arguments, sweep, *case).await
    });
    Ok(runs.await?.iter().flat_map(|runs| medians(runs)).collect())
}

/// The medians of the points of several runs, which are the same points in each.
fn medians(runs: &[Vec<Point>]) -> Vec<Point> {
    let median = |(place, point): (usize, &Point)| {
        let samples: Vec<_> = runs.iter().map(|run| run[place].median).collect();
        Point { median: Sample::medians(&samples), ..point.clone() }
    };
    runs.first().into_iter().flatten().enumerate().map(median).collect()
}

fn cases(arguments: &Arguments, sweep: Sweep) -> Vec<Case> {
    let (xs, subjects) = match sweep {
        Sweep::Concurrency => (&arguments.concurrency, stores(arguments)),
        Sweep::Calls => (&arguments.concurrency, PEERS.map(Subject::Calls).to_vec()),
        Sweep::Keys => (&arguments.keys, vec![Subject::Keys]),
        Sweep::Log => (&arguments.entries, vec![Subject::Log]),
        Sweep::Nodes => (&arguments.nodes, OPS.map(Subject::Nodes).to_vec()),
    };
    xs.iter().flat_map(|x| subjects.iter().map(|subject| Case { x: *x, subject: *subject })).collect()
}

/// Ours and, where its program is, etcd.
fn stores(arguments: &Arguments) -> Vec<Subject> {
    let mut systems = vec![System::Ours];
    match arguments.stores.etcd.check() {
        Ok(()) => systems.push(System::Etcd),
        Err(error) => eprintln!("etcd is left out: {error:#}"),
    }
    systems.iter().flat_map(|system| OPS.map(|op| Subject::Store(*system, op))).collect()
}

async fn run_one(arguments: &Arguments, sweep: Sweep, Case { x, subject }: Case) -> Result<Vec<Point>> {
    let time = arguments.repeat.time();
    let fixed = arguments.fixed_concurrency;
    let load = |op, concurrency| Load { op, concurrency, size: Size::default(), time };
    let point = |system: &str, operation: &str, concurrency, median| {
        let (system, operation) = (system.to_owned(), operation.to_owned());
        Point { sweep, system, operation, x, concurrency, median }
    };
    let one = match subject {
        Subject::Store(system, op) => {
            point(system.name(), op.name(), x, arguments.stores.measure(system, &load(op, x)).await?)
        }
        Subject::Calls(peer) => {
            let server = Server::start(peer, arguments.workers, &arguments.stores.folder).await?;
            point(&peer.name(), "call", x, server.measure(x, time).await?)
        }
        Subject::Nodes(op) => {
            let cluster = arguments.stores.start_ours(x).await?;
            point(System::Ours.name(), op.name(), fixed, load(op, fixed).on_ours(&cluster).await?)
        }
        Subject::Keys | Subject::Log => {
            let filled = if let Subject::Keys = subject {
                Filled { keys: x, puts: x, snapshot_log_bytes: None }
            } else {
                Filled { keys: LOG_KEYS.max(fixed).min(x), puts: x, snapshot_log_bytes: Some(0) }
            };
            let samples = run_filled(arguments, filled).await?;
            let points = OPS
                .iter()
                .zip(samples)
                .map(|(op, sample)| point(System::Ours.name(), op.name(), fixed, sample));
            return Ok(points.collect());
        }
    };
    Ok(vec![one])
}

/// A sample of each operation on random keys of a cluster that was filled.
async fn run_filled(arguments: &Arguments, filled: Filled) -> Result<Vec<Sample>> {
    let stores = &arguments.stores;
    let shape = Shape { nodes: 3, snapshot_log_bytes: filled.snapshot_log_bytes };
    let mut cluster = Cluster::start(&stores.program, &stores.folder.folder, shape).await?;
    let population = Population::new(ClusterKvClient::new(cluster.urls(), 1), filled.keys, VALUE_BYTES);
    population.put_in_turn(filled.puts).await?;
    let mut samples = Vec::new();
    for op in OPS {
        cluster.all_applied(CATCH_UP_TIME).await?;
        let workers = population.workers(op, arguments.fixed_concurrency);
        samples.push(load::run(workers, &cluster.pids(), arguments.repeat.time()).await?);
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_taken_point_by_point() {
        let run =
            |figure: f64| ["put", "get"].map(|operation| Point::example("traitwire", operation, 1, figure));
        let medians = medians(&[3.0, 1.0, 2.0].map(|figure| run(figure).to_vec()));
        assert_eq!(medians, run(2.0));
    }
}
