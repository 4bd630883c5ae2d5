//! Reading a state at a pace that leaves time for everything else.

use std::io::{self, Read};
use std::time::{Duration, Instant};

/// After how many bytes there is a rest.
const BYTES_BETWEEN_RESTS: usize = 256 << 10;

/// How long a rest is, in multiples of the work before it: a snapshot then takes a quarter of a core and of the disk.
const REST_PER_WORK: u32 = 3;

/// The longest rest.
const REST_MAX: Duration = Duration::from_millis(100);

/// Reads on and rests now and then, for threads alone.
pub(super) struct Paced<R> {
    inner: R,
    /// Since when there was no rest, and how many bytes were read since then.
    since: Instant,
    bytes: usize,
}

impl<R> Paced<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, since: Instant::now(), bytes: 0 }
    }
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes >= BYTES_BETWEEN_RESTS {
            std::thread::sleep((self.since.elapsed() * REST_PER_WORK).min(REST_MAX));
            (self.since, self.bytes) = (Instant::now(), 0);
        }
        let count = self.inner.read(buffer)?;
        self.bytes += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nothing_is_left_out() {
        let bytes: Vec<u8> = (0..3 * BYTES_BETWEEN_RESTS + 7).map(|place| place.to_le_bytes()[0]).collect();
        let mut read = Vec::new();
        Paced::new(io::Cursor::new(&bytes)).read_to_end(&mut read).unwrap();
        assert!(read == bytes);
    }
}
