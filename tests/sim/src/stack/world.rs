//! All machines, the network between them, and what goes wrong.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use traitwire_kv::kv_raft::machine::KvMachine;
use traitwire_kv::kv_raft::raft::core::Role;
use traitwire_kv::kv_raft::rsm::Rsm;
use traitwire_kv::services::raft::NodeId;

use super::book::Book;
use super::host::Host;
use super::plan::StackPlan;
use super::wire::Net;
use crate::disk::SimDisk;
use crate::network::at;
use crate::queue::Queue;
use crate::violation::{Rule, Violation, ensure};

/// How long a node may take to stop in good order.
const STOP_MAX: Duration = Duration::from_secs(5);

/// Something that goes wrong, or that somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// A process is killed; its machine goes on.
    Kill,
    /// That of the leader is.
    KillLeader,
    /// All are.
    KillAll,
    /// A machine loses its power.
    PowerLoss,
    /// A machine loses its power in the midst of writing.
    PowerLossAtWrite,
    /// A sync fails, and the node ends by itself.
    FailSync,
    /// A node is stopped in good order.
    Stop,
    /// The leader is asked to hand over.
    Transfer,
    /// A node is cut off from the others; clients reach it.
    Isolate,
    /// The leader is.
    IsolateLeader,
    /// The nodes are parted in two.
    Halves,
    /// Nothing gets from one node to another.
    CutOneWay,
    /// A client does not reach a node.
    CutClient,
    /// All links are whole again.
    Heal,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Kill,
        Self::KillLeader,
        Self::KillAll,
        Self::PowerLoss,
        Self::PowerLossAtWrite,
        Self::FailSync,
        Self::Stop,
        Self::Transfer,
        Self::Isolate,
        Self::IsolateLeader,
        Self::Halves,
        Self::CutOneWay,
        Self::CutClient,
        Self::Heal,
    ];
}

/// What is to happen later.
enum Event {
    Fault,
    /// A node starts, if it is down.
    Start(NodeId),
    /// The power of a machine is gone for certain.
    PowerIsGone(NodeId),
    Heal,
}

/// All machines.
pub struct World {
    pub(super) plan: StackPlan,
    pub(super) net: Arc<Net>,
    pub(super) book: Arc<Book>,
    hosts: Vec<Host>,
    queue: Queue<Event>,
    random: fastrand::Rng,
    began: Instant,
}

impl World {
    /// All nodes start, with empty disks. Within a runtime whose clock is paused.
    ///
    /// # Errors
    /// When one cannot start.
    pub(super) fn new(plan: StackPlan, book: Arc<Book>) -> Result<Self, Violation> {
        let mut random = fastrand::Rng::with_seed(plan.seed);
        book.line(|| format!("{plan:?}"));
        let net = Net::new(&plan, book.clone(), random.fork());
        let hosts = (1..=plan.nodes).map(|id| Host::new(id, plan.seed)).collect();
        let mut world = Self { plan, net, book, hosts, queue: Queue::new(), random, began: Instant::now() };
        for id in 1..=world.plan.nodes {
            world.start(id)?;
        }
        Ok(world)
    }

    fn host(&mut self, id: NodeId) -> &mut Host {
        &mut self.hosts[at(id)]
    }

    fn start(&mut self, id: NodeId) -> Result<(), Violation> {
        let (plan, net) = (self.plan.clone(), self.net.clone());
        let host = self.host(id);
        if host.life.is_some() {
            return Ok(());
        }
        let started = host.start(&plan, &net);
        self.book.line(|| format!("n{id} starts"));
        started.map_err(|error| Violation::new(Rule::Storage, format!("node {id} cannot start: {error}")))
    }

    /// The state machine of a node that is up.
    pub(super) fn rsm(&self, id: NodeId) -> Option<&Arc<Rsm<KvMachine>>> {
        self.hosts[at(id)].life.as_ref().map(|life| &life.rsm)
    }

    /// The node that leads, if one does that is not among these; of several the one in the latest term.
    fn leader(&self, besides: &[NodeId]) -> Option<NodeId> {
        let status = |id| self.rsm(id).map(|rsm| (rsm.raft().status(), id));
        let here = (1..=self.plan.nodes).filter(|id| !besides.contains(id)).filter_map(status);
        let leading = here.filter(|(it, _)| it.role == Role::Leader);
        leading.max_by_key(|(status, _)| status.term).map(|(_, id)| id)
    }

    /// Waits until a node leads that is not among these.
    pub(super) async fn leader_besides(
        &self,
        cut: &[NodeId],
        patience: Duration,
    ) -> Result<NodeId, Violation> {
        let end = Instant::now() + patience;
        loop {
            if let Some(id) = self.leader(cut) {
                return Ok(id);
            }
            ensure(Instant::now() < end, Rule::Liveness, || format!("no leader in {patience:?}"))?;
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Lets faults happen for as long as the plan says.
    pub(super) async fn go_wrong(&mut self) -> Result<(), Violation> {
        if !self.plan.faults.is_empty() {
            self.add_next_fault();
        }
        let end_us = self.now_us() + self.plan.busy_us;
        while let Some((at_us, event)) = self.queue.next_until(end_us) {
            sleep_until(self.began + Duration::from_micros(at_us)).await;
            self.handle(event).await?;
            self.check_alive().await?;
        }
        sleep_until(self.began + Duration::from_micros(end_us)).await;
        Ok(())
    }

    /// Ends all faults: links are whole, and all nodes run.
    pub(super) async fn calm_down(&mut self) -> Result<(), Violation> {
        self.book.line(|| "-- calm".to_owned());
        self.net.calm_down();
        for id in 1..=self.plan.nodes {
            if self.host(id).may_fail {
                self.lose_power(id);
            }
            self.start(id)?;
        }
        self.check_alive().await
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).expect("runs are short")
    }

    fn add(&mut self, after_us: u64, event: Event) {
        self.queue.add(self.now_us() + after_us, event);
    }

    fn add_next_fault(&mut self) {
        let after_us = self.plan.fault_gap_us.draw(&mut self.random);
        self.add(after_us, Event::Fault);
    }

    async fn handle(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Fault => {
                self.add_next_fault();
                let fault = self.plan.faults[self.random.usize(0..self.plan.faults.len())];
                self.inflict(fault).await?;
            }
            Event::Start(id) => self.start(id)?,
            Event::PowerIsGone(id) => {
                if self.host(id).may_fail {
                    self.lose_power(id);
                    self.start_again(id);
                }
            }
            Event::Heal => self.net.heal(),
        }
        Ok(())
    }

    async fn inflict(&mut self, fault: FaultKind) -> Result<(), Violation> {
        self.book.line(|| format!("-- {fault:?}"));
        let id = self.random.u64(1..=self.plan.nodes);
        let leader = self.leader(&[]).unwrap_or(id);
        match fault {
            FaultKind::Kill => self.kill(id),
            FaultKind::KillLeader => self.kill(leader),
            FaultKind::KillAll => (1..=self.plan.nodes).for_each(|id| self.kill(id)),
            FaultKind::PowerLoss => {
                self.lose_power(id);
                self.start_again(id);
            }
            FaultKind::PowerLossAtWrite => {
                let changes = self.random.u32(0..6);
                self.let_fail(id, |disk| disk.cut_power_after(changes));
            }
            FaultKind::FailSync => self.let_fail(id, SimDisk::fail_next_sync),
            FaultKind::Stop => self.stop(id).await?,
            FaultKind::Transfer => {
                if let Some(rsm) = self.rsm(leader) {
                    let raft = rsm.raft().clone();
                    tokio::spawn(async move { raft.transfer(None).await });
                }
            }
            FaultKind::Isolate => self.isolate(id),
            FaultKind::IsolateLeader => self.isolate(leader),
            FaultKind::Halves => {
                let side: Vec<_> = (1..=self.plan.nodes).map(|_| self.random.bool()).collect();
                self.cut(|from, to| side[at(from)] != side[at(to)]);
                self.heal_later();
            }
            FaultKind::CutOneWay => {
                let other = self.random.u64(1..=self.plan.nodes);
                self.net.set_cut(id, other, true);
                self.heal_later();
            }
            FaultKind::CutClient => {
                let client = self.plan.nodes + self.random.u64(1..=self.plan.all_clients());
                self.net.set_cut(client, id, true);
                self.heal_later();
            }
            FaultKind::Heal => self.net.heal(),
        }
        Ok(())
    }

    pub(super) fn kill(&mut self, id: NodeId) {
        let net = self.net.clone();
        self.host(id).kill(&net);
        self.start_again(id);
    }

    fn lose_power(&mut self, id: NodeId) {
        let (net, mut random) = (self.net.clone(), self.random.fork());
        self.host(id).lose_power(&net, &mut random);
    }

    fn start_again(&mut self, id: NodeId) {
        let after_us = self.random.u64(10_000..1_000_000);
        self.add(after_us, Event::Start(id));
    }

    /// The disk of a node is about to fail, if it is up; a little later its power is gone.
    fn let_fail(&mut self, id: NodeId, fail: impl FnOnce(&SimDisk)) {
        let host = self.host(id);
        if host.life.is_none() {
            return;
        }
        fail(&host.disk);
        host.may_fail = true;
        let after_us = self.random.u64(0..300_000);
        self.add(after_us, Event::PowerIsGone(id));
    }

    async fn stop(&mut self, id: NodeId) -> Result<(), Violation> {
        let net = self.net.clone();
        let stopped = tokio::time::timeout(STOP_MAX, self.host(id).stop(&net)).await;
        ensure(stopped.is_ok(), Rule::Liveness, || format!("node {id} does not stop in {STOP_MAX:?}"))?;
        self.start_again(id);
        Ok(())
    }

    /// Cuts the links between nodes for which this holds, and makes the others whole.
    pub(super) fn cut(&self, is_cut: impl Fn(NodeId, NodeId) -> bool) {
        for from in 1..=self.plan.nodes {
            for to in (1..=self.plan.nodes).filter(|to| *to != from) {
                self.net.set_cut(from, to, is_cut(from, to));
            }
        }
    }

    pub(super) fn isolate(&mut self, id: NodeId) {
        for other in (1..=self.plan.nodes).filter(|other| *other != id) {
            self.net.set_cut(id, other, true);
            self.net.set_cut(other, id, true);
        }
        self.heal_later();
    }

    fn heal_later(&mut self) {
        let after_us = self.random.u64(100_000..3_000_000);
        self.add(after_us, Event::Heal);
    }

    /// Nodes end only when they are made to.
    async fn check_alive(&mut self) -> Result<(), Violation> {
        // What has ended has told so by now.
        tokio::task::yield_now().await;
        for host in self.hosts.iter().filter(|host| !host.may_fail) {
            let Some(life) = &host.life else { continue };
            tokio::select! {
                biased;
                ended = life.rsm.ended() => {
                    let why = ended.map_or_else(|error| error.to_string(), |()| "nobody told it to".to_owned());
                    return Err(Violation::new(Rule::StaysUp, format!("node {} has ended: {why}", host.id)));
                }
                () = std::future::ready(()) => {}
            }
        }
        Ok(())
    }
}
