//! What is said where a part compares responses that are compressed with the same as they are.

use samepath_model::workload::Size;

use crate::compression::{Compressed, Difference, compressed, rpc};
use crate::metric::Metric;
use crate::metric::compression::{COMPRESSION_CPU, DECOMPRESSION_CPU, RATIO};
use crate::metric::rpc::LATENCY_P50;
use crate::number::number;
use crate::part::PartView;
use crate::sentence;
use crate::words::{joined, millis};

/// The sentences: of the first and the last conditions, what each coding made of them; then, of all, where it pays. `None`
/// where nothing is compared so.
pub(super) fn sentences(part: &PartView<'_>) -> Option<Vec<String>> {
    let (arm, _) = sentence::compared(part)?;
    let mut all = compressed(part);
    all.retain(|one| one.cell.arm == arm);
    let (first, last) = (all.first()?.conditions.clone(), all.last()?.conditions.clone());
    all.retain(|one| median(one, &LATENCY_P50).is_some());
    if all.is_empty() {
        return None;
    }
    let told = all.iter().filter(|one| one.conditions == first || one.conditions == last);
    let mut sentences: Vec<String> = told.filter_map(of_one).collect();
    if first != last {
        let mut codings: Vec<&str> = Vec::new();
        all.iter().for_each(|one| {
            if !codings.contains(&one.coding.as_str()) {
                codings.push(&one.coding)
            }
        });
        sentences.extend(codings.into_iter().map(|coding| of_coding(coding, &all)));
    }
    Some(sentences)
}

/// `With response 100kB, gzip 6 on tcp made 100 kB 18.2 kB and saved 67 ms (…), for 2.1 ms of CPU time …`.
fn of_one(one: &Compressed<'_>) -> Option<String> {
    let ratio = median(one, &RATIO)?;
    let made = match rpc(one.cell).map(|rpc| rpc.response) {
        Some(Size::Fixed(bytes)) => {
            let bytes = bytes.bytes() as f64;
            format!("made {} of JSON {}", told(bytes), told(bytes / ratio))
        }
        _ => format!("made responses {} times smaller", number(ratio)),
    };
    let (with, without) = (median(one, &LATENCY_P50)?, one.plain.estimate(&LATENCY_P50)?.median);
    let changed = match one.difference(&LATENCY_P50) {
        Difference::Less => format!("saved {}", millis(without - with)),
        Difference::More => format!("lost {}", millis(with - without)),
        Difference::NoneShown => "made no difference that the seeds show".to_owned(),
    };
    let cpu = |metric| median(one, metric).map_or_else(|| "–".to_owned(), millis);
    let body = format!(
        "{} on {} {made} and {changed} (half of the operations took longer than {}, and without it {}), for {} of CPU time \
         at the server and {} at the client a response",
        one.coding,
        one.cell.arm,
        millis(with),
        millis(without),
        cpu(&COMPRESSION_CPU),
        cpu(&DECOMPRESSION_CPU),
    );
    let lead = (!one.conditions.is_empty()).then(|| format!("With {}", one.conditions));
    Some(sentence::sentence(lead, &body))
}

/// `gzip 6 pays with response 10kB and response 100kB; with response 1kB no difference is shown.`
fn of_coding(coding: &str, all: &[Compressed<'_>]) -> String {
    let with = |difference| {
        let these = all.iter().filter(|one| one.coding == coding && one.difference(&LATENCY_P50) == difference);
        joined(&these.map(|one| one.conditions.clone()).collect::<Vec<_>>())
    };
    let said = [
        (with(Difference::Less), "pays"),
        (with(Difference::More), "costs more than it saves"),
        (with(Difference::NoneShown), "makes no difference that the seeds show"),
    ];
    let said = said.iter().filter(|(conditions, _)| !conditions.is_empty());
    let said: Vec<String> = said.map(|(conditions, what)| format!("{what} with {conditions}")).collect();
    format!("{coding} {}.", said.join("; it "))
}

fn median(one: &Compressed<'_>, metric: &Metric) -> Option<f64> {
    one.cell.estimate(metric).map(|estimate| estimate.median)
}

/// Bytes as people say them.
fn told(bytes: f64) -> String {
    match bytes {
        b if b >= 1e6 => format!("{} MB", number(b / 1e6)),
        b if b >= 1e3 => format!("{} kB", number(b / 1e3)),
        b => format!("{} bytes", number(b.round())),
    }
}

#[cfg(test)]
mod tests {
    use samepath_model::Experiment;
    use samepath_model::Trial;
    use samepath_model::record::TrialRecord;

    use crate::cells::cells;
    use crate::fixture;
    use crate::part::parts;
    use crate::store::Run;

    const EXPERIMENT: &str = r#"
schema = 1
name = "made-up"
repeat = 3
[[part]]
name = "api"
arms = ["tcp", "quic"]
workload = { kind = "rpc", outstanding = 1, count = 4 }
link = { rtt = "40ms", rate = "10Mbit" }
axes = { response = ["1kB", "100kB"], compression = ["none", "gzip", "zstd"] }
"#;

    /// A trial of which half of the operations took longer than this, and so on.
    fn record(trial: &Trial, latency: f64, ratio: f64, server: f64, client: f64) -> TrialRecord {
        let mut record = fixture::record(trial, &fixture::play(trial, 1.0));
        let figures = [
            ("latency_p50_ms", latency),
            ("compression_ratio", ratio),
            ("compression_cpu_ms", server),
            ("decompression_cpu_ms", client),
        ];
        let score = &mut record.summary.as_mut().expect("a summary").score;
        score.extend(figures.map(|(name, value)| (name.to_owned(), value)));
        record
    }

    fn said(experiment: &str) -> Option<Vec<String>> {
        let dir = tempfile::tempdir().expect("a directory");
        let experiment = Experiment::parse(experiment).expect("an experiment");
        let mut run = Run::create(dir.path(), &experiment, fixture::manifest(&experiment)).expect("a run");
        for trial in experiment.trials() {
            let of = |axis: &str| trial.axes.get(axis).map_or("", String::as_str);
            let seed = trial.seed as f64 / 100.0;
            let record = match (of("response"), of("compression")) {
                ("1kB", "gzip") => record(trial, 44.0 + seed, 2.3, 0.1, 0.02),
                ("1kB", "zstd") => record(trial, 42.0 + seed, 2.4, 0.05, 0.01),
                ("1kB", _) => record(trial, 42.0 + seed, 1.0, 0.0, 0.0),
                (_, "gzip") => record(trial, 60.0 + seed, 5.5, 1.75, 0.25),
                (_, "zstd") => record(trial, 57.0 + seed, 5.6, 0.5, 0.1),
                _ => record(trial, 125.0 + seed, 1.0, 0.0, 0.0),
            };
            run.append(&record).expect("a line");
        }
        let cells = cells(&run);
        super::sentences(&parts(&cells)[0])
    }

    #[test]
    fn it_is_said_where_compression_pays() {
        insta::assert_snapshot!(said(EXPERIMENT).expect("it is compared").join("\n"), @"
        With response 1kB, gzip 6 on tcp made 1 kB of JSON 435 bytes and lost 2 ms (half of the operations took longer than 44 ms, and without it 42 ms), for 0.1 ms of CPU time at the server and 0.02 ms at the client a response.
        With response 1kB, zstd 3 on tcp made 1 kB of JSON 417 bytes and made no difference that the seeds show (half of the operations took longer than 42 ms, and without it 42 ms), for 0.05 ms of CPU time at the server and 0.01 ms at the client a response.
        With response 100kB, gzip 6 on tcp made 100 kB of JSON 18.2 kB and saved 65 ms (half of the operations took longer than 60 ms, and without it 125 ms), for 1.75 ms of CPU time at the server and 0.25 ms at the client a response.
        With response 100kB, zstd 3 on tcp made 100 kB of JSON 17.9 kB and saved 68 ms (half of the operations took longer than 57 ms, and without it 125 ms), for 0.5 ms of CPU time at the server and 0.1 ms at the client a response.
        gzip 6 pays with response 100kB; it costs more than it saves with response 1kB.
        zstd 3 pays with response 100kB; it makes no difference that the seeds show with response 1kB.
        ");
    }

    #[test]
    fn nothing_is_said_where_nothing_is_compared() {
        assert!(said(&EXPERIMENT.replace(r#""none", "#, "")).is_none());
        assert!(said(&EXPERIMENT.replace(r#", compression = ["none", "gzip", "zstd"]"#, "")).is_none());
    }
}
