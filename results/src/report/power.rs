//! What so many seeds can show, and what they cannot.

use crate::number::number;
use crate::stats;

/// Seeds of a run that is to be published: enough for the 90th percentile over trials.
const PUBLISHABLE: usize = 30;

/// What so many paired seeds can show and what they cannot; `fewest` is the least that a cell has.
pub(super) fn power(seeds: usize, fewest: usize) -> String {
    let said = all_cells(seeds);
    if fewest < seeds { format!("{said} Some cells have only {fewest}: they carry less.") } else { said }
}

fn all_cells(seeds: usize) -> String {
    match seeds {
        0 => "No seed has a trial that counts: nothing is shown.".into(),
        1 => "One seed: a single observation of each arm. It shows how the transports behaved once; it cannot show \
              how much of a difference is chance."
            .into(),
        n => {
            let p = stats::smallest_two_sided_p(n);
            let quantile = stats::provable_quantile(n, 0.95) * 100.0;
            let significance = if p > 0.05 {
                "so no difference here can be called significant at 5 %, however clear it looks; it can show a large \
                 effect and its direction"
            } else {
                "so a difference in which all pairs agree can be called significant at 5 % for one comparison; several \
                 comparisons need a correction"
            };
            format!(
                "{n} paired seeds: the smallest two-sided p-value that {n} pairs can give is {}, {significance}. \
                 The largest of {n} trials bounds their {}th percentile at most (95 % confidence).{}",
                number(p),
                number(quantile.floor()),
                if n < PUBLISHABLE { " For results to publish, run at least 30 seeds: --repeat 30." } else { "" }
            )
        }
    }
}
