//! Faults: what goes wrong, and how it ends.

use traitwire_kv::kv_raft::raft::core::{Input, Role};
use traitwire_kv::services::raft::NodeId;

use crate::cluster::{Cluster, Event, NodeEvent};
use crate::network::{Profile, at};
use crate::node::CrashPoint;
use crate::plan::{HostSettings, pick};
use crate::violation::Violation;

/// Something that goes wrong, or that somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A node loses its power.
    Crash,
    /// The leader does.
    CrashLeader,
    /// All nodes do.
    CrashAll,
    /// Half of the nodes or more do.
    CrashMany,
    /// A node loses its power at a place that matters: before, in or after a sync.
    CrashAtSync,
    /// The leader does.
    CrashLeaderAtSync,
    /// A process is killed; its machine goes on.
    Kill,
    /// A node does nothing for a while.
    Pause,
    /// The leader does nothing for a while.
    PauseLeader,
    /// Nothing gets from one node to another.
    CutOneWay,
    /// Two nodes do not reach each other, and both reach the rest.
    CutPair,
    /// A node is cut off.
    Isolate,
    /// The leader is cut off.
    IsolateLeader,
    /// The leader is left with less than a majority.
    LeaderInMinority,
    /// The nodes are parted in two.
    Halves,
    /// All links are whole again.
    Heal,
    /// A link is slow.
    SlowLink,
    /// A clock jumps ahead.
    JumpClock,
    /// A clock goes faster or slower.
    BendClock,
    /// The syncs of a node take long.
    StallDisk,
    /// A sync fails.
    FailSync,
    /// A disk is full for a while.
    FillDisk,
    /// The leader is asked to hand over.
    Transfer,
    /// A node is stopped in good order.
    Stop,
}

/// The end of a fault.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Undo {
    /// A link is whole and fast.
    Link(NodeId, NodeId),
    /// All links of a node are.
    Links(NodeId),
    /// The disk has space.
    Disk(NodeId),
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 24] = [
        Self::Crash,
        Self::CrashLeader,
        Self::CrashAll,
        Self::CrashMany,
        Self::CrashAtSync,
        Self::CrashLeaderAtSync,
        Self::Kill,
        Self::Pause,
        Self::PauseLeader,
        Self::CutOneWay,
        Self::CutPair,
        Self::Isolate,
        Self::IsolateLeader,
        Self::LeaderInMinority,
        Self::Halves,
        Self::Heal,
        Self::SlowLink,
        Self::JumpClock,
        Self::BendClock,
        Self::StallDisk,
        Self::FailSync,
        Self::FillDisk,
        Self::Transfer,
        Self::Stop,
    ];

    /// Some of them, each once or a few times: runs that have few kinds of faults go where those with all of them do not.
    pub(crate) fn draw(random: &mut fastrand::Rng) -> Vec<Self> {
        let share = pick(random, &[8, 30, 60, 100]);
        let mut faults: Vec<_> = Self::ALL.into_iter().filter(|_| random.u32(0..100) < share).collect();
        for _ in 0..random.usize(0..4) {
            faults.push(pick(random, &Self::ALL));
        }
        let cuts = [Self::CutOneWay, Self::CutPair, Self::Isolate, Self::IsolateLeader, Self::Halves];
        if faults.iter().any(|fault| cuts.contains(fault)) {
            faults.push(Self::Heal);
        }
        faults
    }
}

impl Cluster {
    /// Lets something go wrong now.
    ///
    /// # Errors
    /// When that breaks a rule.
    pub fn inflict(&mut self, fault: Fault) -> Result<(), Violation> {
        self.note_fault(fault);
        let id = self.any_node();
        let leader = self.leader().unwrap_or(id);
        match fault {
            Fault::Crash => self.crash(id),
            Fault::CrashLeader => self.crash(leader),
            Fault::CrashAll => self.crash_some(100),
            Fault::CrashMany => self.crash_some(70),
            Fault::CrashAtSync => self.crash_at_sync(id),
            Fault::CrashLeaderAtSync => self.crash_at_sync(leader),
            Fault::Kill => self.kill(id),
            Fault::Pause => self.pause(id),
            Fault::PauseLeader => self.pause(leader),
            Fault::CutOneWay | Fault::CutPair | Fault::SlowLink => self.harm_link(fault, id),
            Fault::Isolate => self.isolate_for_a_while(id),
            Fault::IsolateLeader => self.isolate_for_a_while(leader),
            Fault::LeaderInMinority => self.part_minority(leader),
            Fault::Halves => self.part_at_random(),
            Fault::Heal => self.network.heal(),
            Fault::JumpClock | Fault::BendClock => self.harm_clock(fault, id),
            Fault::StallDisk => {
                let until = self.now + self.random.u64(10_000..1_000_000);
                self.node(id).stalled_until = until;
            }
            Fault::FailSync => {
                let node = self.node(id);
                node.disk_may_fail = true;
                node.disk.fail_next_sync();
            }
            Fault::FillDisk => {
                let node = self.node(id);
                // A snapshot whose last piece finds no space ends the node.
                node.disk_may_fail = true;
                node.disk.set_full(true);
                let after_us = self.random.u64(100_000..2_000_000);
                self.add(after_us, Event::Undo(Undo::Disk(id)));
            }
            Fault::Transfer => {
                let to = self.random.bool().then_some(id).filter(|to| *to != leader);
                let to = to.map(|to| self.nodes[at(to)].id);
                return self.step(leader, Input::Transfer(to)).map(drop);
            }
            Fault::Stop => self.stop_soon(id)?,
        }
        Ok(())
    }

    pub(crate) fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Link(from, to) => {
                self.network.set_cut(from, to, false);
                self.network.slow_down(from, to, 0);
            }
            Undo::Links(id) => self.set_links(id, false),
            Undo::Disk(id) => self.node(id).disk.set_full(false),
        }
    }

    fn any_node(&mut self) -> NodeId {
        self.random.u64(1..=self.plan.nodes)
    }

    fn crash_some(&mut self, percent: u32) {
        for id in self.plan.node_ids() {
            if self.random.u32(0..100) < percent {
                self.crash(id);
            }
        }
    }

    fn crash_at_sync(&mut self, id: NodeId) {
        let points = [
            CrashPoint::Given,
            CrashPoint::Syncing,
            CrashPoint::Synced,
            CrashPoint::Confirmed,
            CrashPoint::Saving,
            CrashPoint::Saved,
        ];
        self.nodes[at(id)].crash_at = Some(pick(&mut self.random, &points));
    }

    pub(crate) fn pause(&mut self, id: NodeId) {
        let us = self.random.u64(1_000..2_000_000);
        if self.node(id).paused.is_none() {
            self.node(id).paused = Some(Vec::new());
            self.add(us, Event::Resume(id));
        }
    }

    fn harm_link(&mut self, fault: Fault, from: NodeId) {
        let to = self.any_node();
        if to == from {
            return;
        }
        let (slow_us, lasts_us) = (self.random.u64(5_000..300_000), self.random.u64(50_000..3_000_000));
        if fault == Fault::SlowLink {
            self.network.slow_down(from, to, slow_us);
        } else {
            self.network.set_cut(from, to, true);
        }
        if fault == Fault::CutPair {
            self.network.set_cut(to, from, true);
            self.add(lasts_us, Event::Undo(Undo::Link(to, from)));
        }
        self.add(lasts_us, Event::Undo(Undo::Link(from, to)));
    }

    fn isolate_for_a_while(&mut self, id: NodeId) {
        self.set_links(id, true);
        let lasts_us = self.random.u64(50_000..3_000_000);
        self.add(lasts_us, Event::Undo(Undo::Links(id)));
    }

    pub(crate) fn set_links(&mut self, id: NodeId, cut: bool) {
        for other in self.plan.node_ids() {
            self.network.set_cut(id, other, cut);
            self.network.set_cut(other, id, cut);
        }
    }

    /// Parts the nodes in two groups.
    pub(crate) fn part(&mut self, is_first: impl Fn(NodeId) -> bool) {
        for from in self.plan.node_ids() {
            for to in self.plan.node_ids() {
                self.network.set_cut(from, to, is_first(from) != is_first(to));
            }
        }
    }

    fn part_at_random(&mut self) {
        let group = self.random.u64(..);
        self.part(|id| group >> id & 1 == 1);
    }

    fn part_minority(&mut self, leader: NodeId) {
        let nodes = self.plan.nodes;
        let others = (nodes - 1) / 2;
        let begin = self.random.u64(0..nodes);
        let group: Vec<_> =
            (0..nodes).map(|place| (begin + place) % nodes + 1).filter(|id| *id != leader).collect();
        let group = &group[..usize::try_from(others.saturating_sub(1)).unwrap_or(0).min(group.len())];
        self.part(|id| id == leader || group.contains(&id));
    }

    fn harm_clock(&mut self, fault: Fault, id: NodeId) {
        let ahead_us = self.random.u64(1_000..3_000_000);
        let rate = self.random.u64(900_000..=1_100_000);
        let now = self.now;
        if fault == Fault::JumpClock {
            self.node(id).clock.jump(now, ahead_us);
        } else {
            self.node(id).clock.set_rate(now, rate);
        }
        self.reset_timer(id);
    }

    /// What the timer was set to means another time now.
    pub(crate) fn reset_timer(&mut self, id: NodeId) {
        if let Some(life) = self.life(id) {
            life.timer_at = u64::MAX;
        }
        self.set_timer(id);
    }

    /// Stops a node in good order: a leader hands over first.
    pub(crate) fn stop_soon(&mut self, id: NodeId) -> Result<(), Violation> {
        let Some(life) = self.life(id) else { return Ok(()) };
        let (number, leads) = (life.number, life.core.role() == Role::Leader);
        let after_us = if leads { 100_000 } else { 0 };
        self.add_for(id, after_us, NodeEvent::Stop(number));
        if leads { self.step(id, Input::Transfer(None)).map(drop) } else { Ok(()) }
    }

    /// All faults end, and clients want nothing more.
    pub fn calm_down(&mut self) {
        self.calm = true;
        self.network.heal();
        self.network.profile = Profile::REL;
        self.plan.host.sync_us = HostSettings::USUAL.sync_us;
        self.plan.host.apply_us = HostSettings::USUAL.apply_us;
        for id in self.plan.node_ids() {
            let now = self.now;
            let node = self.node(id);
            node.stalled_until = 0;
            node.crash_at = None;
            node.down_until = 0;
            node.disk.set_full(false);
            node.disk.mend();
            node.clock.set_rate(now, 1_000_000);
            self.reset_timer(id);
            self.add(0, Event::Resume(id));
            self.add(0, Event::Start(id));
        }
    }
}
