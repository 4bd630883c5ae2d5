//! Bounds of numbers, lengths and counts, and which of two is the tighter.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Value};

/// Numbers, of which the bounds come from the format too: a `uint32` is at most 4,294,967,295 without saying so.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Number {
    pub(super) is_integer: bool,
    pub(super) format: Option<String>,
    pub(super) range: Range,
    pub(super) multiple_of: Option<Value>,
}

/// From where to where numbers go.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Range {
    pub(super) low: Option<Edge>,
    pub(super) high: Option<Edge>,
}

/// Where numbers end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Edge {
    pub(super) value: Exact,
    pub(super) excluded: bool,
}

/// A number as it was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Exact {
    Integer(i128),
    Real(f64),
}

/// How many letters, items or keys there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) low: Option<u64>,
    pub(super) high: Option<u64>,
}

/// How one set of values became another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    /// Some values are no longer in it.
    pub(super) narrowed: bool,
    /// Some values are new in it.
    pub(super) widened: bool,
}

impl Number {
    /// All numbers.
    pub(super) fn any() -> Self {
        Self { is_integer: false, format: None, range: Range::default(), multiple_of: None }
    }

    pub(super) fn of(type_name: &str, keywords: &Map<String, Value>) -> Self {
        let is_integer = type_name == "integer";
        let format = keywords.get("format").and_then(Value::as_str).map(str::to_owned);
        let edge = |keyword: &str, excluded| {
            let value = Exact::of(keywords.get(keyword)?)?;
            Some(Edge { value, excluded })
        };
        let whole = |edge: Edge, step: i128| if is_integer { edge.whole(step) } else { edge };
        let (format_low, format_high) = format.as_deref().map_or((None, None), format_range);
        let lows = [edge("minimum", false), edge("exclusiveMinimum", true), format_low.map(Edge::at)];
        let highs = [edge("maximum", false), edge("exclusiveMaximum", true), format_high.map(Edge::at)];
        let lows = lows.into_iter().flatten().map(|edge| whole(edge, 1));
        let highs = highs.into_iter().flatten().map(|edge| whole(edge, -1));
        let range = Range { low: lows.max_by(Edge::compare_low), high: highs.min_by(Edge::compare_high) };
        Self { is_integer, format, range, multiple_of: keywords.get("multipleOf").cloned() }
    }

    /// Whether it is called otherwise: another format, or no integer any more.
    pub(super) fn is_other_type(&self, other: &Self) -> bool {
        self.is_integer != other.is_integer || self.format != other.format
    }

    pub(super) fn moved_to(&self, new: &Self) -> Moved {
        let mut moved = self.range.moved_to(&new.range);
        moved.narrowed |= new.is_integer && !self.is_integer;
        moved.widened |= self.is_integer && !new.is_integer;
        moved
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = if self.is_integer { "integer" } else { "number" };
        f.write_str(self.format.as_deref().unwrap_or(plain))
    }
}

/// The least and the greatest number of an integer format, where it has them.
fn format_range(format: &str) -> (Option<i128>, Option<i128>) {
    let signed = |bits: u32| (Some(-(1 << (bits - 1))), Some((1 << (bits - 1)) - 1));
    let unsigned = |bits: u32| (Some(0), Some((1 << bits) - 1));
    match format {
        "int8" => signed(8),
        "int16" => signed(16),
        "int32" => signed(32),
        "int64" | "int" => signed(64),
        "uint8" => unsigned(8),
        "uint16" => unsigned(16),
        "uint32" => unsigned(32),
        "uint64" | "uint" => unsigned(64),
        // The greatest of these is beyond what is counted with here.
        "uint128" => (Some(0), None),
        _ => (None, None),
    }
}

impl Range {
    fn moved_to(&self, new: &Self) -> Moved {
        let low = compare_ends(self.low, new.low, Edge::compare_low, Ordering::Less);
        let high = compare_ends(self.high, new.high, Edge::compare_high, Ordering::Greater);
        Moved {
            narrowed: low == Ordering::Greater || high == Ordering::Less,
            widened: low == Ordering::Less || high == Ordering::Greater,
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.low, self.high) {
            (None, None) => f.write_str("any number"),
            (Some(low), None) => write!(f, "from {low}"),
            (None, Some(high)) => write!(f, "up to {high}"),
            (Some(low), Some(high)) => write!(f, "from {low} to {high}"),
        }
    }
}

/// How the new end compares to the old one; an end that is missing is `missing` than all others.
fn compare_ends(
    old: Option<Edge>,
    new: Option<Edge>,
    compare: fn(&Edge, &Edge) -> Ordering,
    missing: Ordering,
) -> Ordering {
    match (old, new) {
        (None, None) => Ordering::Equal,
        (Some(_), None) => missing,
        (None, Some(_)) => missing.reverse(),
        (Some(old), Some(new)) => compare(&new, &old),
    }
}

impl Edge {
    fn at(value: i128) -> Self {
        Self { value: Exact::Integer(value), excluded: false }
    }

    /// The last integer inside, `step` being the way inwards.
    fn whole(self, step: i128) -> Self {
        let value = match self.value {
            Exact::Integer(value) => value + if self.excluded { step } else { 0 },
            Exact::Real(value) => {
                let inside = if step > 0 { value.ceil() } else { value.floor() };
                let is_excluded = self.excluded && inside == value;
                // Conversion saturates, and whoever writes such a bound means no bound.
                inside as i128 + if is_excluded { step } else { 0 }
            }
        };
        Self::at(value)
    }

    fn compare_low(&self, other: &Self) -> Ordering {
        self.value.compare(other.value).then(self.excluded.cmp(&other.excluded))
    }

    fn compare_high(&self, other: &Self) -> Ordering {
        self.value.compare(other.value).then(other.excluded.cmp(&self.excluded))
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            Exact::Integer(value) => write!(f, "{value}")?,
            Exact::Real(value) => write!(f, "{value}")?,
        }
        f.write_str(if self.excluded { " (excluded)" } else { "" })
    }
}

impl Exact {
    fn of(value: &Value) -> Option<Self> {
        let integer = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
        if let Some(integer) = integer {
            return Some(Self::Integer(integer));
        }
        let real = value.as_f64()?;
        /// Up to here every integer is a `f64`.
        const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
        let is_whole = real.fract() == 0.0 && real.abs() <= EXACT_MAX;
        Some(if is_whole { Self::Integer(real as i128) } else { Self::Real(real) })
    }

    fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Integer(one), Self::Integer(other)) => one.cmp(&other),
            (one, other) => one.real().total_cmp(&other.real()),
        }
    }

    fn real(self) -> f64 {
        match self {
            Self::Integer(value) => value as f64,
            Self::Real(value) => value,
        }
    }
}

impl Bounds {
    pub(super) fn of(keywords: &Map<String, Value>, low: &str, high: &str) -> Self {
        // Some write `3.0`.
        let bound = |keyword: &str| {
            let value = keywords.get(keyword)?;
            value.as_u64().or_else(|| value.as_f64().filter(|it| *it >= 0.0).map(|it| it as u64))
        };
        Self { low: bound(low).filter(|low| *low > 0), high: bound(high) }
    }

    pub(super) fn moved_to(&self, new: &Self) -> Moved {
        let (old_low, new_low) = (self.low.unwrap_or(0), new.low.unwrap_or(0));
        let (old_high, new_high) = (self.high.unwrap_or(u64::MAX), new.high.unwrap_or(u64::MAX));
        Moved {
            narrowed: new_low > old_low || new_high < old_high,
            widened: new_low < old_low || new_high > old_high,
        }
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.low, self.high) {
            (None, None) => f.write_str("any number of"),
            (Some(low), None) => write!(f, "at least {low}"),
            (None, Some(high)) => write!(f, "at most {high}"),
            (Some(low), Some(high)) if low == high => write!(f, "{low}"),
            (low, Some(high)) => write!(f, "{} to {high}", low.unwrap_or(0)),
        }
    }
}
