//! How long first pages take against how many events there are, as a drawing: `docs/audit-growth.svg`. Both axes are logarithmic.

use super::query::Growth;
use portcullis_e2e::Result;
use portcullis_e2e::stack::checkout;
use std::fmt::Write;
use std::fs;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 130.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 48.0;
/// What the vertical axis spans, as powers of ten of a millisecond.
const POWERS: std::ops::RangeInclusive<i32> = 0..=3;
/// What the target allows, in milliseconds.
const TARGET_MS: f64 = 100.0;
/// Told apart by people who do not see all colours (Okabe and Ito).
const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000",
];

/// Draws it into the checkout.
pub fn draw(growth: &Growth) -> Result {
    let file = checkout()?.join("docs/audit-growth.svg");
    fs::write(&file, drawing(growth))?;
    eprintln!("drawn: {}", file.display());
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn drawing(growth: &Growth) -> String {
    let events = || {
        growth
            .iter()
            .flat_map(|(_, points)| points.iter().map(|(events, _)| *events as f64))
    };
    let (few, most) = (
        events().fold(f64::MAX, f64::min),
        events().fold(1.0, f64::max),
    );
    let (few, most) = if few < most {
        (few, most)
    } else {
        (most / 10.0, most)
    };
    let x =
        |events: f64| LEFT + (events / few).log10() / (most / few).log10() * (WIDTH - LEFT - RIGHT);
    let (low, high) = (f64::from(*POWERS.start()), f64::from(*POWERS.end()));
    let y = |ms: f64| {
        let up = (ms.log10() - low) / (high - low);
        HEIGHT - BOTTOM - up.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"14\">First page of a query of the audit log: p95 by the number of events</text>\n"
    );
    let right = WIDTH - RIGHT;
    // Writing to a String cannot fail.
    for power in POWERS {
        let (at, ms) = (y(10f64.powi(power)), 10f64.powi(power));
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>"
        );
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{ms} ms</text>",
            LEFT - 6.0,
            at + 4.0
        );
    }
    let mut tick = few;
    while tick <= most * 1.01 {
        let at = x(tick);
        let bottom = HEIGHT - BOTTOM;
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"#dddddd\"/>"
        );
        let _ = writeln!(
            svg,
            "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{tick:.0} events</text>",
            bottom + 18.0
        );
        tick *= 10.0;
    }
    let target = y(TARGET_MS);
    let _ = writeln!(
        svg,
        "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{target:.1}\" y2=\"{target:.1}\" stroke=\"#888888\" stroke-dasharray=\"6 4\"/>"
    );
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{:.1}\" fill=\"#666666\">target</text>",
        right + 8.0,
        target + 4.0
    );
    for (at, ((name, points), colour)) in growth.iter().zip(COLOURS).enumerate() {
        let path: Vec<String> = points
            .iter()
            .map(|(events, ms)| format!("{:.1},{:.1}", x(*events as f64), y(*ms)))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (events, ms) in points {
            let (x, y) = (x(*events as f64), y(*ms));
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"><title>{name}, {events} events: {ms:.1} ms</title></circle>"
            );
        }
        let row = HEIGHT - BOTTOM - 16.0 * at as f64;
        let _ = writeln!(
            svg,
            "<rect x=\"{}\" y=\"{}\" width=\"14\" height=\"4\" fill=\"{colour}\"/>",
            right + 34.0,
            row - 6.0
        );
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{row}\">{name}</text>",
            right + 54.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_a_line_and_twice_the_time_is_always_as_much_higher() {
        let growth: Growth = vec![
            ("one", vec![(100_000, 2.0), (10_000_000, 4.0)]),
            ("two", vec![(100_000, 20.0), (10_000_000, 40.0)]),
        ];
        let svg = drawing(&growth);
        let lines: Vec<Vec<f64>> = svg
            .lines()
            .filter_map(|line| line.strip_prefix("<polyline points=\"")?.split_once('"'))
            .map(|(points, _)| {
                points
                    .split([' ', ','])
                    .map(|n| n.parse().expect("a number"))
                    .collect()
            })
            .collect();
        let [one, two] = lines.as_slice() else {
            panic!("{svg}")
        };
        assert_eq!((one[0], one[2]), (LEFT, WIDTH - RIGHT));
        assert!((one[1] - one[3] - (two[1] - two[3])).abs() < 0.2);
        assert!(one[3] < one[1] && two[1] < one[3]);
    }
}
