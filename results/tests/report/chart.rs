//! Every chart: complete, legible, reproducible.

use samepath_model::Arm;
use samepath_model::arm::Connections;
use samepath_results::chart::{Drawing, Shown, draw_all};
use samepath_results::{Analysis, Run};

use crate::svg::Picture;
use crate::{synthetic, whole};

fn drawings(run: &Run) -> Vec<Drawing> {
    let shown = draw_all(&Analysis::of(run)).expect("the records can be read");
    shown
        .into_iter()
        .filter_map(|one| match one {
            Shown::Drawn(drawing) => Some(*drawing),
            Shown::LeftOut { .. } => None,
        })
        .collect()
}

/// Eight arms on long-named axes: the most that must fit.
const CROWDED: &str = r#"
schema = 1
name = "crowded"
question = "Does it all fit?"
repeat = 6

[[part]]
name = "messages"
arms = ["tcp", "tcp/per-stream", "tls", "tls/per-stream", "quic", "quic/shared", "quic/per-message", "quic/datagram", "udp"]
workload = { kind = "messages", streams = 20, size = "1000B", spacing = "40ms", count = 20 }
link = { rtt = "60ms", rate = "20Mbit" }
axes = { loss = ["burst 1% 3", "gemodel 1% 30% 100% 0.01%", "5%"] }

[[part]]
name = "bulk"
arms = ["tcp", "tcp/per-stream", "tls", "tls/per-stream", "quic", "quic/shared", "quic/per-message", "quic/datagram", "udp"]
workload = { kind = "bulk", streams = 4, duration = "500ms" }
link = { rtt = "60ms", rate = "100Mbit" }
axes = { loss = ["0%", "0.01%", "5%"], rtt = ["10ms", "200ms"] }
"#;

#[test]
fn each_part_gets_the_charts_that_suit_it() {
    let drawn = drawings(whole());
    let stems: Vec<&str> = drawn.iter().map(|d| d.stem.as_str()).collect();
    let expected = [
        "messages-delay-tail",
        "messages-delay-percentiles",
        "messages-stalls",
        "messages-decomposition",
        "messages-blocked",
        "messages-stall-packets",
        "messages-path-over-time",
        "messages-start",
        "messages-cost",
        "messages-lateness",
        "bulk-goodput",
        "bulk-goodput-over-time",
        "bulk-path-over-time",
        "bulk-start",
        "bulk-cost",
        "bulk-lateness",
    ];
    assert_eq!(stems, expected);
}

#[test]
fn every_chart_names_its_arms_units_seeds_and_conditions() {
    for drawing in drawings(whole()) {
        let picture = Picture::read(&drawing.svg);
        // One stall is of one arm, which its title names.
        let one = drawing.chart.name == "stall-packets";
        for arm in ["tcp", "tls", "quic", "quic/shared", "udp"].into_iter().filter(|_| !one) {
            assert!(picture.texts.iter().any(|t| t.words == arm), "{}: {arm}", drawing.stem);
        }
        let unit = match drawing.chart.name {
            "delay-tail" | "delay-percentiles" | "stalls" | "decomposition" => "(ms",
            "blocked" => "blocked time, mean (ms)",
            "stall-packets" => "(ms)",
            "path-over-time" => "(s)",
            "goodput" | "goodput-over-time" => "(Mbit/s",
            "start" => "(RTT)",
            "cost" => "(s per GB of payload)",
            "lateness" => "(µs",
            other => panic!("{other} has no unit here"),
        };
        for words in [unit, "n = ", "seed", "RTT 60ms, 20Mbit", &drawing.title] {
            assert!(picture.says(words), "{}: {words}", drawing.stem);
        }
        assert!(drawing.table.rows.iter().all(|row| row.len() == drawing.table.head.len()), "{}", drawing.stem);
        assert!(!drawing.table.rows.is_empty() && !drawing.caption.is_empty(), "{}", drawing.stem);
    }
}

fn legible(run: &Run) {
    for drawing in drawings(run) {
        let picture = Picture::read(&drawing.svg);
        for (i, text) in picture.texts.iter().enumerate() {
            assert!(
                text.left >= 0.0 && text.top >= 0.0 && text.right <= picture.width && text.bottom <= picture.height,
                "{}: beyond the sheet: {text:?}",
                drawing.stem
            );
            for other in &picture.texts[i + 1..] {
                assert!(!text.overlaps(other), "{}: {text:?} lies on {other:?}", drawing.stem);
            }
        }
    }
}

#[test]
fn no_text_is_cut_or_lies_on_another() {
    legible(whole());
}

#[test]
fn it_all_fits_with_every_arm_and_many_conditions() {
    let dir = tempfile::tempdir().unwrap();
    let run = synthetic::run(&dir.path().join("run"), CROWDED, synthetic::all_done);
    legible(&run);
    let drawn = drawings(&run);
    for drawing in drawn.iter().filter(|d| d.chart.name != "stall-packets") {
        let picture = Picture::read(&drawing.svg);
        for arm in Arm::all().filter(|arm| arm.connections != Connections::PerMessage) {
            assert!(picture.says(&arm.to_string()), "{}: {arm}", drawing.stem);
        }
    }
    // Six seeds carry an interval, and the charts must not call it a range.
    let goodput = drawn.iter().find(|d| d.chart.name == "goodput").expect("goodput");
    assert!(goodput.svg.contains("95 % confidence interval") && !goodput.svg.contains("not a confidence interval"));
    assert!(goodput.table.rows.iter().all(|row| !row.contains(&"too few seeds".to_owned())));
}

#[test]
fn few_seeds_are_called_a_range() {
    for drawing in drawings(whole()).iter().filter(|d| matches!(d.chart.name, "goodput" | "cost")) {
        assert!(drawing.svg.contains("not a confidence interval"), "{}", drawing.stem);
    }
}

#[test]
fn the_square_root_law_stands_where_it_is_due() {
    let drawn = drawings(whole());
    let goodput = drawn.iter().find(|d| d.chart.name == "goodput").expect("goodput");
    assert!(goodput.svg.contains("Mathis (Reno)"));
    // A part without random loss has no such line.
    let dir = tempfile::tempdir().unwrap();
    let lossless = r#"
schema = 1
name = "lossless"
[[part]]
name = "bulk"
arms = ["tcp"]
workload = { kind = "bulk", duration = "1s" }
link = { rtt = "60ms", rate = "20Mbit" }
"#;
    let run = synthetic::run(&dir.path().join("run"), lossless, synthetic::all_done);
    let drawn = drawings(&run);
    let goodput = drawn.iter().find(|d| d.chart.name == "goodput").expect("goodput");
    assert!(!goodput.svg.contains("Mathis"));
}

/// The same without the attribution of packets to messages, as a part can ask for.
const UNATTRIBUTED: &str = r#"
schema = 1
name = "unattributed"
repeat = 2

[[part]]
name = "messages"
arms = ["tcp", "tls", "quic", "quic/shared", "udp"]
workload = { kind = "messages", streams = 8, size = "1000B", spacing = "40ms", count = 100 }
link = { rtt = "60ms", rate = "20Mbit", loss = "1%" }
attribution = false
"#;

#[test]
fn the_timeline_shows_what_was_blocked() {
    let drawn = drawings(whole());
    let stalls = drawn.iter().find(|d| d.chart.name == "stalls").expect("stalls");
    assert!(!stalls.svg.contains("late, not blocked") && stalls.svg.contains("blocked by other bytes"));
    let row = |arm: &str| stalls.table.rows.iter().find(|row| row[0] == arm).expect("a row");
    let count = |arm: &str, column: usize| row(arm)[column].parse::<u32>().expect("a count");
    // A drop blocks messages of all streams of tcp, and of quic's its own alone.
    assert_eq!(count("tcp", 4), 8);
    assert!((1..8).contains(&count("quic", 4)), "{:?}", row("quic"));
    assert_eq!((count("udp", 3), count("udp", 8)), (0, count("udp", 9)));
    assert!(count("tcp", 8) > 0 && count("tcp", 9) == 0, "each drop has its retransmission: {:?}", row("tcp"));
}

#[test]
fn the_parts_of_the_delay_add_up() {
    let drawn = drawings(whole());
    let parts = drawn.iter().find(|d| d.chart.name == "decomposition").expect("decomposition");
    for row in &parts.table.rows {
        let value = |column: usize| row[column].parse::<f64>().expect("a number");
        let sum: f64 = (5..13).map(value).sum();
        // Each is written with three digits.
        assert!((sum - value(4)).abs() <= 0.01 * value(4), "{row:?}");
        if matches!(row[1].as_str(), "quic" | "udp") {
            assert_eq!(row[10], "0", "other streams never block {row:?}");
        }
    }
}

#[test]
fn charts_say_that_the_attribution_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let run = synthetic::run(&dir.path().join("run"), UNATTRIBUTED, synthetic::all_done);
    let shown = draw_all(&Analysis::of(&run)).expect("the records can be read");
    for chart in ["decomposition", "blocked"] {
        let left_out = shown.iter().any(
            |one| matches!(one, Shown::LeftOut { chart: of, reason, .. } if of.name == chart && reason.contains("not attributed")),
        );
        assert!(left_out, "{chart:?}");
    }
}

/// Over before the first round trip is: nothing comes in a whole bin.
const BARELY_BEGUN: &str = r#"
schema = 1
name = "barely-begun"
question = "Is there a course over time?"
repeat = 1

[[part]]
name = "bulk"
arms = ["tcp", "quic"]
workload = { kind = "bulk", duration = "300ms" }
link = { rtt = "900ms", rate = "20Mbit" }
"#;

#[test]
fn no_course_over_time_is_drawn_of_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = synthetic::run(&dir.path().join("run"), BARELY_BEGUN, synthetic::all_done);
    let shown = draw_all(&Analysis::of(&run)).expect("the records can be read");
    let left_out = shown.iter().any(|one| {
        matches!(one, Shown::LeftOut { chart, reason, .. }
            if chart.name == "goodput-over-time" && reason.contains("no payload came in a whole bin"))
    });
    assert!(left_out, "it was drawn, or for another reason not");
}

#[test]
fn the_timeline_does_not_claim_to_know_what_blocked() {
    let dir = tempfile::tempdir().unwrap();
    let run = synthetic::run(&dir.path().join("run"), UNATTRIBUTED, synthetic::all_done);
    let drawn = drawings(&run);
    let stalls = drawn.iter().find(|d| d.chart.name == "stalls").expect("stalls");
    assert!(stalls.svg.contains("a bar says late, not blocked"));
    assert_eq!(stalls.table.rows.len(), 5);
    // The order of the transports: tcp above quic.
    let arms: Vec<&str> = stalls.table.rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(arms, ["tcp", "tls", "quic", "quic/shared", "udp"]);
    // With the made-up losses a drop makes all streams of tcp late, and one of quic's.
    let streams = |row: usize| stalls.table.rows[row][4].parse::<u32>().expect("a count");
    assert!(streams(0) == 8 && streams(2) < 8, "{:?}", stalls.table.rows);
}

#[test]
fn the_undelivered_are_counted_in_the_tail() {
    let drawn = drawings(whole());
    let tail = drawn.iter().find(|d| d.chart.name == "delay-tail").expect("tail");
    let udp = tail.table.rows.iter().find(|row| row[0] == "loss 3%" && row[1] == "udp").expect("udp at 3 %");
    assert_eq!(udp[3], "2400");
    assert!(udp[4].parse::<u32>().expect("a count") > 24, "{udp:?}");
    assert_eq!(udp[7], "never arrived", "{udp:?}");
}

#[test]
fn the_order_of_trials_changes_no_chart() {
    let dir = tempfile::tempdir().unwrap();
    let again = synthetic::run_in_order(&dir.path().join("run"), synthetic::HEAD_OF_LINE, synthetic::all_done);
    assert_ne!(
        again.trials().iter().map(|t| t.trial.id.clone()).collect::<Vec<_>>(),
        whole().trials().iter().map(|t| t.trial.id.clone()).collect::<Vec<_>>()
    );
    assert!(drawings(&again) == drawings(whole()));
}
