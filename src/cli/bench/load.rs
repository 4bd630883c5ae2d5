//! A closed loop of workers: each calls, waits for the reply, and calls again.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Failure;
use super::process::{self, Server};

/// How long workers call before anything is counted.
const WARM_UP: Duration = Duration::from_millis(300);

/// What one round gave.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) ops_per_s: f64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    pub(super) errors: u64,
    pub(super) cpu_us_client: f64,
    pub(super) cpu_us_servers: f64,
}

/// The head of the table that [`Measured::row`] fills.
pub(super) const HEAD: &str =
    "case          concurrency   calls/s  p50 us  p99 us  errors  client us  server us";

impl Measured {
    /// A row of the table for people.
    pub(super) fn row(&self, case: &str, concurrency: u32) -> String {
        format!(
            "{case:<13} {concurrency:>11} {:>9.0} {:>7} {:>7} {:>7} {:>10.1} {:>10.1}",
            self.ops_per_s, self.p50_us, self.p99_us, self.errors, self.cpu_us_client, self.cpu_us_servers
        )
    }

    /// A line for programs.
    pub(super) fn json(&self, case: &str, concurrency: u32) -> Value {
        json!({
            "case": case,
            "concurrency": concurrency,
            "ops_per_s": self.ops_per_s.round(),
            "p50_us": self.p50_us,
            "p99_us": self.p99_us,
            "errors": self.errors,
            "cpu_us_client": (self.cpu_us_client * 10.0).round() / 10.0,
            "cpu_us_servers": (self.cpu_us_servers * 10.0).round() / 10.0,
        })
    }
}

/// Something that calls again and again.
pub(super) trait Worker: Send + 'static {
    /// Calls once; gives whether the right reply came.
    fn call(&mut self) -> impl Future<Output = bool> + Send;
}

/// Lets the workers call for `time`; of a server whose process is not known, the processor time counts as 0.
pub(super) async fn run<W: Worker>(
    workers: Vec<W>,
    server: Option<&Server>,
    time: Duration,
) -> Result<Measured, Failure> {
    let server_cpu_us = || server.map_or(Ok(0.0), Server::cpu_us);
    let begin = Instant::now() + WARM_UP;
    let end = begin + time;
    let workers: Vec<_> = workers.into_iter().map(|worker| tokio::spawn(work(worker, begin, end))).collect();
    tokio::time::sleep_until(begin.into()).await;
    let client_before = process::cpu_us("self")?;
    let server_before = server_cpu_us()?;
    tokio::time::sleep_until(end.into()).await;
    let cpu_us_client = process::cpu_us("self")? - client_before;
    let cpu_us_servers = server_cpu_us()? - server_before;
    let mut latencies_us = Vec::new();
    let mut errors = 0;
    for worker in workers {
        let worked = worker.await.map_err(Failure::new)?;
        latencies_us.extend(worked.0);
        errors += worked.1;
    }
    latencies_us.sort_unstable();
    let calls = latencies_us.len();
    if calls == 0 {
        return Err(Failure::new("no call succeeded"));
    }
    let rank = |percent: usize| u64::from(latencies_us[(calls * percent / 100).min(calls - 1)]);
    Ok(Measured {
        ops_per_s: calls as f64 / time.as_secs_f64(),
        p50_us: rank(50),
        p99_us: rank(99),
        errors,
        cpu_us_client: cpu_us_client / calls as f64,
        cpu_us_servers: cpu_us_servers / calls as f64,
    })
}

/// Calls until the end; gives the latencies of the calls that ended within the time, and how many failed.
async fn work<W: Worker>(mut worker: W, begin: Instant, end: Instant) -> (Vec<u32>, u64) {
    let mut latencies_us = Vec::new();
    let mut errors = 0;
    loop {
        let called = Instant::now();
        let good = worker.call().await;
        let now = Instant::now();
        if now >= end {
            return (latencies_us, errors);
        }
        if now < begin {
            continue;
        }
        if good {
            latencies_us.push(u32::try_from((now - called).as_micros()).unwrap_or(u32::MAX));
        } else {
            errors += 1;
        }
    }
}

/// The round in the middle, by calls a second.
pub(super) fn middle(mut rounds: Vec<Measured>) -> Measured {
    rounds.sort_by(|a, b| a.ops_per_s.total_cmp(&b.ops_per_s));
    let middle = rounds.len() / 2;
    rounds.swap_remove(middle)
}
