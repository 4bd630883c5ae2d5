//! `traitwire cluster`: nodes as processes on this machine.

use std::path::PathBuf;

use super::Failure;
use super::child::Nodes;
use super::output::{note, print_line};

/// Ctrl-C ends it. The data stays, and another start goes on with it.
#[derive(clap::Args)]
pub(super) struct Cluster {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=15))]
    nodes: u64,
    /// The folder of the nodes' data.
    #[arg(long, value_name = "DIR", default_value = "./traitwire-data")]
    data: PathBuf,
    /// The port of the first node; the others have the ones after it.
    #[arg(long, default_value_t = 7101)]
    port: u16,
}

impl Cluster {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        let ports =
            (0..self.nodes).map(|place| u16::try_from(place).ok().and_then(|it| self.port.checked_add(it)));
        let ports: Option<Vec<_>> = ports.collect();
        let ports = ports.ok_or_else(|| Failure::with_code(2, "there are not so many ports"))?;
        let mut nodes = Nodes::start(&ports, &self.data).await?;
        print_line(format_args!("export TRAITWIRE_ENDPOINTS={}", nodes.endpoints()))?;
        for (id, child) in nodes.running() {
            note(format_args!("node {id} (pid {}) serves {}", child.pid(), child.url()));
        }
        let ended = tokio::select! {
            _ = tokio::signal::ctrl_c() => None,
            id = nodes.any_ended() => Some(id),
        };
        nodes.stop().await?;
        match ended {
            None => Ok(0),
            Some(id) => Err(Failure::new(format!("node {id} has ended"))),
        }
    }
}
