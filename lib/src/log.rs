//! Helpers for log lines and error messages that a caller can trigger: quoted text is escaped and bounded, and a
//! repeated line is throttled.

use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many characters of a text an [`Excerpt`] shows.
const EXCERPT_CHARS_MAX: usize = 128;

/// Shows text from outside in a log line or an error message: control characters are escaped, and everything after the
/// first 128 characters is replaced by the number of bytes left out.
///
/// ```
/// use traitwire::log::Excerpt;
///
/// assert_eq!(Excerpt("a\nb").to_string(), r"a\nb");
/// assert_eq!(Excerpt(&"x".repeat(130)).to_string(), format!("{}… (2 more bytes)", "x".repeat(128)));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Excerpt<'a>(pub &'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(EXCERPT_CHARS_MAX).map_or(self.0.len(), |(at, _)| at);
        for letter in self.0[..end].chars() {
            if is_plain(letter) {
                f.write_char(letter)?;
            } else {
                write!(f, "{}", letter.escape_default())?;
            }
        }
        match self.0.len() - end {
            0 => Ok(()),
            left => write!(f, "… ({left} more bytes)"),
        }
    }
}

/// The longest text that [`brief`] leaves as it is, in bytes.
const BRIEF_BYTES_MAX: usize = 512;
/// How many characters [`brief`] keeps of the end of a longer text.
const BRIEF_END_CHARS: usize = 96;

/// An error or a path that may quote text from outside, as one bounded line. Of a longer one the begin and the end remain:
/// errors of serde end with what they expected and where.
pub(crate) fn brief(text: impl fmt::Display) -> String {
    let text = text.to_string();
    if text.len() <= BRIEF_BYTES_MAX && text.chars().all(is_plain) {
        return text;
    }
    let begin = text.char_indices().nth(EXCERPT_CHARS_MAX).map_or(text.len(), |(at, _)| at);
    let end = text.char_indices().rev().nth(BRIEF_END_CHARS - 1).map_or(0, |(at, _)| at);
    if text.len() <= BRIEF_BYTES_MAX || end <= begin {
        return text.chars().map(|letter| if is_plain(letter) { letter } else { '\u{fffd}' }).collect();
    }
    format!("{}… ({} more bytes) …{}", Excerpt(&text[..begin]), end - begin, Excerpt(&text[end..]))
}

/// Whether a terminal shows the character as itself. Besides control characters, this excludes line and paragraph
/// separators and the characters that change the direction of text (Unicode Standard Annex 9, section 2).
fn is_plain(letter: char) -> bool {
    !letter.is_control()
        && !matches!(letter, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
        && !matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Limits how often a log line is written.
///
/// ```
/// use std::time::Duration;
/// use traitwire::log::LogThrottle;
///
/// static REFUSED: LogThrottle = LogThrottle::new(Duration::from_secs(10));
///
/// for _ in 0..1_000 {
///     if let Some(suppressed) = REFUSED.permit() {
///         // Written once; `suppressed` is what it left out since the line before.
///         assert_eq!(suppressed, 0);
///     }
/// }
/// ```
#[derive(Debug)]
pub struct LogThrottle {
    interval: Duration,
    state: Mutex<ThrottleState>,
}

#[derive(Debug)]
struct ThrottleState {
    last: Option<Instant>,
    suppressed: u64,
}

impl LogThrottle {
    /// At most one line in each `interval`.
    pub const fn new(interval: Duration) -> Self {
        Self { interval, state: Mutex::new(ThrottleState { last: None, suppressed: 0 }) }
    }

    /// Whether a line may be written now. If so, returns how many lines were suppressed since the last one.
    pub fn permit(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| last.elapsed() < self.interval) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(Instant::now());
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_bounded_line() {
        assert_eq!(Excerpt("plain ünïcode").to_string(), "plain ünïcode");
        assert_eq!(Excerpt("\u{1b}[31mred\r\n\u{202e}").to_string(), r"\u{1b}[31mred\r\n\u{202e}");
        let long = "é".repeat(10_000);
        assert_eq!(Excerpt(&long).to_string(), format!("{}… (19744 more bytes)", "é".repeat(128)));
    }

    #[test]
    fn a_brief_error_keeps_its_begin_and_its_end() {
        assert_eq!(brief("unknown field `a`\n"), "unknown field `a`\u{fffd}");
        let long = format!("unknown field `{}`, expected `key` at line 1 column 9", "é".repeat(10_000));
        let short = brief(&long);
        assert!(short.starts_with("unknown field `éé") && short.len() < BRIEF_BYTES_MAX * 2, "{short}");
        assert!(
            short.ends_with("expected `key` at line 1 column 9") && short.contains("more bytes"),
            "{short}"
        );
    }

    #[test]
    fn a_throttle_counts_what_it_suppresses() {
        let hour = LogThrottle::new(Duration::from_secs(3_600));
        assert_eq!((hour.permit(), hour.permit(), hour.permit()), (Some(0), None, None));
        let never = LogThrottle::new(Duration::ZERO);
        assert_eq!((never.permit(), never.permit()), (Some(0), Some(0)));
    }
}
