//! Sentences about the arms of a part, under the conditions that its plan decides.

use samepath_model::{Arm, Transport};

use crate::cells::{Cell, Estimate};
use crate::metric::{self, Metric};
use crate::part::{Group, PartView};
use crate::words::{at, capital, each_on, joined, share, verdict};

pub(crate) fn has(part: &PartView<'_>, metric: &Metric) -> bool {
    part.cells.iter().any(|cell| cell.estimate(metric).is_some())
}

/// What a cell of the small table shows.
#[derive(Clone, Copy)]
pub(crate) enum Figure {
    Of(&'static Metric),
    /// Messages that never arrived, as a share of those released, in percent, all trials together.
    Undelivered,
}

impl Figure {
    pub(crate) fn of(self, cell: &Cell<'_>) -> Option<f64> {
        match self {
            Figure::Of(metric) => cell.estimate(metric).map(|estimate| estimate.median),
            Figure::Undelivered => undelivered(cell),
        }
    }
}

pub(crate) fn undelivered(cell: &Cell<'_>) -> Option<f64> {
    let sum = |metric| cell.values(metric).into_iter().map(|(_, value)| value).sum::<f64>();
    let (released, delivered) = (sum(&metric::MESSAGES), sum(&metric::DELIVERED));
    (released > 0.0).then(|| 100.0 * (released - delivered).max(0.0) / released)
}

/// The two arms that are set against each other wherever both have figures: tcp and quic where both are there, else the
/// first two reliable arms, else the first two. The second is missing where there is but one.
pub(crate) fn compared(part: &PartView<'_>) -> Option<(Arm, Option<Arm>)> {
    let mut arms: Vec<Arm> = Vec::new();
    for cell in part.cells.iter().filter(|cell| cell.n() > 0) {
        if !arms.contains(&cell.arm) {
            arms.push(cell.arm);
        }
    }
    // Stable: in the experiment's order otherwise.
    arms.sort_by_key(|arm| !arm.is_reliable);
    let (tcp, quic) = (Arm::default_of(Transport::Tcp), Arm::default_of(Transport::Quic));
    if arms.contains(&tcp) && arms.contains(&quic) {
        return Some((tcp, Some(quic)));
    }
    let first = *arms.first()?;
    Some((first, arms.get(1).copied().filter(|second| second.is_reliable == first.is_reliable)))
}

/// The cells of the compared arms under one set of conditions.
pub(crate) struct Pair<'a> {
    pub(crate) group: Group<'a>,
    pub(crate) a: &'a Cell<'a>,
    pub(crate) b: Option<&'a Cell<'a>>,
}

/// The conditions to speak of: all those under which the compared arms have the figure, from the least loss to the
/// most, and what is to be said of the ones with the most loss where they are not among them.
pub(crate) fn told<'a>(part: &PartView<'a>, metric: &Metric) -> (Vec<Pair<'a>>, Option<String>) {
    let Some((a, b)) = compared(part) else { return (Vec::new(), None) };
    let loss = |group: &Group<'_>| {
        let link = &group.cells[0].plan.link;
        link.up.loss.rate() + link.down.loss.rate()
    };
    let mut groups = part.groups();
    groups.sort_by(|a, b| loss(a).total_cmp(&loss(b)));
    let of = |group: &Group<'a>, arm: Arm| {
        group.cells.iter().copied().find(|cell| cell.arm == arm && cell.estimate(metric).is_some())
    };
    let missing = groups.last().and_then(|last| {
        let without = |counts: bool| {
            let has = |arm: Arm| last.cells.iter().any(|cell| cell.arm == arm && cell.n() > 0);
            let arms = [Some(a), b].into_iter().flatten().filter(|&arm| of(last, arm).is_none() && has(arm) == counts);
            joined(&arms.map(|arm| arm.to_string()).collect::<Vec<_>>())
        };
        let (uncounted, empty) = (without(false), without(true));
        let said = [
            (!uncounted.is_empty()).then(|| format!("no trial of {uncounted} counts")),
            (!empty.is_empty()).then(|| format!("nothing was delivered on {empty}")),
        ];
        let said: Vec<String> = said.into_iter().flatten().collect();
        (!said.is_empty()).then(|| sentence(at(last.cells[0]), &joined(&said)))
    });
    let pairs = groups.into_iter().filter_map(|group| {
        let first = of(&group, a)?;
        let second = match b {
            Some(arm) => Some(of(&group, arm)?),
            None => None,
        };
        Some(Pair { group, a: first, b: second })
    });
    (pairs.collect(), missing)
}

/// What is said where under no conditions both compared arms have the figure: `none` only where no trial that counts has it.
pub(crate) fn without_pairs(part: &PartView<'_>, metric: &Metric, none: &str) -> String {
    match compared(part) {
        Some((a, Some(b))) if has(part, metric) => {
            format!("Under no conditions do {a} and {b} both have figures; the table has those that there are.")
        }
        Some(_) => none.to_owned(),
        None => "No trial counts.".to_owned(),
    }
}

/// `At 3 % loss, of the …`, or `Of the …` where the part has nothing to lead with.
pub(crate) fn sentence(lead: Option<String>, body: &str) -> String {
    match lead {
        Some(lead) => format!("{lead}, {body}."),
        None => format!("{}.", capital(body)),
    }
}

/// A figure of the compared arms: `BEFORE 61 ms on quic`, with what their seeds carry.
pub(crate) fn set_against(pair: &Pair<'_>, metric: &Metric, before: &str, show: fn(f64) -> String) -> String {
    let of = |cell: &Cell<'_>| cell.estimate(metric).map_or_else(|| "–".to_owned(), |estimate| show(estimate.median));
    let a = format!("{before} {} on {}", of(pair.a), pair.a.arm);
    match pair.b {
        None => a,
        Some(b) => {
            let verdict = verdict(pair.a, b, metric).map_or_else(String::new, |said| format!(": {said}"));
            let other = if of(b) == of(pair.a) { String::new() } else { format!("{} ", of(b)) };
            format!("{a} and {other}on {}{verdict}", b.arm)
        }
    }
}

/// Medians that differ by less than this factor are told together where the seeds do not part them.
const NEAR: f64 = 1.5;

/// The share of each arm in words. Arms whose seeds overlap, and whose medians are near each other, are told together:
/// a few seeds do not carry a difference between one in eight and one in nine.
pub(crate) fn alike(measured: &[(Arm, Estimate)]) -> Vec<(Arm, String)> {
    let mut groups: Vec<(Estimate, Vec<Arm>, bool)> = Vec::new();
    for &(arm, own) in measured {
        let near = |of: &Estimate| {
            let (low, high) = (of.median.min(own.median), of.median.max(own.median));
            let overlap = of.min <= own.max && own.min <= of.max || of.n == 1 || own.n == 1;
            low > 0.0 && high <= NEAR * low && overlap
        };
        match groups.iter_mut().find(|(of, ..)| near(of)) {
            Some((of, arms, about)) => {
                *about |= waiting(of) != waiting(&own);
                arms.push(arm);
            }
            None => groups.push((own, vec![arm], false)),
        }
    }
    let words = |(of, arms, about): (Estimate, Vec<Arm>, bool)| {
        let words = if about { format!("about {}", waiting(&of)) } else { waiting(&of) };
        arms.into_iter().map(move |arm| (arm, words.clone()))
    };
    groups.into_iter().flat_map(words).collect()
}

/// A share over the seeds: `none` and `all` hold in every one of them.
fn waiting(estimate: &Estimate) -> String {
    match estimate.median {
        none if none <= 0.0 && estimate.max > 0.0 => "almost none".into(),
        all if all >= 100.0 && estimate.min < 100.0 => "nearly all".into(),
        percent => share(percent),
    }
}

/// The median of each arm's figure under the same conditions.
pub(crate) fn of_each(group: &Group<'_>, metric: &Metric, show: fn(f64) -> String) -> Vec<(Arm, String)> {
    group.cells.iter().filter_map(|cell| Some((cell.arm, show(cell.estimate(metric)?.median)))).collect()
}

/// `BEFORE one in seven AFTER on tcp and tls, none on quic`.
pub(crate) fn each_told(before: &str, said: Vec<(Arm, String)>, after: &str) -> Option<String> {
    let first = said.first()?.1.clone();
    let all = each_on(said.into_iter(), "on")?;
    let after = if after.is_empty() { String::new() } else { format!(" {after}") };
    Some(format!("{before} {first}{after}{}", all.strip_prefix(&first)?))
}

#[cfg(test)]
mod tests {
    use samepath_model::record::Outcome;
    use samepath_model::void::{VoidKind, VoidReason};

    use crate::answer::answers;
    use crate::cells::cells;
    use crate::fixture;
    use crate::part::parts;
    use crate::store::Run;

    /// The first part's answer where trials of these arms and losses are void.
    fn told_without(void: &[(&str, &str)]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let experiment = fixture::experiment_of(1);
        let mut run = Run::create(dir.path(), &experiment, fixture::manifest(&experiment)).unwrap();
        for trial in experiment.trials() {
            let mut record = fixture::record(trial, &fixture::play(trial, 1.0));
            let is_void = |(arm, loss): &(&str, &str)| {
                trial.arm.to_string() == *arm && trial.axes.get("loss").is_some_and(|is| is == loss)
            };
            if void.iter().any(is_void) {
                record.outcome = Outcome::Void { reasons: vec![VoidReason::new(VoidKind::EndLate, "late")] };
            }
            run.append(&record).unwrap();
        }
        let cells = cells(&run);
        answers(&parts(&cells))[0].sentences.join(" ")
    }

    #[test]
    fn void_trials_are_no_silence() {
        let told = told_without(&[("tcp", "0%"), ("quic", "1%")]);
        assert!(told.contains("Under no conditions do tcp and quic both have figures"), "{told}");
        assert!(!told.contains("No message was delivered"), "{told}");
        let every = ["tcp", "quic", "udp"].map(|arm| [(arm, "0%"), (arm, "1%")]).concat();
        assert!(!told_without(&every).contains("message"), "a part without trials that count has no answer");
    }
}
