//! Score of `bulk`: how much gets through in a time, how long so many bytes take, or how soon an answer begins.

use samepath_model::Arm;
use samepath_model::workload::Bulk;

use super::definition::{PLAIN, Score};
use crate::metric::{self, Metric};
use crate::number::number;
use crate::part::PartView;
use crate::sentence::{Figure, Pair, each_told, has, sentence, set_against, told, without_pairs};
use crate::words::{at, millis};

/// Bytes that any initial window lets out at once: ten segments of 1,460 (RFC 6928).
const INITIAL_WINDOW: u64 = 14_600;

/// The score of such a transfer.
pub(super) fn of(bulk: &Bulk) -> &'static Score {
    match bulk.bytes {
        None => &GOODPUT,
        Some(bytes) if bytes.bytes() <= INITIAL_WINDOW && bulk.streams > 1 => &FIRST_BYTE_OF_SEVERAL,
        Some(bytes) if bytes.bytes() <= INITIAL_WINDOW => &FIRST_BYTE,
        Some(_) if bulk.streams > 1 => &COMPLETION_OF_SEVERAL,
        Some(_) => &COMPLETION,
    }
}

/// How much gets through in a time.
const GOODPUT: Score = Score {
    // The delay is the completion.
    table: &[
        &metric::GOODPUT,
        &metric::COMPLETION,
        &metric::FIRST_BYTE,
        &metric::DELIVERED_SHARE,
        &metric::HANDSHAKE,
        &metric::RETRANSMISSIONS,
    ],
    compared: &[&metric::GOODPUT, &metric::DELIVERED_SHARE, &metric::HANDSHAKE],
    headline: &metric::GOODPUT,
    rows: |_| vec![(Figure::Of(&metric::GOODPUT), "goodput [Mbit/s]")],
    sentences: |part| {
        let show = |value| format!("{} Mbit/s", number(value));
        transfers(part, &metric::GOODPUT, "the goodput was", show)
    },
    charts: &["goodput"],
    ..PLAIN
};

/// How long so many bytes take.
const COMPLETION: Score = Score {
    headline: &metric::COMPLETION,
    rows: |_| vec![(Figure::Of(&metric::COMPLETION), "all delivered after [ms]")],
    sentences: |part| transfers(part, &metric::COMPLETION, "all was delivered after", millis),
    ..GOODPUT
};

/// How soon an answer begins that is over before the congestion window matters.
const FIRST_BYTE: Score = Score {
    headline: &metric::FIRST_BYTE,
    rows: |part| match has(part, &metric::FIRST_BYTE_RTTS) {
        true => vec![(Figure::Of(&metric::FIRST_BYTE_RTTS), "first payload byte after [round trips]")],
        false => vec![(Figure::Of(&metric::FIRST_BYTE), "first payload byte after [ms]")],
    },
    sentences: first_byte,
    charts: &["start"],
    ..GOODPUT
};

/// Of several objects each has a delay of its own.
const OF_SEVERAL: &[&Metric] = &[
    &metric::GOODPUT,
    &metric::COMPLETION,
    &metric::DELAY_P50,
    &metric::FIRST_BYTE,
    &metric::DELIVERED_SHARE,
    &metric::HANDSHAKE,
    &metric::RETRANSMISSIONS,
];

const COMPLETION_OF_SEVERAL: Score = Score { table: OF_SEVERAL, ..COMPLETION };
const FIRST_BYTE_OF_SEVERAL: Score = Score { table: OF_SEVERAL, ..FIRST_BYTE };

/// Goodput or completion, under the conditions with the least loss and with the most.
fn transfers(part: &PartView<'_>, metric: &Metric, before: &str, show: fn(f64) -> String) -> Vec<String> {
    let (pairs, missing) = told(part, metric);
    let say = |pair: &Pair<'_>| sentence(at(pair.a), &set_against(pair, metric, before, show));
    let told = match &pairs[..] {
        [] => vec![without_pairs(part, metric, "No transfer has the figure that this part is about.")],
        [only] => vec![say(only)],
        [least, .., most] => vec![say(least), say(most)],
    };
    missing.into_iter().chain(told).collect()
}

/// When the answer begins, of every arm.
fn first_byte(part: &PartView<'_>) -> Vec<String> {
    let in_round_trips = has(part, &metric::FIRST_BYTE_RTTS);
    let metric = if in_round_trips { &metric::FIRST_BYTE_RTTS } else { &metric::FIRST_BYTE };
    let (pairs, missing) = told(part, metric);
    let Some(pair) = pairs.last() else { return vec![without_pairs(part, metric, "No answer began.")] };
    let show = |value: f64| match in_round_trips {
        true if value < 9.95 => {
            let rounded = format!("{value:.1}");
            rounded.strip_suffix(".0").map_or(rounded.clone(), str::to_owned)
        }
        true => number(value),
        false => millis(value),
    };
    let values: Vec<(Arm, String)> =
        pair.group.cells.iter().filter_map(|cell| Some((cell.arm, show(cell.estimate(metric)?.median)))).collect();
    let unit = match values.first() {
        Some((_, first)) if in_round_trips && first == "1" => "round trip",
        _ if in_round_trips => "round trips",
        _ => "",
    };
    let said = each_told("the first payload byte came after", values, unit);
    missing.into_iter().chain(said.map(|said| sentence(at(pair.a), &said))).collect()
}
