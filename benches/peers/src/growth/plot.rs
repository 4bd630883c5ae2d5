//! A chart as SVG: on a ground of its own, so that it is legible on any page, and with nothing from outside.

use std::fmt::Write as _;

use super::charts::{Chart, Line, Spot};
use super::scale::{Scale, short};

/// The size of the picture and, within it, the edges of what the axes enclose, in pixels.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 570.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 352.0;

/// How far the names of lines are apart, from middle to middle.
const NAME_HEIGHT: f64 = 18.0;

/// How far the names of sizes are apart at least; one that has no room is left out.
const SIZE_WIDTH: f64 = 36.0;

const NAMESPACE: &str = "http://www.w3.org/2000/svg";
const FONT: &str = r#"font-family="sans-serif" font-size="12""#;

const INK: &str = "#222222";
const FAINT_INK: &str = "#555555";
const GRID: &str = "#e2e2e2";

/// The looks of systems: colours that people tell apart who see few of them (Okabe and Ito), and a mark for each. The last
/// one is for all others.
const STYLES: [(&str, Mark); 6] = [
    ("#0072b2", Mark::Circle),
    ("#d55e00", Mark::Square),
    ("#009e73", Mark::Triangle),
    ("#cc79a7", Mark::Diamond),
    ("#000000", Mark::Turned),
    ("#e69f00", Mark::Circle),
];

/// The shape of a mark.
#[derive(Clone, Copy)]
enum Mark {
    Circle,
    Square,
    Triangle,
    Diamond,
    /// A triangle on its tip.
    Turned,
}

/// The picture of a chart.
pub fn svg(chart: &Chart) -> String {
    let mut out = String::new();
    let title = escaped(chart.title);
    let size = format!(r#"width="{WIDTH}" height="{HEIGHT}""#);
    add(&mut out, format_args!(r#"<svg xmlns="{NAMESPACE}" {size} viewBox="0 0 {WIDTH} {HEIGHT}" {FONT}>"#));
    add(&mut out, format_args!("<title>{title}</title>"));
    add(&mut out, format_args!(r##"<rect {size} rx="6" fill="#ffffff"/>"##));
    let middle = f64::midpoint(LEFT, RIGHT);
    add(
        &mut out,
        format_args!(
            r#"<text x="{LEFT}" y="28" font-size="15" font-weight="bold" fill="{INK}">{title}</text>"#
        ),
    );
    text(&mut out, (middle, 390.0), "middle", INK, &chart.x_title);
    let (x, y) = (22.0, f64::midpoint(TOP, BOTTOM));
    add(
        &mut out,
        format_args!(
            r#"<text transform="translate({x} {y}) rotate(-90)" text-anchor="middle" fill="{INK}">{}</text>"#,
            escaped(chart.y_title)
        ),
    );
    let spots: Vec<_> = chart.lines.iter().flat_map(|line| &line.spots).copied().collect();
    if spots.is_empty() {
        text(&mut out, (middle, y), "middle", FAINT_INK, "There is nothing to draw.");
    } else {
        let xs: Vec<_> = spots.iter().map(|spot| spot.x).collect();
        let ys: Vec<_> = spots.iter().map(|spot| spot.y).collect();
        let axes = Axes { x: Scale::of_sizes(&xs, chart.is_x_logarithmic), y: Scale::of_figures(&ys) };
        axes.draw(&mut out);
        for line in &chart.lines {
            draw_line(&mut out, &axes, line);
        }
        draw_names(&mut out, &axes, &chart.lines);
    }
    if let Some(note) = note(chart, &spots) {
        text(&mut out, (LEFT, 411.0), "start", FAINT_INK, &note);
    }
    out.push_str("</svg>\n");
    out
}

/// What must be known of points that are not like the others.
fn note(chart: &Chart, spots: &[Spot]) -> Option<String> {
    let mut notes = Vec::new();
    if spots.iter().any(|spot| spot.is_bad) {
        notes.push("Hollow: some operations failed.".to_owned());
    }
    if chart.left_out > 0 {
        notes.push(format!("Not drawn, since nothing succeeded: {}.", chart.left_out));
    }
    (!notes.is_empty()).then(|| notes.join(" "))
}

struct Axes {
    x: Scale,
    y: Scale,
}

impl Axes {
    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (RIGHT - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - self.y.place(value) * (BOTTOM - TOP)
    }

    fn place(&self, spot: &Spot) -> (f64, f64) {
        (self.x(spot.x), self.y(spot.y))
    }

    fn draw(&self, out: &mut String) {
        for tick in &self.y.ticks {
            let y = self.y(*tick);
            add(out, format_args!(r#"<path d="M{LEFT} {y:.1}H{RIGHT}" stroke="{GRID}"/>"#));
            text(out, (LEFT - 8.0, y + 4.0), "end", INK, &short(*tick));
        }
        add(
            out,
            format_args!(r#"<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}" fill="none" stroke="{FAINT_INK}"/>"#),
        );
        let mut last = f64::NEG_INFINITY;
        for tick in &self.x.ticks {
            let x = self.x(*tick);
            add(out, format_args!(r#"<path d="M{x:.1} {BOTTOM}v5" stroke="{FAINT_INK}"/>"#));
            if x - last >= SIZE_WIDTH {
                text(out, (x, BOTTOM + 19.0), "middle", INK, &short(*tick));
                last = x;
            }
        }
    }
}

fn draw_line(out: &mut String, axes: &Axes, Line { style, is_dashed, spots, .. }: &Line) {
    let (colour, mark) = style_of(*style);
    let places: Vec<_> = spots.iter().map(|spot| axes.place(spot)).collect();
    let path: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let dash = dash(*is_dashed);
    add(
        out,
        format_args!(
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>"#,
            path.join(" ")
        ),
    );
    for (spot, place) in spots.iter().zip(places) {
        draw_mark(out, mark, place, colour, if spot.is_bad { "#ffffff" } else { colour });
    }
}

/// Writes the name of each line beside its end, or as near to it as the others allow.
fn draw_names(out: &mut String, axes: &Axes, lines: &[Line]) {
    let ends = lines.iter().map(|line| line.spots.last().map_or(BOTTOM, |spot| axes.y(spot.y)));
    for (line_of, y) in lines.iter().zip(apart(&ends.collect::<Vec<_>>())) {
        let (colour, mark) = style_of(line_of.style);
        let (from, to, dash) = (RIGHT + 8.0, RIGHT + 36.0, dash(line_of.is_dashed));
        add(out, format_args!(r#"<path d="M{from} {y:.1}H{to}" stroke="{colour}" stroke-width="2"{dash}/>"#));
        draw_mark(out, mark, (f64::midpoint(from, to), y), colour, colour);
        text(out, (to + 6.0, y + 4.0), "start", INK, &line_of.name);
    }
}

/// Heights near the wanted ones, of which no two are too close; they end at the lower edge.
fn apart(wanted: &[f64]) -> Vec<f64> {
    let mut order: Vec<_> = (0..wanted.len()).collect();
    order.sort_by(|one, other| wanted[*one].total_cmp(&wanted[*other]));
    let mut heights = wanted.to_vec();
    let mut least = f64::NEG_INFINITY;
    for place in &order {
        heights[*place] = heights[*place].max(least);
        least = heights[*place] + NAME_HEIGHT;
    }
    let mut most = BOTTOM;
    for place in order.iter().rev() {
        heights[*place] = heights[*place].min(most);
        most = heights[*place] - NAME_HEIGHT;
    }
    heights
}

fn draw_mark(out: &mut String, mark: Mark, (x, y): (f64, f64), colour: &str, fill: &str) {
    let shape = match mark {
        Mark::Circle => "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
        Mark::Square => "m-3.6-3.6h7.2v7.2h-7.2z",
        Mark::Triangle => "m0-4.8l4.6 8h-9.2z",
        Mark::Diamond => "m0-5l5 5l-5 5l-5-5z",
        Mark::Turned => "m0 4.8l4.6-8h-9.2z",
    };
    add(
        out,
        format_args!(
            r#"<path d="M{x:.1} {y:.1}{shape}" fill="{fill}" stroke="{colour}" stroke-width="1.5"/>"#
        ),
    );
}

fn style_of(style: usize) -> (&'static str, Mark) {
    STYLES[style.min(STYLES.len() - 1)]
}

fn dash(is_dashed: bool) -> &'static str {
    if is_dashed { r#" stroke-dasharray="4 3""# } else { "" }
}

fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, colour: &str, words: &str) {
    let words = escaped(words);
    add(
        out,
        format_args!(r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" fill="{colour}">{words}</text>"#),
    );
}

fn add(out: &mut String, words: std::fmt::Arguments<'_>) {
    writeln!(out, "{words}").expect("a string takes all that is written to it");
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::super::charts;
    use super::super::points::Point;
    use super::super::sweeps::Sweep;
    use super::*;

    fn cost(points: &[Point]) -> String {
        svg(&charts::of(Sweep::Concurrency, points)[0])
    }

    #[test]
    fn a_chart_is_drawn() {
        let point = |system, operation| move |(x, figure)| Point::example(system, operation, x, figure);
        let mut points = Vec::from([(1, 320.0), (16, 40.0), (1024, 7.5)].map(point("traitwire", "put")));
        points.extend([(1, 120.0), (16, 18.0), (1024, 6.0)].map(point("traitwire", "get")));
        points.extend([(1, 700.0), (16, 110.0)].map(point("etcd", "put")));
        points[4].median.errors = 1;
        expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/src/growth/golden.svg")].assert_eq(&cost(&points));
    }

    #[test]
    fn one_point_is_a_mark_in_the_middle() {
        let drawn = cost(&[Point::example("traitwire", "put", 64, 12.0)]);
        assert!(drawn.contains(&format!("M{:.1} ", f64::midpoint(LEFT, RIGHT))), "{drawn}");
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    }

    #[test]
    fn a_chart_without_points_says_so() {
        let mut nothing = Point::example("traitwire", "put", 64, 12.0);
        nothing.median.calls_per_second = 0.0;
        let drawn = cost(&[nothing]);
        assert!(drawn.contains("There is nothing to draw.") && drawn.contains("succeeded: 1."), "{drawn}");
        assert!(!drawn.contains("NaN") && !drawn.contains("polyline"), "{drawn}");
    }

    #[test]
    fn points_with_errors_are_hollow() {
        let mut failed = Point::example("tonic", "call", 64, 12.0);
        assert!(!cost(&[failed.clone()]).contains("Hollow"));
        failed.median.errors = 1;
        let drawn = cost(&[failed]);
        assert!(
            drawn.contains("Hollow") && drawn.contains(r##"fill="#ffffff" stroke="#d55e00""##),
            "{drawn}"
        );
    }

    #[test]
    fn names_are_text() {
        let drawn = cost(&[Point::example("<a&b>", "put", 64, 12.0)]);
        assert!(drawn.contains("&lt;a&amp;b&gt;"), "{drawn}");
    }

    #[test]
    fn names_of_lines_do_not_overlap() {
        assert_eq!(apart(&[100.0, 50.0, 101.0]), [100.0, 50.0, 118.0]);
        assert_eq!(apart(&[BOTTOM, BOTTOM, 60.0]), [BOTTOM - NAME_HEIGHT, BOTTOM, 60.0]);
        assert_eq!(apart(&[]), [0.0; 0]);
    }
}
