//! The answer's detail: the compared arms pair by pair, and what makes the slowest messages slow.

use super::table_view::TableView;
use crate::cells::Cell;
use crate::metric::{self, Metric};
use crate::number::number;
use crate::part::PartView;
use crate::score;
use crate::sentence::compared;

/// The compared arms of each part under each set of conditions that both have.
pub(super) fn comparisons(parts: &[PartView<'_>]) -> TableView {
    let head = ["part", "conditions", "figure", "compared", "ratio", "lower in", "higher in", "of pairs", "how sure"]
        .map(str::to_owned)
        .to_vec();
    let mut rows = Vec::new();
    for part in parts {
        let Some((first, Some(second))) = compared(part) else { continue };
        let metric = score::of(part).headline;
        for group in part.groups() {
            let of = |arm| group.cells.iter().copied().find(|cell| cell.arm == arm);
            let Some(said) = of(first).zip(of(second)).and_then(|(a, b)| comparison(a, b, metric)) else { continue };
            let mut row = vec![part.name.to_owned(), group.label.clone(), metric.label.to_owned()];
            row.push(format!("{second} over {first}"));
            row.extend(said);
            rows.push(row);
        }
    }
    TableView { head, rows }
}

/// The ratio of two arms over their common seeds, with what so many pairs can carry.
fn comparison(a: &Cell<'_>, b: &Cell<'_>, metric: &Metric) -> Option<[String; 5]> {
    let pairs = a.pairs(b, metric);
    let (ratio, interval) = a.ratio(b, metric)?;
    let (below, above) = (pairs.iter().filter(|(a, b)| b < a).count(), pairs.iter().filter(|(a, b)| b > a).count());
    let n = pairs.len();
    let ratios = pairs.iter().map(|(a, b)| b / a);
    let (low, high) = (ratios.clone().fold(f64::INFINITY, f64::min), ratios.fold(f64::NEG_INFINITY, f64::max));
    let sure = match interval {
        _ if n == 1 => "a single seed: no uncertainty can be given".to_owned(),
        Some(i) if i.low <= 1.0 && 1.0 <= i.high => {
            format!("95 % interval ×{}–×{} includes 1: no difference is shown", number(i.low), number(i.high))
        }
        Some(i) => format!("95 % interval ×{}–×{}", number(i.low), number(i.high)),
        None => format!("range ×{}–×{}; too few pairs for an interval", number(low), number(high)),
    };
    Some([format!("×{}", number(ratio)), below.to_string(), above.to_string(), n.to_string(), sure])
}

/// Parts below this share of the delay, in percent, do not make the slowest messages slow.
const SLIGHT: f64 = 5.0;

/// What makes the slowest hundredth of a cell's messages slow: the largest part of their delay beside the network, with
/// its share; `None` where packets were not attributed to messages.
pub(super) fn slowest(cell: &Cell<'_>) -> Option<String> {
    let parts = [
        (&metric::TAIL_HOLD, "sender hold"),
        (&metric::TAIL_OWN_LOSS, "own loss"),
        (&metric::TAIL_BLOCKED, "blocked"),
        (&metric::TAIL_STACK, "stack"),
    ];
    let shares = parts.into_iter().filter_map(|(metric, name)| Some((cell.estimate(metric)?.median, name)));
    let (share, name) = shares.max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(if share < SLIGHT { "nothing".into() } else { format!("{name} ({} %)", number(share)) })
}
