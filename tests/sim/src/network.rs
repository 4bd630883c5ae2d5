//! What becomes of a message: when it arrives, whether twice, whether at all, and when its sender hears of a loss.

use traitwire_kv::services::raft::NodeId;

/// A range of microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
}

impl Span {
    /// From one to the other.
    pub const fn new(min: u64, max: u64) -> Self {
        Self { min, max }
    }

    pub(crate) fn draw(&self, random: &mut fastrand::Rng) -> u64 {
        random.u64(self.min..=self.max)
    }
}

/// How a network treats messages. Chances are in thousandths.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// How long a message takes.
    pub delay_us: Span,
    /// The bytes that a link carries in a second, in each direction; 0 for any number. What is behind others waits for them.
    pub bytes_per_s: u64,
    /// The chance that a request is lost.
    pub lose_request: u32,
    /// The chance that a reply is lost.
    pub lose_reply: u32,
    /// The chance that a loss is reported, as a closed connection is; otherwise the sender waits until its patience ends.
    pub report_loss: u32,
    /// The chance that a reply is late by 200 to 2,200 ms.
    pub delay_reply: u32,
    /// The chance that a message comes twice, the copy up to 500 ms later.
    pub duplicate: u32,
    /// The chance that an answer is given to the node although it has stopped waiting for it.
    pub deliver_stale: u32,
}

impl Profile {
    /// No fault.
    pub const REL: Self = Self {
        delay_us: Span::new(100, 500),
        bytes_per_s: 0,
        lose_request: 0,
        lose_reply: 0,
        report_loss: 1_000,
        delay_reply: 0,
        duplicate: 0,
        deliver_stale: 0,
    };
    /// Half of the requests and half of the replies are lost.
    pub const U50: Self =
        Self { delay_us: Span::new(1_000, 5_000), lose_request: 500, lose_reply: 500, ..Self::REL };
    /// A tenth of the requests and of the replies is lost.
    pub const U10: Self =
        Self { delay_us: Span::new(0, 26_000), lose_request: 100, lose_reply: 100, ..Self::REL };
    /// Two thirds of the replies are late.
    pub const REO: Self = Self { delay_reply: 667, deliver_stale: 500, ..Self::REL };
    /// Calls that cannot arrive hang.
    pub const H7: Self = Self { report_loss: 0, ..Self::REL };
    /// A tenth of the messages comes twice.
    pub const DUP: Self = Self { duplicate: 100, deliver_stale: 500, ..Self::REL };

    /// Links that carry 4 Mbit/s and take 150 ms each way.
    pub const SLOW: Self = Self { delay_us: Span::new(150_000, 151_000), bytes_per_s: 500_000, ..Self::REL };
    /// Round trips of 400 ms.
    pub const FAR: Self = Self { delay_us: Span::new(199_000, 201_000), ..Self::REL };

    /// Some mix.
    pub(crate) fn draw(random: &mut fastrand::Rng) -> Self {
        let named = [Self::REL, Self::U50, Self::U10, Self::REO, Self::H7, Self::DUP];
        if random.u8(0..3) == 0 {
            return *random.choice(named.iter()).expect("there are some");
        }
        let mut chance = |of: &[u32]| *random.choice(of.iter()).expect("there are some");
        let lose_request = chance(&[0, 0, 10, 100, 300]);
        let lose_reply = chance(&[0, 0, 10, 100, 300]);
        let report_loss = chance(&[0, 500, 1_000]);
        let delay_reply = chance(&[0, 0, 50, 300]);
        let duplicate = chance(&[0, 50, 200]);
        let deliver_stale = chance(&[0, 500, 1_000]);
        let max = u64::from(chance(&[500, 2_000, 10_000, 40_000]));
        let delay_us = Span::new(max / 10, max);
        let bytes_per_s = u64::from(chance(&[0, 0, 0, 20_000]));
        Self {
            delay_us,
            bytes_per_s,
            lose_request,
            lose_reply,
            report_loss,
            delay_reply,
            duplicate,
            deliver_stale,
        }
    }
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    Arrives {
        after_us: u64,
        /// A copy arrives too.
        again_after_us: Option<u64>,
    },
    Lost {
        /// The sender of the request hears of it.
        reported_after_us: Option<u64>,
    },
}

/// The links between nodes, each in one direction.
pub(crate) struct Network {
    pub(crate) profile: Profile,
    nodes: usize,
    cut: Vec<bool>,
    slow_us: Vec<u64>,
    /// Until when each link is busy with what was sent before.
    busy_until: Vec<u64>,
}

impl Network {
    pub(crate) fn new(nodes: u64, profile: Profile) -> Self {
        let nodes = usize::try_from(nodes).expect("clusters are small");
        let links = nodes * nodes;
        Self { profile, nodes, cut: vec![false; links], slow_us: vec![0; links], busy_until: vec![0; links] }
    }

    fn link(&self, from: NodeId, to: NodeId) -> usize {
        at(from) * self.nodes + at(to)
    }

    /// Nothing gets from one node to the other any more, or it does again.
    pub(crate) fn set_cut(&mut self, from: NodeId, to: NodeId, cut: bool) {
        let link = self.link(from, to);
        self.cut[link] = cut;
    }

    pub(crate) fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.cut[self.link(from, to)]
    }

    /// Messages from one node to the other take longer.
    pub(crate) fn slow_down(&mut self, from: NodeId, to: NodeId, by_us: u64) {
        let link = self.link(from, to);
        self.slow_us[link] = by_us;
    }

    /// All links are whole and fast.
    pub(crate) fn heal(&mut self) {
        self.cut.fill(false);
        self.slow_us.fill(0);
        self.busy_until.fill(0);
    }

    pub(crate) fn request(&mut self, random: &mut fastrand::Rng, letter: Letter) -> Fate {
        let lose = self.profile.lose_request;
        self.fate(random, letter, lose, 0)
    }

    pub(crate) fn reply(&mut self, random: &mut fastrand::Rng, letter: Letter) -> Fate {
        let is_late = draw(random, self.profile.delay_reply);
        let late_us = if is_late { random.u64(200_000..2_200_000) } else { 0 };
        let lose = self.profile.lose_reply;
        self.fate(random, letter, lose, late_us)
    }

    /// When a caller hears that there is nobody, if it does.
    pub(crate) fn report(&self, random: &mut fastrand::Rng) -> Option<u64> {
        draw(random, self.profile.report_loss).then(|| self.profile.delay_us.draw(random))
    }

    fn fate(&mut self, random: &mut fastrand::Rng, letter: Letter, lose: u32, late_us: u64) -> Fate {
        let Letter { from, to, bytes, now } = letter;
        let link = self.link(from, to);
        if self.cut[link] || draw(random, lose) {
            return Fate::Lost { reported_after_us: self.report(random) };
        }
        let on_the_link_us = self.carry(link, bytes, now);
        let after_us = on_the_link_us + self.profile.delay_us.draw(random) + self.slow_us[link] + late_us;
        let twice = draw(random, self.profile.duplicate);
        let again_after_us = twice.then(|| after_us + random.u64(0..500_000));
        Fate::Arrives { after_us, again_after_us }
    }

    /// How long it takes until a link has carried so many bytes more.
    fn carry(&mut self, link: usize, bytes: usize, now: u64) -> u64 {
        if self.profile.bytes_per_s == 0 {
            return 0;
        }
        let took_us = (bytes + AROUND_BYTES) as u64 * 1_000_000 / self.profile.bytes_per_s;
        let free_at = &mut self.busy_until[link];
        *free_at = (*free_at).max(now) + took_us;
        *free_at - now
    }
}

/// What there is around a message: names of fields, and the heads of HTTP.
const AROUND_BYTES: usize = 300;

/// A message that is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letter {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    /// What it carries.
    pub(crate) bytes: usize,
    /// When it is sent.
    pub(crate) now: u64,
}

/// Whether something of this chance in thousandths happens.
pub(crate) fn draw(random: &mut fastrand::Rng, chance: u32) -> bool {
    // What never happens costs nothing.
    chance > 0 && random.u32(0..1_000) < chance
}

/// The place of a node in lists.
pub(crate) fn at(node: NodeId) -> usize {
    usize::try_from(node - 1).expect("clusters are small")
}
