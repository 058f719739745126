//! What the page says, as values for the template: nothing here is HTML.

use std::collections::{BTreeMap, BTreeSet};

use samepath_model::arm::{Arm, Stack};
use samepath_model::flow::{FlowId, UNDER_TEST};
use samepath_model::link::{Link, Loss};
use samepath_model::record::{DirectionReport, DropCause, Outcome, RestartRecord, Setting, Settings, TrialRecord};
use samepath_model::setting::SettingKind;
use samepath_model::void::in_words;
use samepath_model::{Controller, Trial, Workload};
use serde::Serialize;

use super::comparisons::{comparisons, slowest};
use super::power::power;
use super::start::starts;
use super::table_view::TableView;
use super::uses::UsesView;
use crate::analysis::Analysis;
use crate::answer::caution;
use crate::cells::{Cell, label};
use crate::chart::{Drawing, Shown};
use crate::judge::{Judged, Verdict};
use crate::metric::{self, Metric, Unit};
use crate::number::{number, spread};
use crate::part::PartView;
use crate::score;
use crate::table;
use crate::verdicts;
use crate::{Run, StoreError};

#[derive(Serialize)]
pub(super) struct Page {
    name: String,
    question: String,
    explanation: Vec<Piece>,
    uses: Option<UsesView>,
    expectations: Vec<VerdictView>,
    /// How many of them hold, in a sentence.
    tally: String,
    answers: Vec<AnswerView>,
    caution: String,
    power: String,
    comparisons: TableView,
    counts: Counts,
    warnings: Vec<String>,
    troubles: Vec<Trouble>,
    /// Void attempts that others followed.
    earlier: Vec<Trouble>,
    main: Vec<Section>,
    supporting: Vec<Section>,
    cells: Vec<NamedTable>,
    parts: Vec<PartMethod>,
    starts: Vec<StartView>,
    unequal: Vec<&'static str>,
    settings: TableView,
    restarts: TableView,
    link: TableView,
    command: String,
    directory: String,
    manifest: Vec<(String, String)>,
    checksums: Vec<(String, String)>,
    version: String,
}

/// A line of the verdict strip.
#[derive(Serialize)]
struct VerdictView {
    /// One word, by which the line is looked for and coloured.
    verdict: &'static str,
    /// The sign before it, so that colour is not all that tells verdicts apart.
    mark: char,
    of: String,
    claim: String,
    found: String,
    /// Why it is inconclusive; empty where it is not.
    reason: String,
}

impl VerdictView {
    fn of(judged: &Judged) -> VerdictView {
        let (mark, reason) = match judged.verdict {
            Verdict::Pass => ('✓', String::new()),
            Verdict::Fail => ('✗', String::new()),
            Verdict::Inconclusive { reason } => ('?', reason.to_string()),
        };
        VerdictView {
            verdict: judged.verdict.name(),
            mark,
            of: judged.of.clone(),
            claim: judged.claim.clone(),
            found: judged.words.clone(),
            reason,
        }
    }
}

/// A part's short answer, with the chart that shows it.
#[derive(Serialize)]
struct AnswerView {
    part: String,
    sentences: Vec<String>,
    head: Vec<String>,
    blocks: Vec<BlockView>,
    /// Sets of conditions that the table leaves out.
    left_out: usize,
    figure: Option<FigureView>,
}

/// A figure of the small table: its name and its rows.
#[derive(Serialize)]
struct BlockView {
    name: String,
    rows: Vec<Vec<String>>,
}

/// A piece of running text.
#[derive(Serialize)]
struct Piece {
    code: bool,
    words: String,
}

#[derive(Serialize, Default)]
struct Counts {
    planned: usize,
    done: usize,
    void: usize,
    failed: usize,
    pending: usize,
}

#[derive(Serialize)]
struct Trouble {
    cell: String,
    reason: String,
    trials: String,
}

#[derive(Serialize)]
struct Section {
    part: String,
    figures: Vec<FigureView>,
    left_out: Vec<String>,
}

#[derive(Serialize)]
struct FigureView {
    stem: String,
    title: String,
    caption: String,
    /// Safe to be placed as it is: this crate drew it, with every text escaped.
    svg: String,
    table: TableView,
}

#[derive(Serialize)]
struct NamedTable {
    part: String,
    table: TableView,
}

#[derive(Serialize)]
struct StartView {
    part: String,
    table: TableView,
    sentences: Vec<String>,
}

impl From<super::start::Start> for StartView {
    fn from(start: super::start::Start) -> StartView {
        let super::start::Start { part, head, rows, sentences } = start;
        StartView { part, table: TableView { head, rows }, sentences }
    }
}

#[derive(Serialize)]
struct PartMethod {
    name: String,
    workload: String,
    competing: Vec<String>,
    arms: String,
    link: Vec<LinkView>,
    loss_key: String,
    tuning: Vec<(String, String)>,
}

/// The conditions of a group of cells.
#[derive(Serialize)]
struct LinkView {
    /// In a line, with the group's label where there is one.
    line: String,
    /// Every scripted drop, outage and change, where the line sums them up.
    whole: Option<String>,
}

impl LinkView {
    fn new(link: &Link, label: &str) -> LinkView {
        let (line, whole) = (link.to_string(), format!("{link:#}"));
        let whole = (line != whole).then_some(whole);
        LinkView { line: if label.is_empty() { line } else { format!("{label}: {line}") }, whole }
    }
}

/// The page of a run, its charts drawn.
///
/// # Errors
/// Where the manifest cannot be read.
pub(super) fn page(analysis: &Analysis<'_>, shown: &[Shown]) -> Result<Page, StoreError> {
    let (run, cells, parts) = (analysis.run(), analysis.cells(), analysis.parts());
    let manifest = run.manifest();
    let seeds: BTreeSet<u64> = cells.iter().flat_map(|c| c.trials.iter().map(|r| r.trial.seed)).collect();
    let counts = Counts {
        planned: run.planned().len(),
        done: cells.iter().map(Cell::n).sum(),
        void: cells.iter().map(|c| c.void.len()).sum(),
        failed: cells.iter().map(|c| c.failed.len()).sum(),
        pending: cells.iter().map(|c| c.pending).sum(),
    };
    let fewest = cells.iter().map(Cell::n).min().unwrap_or(0);
    let leading: Vec<&Drawing> = parts.iter().filter_map(|part| leading(part, shown)).collect();
    let beside: Vec<&Shown> = shown
        .iter()
        .filter(|one| !matches!(one, Shown::Drawn(drawing) if leading.iter().any(|led| led.stem == drawing.stem)))
        .collect();
    Ok(Page {
        name: run.experiment().spec().name.clone(),
        question: run.experiment().spec().question.clone(),
        explanation: pieces(&run.experiment().spec().explanation),
        uses: analysis.uses().map(UsesView::of),
        expectations: analysis.judged().iter().map(VerdictView::of).collect(),
        tally: verdicts::tally(analysis.judged()),
        answers: analysis
            .answers()
            .iter()
            .map(|answer| AnswerView {
                part: answer.part.clone(),
                sentences: answer.sentences.clone(),
                head: answer.head.clone(),
                blocks: answer
                    .blocks
                    .iter()
                    .map(|block| BlockView { name: block.name.clone(), rows: block.rows.clone() })
                    .collect(),
                left_out: answer.left_out,
                figure: leading.iter().find(|drawing| drawing.part == answer.part).map(|drawing| figure(drawing)),
            })
            .collect(),
        caution: caution(seeds.len(), fewest),
        power: power(seeds.len(), fewest),
        comparisons: comparisons(&parts),
        warnings: warnings(run, &counts, &seeds),
        troubles: cells
            .iter()
            .flat_map(|cell| {
                cell.troubles().into_iter().map(|(trouble, trials)| Trouble {
                    cell: cell_name(&cell.part, &cell.axes, cell.arm),
                    reason: trouble.to_string(),
                    trials: table::named(&trials),
                })
            })
            .collect(),
        earlier: run.earlier_attempts().iter().map(earlier).collect(),
        main: sections(&beside, true),
        supporting: sections(&beside, false),
        cells: parts.iter().map(|part| NamedTable { part: part.name.to_owned(), table: cell_table(part) }).collect(),
        parts: parts.iter().map(method).collect(),
        starts: starts(&parts).into_iter().map(StartView::from).collect(),
        unequal: unequal(run),
        settings: settings(run.trials()),
        restarts: restarts(run.trials()),
        link: link_table(&parts),
        command: shell_line(&manifest.command),
        directory: run.dir().file_name().map_or_else(|| "RUN".into(), |name| name.to_string_lossy().into_owned()),
        manifest: manifest_rows(run),
        // Read anew: the run may have been sealed since it was opened.
        checksums: run.checksums()?.into_iter().collect(),
        version: manifest.version.clone(),
        counts,
    })
}

/// Text with its names in backticks set as code; a backtick without a partner is left as it is.
fn pieces(text: &str) -> Vec<Piece> {
    let text = text.trim();
    if text.is_empty() {
        return Vec::new();
    }
    if text.matches('`').count() % 2 == 1 {
        return vec![Piece { code: false, words: text.to_owned() }];
    }
    text.split('`').enumerate().map(|(i, words)| Piece { code: i % 2 == 1, words: words.to_owned() }).collect()
}

fn cell_name(part: &str, axes: &BTreeMap<String, String>, arm: Arm) -> String {
    [part.to_owned(), label(axes), arm.to_string()]
        .into_iter()
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(", ")
}

/// An attempt that the machine voided.
fn earlier(record: &TrialRecord) -> Trouble {
    let Trial { part, axes, arm, id, .. } = &record.trial;
    let reason = match &record.outcome {
        Outcome::Void { reasons } => in_words(reasons),
        Outcome::Done | Outcome::Failed { .. } => String::new(),
    };
    Trouble { cell: cell_name(part, axes, *arm), reason, trials: format!("{id}, attempt {}", record.attempt) }
}

fn warnings(run: &Run, counts: &Counts, seeds: &BTreeSet<u64>) -> Vec<String> {
    let mut warnings = Vec::new();
    if counts.done == 0 {
        warnings.push("No trial counts: there is no result. The reasons stand below.".to_owned());
    }
    if counts.void > 0 {
        warnings.push(format!(
            "{} of {} trials are void: their conditions were not kept. They are left out of every figure.",
            counts.void, counts.planned
        ));
    }
    if counts.failed > 0 {
        warnings.push(format!(
            "{} of {} trials failed before their end. They are left out of every figure.",
            counts.failed, counts.planned
        ));
    }
    if counts.pending > 0 {
        warnings.push(format!(
            "{} of {} trials have not been run: the run is not whole. Go on with: samepath resume RUN",
            counts.pending, counts.planned
        ));
    }
    if run.manifest().debug_build {
        warnings.push(
            "Measured with a debug build: rates and CPU times mean little. Build with --release and run again.".into(),
        );
    }
    if seeds.len() == 1 {
        warnings.push("A single seed: no spread is known. Run again with --repeat 3 or more.".into());
    }
    if run.planned().iter().any(|t| t.arm.stack == Stack::Quinn && t.tuning.controller == Controller::Bbr) {
        warnings.push("QUIC ran quinn's BBR, which its authors call experimental, against the kernel's BBR.".into());
    }
    warnings
}

/// The chart that shows a part's short answer: the first of these that was drawn.
fn leading<'a>(part: &PartView<'_>, shown: &'a [Shown]) -> Option<&'a Drawing> {
    let drawn = |chart: &&str| {
        shown.iter().find_map(|one| match one {
            Shown::Drawn(drawing) if drawing.chart.name == *chart && drawing.part == part.name => Some(&**drawing),
            _ => None,
        })
    };
    score::of(part).charts.iter().find_map(drawn)
}

fn figure(drawing: &Drawing) -> FigureView {
    FigureView {
        stem: drawing.stem.clone(),
        title: drawing.title.clone(),
        caption: drawing.caption.clone(),
        svg: drawing.svg.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1),
        table: TableView::from(&drawing.table),
    }
}

fn sections(shown: &[&Shown], main: bool) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for one in shown {
        let (chart, part) = match one {
            Shown::Drawn(drawing) => (drawing.chart, &drawing.part),
            Shown::LeftOut { chart, part, .. } => (*chart, part),
        };
        if chart.is_main != main {
            continue;
        }
        if sections.last().is_none_or(|section| section.part != *part) {
            sections.push(Section { part: part.clone(), figures: Vec::new(), left_out: Vec::new() });
        }
        let Some(section) = sections.last_mut() else { continue };
        match one {
            Shown::Drawn(drawing) => section.figures.push(figure(drawing)),
            Shown::LeftOut { reason, .. } => section.left_out.push(format!("{}: {reason}.", chart.absent)),
        }
    }
    sections
}

/// Every cell of a part with the figures that any of them has.
fn cell_table(part: &PartView<'_>) -> TableView {
    const SHOWN: [&Metric; 20] = [
        &metric::GOODPUT,
        &metric::LINK_SHARE,
        &metric::JAIN_INDEX,
        &metric::DELAY_P50,
        &metric::DELAY_P90,
        &metric::DELAY_P95,
        &metric::DELAY_P99,
        &metric::DELAY_MAX,
        &metric::INTACT_BLOCKED,
        &metric::BLOCKED_MEAN,
        &metric::STALL_MEAN,
        &metric::DELIVERED_SHARE,
        &metric::COMPLETION,
        &metric::HANDSHAKE,
        &metric::HANDSHAKE_ENDS,
        &metric::FIRST_BYTE,
        &metric::WIRE_BYTES,
        &metric::RETRANSMISSIONS,
        &metric::CLIENT_CPU,
        &metric::SERVER_CPU,
    ];
    // The delay of a bulk message is its completion.
    const DELAYS: [&Metric; 5] =
        [&metric::DELAY_P50, &metric::DELAY_P90, &metric::DELAY_P95, &metric::DELAY_P99, &metric::DELAY_MAX];
    let bulk = matches!(part.cells[0].plan.workload.scored(), Workload::Bulk(_));
    let metrics: Vec<&Metric> = SHOWN
        .into_iter()
        .filter(|metric| !(bulk && DELAYS.contains(metric)))
        .filter(|metric| part.trials().any(|record| (metric.of)(record).is_some()))
        .collect();
    let mut head: Vec<String> = ["conditions", "arm", "n", "void", "failed"].map(str::to_owned).to_vec();
    head.extend(metrics.iter().map(|metric| match metric.unit {
        Unit::Count | Unit::Index => metric.label.to_owned(),
        // Bytes are many.
        Unit::Bytes => format!("{} [MB]", metric.label),
        unit => format!("{} [{}]", metric.label, unit.symbol()),
    }));
    let attributed = part.cells.iter().any(|cell| slowest(cell).is_some());
    head.extend(attributed.then(|| "the slowest hundredth are slow by".to_owned()));
    let rows = part
        .groups()
        .iter()
        .flat_map(|group| group.cells.iter().map(|cell| (group.label.clone(), *cell)))
        .flat_map(|(label, cell)| {
            let competing = cell.competing.iter().map(|flow| (flow.name.clone(), &flow.cell));
            let flows = std::iter::once((cell.arm.to_string(), cell)).chain(competing);
            flows.map(move |(name, cell)| (label.clone(), name, cell))
        })
        .map(|(label, name, cell)| {
            let mut row =
                vec![label, name, cell.n().to_string(), cell.void.len().to_string(), cell.failed.len().to_string()];
            row.extend(metrics.iter().map(|metric| match metric.unit {
                Unit::Bytes => {
                    let values = cell.values(metric).into_iter().map(|(_, value)| value * 1e-6);
                    spread(&values.collect::<Vec<f64>>())
                }
                _ => cell.spread(metric),
            }));
            row.extend(attributed.then(|| slowest(cell).unwrap_or_else(|| "–".to_owned())));
            row
        })
        .collect();
    TableView { head, rows }
}

fn method(part: &PartView<'_>) -> PartMethod {
    let plan = &part.cells[0].plan;
    let arms: Vec<String> = {
        let mut seen = BTreeSet::new();
        part.cells.iter().filter(|c| seen.insert(c.arm)).map(|c| c.arm.to_string()).collect()
    };
    let tuning = serde_json::to_value(&plan.tuning)
        .ok()
        .and_then(|value| value.as_object().cloned())
        .map(|map| {
            map.into_iter()
                .map(|(name, value)| {
                    let value = match value {
                        serde_json::Value::Null => "default".to_owned(),
                        serde_json::Value::String(text) => text,
                        other => other.to_string(),
                    };
                    (name, value)
                })
                .collect()
        })
        .unwrap_or_default();
    PartMethod {
        name: part.name.to_owned(),
        workload: part.workload(),
        competing: plan.competing.iter().map(ToString::to_string).collect(),
        arms: arms.join(", "),
        link: part.groups().iter().map(|group| LinkView::new(&group.cells[0].plan.link, &group.label)).collect(),
        loss_key: match plan.link.loss_key {
            samepath_model::link::LossKey::Time => {
                "by time: at the same instant the same draw for every arm of a seed".into()
            }
            samepath_model::link::LossKey::Index => {
                "by packet: the n-th packet of a direction has the same fate".into()
            }
        },
        tuning,
    }
}

/// What cannot be made equal, and so may explain a difference that is not the transport's.
fn unequal(run: &Run) -> Vec<&'static str> {
    let mut said = vec![
        "Pacing: QUIC (quinn) spreads its packets at 1.25 congestion windows a round trip; the kernel's CUBIC and Reno send as acknowledgements come.",
        "Acknowledgements: quinn acknowledges every second packet or after 25 ms; the kernel adapts (delayed ACK, quick ACK at the start).",
        "Loss detection: the kernel uses RACK-TLP (RFC 8985), quinn packet threshold 3 and time threshold 9/8 (RFC 9002).",
        "Start of a connection: the kernel's CUBIC leaves slow start early by HyStart, quinn's has no HyStart.",
        "Headers: payload per packet differs, so wire bytes differ at equal goodput.",
        "Where they run: TCP is in the kernel, QUIC in the process: CPU time is counted for the process, its system calls included.",
    ];
    if run.planned().iter().any(|t| !t.arm.is_reliable) {
        said.push(
            "udp has no handshake, no congestion control, no retransmission and no warm-up: it shows the path, it is no rival.",
        );
    }
    said
}

/// Settings of all trials: where trials agree, one row.
fn settings(trials: &[TrialRecord]) -> TableView {
    type Key = (&'static str, String, SettingKind, Option<String>, String);
    let mut arms: BTreeMap<Key, BTreeSet<String>> = BTreeMap::new();
    for record in trials {
        let mut note = |flow: FlowId, end: &'static str, settings: Option<&Settings>| {
            for Setting { name, kind, asked, effective } in settings.into_iter().flatten() {
                let key = (end, name.clone(), *kind, asked.clone(), effective.clone());
                arms.entry(key).or_default().insert(record.trial.name_of(flow));
            }
        };
        note(UNDER_TEST, "client", record.client.as_ref().map(|end| &end.settings));
        note(UNDER_TEST, "server", record.server.as_ref().map(|end| &end.settings));
        note(UNDER_TEST, "link", record.link.as_ref().map(|link| &link.settings));
        for (flow, competing) in (1..).zip(&record.competing) {
            note(flow, "client", Some(&competing.client.settings));
            note(flow, "server", Some(&competing.server.settings));
        }
    }
    let rows = arms
        .into_iter()
        .map(|((end, name, kind, asked, effective), arms)| {
            let verdict = match &asked {
                Some(asked) if *asked != effective => "differs",
                _ => "",
            };
            let kind = match kind {
                SettingKind::Equal => "equal",
                SettingKind::Ample => "ample",
            };
            let arms = arms.into_iter().collect::<Vec<_>>().join(", ");
            let asked = asked.unwrap_or_else(|| "only read".into());
            vec![end.into(), name, kind.into(), asked, effective, verdict.into(), arms]
        })
        .collect();
    let head = ["where", "setting", "must be", "asked", "effective", "", "arms"].map(str::to_owned).to_vec();
    TableView { head, rows }
}

/// The restarts of servers, and what became of their sessions, a row each.
fn restarts(trials: &[TrialRecord]) -> TableView {
    let head = ["trial", "server of", "killed at [s]", "ready again at [s]", "what its session came to"];
    let seconds = |at: i64| format!("{:.3}", at as f64 / 1e9);
    let row = |record: &TrialRecord, restart: &RestartRecord| {
        let own = record.session_failures.iter().filter(|failure| failure.flow == restart.flow);
        let own = own.map(|failure| format!("it broke at {} s: {}", seconds(failure.at), failure.error));
        vec![
            record.trial.id.to_string(),
            record.trial.name_of(restart.flow),
            seconds(restart.killed),
            restart.ready.map_or_else(|| "its flow was over before".into(), seconds),
            own.reduce(|all, one| format!("{all}; {one}")).unwrap_or_else(|| "it did not break".into()),
        ]
    };
    let rows = trials.iter().flat_map(|record| record.restarts.iter().map(move |restart| row(record, restart)));
    TableView { head: head.map(str::to_owned).to_vec(), rows: rows.collect() }
}

/// How exactly the link met its conditions, a row a set of conditions.
fn link_table(parts: &[PartView<'_>]) -> TableView {
    let head = [
        "part",
        "conditions",
        "backend",
        "packets offered",
        "random loss asked [%]",
        "loss measured [%]",
        "dropped by a full queue",
        "lateness p50 [µs]",
        "lateness p99 [µs]",
        "lateness max [µs]",
        "lost by the host",
        "real-time trials",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut rows = Vec::new();
    for part in parts {
        for group in part.groups() {
            let reports: Vec<_> =
                group.cells.iter().flat_map(|c| &c.trials).filter_map(|record| record.link.as_ref()).collect();
            if reports.is_empty() {
                continue;
            }
            let plan = &group.cells[0].plan;
            let direction = plan.workload.direction();
            let way = |r: &samepath_model::record::LinkReport| match direction {
                samepath_model::Direction::Up => r.up.clone(),
                samepath_model::Direction::Down => r.down.clone(),
            };
            let packets: u64 = reports.iter().map(|r| r.up.packets + r.down.packets).sum();
            let offered: u64 = reports.iter().map(|r| way(r).packets).sum();
            let lost: u64 = reports.iter().map(|r| dropped(&way(r), DropCause::Loss)).sum();
            let overflow: u64 =
                reports.iter().flat_map(|r| [&r.up, &r.down]).map(|d| dropped(d, DropCause::Overflow)).sum();
            let by_host: u64 = reports.iter().map(|r| r.device_drops + r.receive_buffer_drops).sum();
            let micros = |f: fn(&samepath_model::record::Lateness) -> u64| -> Vec<f64> {
                reports.iter().map(|r| f(&r.lateness) as f64 / 1e3).collect()
            };
            let asked = match plan.link.direction(direction).loss {
                Loss::None => "0".into(),
                Loss::Random(p) => number(p.fraction() * 100.0),
                Loss::Correlated(chance) => format!("{} (correlated)", number(chance.share.fraction() * 100.0)),
                Loss::GilbertElliott(m) => format!("{} (bursts)", number(m.stationary_loss() * 100.0)),
                Loss::Markov(m) => format!("{} (four states)", number(m.stationary_loss() * 100.0)),
            };
            let backends: BTreeSet<&str> = reports.iter().map(|r| r.backend.as_str()).collect();
            rows.push(vec![
                part.name.to_owned(),
                group.label.clone(),
                backends.into_iter().collect::<Vec<_>>().join(", "),
                packets.to_string(),
                asked,
                if offered > 0 { number(100.0 * lost as f64 / offered as f64) } else { "–".into() },
                overflow.to_string(),
                spread(&micros(|l| l.p50_ns)),
                spread(&micros(|l| l.p99_ns)),
                number(micros(|l| l.max_ns).into_iter().fold(0.0, f64::max)),
                by_host.to_string(),
                format!("{} of {}", reports.iter().filter(|r| r.realtime).count(), reports.len()),
            ]);
        }
    }
    TableView { head, rows }
}

/// Packets of a direction that were dropped for this cause.
fn dropped(report: &DirectionReport, cause: DropCause) -> u64 {
    report.dropped.get(cause.name()).copied().unwrap_or(0)
}

fn manifest_rows(run: &Run) -> Vec<(String, String)> {
    let manifest = run.manifest();
    let host = &manifest.host;
    let mut rows: Vec<(String, Option<String>)> = vec![
        ("started (UTC)".into(), Some(manifest.started.clone())),
        ("samepath".into(), Some(manifest.version.clone())),
        ("build".into(), Some(if manifest.debug_build { "debug" } else { "release" }.into())),
        ("format version".into(), Some(manifest.schema.to_string())),
        ("seeds".into(), Some(manifest.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", "))),
        ("backend".into(), manifest.backend.clone()),
        ("system".into(), Some(format!("{} {}", host.os, host.architecture).trim().to_owned())),
        ("kernel".into(), host.kernel.clone()),
        ("CPU".into(), host.cpu_model.clone()),
        ("CPUs usable".into(), host.cores.map(|n| n.to_string())),
        ("virtual machine".into(), host.virtual_machine.map(|v| if v { "yes" } else { "no" }.into())),
        ("clock source".into(), host.clock_source.clone()),
        ("congestion controllers".into(), Some(host.congestion_controllers.join(", "))),
    ];
    rows.extend(manifest.dependencies.iter().map(|(name, version)| (name.clone(), Some(version.clone()))));
    rows.extend(manifest.settings.iter().map(|(name, value)| (name.clone(), Some(value.clone()))));
    rows.into_iter().filter_map(|(name, value)| Some((name, value.filter(|v| !v.is_empty())?))).collect()
}

/// Words as a line for a POSIX shell.
fn shell_line(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,%@+".contains(c);
    words
        .iter()
        .map(|word| {
            if !word.is_empty() && word.chars().all(plain) {
                word.clone()
            } else {
                format!("'{}'", word.replace('\'', r"'\''"))
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}
