//! A scatter plot of size against time.

use super::axis::Axis;
use super::canvas::{self, WIDTH, canvas, dot, figure, horizontal, label, line, mark, vertical};
use super::color::CellColor;
use crate::build::BuildRecord;
use crate::markup::Element;
use crate::report::number::Scale;
use crate::report::sections::{ConditionSection, Row};

const LEFT: f64 = 56.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 420.0;
/// Half the height of a label in pixels.
const HALF: f64 = 8.0;

/// One cell.
struct Point<'a> {
    title: String,
    color: &'a CellColor,
    mebibytes: f64,
    low: f64,
    ready: f64,
    high: f64,
}

/// An occupied rectangle: a label, a dot or a whisker.
#[derive(Clone, Copy)]
struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Area {
    fn meets(&self, other: &Self) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }
}

/// The chart; `None` if no cell has both a size and a time.
pub fn picture(section: &ConditionSection, colors: &[CellColor], builds: &[BuildRecord]) -> Option<Element> {
    let points: Vec<Point> =
        section.rows.iter().zip(colors).filter_map(|(row, color)| Point::of(row, color, builds)).collect();
    if points.is_empty() {
        return None;
    }
    let x = Axis::around(points.iter().map(|point| point.mebibytes), true, LEFT, WIDTH - RIGHT);
    let y = Axis::around(points.iter().map(|point| point.high), true, BOTTOM, TOP);
    let mut drawing = canvas(BOTTOM + 44.0, "Size of the file against the ready gate")
        .child(horizontal(&x, TOP, BOTTOM, "file, MiB"))
        .child(vertical(&y, LEFT, WIDTH - RIGHT, "ready gate, ms"));
    let mut taken: Vec<Area> = points.iter().map(|point| around(x.at(point.mebibytes), y.at(point.ready))).collect();
    taken.extend(points.iter().map(|point| whisker(x.at(point.mebibytes), y.at(point.high), y.at(point.low))));
    if let Some(floor) = section.floor().and_then(|floor| floor.measure("ready")) {
        let height = y.at(floor.p50);
        let (left, right) = (LEFT, WIDTH - RIGHT);
        drawing = drawing.child(line("yardstick", (left, height), (right, height))).child(label(
            "tick end",
            right,
            height - 10.0,
            "the floor",
        ));
        taken.push(Area { left, right, top: height - 1.0, bottom: height + 1.0 });
        taken.push(Area { left: right - 70.0, right, top: height - 18.0, bottom: height });
    }
    for point in &points {
        drawing = drawing.child(point.draw(&x, &y, &mut taken));
    }
    let about = "A program that is read from disk pays for every page that it touches, so size often costs time. Upright \
                 lines are what 80 of 100 starts lie between. Where there is no room for a name, point at the dot.";
    Some(figure("Size and time", about, drawing))
}

impl<'a> Point<'a> {
    fn of(row: &Row, color: &'a CellColor, builds: &[BuildRecord]) -> Option<Self> {
        let measured = row.measure("file_size").map(|size| size.p50);
        let built = || builds.iter().find(|built| built.cell == row.name() && built.program.is_some());
        let bytes = measured.or_else(|| {
            // A file of more than 4 GiB does not fit in a Lambda function.
            u32::try_from(built()?.bytes).ok().map(f64::from)
        })?;
        let ready = row.measure("ready")?;
        let point = Self {
            title: row.title(),
            color,
            mebibytes: bytes * Scale::for_table("bytes").factor,
            low: ready.p10,
            ready: ready.p50,
            high: ready.p90,
        };
        [point.mebibytes, point.low, point.ready, point.high].iter().all(|number| number.is_finite()).then_some(point)
    }

    fn draw(&self, x: &Axis, y: &Axis, taken: &mut Vec<Area>) -> Element {
        let (across, down) = (x.at(self.mebibytes), y.at(self.ready));
        let size = Scale::for_table("bytes").quantity(self.mebibytes / Scale::for_table("bytes").factor);
        let tip = format!("{}: {size}, ready at {}", self.title, Scale::for_table("ms").quantity(self.ready));
        let group = mark(tip)
            .class(format!("mark series {}", self.color.class))
            .with("data-series", &self.color.series)
            .child(line("whisker", (across, y.at(self.low)), (across, y.at(self.high))))
            .child(dot("full", across, down, 5.5));
        let title = canvas::cut(&self.title, 200.0);
        let Some(area) = free(&title, across, down, taken) else { return group };
        taken.push(area);
        let middle = f64::midpoint(area.top, area.bottom);
        let is_near = (middle - down).abs() < 14.0;
        let edge = if area.left > across { area.left - 2.0 } else { area.right + 2.0 };
        let edge = if area.left < across && across < area.right { across } else { edge };
        group
            .children((!is_near).then(|| line("leader", (across, down), (edge, middle))))
            .child(label("name", area.left, middle, &title))
    }
}

/// The nearest position for a label that overlaps nothing. `None` if all near positions are occupied: a label farther away would seem to belong to another dot.
fn free(title: &str, x: f64, y: f64, taken: &[Area]) -> Option<Area> {
    let width = canvas::width(title);
    let places = (0..5u32).flat_map(|ring| {
        let away = f64::from(ring) * 13.0;
        let aside = 10.0 + f64::from(ring) * 4.0;
        [(aside, -away), (aside, away), (-aside - width, -away), (-aside - width, away)]
    });
    places
        .map(|(right, down)| Area {
            left: x + right,
            right: x + right + width,
            top: y + down - HALF,
            bottom: y + down + HALF,
        })
        .filter(|area| area.left > LEFT && area.right < WIDTH && area.top > TOP - 10.0 && area.bottom < BOTTOM)
        .find(|area| !taken.iter().any(|other| other.meets(area)))
}

fn around(x: f64, y: f64) -> Area {
    Area { left: x - 6.0, right: x + 6.0, top: y - 6.0, bottom: y + 6.0 }
}

fn whisker(x: f64, top: f64, bottom: f64) -> Area {
    Area { left: x - 1.5, right: x + 1.5, top, bottom }
}
