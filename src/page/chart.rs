//! A chart of lines, as SVG in the colours of the page and a legend of HTML below it.

use std::fmt::Write as _;

use super::{
    axis::ChartAxis,
    shape::{label, line},
    text::escaped,
};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 54.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;
/// More points are a line; fewer are seen as points too.
const MOST_DOTS: usize = 40;
/// So many colours the page has; further lines take them again.
const COLOURS: usize = 6;

/// A chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What it shows, for those who cannot see it.
    pub name: String,
    /// From left to right.
    pub x: ChartAxis,
    /// From below upwards.
    pub y: ChartAxis,
    /// Each in its colour.
    pub lines: Vec<ChartLine>,
}

/// One line.
#[derive(Clone, Debug)]
pub struct ChartLine {
    /// What the legend says.
    pub name: String,
    /// Which of the page's colours.
    pub colour: usize,
    /// From left to right.
    pub points: Vec<ChartPoint>,
}

/// One point.
#[derive(Clone, Debug)]
pub struct ChartPoint {
    /// Where it is on the axis of x.
    pub x: f64,
    /// Its value; none interrupts the line.
    pub y: Option<f64>,
    /// What is said of it where a mouse rests on it.
    pub title: String,
}

impl Chart {
    /// The chart and its legend.
    pub fn html(&self) -> String {
        let mut html = self.svg();
        if self.lines.len() > 1 {
            html.push_str("<p class=\"legend\">");
            for ChartLine { name, colour, .. } in &self.lines {
                let (colour, name) = (colour % COLOURS, escaped(name));
                let _ = write!(html, "<span><i class=\"s{colour}\"></i>{name}</span>");
            }
            html.push_str("</p>");
        }
        html
    }

    fn svg(&self) -> String {
        let mut svg = format!(
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escaped(&self.name)
        );
        let x = |value: f64| LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM);
        for (at, text) in &self.y.marks {
            line(&mut svg, "grid", (LEFT, y(*at)), (WIDTH - RIGHT, y(*at)));
            label(&mut svg, "end", (LEFT - 7.0, y(*at) + 4.0), &escaped(text));
        }
        for (at, text) in &self.x.marks {
            line(&mut svg, "grid", (x(*at), TOP), (x(*at), HEIGHT - BOTTOM));
            label(&mut svg, "middle", (x(*at), HEIGHT - BOTTOM + 16.0), &escaped(text));
        }
        line(&mut svg, "axis", (LEFT, HEIGHT - BOTTOM), (WIDTH - RIGHT, HEIGHT - BOTTOM));
        label(&mut svg, "middle", ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 8.0), &escaped(&self.x.label));
        let (side, middle) = (13.0, (TOP + HEIGHT - BOTTOM) / 2.0);
        let _ = write!(
            svg,
            "<text class=\"tick\" text-anchor=\"middle\" transform=\"rotate(-90 {side} {middle})\" x=\"{side}\" y=\"{middle}\">{}</text>",
            escaped(&self.y.label)
        );
        for drawn in &self.lines {
            draw(&mut svg, drawn, &x, &y);
        }
        svg.push_str("</svg>");
        svg
    }
}

fn draw(svg: &mut String, drawn: &ChartLine, x: &impl Fn(f64) -> f64, y: &impl Fn(f64) -> f64) {
    let colour = drawn.colour % COLOURS;
    let mut path = String::new();
    let mut pen = 'M';
    for point in &drawn.points {
        match point.y.filter(|value| value.is_finite()) {
            Some(value) => {
                let _ = write!(path, "{pen}{:.1} {:.1}", x(point.x), y(value));
                pen = 'L';
            }
            None => pen = 'M',
        }
    }
    let _ = write!(svg, "<g class=\"s{colour}\"><path d=\"{path}\"/>");
    let radius = if drawn.points.len() <= MOST_DOTS { 3.0 } else { 0.0 };
    for point in &drawn.points {
        let Some(value) = point.y.filter(|value| value.is_finite()) else { continue };
        let (cx, cy) = (x(point.x), y(value));
        let title = escaped(&point.title);
        let _ = write!(svg, "<g><title>{title}</title><circle class=\"hit\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"7\"/>");
        if radius > 0.0 {
            let _ = write!(svg, "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"{radius}\"/>");
        }
        svg.push_str("</g>");
    }
    svg.push_str("</g>");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[(f64, Option<f64>)]) -> Chart {
        let point = |&(x, y): &(f64, Option<f64>)| ChartPoint { x, y, title: "<b>".to_owned() };
        let points = points.iter().map(point).collect();
        let line = |name: &str, colour| ChartLine { name: name.to_owned(), colour, points: Vec::new() };
        Chart {
            name: "a \"chart\"".to_owned(),
            x: ChartAxis::linear("seconds", 10.0),
            y: ChartAxis::linear("ms & more", 100.0),
            lines: vec![ChartLine { name: "one".to_owned(), colour: 0, points }, line("</svg>", 7)],
        }
    }

    #[test]
    fn a_point_lies_where_its_axes_say() {
        let html = chart(&[(0.0, Some(0.0)), (10.0, Some(100.0))]).html();
        assert!(html.contains("<path d=\"M54.0 256.0L624.0 12.0\"/>"), "{html}");
    }

    #[test]
    fn a_gap_interrupts_a_line() {
        let html = chart(&[(0.0, Some(0.0)), (2.0, None), (4.0, Some(f64::NAN)), (10.0, Some(0.0))]).html();
        assert!(html.contains("<path d=\"M54.0 256.0M624.0 256.0\"/>"), "{html}");
    }

    #[test]
    fn no_text_is_markup() {
        let html = chart(&[(1.0, Some(1.0))]).html();
        assert!(html.contains("&lt;/svg&gt;") && html.contains("&lt;b&gt;") && html.contains("ms &amp; more"));
        assert!(html.contains("aria-label=\"a &quot;chart&quot;\""), "{html}");
        assert_eq!(html.matches("</svg>").count(), 1);
    }
}
