//! A closed loop of workers: each calls, waits for the reply, and calls again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::histogram::Histogram;
use super::process;
use super::sample::Sample;

/// How long workers call before anything is counted.
const WARM_UP: Duration = Duration::from_millis(300);

/// Something that calls again and again.
pub trait Worker: Send + 'static {
    /// Calls once; gives whether the right reply came.
    fn call(&mut self) -> impl Future<Output = bool> + Send;
}

/// What all workers have done since measuring began.
#[derive(Default)]
struct Counts {
    calls: Histogram,
    errors: u64,
}

/// When a run is measured.
#[derive(Clone, Copy)]
struct Period {
    begin: Instant,
    end: Instant,
}

/// Lets the workers call for `time`, to servers whose processes have these ids.
pub async fn run<W: Worker>(workers: Vec<W>, servers: &[u32], time: Duration) -> Result<Sample> {
    run_noting(workers, servers, time, |_| {}).await
}

/// A call that succeeded.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// When it began.
    pub begin: Instant,
    /// When it ended.
    pub end: Instant,
}

impl Call {
    /// How long it took.
    pub fn latency(&self) -> Duration {
        self.end - self.begin
    }
}

/// The same, and tells of every call that is counted.
pub async fn run_noting<W: Worker>(
    workers: Vec<W>,
    servers: &[u32],
    time: Duration,
    note: impl Fn(Call) + Clone + Send + 'static,
) -> Result<Sample> {
    let counts = Arc::new(Mutex::new(Counts::default()));
    let begin = Instant::now() + WARM_UP;
    let period = Period { begin, end: begin + time };
    let work = |worker| tokio::spawn(work(worker, period, counts.clone(), note.clone()));
    let workers: Vec<_> = workers.into_iter().map(work).collect();
    tokio::time::sleep_until(period.begin.into()).await;
    let before = (Instant::now(), process::own_cpu(), process::cpu_of(servers)?);
    tokio::time::sleep_until(period.end.into()).await;
    let seconds = before.0.elapsed().as_secs_f64();
    let (client, servers) = (process::own_cpu() - before.1, process::cpu_of(servers)? - before.2);
    for worker in workers {
        worker.await?;
    }
    let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    let us_a_call = |cpu: Duration| cpu.as_secs_f64() * 1e6 / counts.calls.total().max(1) as f64;
    Ok(Sample {
        calls_per_second: counts.calls.total() as f64 / seconds,
        p50_us: counts.calls.quantile_us(0.5),
        p99_us: counts.calls.quantile_us(0.99),
        errors: counts.errors,
        client_cpu_us: us_a_call(client),
        servers_cpu_us: us_a_call(servers),
    })
}

/// Calls until the end. A success counts if it is within the period, a failure also if it comes after it.
async fn work<W: Worker>(mut worker: W, period: Period, counts: Arc<Mutex<Counts>>, note: impl Fn(Call)) {
    loop {
        let begin = Instant::now();
        let good = worker.call().await;
        let call = Call { begin, end: Instant::now() };
        if call.end >= period.begin {
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            if !good {
                counts.errors += 1;
            } else if call.end < period.end {
                counts.calls.add(call.latency(), 1);
                note(call);
            }
        }
        if call.end >= period.end {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every fourth call fails.
    struct Sleeper(u64);

    impl Worker for Sleeper {
        async fn call(&mut self) -> bool {
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.0 += 1;
            !self.0.is_multiple_of(4)
        }
    }

    #[tokio::test]
    async fn failures_are_counted_apart() {
        let workers = (0..8).map(Sleeper).collect();
        let sample = run(workers, &[std::process::id()], Duration::from_millis(400)).await;
        let sample = sample.expect("the workers do not panic");
        assert!(sample.p50_us >= 5_000.0 && sample.p99_us >= sample.p50_us, "{sample:?}");
        let good = sample.calls_per_second * 0.4;
        assert!((8.0..=8.0 * 400.0 / 5.0).contains(&good), "{sample:?}");
        assert!(sample.errors >= 1, "{sample:?}");
    }
}
