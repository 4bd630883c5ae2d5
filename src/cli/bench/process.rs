//! A server process under measurement, and the processor time that processes have used.

use super::Failure;
use crate::cli::child::Child;

/// The unit of the times in `/proc/PID/stat`, in microseconds: a hundredth of a second (`USER_HZ`, proc(5)).
const TICK_US: f64 = 10_000.0;

/// A server that ends with this value.
pub(super) struct Server(Child);

impl Server {
    pub(super) async fn start(arguments: &[&str]) -> Result<Self, Failure> {
        Child::start(arguments).await.map(Self)
    }

    pub(super) fn url(&self) -> &str {
        self.0.url()
    }

    pub(super) fn cpu_us(&self) -> Result<f64, Failure> {
        cpu_us(&self.0.pid().to_string())
    }
}

/// The processor time of a process, by its id or `self`, in user and kernel mode.
pub(super) fn cpu_us(process: &str) -> Result<f64, Failure> {
    let path = format!("/proc/{process}/stat");
    let stat = std::fs::read_to_string(&path).map_err(|error| Failure::new(format!("{path}: {error}")))?;
    // The second field is a name in brackets that may hold anything; fields 14 and 15 are the times.
    let after_name = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() * TICK_US)
}
