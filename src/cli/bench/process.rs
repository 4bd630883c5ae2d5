//! A server process under measurement, and the processor time that processes have used.

use super::Failure;
use crate::cli::child::{Child, Nodes};

/// The unit of the times in `/proc/PID/stat`, in microseconds: a hundredth of a second (`USER_HZ`, proc(5)).
const TICK_US: f64 = 10_000.0;

/// Servers that end with this value.
pub(super) enum Server {
    One(Child),
    /// With the folder of its data, which is gone when this is dropped.
    Cluster(Nodes, #[expect(dead_code, reason = "held until the end")] tempfile::TempDir),
}

impl Server {
    pub(super) async fn start(arguments: &[&str]) -> Result<Self, Failure> {
        Child::start(arguments.iter().copied(), None).await.map(Self::One)
    }

    /// A cluster whose data is gone with it.
    pub(super) async fn start_cluster(nodes: usize) -> Result<Self, Failure> {
        // In the working folder: what is under /tmp may live in memory, where syncing costs nothing.
        let folder = tempfile::tempdir_in(".").map_err(Failure::new)?;
        Ok(Self::Cluster(Nodes::start_anywhere(nodes, folder.path()).await?, folder))
    }

    pub(super) fn urls(&self) -> Vec<String> {
        match self {
            Self::One(child) => vec![child.url().to_owned()],
            Self::Cluster(nodes, _) => nodes.urls().collect(),
        }
    }

    pub(super) fn cpu_us(&self) -> Result<f64, Failure> {
        match self {
            Self::One(child) => cpu_us(&child.pid().to_string()),
            Self::Cluster(nodes, _) => {
                nodes.running().map(|(_, child)| cpu_us(&child.pid().to_string())).sum()
            }
        }
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
