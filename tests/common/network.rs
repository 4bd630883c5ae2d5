//! What a bad network does to what passes: which exchanges it loses, delays or repeats, drawn from a seed.

use std::ops::RangeInclusive;
use std::time::Duration;

/// What the network does to exchanges, as shares from 0 to 1 and ranges to draw from.
#[derive(Clone, Debug)]
pub(crate) struct NetworkConfig {
    request_loss: f64,
    reply_loss: f64,
    request_delay: RangeInclusive<Duration>,
    reply_delay: RangeInclusive<Duration>,
    late_replies: f64,
    late_reply_delay: RangeInclusive<Duration>,
    duplicates: f64,
    duplicate_delay: RangeInclusive<Duration>,
    cut_delay: RangeInclusive<Duration>,
}

impl NetworkConfig {
    /// No fault.
    pub(crate) fn reliable() -> Self {
        Self {
            request_loss: 0.0,
            reply_loss: 0.0,
            request_delay: ms(0, 0),
            reply_delay: ms(0, 0),
            late_replies: 0.0,
            late_reply_delay: ms(200, 2_200),
            duplicates: 0.0,
            duplicate_delay: ms(0, 500),
            cut_delay: ms(0, 0),
        }
    }

    /// Half of the requests and half of the replies are lost, and each way takes 1 to 5 ms.
    pub(crate) fn unreliable() -> Self {
        let delay = ms(1, 5);
        Self {
            request_loss: 0.5,
            reply_loss: 0.5,
            request_delay: delay.clone(),
            reply_delay: delay,
            ..Self::reliable()
        }
    }

    /// A tenth of the requests and a tenth of the replies are lost, and each way takes up to 26 ms.
    pub(crate) fn lossy() -> Self {
        let delay = ms(0, 26);
        Self {
            request_loss: 0.1,
            reply_loss: 0.1,
            request_delay: delay.clone(),
            reply_delay: delay,
            ..Self::reliable()
        }
    }

    /// Two thirds of the replies come 200 to 2,200 ms late, and so out of order.
    #[must_use]
    pub(crate) fn with_late_replies(self) -> Self {
        Self { late_replies: 2.0 / 3.0, ..self }
    }

    /// A tenth of the requests reach the server twice, the copy up to 500 ms after the first was answered.
    #[must_use]
    pub(crate) fn with_duplicates(self) -> Self {
        Self { duplicates: 0.1, ..self }
    }

    /// While the network is cut or a client is blocked, exchanges hang for up to 7 s before they fail.
    #[must_use]
    pub(crate) fn with_hanging_cuts(self) -> Self {
        Self { cut_delay: ms(0, 7_000), ..self }
    }

    /// Draws what becomes of one exchange.
    pub(crate) fn draw(&self, random: &mut fastrand::Rng) -> Plan {
        // Everything is drawn each time, so that one fate does not shift the draws of the next exchange.
        let (request_lost, reply_lost) = (random.f64() < self.request_loss, random.f64() < self.reply_loss);
        let late = random.f64() < self.late_replies;
        let late_by = within(&self.late_reply_delay, random);
        let copied = random.f64() < self.duplicates;
        let copy_after = within(&self.duplicate_delay, random);
        Plan {
            fate: match (request_lost, reply_lost) {
                (true, _) => Fate::DropRequest,
                (false, true) => Fate::DropReply,
                (false, false) => Fate::Deliver,
            },
            request_delay: within(&self.request_delay, random),
            reply_delay: within(&self.reply_delay, random) + if late { late_by } else { Duration::ZERO },
            copy_after: copied.then_some(copy_after),
            cut_delay: within(&self.cut_delay, random),
        }
    }
}

/// What becomes of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It reaches the server, and the reply reaches the client.
    Deliver,
    /// The server never sees it.
    DropRequest,
    /// The server has done it, but the client learns nothing.
    DropReply,
    /// It waits in the proxy until the test takes it with [`Proxy::next_held`](super::proxy::Proxy::next_held) and decides.
    Hold,
}

/// All that was drawn for one exchange, when it arrived.
pub(crate) struct Plan {
    pub(crate) fate: Fate,
    pub(crate) request_delay: Duration,
    pub(crate) reply_delay: Duration,
    pub(crate) copy_after: Option<Duration>,
    pub(crate) cut_delay: Duration,
}

fn ms(from: u64, to: u64) -> RangeInclusive<Duration> {
    Duration::from_millis(from)..=Duration::from_millis(to)
}

fn within(range: &RangeInclusive<Duration>, random: &mut fastrand::Rng) -> Duration {
    *range.start() + (*range.end() - *range.start()).mul_f64(random.f64())
}
