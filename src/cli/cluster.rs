//! `traitwire cluster`: nodes as processes on this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::Failure;
use super::child::{Child, Ended, Nodes};
use super::output::{note, print_line};
use super::serve::NodeOptions;
use super::signals::{Signals, stdin_closed};

/// After how long a node that has ended is started again; twice as long each time it ends soon after, up to the maximum.
const RESTART_DELAY: Duration = Duration::from_secs(1);
const RESTART_DELAY_MAX: Duration = Duration::from_secs(30);

/// A node that has run for this long has started well.
const STEADY_AFTER: Duration = Duration::from_secs(30);

/// Run a cluster of processes on this machine, for development.
///
/// It runs until Ctrl-C, SIGTERM, SIGHUP or SIGQUIT stops it, which stops its nodes too; a second signal kills them. The nodes
/// also stop if this process is killed. The data stays, and the next start continues with it.
///
/// A node that ends by itself is reported and started again after a second, then with growing delays of up to 30 seconds, while
/// the others go on. With `--no-restart` it stays down until the whole cluster is started again.
///
/// Node N keeps its data in DIR/node-N and its log in DIR/node-N.log; RUST_LOG applies to all nodes.
///
/// Exit code: 0 after a signal, 1 if a node cannot be started at first or all have ended.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Cluster {
    /// The number of nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=15))]
    nodes: u64,
    /// The folder of the nodes' data and logs.
    #[arg(long, value_name = "DIR", default_value = "./traitwire-data")]
    data: PathBuf,
    /// The port of the first node; the others use the ports after it.
    #[arg(long, default_value_t = 7101, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Leave a node that has ended down.
    #[arg(long)]
    no_restart: bool,
    /// Stop when standard input is closed, as it is when the process that started this one ends.
    #[arg(long)]
    stop_with_stdin: bool,
    #[command(flatten)]
    node: NodeOptions,
}

impl Cluster {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        let ports = self.ports()?;
        let mut signals = Signals::new().map_err(Failure::new)?;
        let closed = stdin_closed(self.stop_with_stdin).map_err(Failure::new)?;
        let mut nodes = tokio::select! {
            nodes = Nodes::start(&ports, &self.data, self.node.arguments()) => nodes?,
            signal = signals.next() => return Ok(signal.exit_code()),
        };
        // The nodes do not depend on whether somebody reads the line.
        let _unread = print_line(format_args!("export TRAITWIRE_ENDPOINTS={}", nodes.endpoints()));
        for (id, child) in nodes.running() {
            note(started(&nodes, id, child));
        }
        tokio::select! {
            down = self.supervise(&mut nodes) => return Err(down),
            _ = signals.next() => {}
            () = closed => {}
        }
        tokio::select! {
            stopped = nodes.stop() => stopped.map(|()| 0),
            // Dropping the nodes kills them.
            signal = signals.next() => Ok(signal.exit_code()),
        }
    }

    fn ports(&self) -> Result<Vec<u16>, Failure> {
        let ports =
            (0..self.nodes).map(|place| u16::try_from(place).ok().and_then(|it| self.port.checked_add(it)));
        let ports: Option<Vec<_>> = ports.collect();
        ports.ok_or_else(|| {
            let message = format!("--port {} leaves no {} ports up to 65535", self.port, self.nodes);
            Failure::with_code(2, message)
        })
    }

    /// Reports nodes that end and starts them again, until none is left.
    async fn supervise(&self, nodes: &mut Nodes) -> Failure {
        let mut restarts = Restarts::default();
        loop {
            if restarts.starting.is_empty() && nodes.running().next().is_none() {
                return Failure::new("all nodes have ended");
            }
            tokio::select! {
                Ended { id, message } = nodes.next_ended() => {
                    note(message);
                    if self.no_restart {
                        note(format_args!("node {id} stays down (--no-restart)"));
                    } else {
                        restarts.schedule(nodes, id);
                    }
                }
                Some(Ok((id, child))) = restarts.starting.join_next() => match child {
                    Ok(child) => {
                        note(started(nodes, id, &child));
                        nodes.add(id, child);
                    }
                    Err(failure) => {
                        note(format_args!("node {id}: {failure}"));
                        restarts.schedule(nodes, id);
                    }
                },
            }
        }
    }
}

/// The nodes that are to be started again. Dropping it kills those that are being started.
#[derive(Default)]
struct Restarts {
    starting: JoinSet<(u64, Result<Child, Failure>)>,
    /// When each node was last started again, and after how long.
    last: BTreeMap<u64, (Instant, Duration)>,
}

impl Restarts {
    fn schedule(&mut self, nodes: &Nodes, id: u64) {
        let now = Instant::now();
        let delay = match self.last.get(&id) {
            Some((at, delay)) if now.saturating_duration_since(*at) < STEADY_AFTER => {
                (*delay * 2).min(RESTART_DELAY_MAX)
            }
            Some(_) | None => RESTART_DELAY,
        };
        self.last.insert(id, (now + delay, delay));
        note(format_args!("node {id} starts again in {delay:?}"));
        let start = nodes.start_node(id);
        self.starting.spawn(async move {
            sleep(delay).await;
            (id, start.await)
        });
    }
}

fn started(nodes: &Nodes, id: u64, child: &Child) -> String {
    format!("node {id} (pid {}) serves {}; its log is {}", child.pid(), child.url(), nodes.log(id).display())
}
