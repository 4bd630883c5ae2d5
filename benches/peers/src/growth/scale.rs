//! Axes: where on them a value is, and which values are named.

/// Values are spread by their logarithm where the largest is so many times the smallest.
const LOGARITHMIC_FROM: f64 = 10.0;

/// A logarithmic axis over more decades names only the powers of ten.
const FINE_DECADES_MAX: f64 = 3.0;

/// How many steps an even axis has, about.
const STEPS: f64 = 5.0;

/// How far the first and the last size are from the ends of their axis, as a part of it.
const MARGIN: f64 = 0.05;

/// An axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    is_logarithmic: bool,
    low: f64,
    high: f64,
    /// The values that are named, from low to high.
    pub ticks: Vec<f64>,
}

impl Scale {
    /// An axis for figures above 0, between round numbers: logarithmic where they span more than a decade, and else from 0.
    /// There must be one.
    pub fn of_figures(figures: &[f64]) -> Self {
        let (least, most) = bounds(figures);
        assert!(least > 0.0, "only figures above 0 are drawn");
        if most < least * LOGARITHMIC_FROM {
            let step = round_above(most / STEPS);
            let steps = (most / step).ceil();
            let ticks = (0..=steps as usize).map(|number| number as f64 * step);
            return Self { is_logarithmic: false, low: 0.0, high: steps * step, ticks: ticks.collect() };
        }
        let (low, high) = (round_below(least), round_above(most));
        let is_fine = (high / low).log10() <= FINE_DECADES_MAX;
        let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
        let within = |tick: &f64| (low * 0.999..=high * 1.001).contains(tick);
        let ticks = decades
            .flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(decade)))
            .filter(|tick| within(tick) && (is_fine || is_power_of_ten(*tick)));
        Self { is_logarithmic: true, low, high, ticks: ticks.collect() }
    }

    /// An axis for sizes above 0, each of which is named. There must be one.
    pub fn of_sizes(sizes: &[f64], is_logarithmic: bool) -> Self {
        let (least, most) = bounds(sizes);
        assert!(least > 0.0, "only sizes above 0 are drawn");
        let mut ticks = sizes.to_vec();
        ticks.sort_by(f64::total_cmp);
        ticks.dedup();
        let (low, high) = if is_logarithmic {
            let margin = if most > least { (most / least).powf(MARGIN) } else { LOGARITHMIC_FROM };
            (least / margin, most * margin)
        } else {
            let margin = if most > least { (most - least) * MARGIN } else { 1.0 };
            (least - margin, most + margin)
        };
        Self { is_logarithmic, low, high, ticks }
    }

    /// Where a value is: 0 at the low end, 1 at the high end.
    pub fn place(&self, value: f64) -> f64 {
        let [low, high, value] =
            [self.low, self.high, value].map(|it| if self.is_logarithmic { it.ln() } else { it });
        (value - low) / (high - low)
    }
}

fn bounds(values: &[f64]) -> (f64, f64) {
    assert!(!values.is_empty(), "an axis needs a value");
    (values.iter().copied().fold(f64::INFINITY, f64::min), values.iter().copied().fold(0.0, f64::max))
}

fn is_power_of_ten(value: f64) -> bool {
    let decades = value.log10();
    (decades - decades.round()).abs() < 1e-9
}

/// The round numbers about a value, which are 1, 2 and 5 times a power of ten, from low to high.
fn round_numbers(value: f64) -> [f64; 5] {
    let decade = 10_f64.powf(value.log10().floor());
    [0.5, 1.0, 2.0, 5.0, 10.0].map(|digit| digit * decade)
}

fn round_above(value: f64) -> f64 {
    // What is as good as equal is, as steps of decimals are not exact.
    round_numbers(value).into_iter().find(|it| *it >= value * 0.999_999).unwrap_or(value)
}

fn round_below(value: f64) -> f64 {
    round_numbers(value).into_iter().rfind(|it| *it <= value * 1.000_001).unwrap_or(value)
}

/// A number in few characters: 0.5, 20, 1k, 2.5M; one that would lose digits is as it is.
pub fn short(number: f64) -> String {
    for (unit, name) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] {
        let tenths = number / unit * 10.0;
        if number >= unit && (tenths - tenths.round()).abs() < 1e-6 {
            return format!("{}{name}", tenths.round() / 10.0);
        }
    }
    format!("{}", (number * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(figures: &[f64], ticks: &[&str], places: &[f64]) {
        let scale = Scale::of_figures(figures);
        assert_eq!(scale.ticks.iter().copied().map(short).collect::<Vec<_>>(), ticks, "{figures:?}");
        let found = figures.iter().map(|it| (scale.place(*it) * 1e3).round() / 1e3);
        assert_eq!(found.collect::<Vec<_>>(), places, "{figures:?}");
    }

    #[test]
    fn figures_have_an_axis_between_round_numbers() {
        check(&[3.0, 9.0], &["0", "2", "4", "6", "8", "10"], &[0.3, 0.9]);
        check(&[0.7], &["0", "0.2", "0.4", "0.6", "0.8"], &[0.875]);
        check(&[0.3, 0.6], &["0", "0.2", "0.4", "0.6"], &[0.5, 1.0]);
        check(&[10.0, 100.0], &["10", "20", "50", "100"], &[0.0, 1.0]);
        check(&[15.0, 1_000.0], &["10", "20", "50", "100", "200", "500", "1k"], &[0.088, 1.0]);
        check(&[1.0, 1_500_000.0], &["1", "10", "100", "1k", "10k", "100k", "1M"], &[0.0, 0.98]);
    }

    #[test]
    fn sizes_are_all_named() {
        let scale = Scale::of_sizes(&[100.0, 1.0, 10.0, 10.0], true);
        assert_eq!(scale.ticks, [1.0, 10.0, 100.0]);
        assert!((scale.place(10.0) - 0.5).abs() < 1e-9 && scale.place(1.0) > 0.0);
        let scale = Scale::of_sizes(&[3.0, 5.0, 7.0], false);
        assert!((scale.place(5.0) - 0.5).abs() < 1e-9 && scale.place(7.0) < 1.0);
    }

    #[test]
    fn one_size_is_in_the_middle() {
        for is_logarithmic in [false, true] {
            let scale = Scale::of_sizes(&[7.0], is_logarithmic);
            assert!((scale.place(7.0) - 0.5).abs() < 1e-9, "{scale:?}");
        }
    }

    #[test]
    fn numbers_are_short_and_lose_nothing() {
        let numbers = [0.05, 1.0, 20.0, 1e3, 1_024.0, 2_500.0, 1e4, 1_048_576.0, 1e6, 3e9];
        let texts = ["0.05", "1", "20", "1k", "1024", "2.5k", "10k", "1048576", "1M", "3G"];
        assert_eq!(numbers.map(short), texts);
    }
}
