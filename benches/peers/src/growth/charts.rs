//! What is drawn of the points of a sweep: what an operation costs and, where more are under way, how many there are.

use super::points::Point;
use super::sweeps::Sweep;

/// A picture before it is drawn.
#[derive(Clone, Debug)]
pub struct Chart {
    /// The name of its file, without what follows the point.
    pub name: String,
    /// What stands above it.
    pub title: &'static str,
    /// What grows to the right.
    pub x_title: String,
    /// What grows upwards, with its unit.
    pub y_title: &'static str,
    /// Whether sizes are spread by their logarithm.
    pub is_x_logarithmic: bool,
    /// The lines, each with a spot or more.
    pub lines: Vec<Line>,
    /// Points without a place in it.
    pub left_out: usize,
}

/// What belongs together.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it is called.
    pub name: String,
    /// The place of its system among [`SYSTEMS`], which has its colour and its mark.
    pub style: usize,
    /// Whether it is broken.
    pub is_dashed: bool,
    /// From left to right.
    pub spots: Vec<Spot>,
}

/// A point with its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spot {
    /// The size of what grows.
    pub x: f64,
    /// The figure, above 0.
    pub y: f64,
    /// Whether operations failed.
    pub is_bad: bool,
}

/// All systems, so that each looks the same in all pictures; those that are never in one picture share a look.
const SYSTEMS: [&[&str]; 5] =
    [&["traitwire"], &["etcd", "tonic"], &["handwritten"], &["tarpc-bincode"], &["frames"]];

/// The pictures of a sweep; none where it has no points.
pub fn of(sweep: Sweep, points: &[Point]) -> Vec<Chart> {
    let points: Vec<_> = points.iter().filter(|point| point.sweep == sweep).collect();
    let Some(first) = points.first() else { return Vec::new() };
    let fixed = first.concurrency;
    let (title, x_title) = match sweep {
        Sweep::Concurrency => (
            "What an operation on the store costs, as more are under way",
            "operations under way at once".to_owned(),
        ),
        Sweep::Calls => ("What a call costs, as more are under way", "calls under way at once".to_owned()),
        Sweep::Keys => {
            ("What an operation costs, as keys become more", under_load("keys in the store", fixed))
        }
        Sweep::Log => ("What an operation costs, as the log grows", under_load("entries in the log", fixed)),
        Sweep::Nodes => ("What an operation costs, as nodes become more", under_load("nodes", fixed)),
    };
    let cost = Chart {
        name: sweep.to_string(),
        title,
        x_title,
        y_title: "processor time per operation, µs (clients + servers)",
        is_x_logarithmic: sweep != Sweep::Nodes,
        lines: lines(&points, |point| point.median.cpu_us()),
        left_out: points.iter().filter(|point| point.is_empty()).count(),
    };
    let (title, y_title) = match sweep {
        Sweep::Concurrency => ("How many operations there are, as more are under way", "operations a second"),
        Sweep::Calls => ("How many calls there are, as more are under way", "calls a second"),
        Sweep::Keys | Sweep::Log | Sweep::Nodes => return vec![cost],
    };
    let lines = lines(&points, |point| point.median.calls_per_second);
    let rate = Chart { name: format!("{sweep}-rate"), title, y_title, lines, ..cost.clone() };
    vec![cost, rate]
}

fn under_load(what: &str, concurrency: usize) -> String {
    format!("{what} ({concurrency} operations under way at once)")
}

fn lines(points: &[&Point], figure: fn(&Point) -> f64) -> Vec<Line> {
    let drawn: Vec<_> = points.iter().filter(|point| !point.is_empty()).collect();
    let has_one_operation = points.iter().all(|point| point.operation == points[0].operation);
    let mut lines: Vec<Line> = Vec::new();
    for point in drawn {
        let name = if has_one_operation { point.system.clone() } else { point.line() };
        let spot = Spot { x: point.x as f64, y: figure(point), is_bad: point.is_bad() };
        if let Some(line) = lines.iter_mut().find(|line| line.name == name) {
            line.spots.push(spot);
            continue;
        }
        let style = SYSTEMS.iter().position(|names| names.contains(&point.system.as_str()));
        lines.push(Line {
            name,
            style: style.unwrap_or(SYSTEMS.len()),
            is_dashed: point.operation == "get",
            spots: vec![spot],
        });
    }
    for line in &mut lines {
        line.spots.sort_by(|one, other| one.x.total_cmp(&other.x));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_without_points_has_no_picture() {
        assert!(of(Sweep::Keys, &[Point::example("traitwire", "put", 1, 1.0)]).is_empty());
    }

    #[test]
    fn a_system_without_points_has_no_line() {
        let points = [16, 1].map(|x| Point::example("traitwire", "put", x, x as f64));
        let [cost, rate] = <[Chart; 2]>::try_from(of(Sweep::Concurrency, &points)).unwrap();
        assert_eq!((cost.lines.len(), cost.lines[0].name.as_str(), cost.left_out), (1, "traitwire", 0));
        let spot = |x, y| Spot { x, y, is_bad: false };
        assert_eq!(cost.lines[0].spots, [spot(1.0, 2.0), spot(16.0, 32.0)]);
        assert_eq!(rate.lines[0].spots, [spot(1.0, 1.0), spot(16.0, 16.0)]);
    }

    #[test]
    fn a_point_where_nothing_succeeded_is_left_out() {
        let mut points = ["put", "get"].map(|operation| Point::example("etcd", operation, 4, 1.0));
        points[0].median.calls_per_second = 0.0;
        points[1].median.errors = 2;
        let charts = of(Sweep::Concurrency, &points);
        assert_eq!((charts[0].left_out, charts[0].lines.len()), (1, 1));
        assert_eq!(charts[0].lines[0].name, "etcd get");
        assert!(charts[0].lines[0].spots[0].is_bad && charts[0].lines[0].is_dashed);
    }
}
