//! The clock of a node, which may go wrong.

/// A million: rates are in millionths.
const WHOLE: u64 = 1_000_000;

/// A clock that runs at its own rate and may jump ahead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// At this time of the world ...
    world: u64,
    /// ... the clock showed this.
    shown: u64,
    /// How much the clock advances in a million microseconds of the world.
    rate: u64,
}

impl Clock {
    pub(crate) fn new(shown: u64, rate: u64) -> Self {
        Self { world: 0, shown, rate }
    }

    /// What the clock shows at a time of the world.
    pub(crate) fn read(&self, world: u64) -> u64 {
        self.shown + (world - self.world) * self.rate / WHOLE
    }

    /// When the clock will show this, or a little more; now at the earliest.
    pub(crate) fn when(&self, shown: u64, world: u64) -> u64 {
        let ahead = shown.saturating_sub(self.shown);
        let after = ahead.saturating_mul(WHOLE).div_ceil(self.rate);
        self.world.saturating_add(after).max(world)
    }

    /// Goes on at another rate.
    pub(crate) fn set_rate(&mut self, world: u64, rate: u64) {
        *self = Self { world, shown: self.read(world), rate };
    }

    /// Jumps ahead.
    pub(crate) fn jump(&mut self, world: u64, ahead: u64) {
        *self = Self { world, shown: self.read(world) + ahead, rate: self.rate };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_at_its_alarm_what_it_was_set_to() {
        let mut clock = Clock::new(7, 900_000);
        assert_eq!(clock.read(100), 97);
        clock.set_rate(100, 1_100_000);
        clock.jump(200, 1_000);
        assert_eq!(clock.read(200), 1_207);
        for shown in 1_300..1_400 {
            let at = clock.when(shown, 200);
            assert!(clock.read(at) >= shown && clock.read(at) <= shown + 2, "{shown}");
            assert!(clock.read(at - 1) < shown, "{shown}");
        }
        assert_eq!(clock.when(3, 250), 250);
    }
}
