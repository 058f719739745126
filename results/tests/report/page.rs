//! The page: self-contained, proof against hostile words, and plain about what is missing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use samepath_model::record::{Outcome, TrialRecord};
use samepath_model::{VoidKind, VoidReason};
use samepath_results::report::{self, ReportError};
use samepath_results::{Analysis, Run, table};

use crate::{synthetic, whole};

/// A small experiment for what can go wrong; `QUESTION` is replaced by hostile words.
const SMALL: &str = r#"
schema = 1
name = "small"
question = "Is it <b>bold</b> or <script>alert(1)</script>?"
explanation = "\"><img src=x onerror=alert(1)> & {{ 7 * 7 }} {% raw %}"
seeds = [7]

[[part]]
name = "messages"
arms = ["tcp", "quic"]
workload = { kind = "messages", streams = 2, size = "100B", spacing = "20ms", count = 20 }
link = { rtt = "20ms", loss = "2%" }

[[part]]
name = "bulk"
arms = ["tcp", "quic"]
workload = { kind = "bulk", duration = "1s" }
link = { rtt = "20ms", rate = "10Mbit" }
"#;

fn draw(run: &Run) -> Result<PathBuf, ReportError> {
    report::draw(&Analysis::of(run))
}

fn page_of(experiment: &str, fate: synthetic::Fate) -> String {
    let dir = tempfile::tempdir().unwrap();
    let run = synthetic::run(&dir.path().join("run"), experiment, fate);
    fs::read_to_string(draw(&run).expect("a page")).unwrap()
}

/// Every file under a directory with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    all
}

#[test]
fn the_report_is_self_contained_and_reproducible() {
    let run = whole();
    let page = draw(run).expect("a report");
    assert_eq!(page, run.dir().join("report/index.html"));
    let first = files(&run.dir().join("report"));
    let count = |suffix: &str| first.keys().filter(|p| p.to_string_lossy().ends_with(suffix)).count();
    assert_eq!((count(".svg"), count(".png"), count(".csv"), count(".html")), (16, 16, 4, 1));
    for (path, bytes) in first.iter().filter(|(p, _)| p.to_string_lossy().ends_with(".png")) {
        assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 10_000, "{path:?}");
    }

    // The parts of the delay are given in full, and add up to it.
    let parts = String::from_utf8(first[&run.dir().join("report/tables/delay-parts.csv")].clone()).unwrap();
    let mut lines = parts.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let column = |name: &str| head.iter().position(|of| *of == name).expect("a column");
    let mut rows = 0;
    for row in lines {
        let value = |name: &str| row[column(name)].parse::<f64>().unwrap();
        let sum: f64 =
            row[column("sender_hold_ms")..=column("host_stack_ms")].iter().map(|v| v.parse::<f64>().unwrap()).sum();
        assert!((sum - value("delay_ms")).abs() < 1e-6, "{row:?}");
        rows += 1;
    }
    assert_eq!(rows, 5 * 3 * 3 * 3, "three rows a trial of the attributed part");
    let streams = String::from_utf8(first[&run.dir().join("report/tables/streams.csv")].clone()).unwrap();
    let of_a_trial = |record: &TrialRecord| {
        let blocking = record.summary.as_ref().and_then(|summary| summary.blocking.as_ref());
        blocking.map_or(0, |blocking| blocking.stall_of_stream_ms.len())
    };
    let expected: usize = run.trials().iter().map(of_a_trial).sum();
    assert!(
        expected > 0 && streams.lines().count() == 1 + expected,
        "a row a stream of what is attributed: {expected}"
    );

    let html = fs::read_to_string(&page).unwrap();
    for outward in ["http:", "https:", "//cdn", "<script", "<link", "<img", "<iframe", "@import", "url(", " src="] {
        assert!(!html.contains(outward), "{outward}");
    }
    assert!(html.split("href=\"").skip(1).all(|rest| rest.starts_with('#')));
    assert_eq!(html.matches("<svg").count(), 16);
    assert_eq!(html.matches("<details>").count(), html.matches("</details>").count());
    for id in html.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(html.contains(&format!("id=\"{id}\"")), "{id}");
    }
    for heading in
        ["Short answer", "Verdict", "Main charts", "Supporting charts", "All cells", "Method", "Run it again"]
    {
        assert!(html.contains(heading), "{heading}");
    }
    // Asked for and granted differ in the made-up receive buffer, and the page says so.
    assert!(html.contains("8388608") && html.contains("425984") && html.contains("differs"));
    assert!(html.contains("samepath run head-of-line --seed 1"));

    draw(run).expect("a second report over the first");
    assert!(files(&run.dir().join("report")) == first);
    let left: Vec<_> = fs::read_dir(run.dir())
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(".report"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The page of the lab's own experiment, drawn once for all tests that only read it: in a directory of its own, as one
/// test looks at what drawing leaves behind.
fn whole_page() -> &'static str {
    static PAGE: OnceLock<String> = OnceLock::new();
    PAGE.get_or_init(|| page_of(synthetic::HEAD_OF_LINE, synthetic::all_done))
}

/// The rows of the first table after these words.
fn rows(html: &str, after: &str) -> Vec<Vec<String>> {
    let (_, rest) = html.split_once(after).unwrap_or_else(|| panic!("no {after}"));
    let body = rest.split("<tbody>").nth(1).and_then(|rest| rest.split("</tbody>").next()).expect("a table");
    let cells = |row: &str| {
        row.split("<td>").skip(1).map(|cell| cell.split("</td>").next().expect("closed").to_owned()).collect()
    };
    body.split("<tr>").skip(1).map(cells).collect()
}

/// What stands between the heading of the short answer and that of the verdict.
fn short_answer(html: &str) -> &str {
    html.split("id=\"h-answer\"").nth(1).and_then(|rest| rest.split("id=\"h-verdict\"").next()).expect("an answer")
}

#[test]
fn the_answer_carries_its_uncertainty() {
    let html = whole_page();
    assert!(html.contains("the smallest two-sided p-value that 3 pairs can give is 0.25"));
    assert!(html.contains("no difference here can be called significant"));
    assert!(short_answer(html).contains("too few to call any significant"));
    // The made-up seeds give the ratio of quic's tail to tcp's at 3 % loss: the 95th percentiles.
    let pairs = rows(html, "Pair by pair");
    assert_eq!(pairs[2][..5], ["messages", "loss 3%", "delay p95", "quic over tcp", "×0.578"]);
    assert!(pairs.iter().all(|row| row[7] == "3" && row[8].contains("too few pairs for an interval")), "{pairs:?}");
    // What the delays are made of is measured: at 3 % blocking makes tcp's tail, as it was made up.
    let cells = rows(html, "id=\"h-cells\"");
    let slow = |conditions: &str, arm: &str| {
        cells.iter().find(|row| row[0] == conditions && row[1] == arm).and_then(|row| row.last()).expect("a cell")
    };
    assert!(slow("loss 3%", "tcp").starts_with("blocked ("), "{}", slow("loss 3%", "tcp"));
    assert_eq!(slow("loss 3%", "udp"), "nothing");
}

#[test]
fn the_short_answer_has_one_chart_a_part() {
    let html = whole_page();
    let answer = short_answer(html);
    let sentences: Vec<&str> =
        answer.split("<div class=\"answer\">").skip(1).filter_map(|rest| rest.split("</div>").next()).collect();
    assert_eq!(sentences.len(), 2, "a part each");
    assert!(sentences[0].contains("At 3 % loss, of the messages that lost nothing themselves"), "{}", sentences[0]);
    assert!(
        sentences[0].contains("one in 20 on quic") && sentences[0].contains("never arrived on udp"),
        "{}",
        sentences[0]
    );
    assert!(sentences[1].contains("At 3 % loss, the goodput was"), "{}", sentences[1]);
    for said in sentences {
        assert!(said.matches("<p>").count() <= 3 && said.len() < 500, "{said}");
    }
    // Each chart is shown once on the page, those of the answers in it.
    assert_eq!(answer.matches("<svg").count(), 2);
    for stem in ["messages-blocked", "bulk-goodput"] {
        assert!(answer.contains(&format!("<figure id=\"{stem}\"")), "{stem}");
    }
    let mut stems: Vec<&str> = html.split("<figure id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(stems.len(), 16);
    stems.sort_unstable();
    stems.dedup();
    assert_eq!(stems.len(), 16, "{stems:?}");
    // Three figures under three conditions, each with its heading, and one.
    assert_eq!((rows(answer, ">messages<").len(), rows(answer, ">bulk<").len()), (12, 4));
}

#[test]
fn hostile_words_stay_words() {
    let html = page_of(SMALL, |trial| Outcome::Failed {
        step: "client".into(),
        error: format!("</td><script>alert('{}')</script>\u{1b}[31m", trial.seed),
    });
    assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("<b>bold"), "{html}");
    assert!(
        html.contains("&lt;script&gt;alert(1)&lt;&#x2f;script&gt;")
            || html.contains("&lt;script&gt;alert(1)&lt;/script&gt;")
    );
    assert!(html.contains("{{ 7 * 7 }}"));
}

#[test]
fn one_trial_an_arm_has_no_spread() {
    let html = page_of(SMALL, synthetic::all_done);
    assert!(html.contains("A single seed: no spread is known"));
    assert!(html.contains("it cannot show how much of a difference is chance"));
    assert!(html.contains("n = 1 seed (no spread can be shown)"));
    assert!(!html.contains("significant at 5 %"));
}

#[test]
fn a_run_without_trials_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let run = synthetic::empty(&dir.path().join("run"), SMALL);
    let html = fs::read_to_string(draw(&run).expect("a page")).unwrap();
    assert!(html.contains("0 of 4 trials count; 0 void, 0 failed, 4 not run."));
    assert!(html.contains("No trial counts, so there is no answer."));
    assert!(!html.contains("<svg"), "an empty chart was drawn");
    assert!(html.contains("no trial of this part counts, so there is nothing to draw"));
}

#[test]
fn void_and_failed_trials_show_their_reasons() {
    let void = page_of(SMALL, |_| Outcome::Void {
        reasons: vec![VoidReason::new(VoidKind::LinkLate, "lateness p99 3.1 ms above 1 ms")],
    });
    assert!(void.contains("4 void") && void.contains("void: lateness p99 3.1 ms above 1 ms"));
    assert!(!void.contains("<svg"));
    let failed = page_of(SMALL, |_| Outcome::Failed { step: "server".into(), error: "it did not become ready".into() });
    assert!(failed.contains("4 failed") && failed.contains("failed at server: it did not become ready"));
    assert!(!failed.contains("<svg"));
    // One arm void: the others are still drawn, the void one is not.
    let mixed = page_of(SMALL, |trial| match trial.arm.transport {
        samepath_model::Transport::Quic => {
            Outcome::Void { reasons: vec![VoidReason::new(VoidKind::HostDrops, "the host dropped packets")] }
        }
        _ => Outcome::Done,
    });
    assert!(mixed.contains("2 of 4 trials count; 2 void"));
    assert!(mixed.contains("<svg"));
    let missing = "Not shown, for want of a trial that counts under these conditions and this seed: quic.";
    assert!(mixed.contains(missing) && !mixed.contains("The stall timeline is not drawn"));
}

#[test]
fn a_run_sealed_meanwhile_shows_its_checksums() {
    let dir = tempfile::tempdir().unwrap();
    let run = synthetic::empty(&dir.path().join("run"), SMALL);
    assert!(fs::read_to_string(draw(&run).unwrap()).unwrap().contains("not sealed yet"));
    run.seal().unwrap();
    let html = fs::read_to_string(draw(&run).unwrap()).unwrap();
    assert!(html.contains("SHA-256 of") && html.contains("experiment.toml"));
}

#[test]
fn what_stands_in_the_reports_place_is_not_destroyed() {
    let dir = tempfile::tempdir().unwrap();
    let run = synthetic::empty(&dir.path().join("run"), SMALL);
    fs::write(run.dir().join("report"), "mine").unwrap();
    let error = draw(&run).unwrap_err();
    assert!(matches!(error, ReportError::Occupied(_)) && error.to_string().contains("move it away"), "{error}");
    assert_eq!(fs::read_to_string(run.dir().join("report")).unwrap(), "mine");
}

#[test]
#[cfg(target_os = "linux")]
fn a_read_only_run_keeps_its_old_report() {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    let dir = tempfile::tempdir().unwrap();
    let run = synthetic::empty(&dir.path().join("run"), SMALL);
    let before = fs::read(draw(&run).expect("writable at first")).unwrap();
    // Permissions do not bind root; a read-only mount in a namespace of this thread's own does.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            const NONE: Option<&str> = None;
            if let Err(error) = unshare(CloneFlags::CLONE_NEWNS) {
                samepath_testing::skip!("a mount namespace needs root here: {error}");
                return;
            }
            let place = run.dir();
            mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).unwrap();
            mount(Some(place), place, NONE, MsFlags::MS_BIND, NONE).unwrap();
            mount(NONE, place, NONE, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, NONE).unwrap();
            let error = draw(&run).unwrap_err().to_string();
            assert!(
                error.contains("Read-only file system") && error.contains("make the run directory writable"),
                "{error}"
            );
            assert_eq!(fs::read(run.dir().join("report/index.html")).unwrap(), before);
        });
    });
}

#[test]
fn long_conditions_are_summed_up_until_asked_for() {
    let drops = (1..=40).map(|n| format!("\"data {}\"", 10 * n)).collect::<Vec<_>>().join(", ");
    let text =
        SMALL.replace("{ rtt = \"20ms\", loss = \"2%\" }", &format!("{{ rtt = \"20ms\", down.drop = [{drops}] }}"));
    assert_ne!(text, SMALL);
    let dir = tempfile::tempdir().unwrap();
    let run = synthetic::run(&dir.path().join("run"), &text, synthetic::all_done);
    let table = table::render(&Analysis::of(&run)).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(table.contains("40 scripted drops (data 10 to data 400 in steps of 10)"), "{table}");
    assert!(!table.contains("data 20"), "{table}");
    let page = fs::read_to_string(draw(&run).expect("a page")).unwrap();
    let (detail, rest) = {
        let from = page.find("<details><summary>Every condition").expect("the whole list");
        let to = from + page[from..].find("</details>").unwrap();
        (&page[from..to], format!("{}{}", &page[..from], &page[to..]))
    };
    assert!(detail.contains("drop data 10, drop data 20, drop data 30"), "{detail}");
    assert!(rest.contains("40 scripted drops") && !rest.contains("drop data 20"));
    for path in files(&run.dir().join("report/tables")).into_values() {
        assert!(!String::from_utf8(path).unwrap().contains("data 20"));
    }
}

#[test]
fn the_verdicts_come_first_and_say_their_reason() {
    let expectations = r#"
[[expect]]
part = "bulk"
arm = "tcp"
metric = "delivered-percent"
least = "1%"
each = true

[[expect]]
part = "bulk"
arm = "quic"
metric = "completion"
most = "1ms"
each = true

[[expect]]
part = "messages"
metric = "delay-p50"
arm = "quic"
ratio-to = { arm = "tcp" }
most = 0.9
"#;
    let page = page_of(&format!("{SMALL}{expectations}"), synthetic::all_done);
    let strip = page.split("<ul class=\"verdicts\">").nth(1).expect("a strip").split("</ul>").next().unwrap();
    let lines: Vec<&str> = strip.split("<li").skip(1).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with(" class=\"pass\"><b>✓ pass</b>"), "{}", lines[0]);
    assert!(lines[1].starts_with(" class=\"fail\"><b>✗ fail</b>") || lines[1].contains("inconclusive"), "{}", lines[1]);
    assert!(
        lines[2].contains("? inconclusive") && lines[2].contains("too few seeds: 1, and it takes 6"),
        "{}",
        lines[2]
    );
    assert!(lines[2].contains("delay p50, ratio to tcp, at most 0.9"), "{}", lines[2]);
    assert!(page.find("id=\"expectations\"") < page.find("id=\"answer\""));
    assert!(!page_of(SMALL, synthetic::all_done).contains("expectations"));
}
