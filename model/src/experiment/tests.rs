use super::*;
use crate::LinkSpec;
use crate::units::Duration;

const SMALL: &str = r#"
schema = 1
name = "small"
repeat = 2
[[part]]
name = "messages"
arms = ["tcp", "quic"]
workload = { kind = "messages", streams = 4, size = "1000B", spacing = "40ms", count = 10 }
link = { rtt = "60ms", rate = "20Mbit" }
axes = { loss = ["0%", "1%", "burst 1% 3"], streams = [1, 4] }
"#;

#[test]
fn the_matrix_is_multiplied_out() {
    let experiment = Experiment::parse(SMALL).unwrap();
    let trials = experiment.trials();
    assert_eq!(trials.len(), 3 * 2 * 2 * 2);
    let mut ids: Vec<_> = trials.iter().map(|t| &t.id).collect();
    ids.dedup();
    assert_eq!(ids.len(), trials.len());
    assert!(trials.iter().any(|t| t.workload.streams() == 1 && t.axes["loss"] == "burst 1% 3"));
}

#[test]
fn the_text_form_round_trips() {
    let experiment = Experiment::parse(SMALL).unwrap();
    assert_eq!(Experiment::parse(&experiment.spec().to_toml()).unwrap(), experiment);
}

#[test]
fn an_axis_can_be_set_from_outside() {
    let mut experiment = ExperimentSpec::parse(SMALL).unwrap();
    experiment.set_axis("loss", &["2%".into()]).unwrap();
    experiment.set_axis("rtt", &["10ms".into(), "20ms".into()]).unwrap();
    experiment.set_axis("controller", &["reno".into()]).unwrap();
    assert!(experiment.set_axis("colour", &["red".into()]).unwrap_err().to_string().contains("colour"));
    assert_eq!(experiment.resolve().unwrap().trials().len(), 2 * 2 * 2 * 2);
}

#[test]
fn conditions_can_be_put_over_those_of_the_file() {
    let mut experiment = ExperimentSpec::parse(SMALL).unwrap();
    let over: LinkSpec = toml::from_str("delay = '5ms'\nloss = '2%'\n[up]\nrate = '1Mbit'").unwrap();
    experiment.override_link(&over);
    let experiment = experiment.resolve().unwrap();
    let trials = experiment.trials();
    assert_eq!(trials.len(), 2 * 2 * 2, "loss is no longer an axis");
    let link = &trials[0].link;
    assert_eq!(link.rtt(), Duration::from_millis(10));
    assert_eq!(link.up.rate, Some(crate::BitRate::new(1_000_000)));
    assert_eq!(link.down.rate, Some(crate::BitRate::new(20_000_000)));
    assert!((link.down.loss.rate() - 0.02).abs() < 1e-12);
}

#[test]
fn one_kind_of_rate_replaces_the_other() {
    let rates = |file: &str, flags: &str| {
        let mut experiment = ExperimentSpec::parse(&SMALL.replace("rate = \"20Mbit\"", file)).unwrap();
        experiment.override_link(&toml::from_str(flags).unwrap());
        let link = experiment.resolve().unwrap().trials()[0].link.clone();
        [link.up, link.down].map(|c| (c.rate.map(|rate| rate.to_string()), c.rate_trace.is_some()))
    };
    let (rate, trace) = ((Some("20Mbit".to_owned()), false), (None, true));
    let twenty = "rate = '20Mbit'";
    assert_eq!(rates(twenty, "rate-trace = 'inline t 1'"), [trace.clone(), trace.clone()]);
    assert_eq!(rates(twenty, "[up]\nrate-trace = 'inline t 1'"), [trace.clone(), rate.clone()]);
    assert_eq!(rates("rate-trace = 'inline t 1'", twenty), [rate.clone(), rate.clone()]);
    assert_eq!(rates("up = { rate = '1Mbit' }", "rate-trace = 'inline t 1'"), [trace.clone(), trace]);
    assert_eq!(rates("rate-trace = 'inline t 1'", "[down]\nrate = '20Mbit'")[1], rate);
}

#[test]
fn messages_are_mapped_unless_said_otherwise() {
    let attributed = |text: &str| Experiment::parse(text).unwrap().trials()[0].attribution;
    let bulk =
        "schema = 1\nname = 'b'\n[[part]]\nname = 'b'\narms = ['tcp']\nworkload = { kind = 'bulk', bytes = '1MB' }\n";
    assert!(attributed(SMALL) && !attributed(bulk));
    assert!(attributed(&format!("{bulk}attribution = true")));
    assert!(!attributed(&SMALL.replace("arms =", "attribution = false\narms =")));
}

fn refused(text: &str) -> String {
    Experiment::parse(text).unwrap_err().to_string()
}

#[test]
fn errors_name_line_and_part() {
    let at_line = refused(&SMALL.replace("60ms", "60"));
    assert!(at_line.contains("line 9") && at_line.contains("60ms"), "{at_line}");
    assert!(refused(&SMALL.replace("streams = 4", "stream = 4")).contains("stream"));
    for (from, to, expected) in [
        ("schema = 1", "schema = 99\nnews = 1", "line 2: `schema` is 99"),
        ("\"small\"", "\"so small\"", "line 3: `name` is `so small`"),
        ("repeat = 2", "repeat = 0", "line 4: `repeat` is 0"),
        ("repeat = 2", "seeds = [1,\n2,\n1]", "line 6: seed 1 is there twice"),
        ("\"messages\"\na", "\"no name\"\na", "line 6: part `no name`: its name"),
        ("[\"tcp\", \"quic\"]", "[]", "line 7: part `messages`: `arms` is empty"),
        ("\"quic\"]", "\n\"tcp\"]", "line 8: part `messages`: arm `tcp` is there twice"),
        ("spacing = \"40ms\"", "spacing = \"0s\"", "line 8: part `messages`: workload `messages`"),
        ("{ loss", "{ los", "line 10: part `messages`: there is no axis `los`"),
        ("\"0%\"", "\n\"200%\"", "line 11: part `messages`: axis `loss`: "),
        ("[1, 4]", "[1,\n0]", "line 11: part `messages`: workload `messages`"),
        ("streams = [1, 4]", "jitter = [\"1ms\",\n\"9s\"]", "line 11: part `messages`: impossible"),
        ("rate = \"20Mbit\"", "limit = 0", "line 9: part `messages`: impossible link conditions: a `limit`"),
    ] {
        let changed = SMALL.replacen(from, to, 1);
        assert_ne!(changed, SMALL, "{from}");
        let error = refused(&changed);
        assert!(error.starts_with(expected), "{to}: {error}");
    }
}

#[test]
fn a_number_out_of_range_names_the_range() {
    let wrong = refused(&SMALL.replace("streams = 4", "streams = 100000000"));
    assert!(wrong.contains("from 0 to 65535") && wrong.contains("line 8"), "{wrong}");
    let axis = refused(&SMALL.replace("[1, 4]", "[1, 100000000]"));
    assert!(axis.contains("from 0 to 65535") && axis.contains("line 10"), "{axis}");
}

#[test]
fn values_that_mean_the_same_are_refused() {
    let set = |axis: &str, values: &[&str]| {
        let mut experiment = ExperimentSpec::parse(SMALL).unwrap();
        experiment.set_axis(axis, &values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>()).unwrap();
        experiment.resolve().map(|experiment| experiment.trials().len()).map_err(|error| error.to_string())
    };
    for (axis, values) in [
        ("loss", ["0%", "0%"]),
        ("loss", ["1%", "1.0%"]),
        ("rate", ["10Mbit", "10000kbit"]),
        ("size", ["1kB", "1000B"]),
        ("controller", ["cubic", "cubic"]),
    ] {
        let error = set(axis, &values).unwrap_err();
        let named = values.iter().all(|value| error.contains(&format!("`{value}`")));
        assert!(named && error.contains(axis) && error.contains("leave one out"), "{error}");
    }
    assert_eq!(set("loss", &["0%", "1%"]), Ok(2 * 2 * 2 * 2));
    // The round trip takes the place of the delay, so that two delays are one.
    let mut both = ExperimentSpec::parse(SMALL).unwrap();
    both.set_axis("delay", &["5ms".into(), "10ms".into()]).unwrap();
    both.set_axis("rtt", &["20ms".into(), "40ms".into()]).unwrap();
    let error = both.resolve().unwrap_err().to_string();
    assert!(error.contains("the values `5ms` and `10ms` of axis `delay` make the same trials"), "{error}");
    // In a file, with the line; a run that was made so can still be read.
    let text = SMALL.replace("\"0%\"", "\"1.0%\"");
    assert!(refused(&text).starts_with("line 10: part `messages`: the values `1.0%` and `1%`"), "{}", refused(&text));
    let recorded = Experiment::parse_recorded(&text).unwrap();
    assert_eq!(recorded.trials().len(), 3 * 2 * 2 * 2);
}

/// The small experiment with this expectation, and the line on which it begins.
fn expecting(expectation: &str) -> (String, usize) {
    let text = format!("{SMALL}[[expect]]\n{expectation}");
    (text, SMALL.lines().count() + 1)
}

fn expected(expectation: &str) -> Expected {
    let (text, _) = expecting(expectation);
    Experiment::parse(&text).unwrap_or_else(|error| panic!("{expectation}: {error}")).expected()[0].clone()
}

#[test]
fn an_expectation_is_of_every_cell_that_fits() {
    let one = expected("metric = 'x'\narm = 'quic'\nat = { loss = '1%', streams = 4 }\nmost = '120ms'");
    let names: Vec<_> = one.cells.iter().map(|cell| cell.cell.to_string()).collect();
    assert_eq!(names, ["messages loss 1%, streams 4 quic"]);
    assert_eq!(one.bound, Bound::AtMost(Figure("120ms".into())));
    assert_eq!(one.statistic, Statistic::Median { confidence: 0.95 });
    let of_all = expected("metric = 'x'\nleast = 3\neach = true");
    assert_eq!((of_all.cells.len(), of_all.statistic), (3 * 2 * 2, Statistic::Each));
    assert_eq!(of_all.bound, Bound::AtLeast(Figure("3".into())));
}

#[test]
fn a_cell_is_compared_with_the_named_one() {
    let ratio = expected("metric = 'x'\nratio-to = { arm = 'tcp' }\nmost = 0.9\nat = { streams = 1 }");
    // Not tcp with itself.
    assert_eq!((ratio.relation, ratio.cells.len()), (Some(Relation::Ratio), 3));
    for ExpectedCell { cell, other } in ratio.cells {
        let other = other.unwrap();
        assert_eq!([cell.arm, other.arm].map(|arm| arm.to_string()), ["quic", "tcp"]);
        assert_eq!(cell.axes, other.axes);
    }
    let difference = expected("metric = 'x'\ndifference-from = { at = { loss = '0%' } }\nmost = '5ms'");
    assert_eq!(difference.cells.len(), 2 * 2 * 2);
    assert!(difference.cells.iter().all(|cell| cell.other.as_ref().unwrap().axes["loss"] == "0%"));
}

#[test]
fn expectations_keep_their_text_form() {
    let (text, _) = expecting("metric = 'x'\nnear = '1ms'\nwithin = '0.1ms'\nratio-to = { arm = 'tcp' }\narm = 'quic'");
    let experiment = Experiment::parse(&text).unwrap();
    assert_eq!(Experiment::parse(&experiment.spec().to_toml()).unwrap(), experiment);
}

#[test]
fn flags_may_take_the_cells_of_an_expectation() {
    let (text, _) = expecting("metric = 'x'\nat = { loss = '1%' }\narm = 'quic'\nmost = '1ms'");
    let mut spec = Experiment::parse(&text).unwrap().into_spec();
    spec.set_axis("loss", &["2%".into()]).unwrap();
    let experiment = spec.resolve().unwrap();
    let expected = &experiment.expected()[0];
    assert_eq!((expected.cells.len(), expected.named.as_str()), (0, "loss 1% quic"));
    assert_eq!(Experiment::parse_recorded(&experiment.spec().to_toml()).unwrap().expected(), experiment.expected());
}

#[test]
fn an_impossible_expectation_is_told_with_its_line() {
    for (expectation, line, said) in [
        ("metric = 'x'\nmost = 1\npart = 'bulk'", 3, "there is no part `bulk`; choose from: messages"),
        ("metric = 'x'\nmost = 1\narm = 'udp'", 3, "part `messages` has no arm `udp`; choose from: tcp, quic"),
        ("metric = 'x'\nmost = 1\nat = { los = '1%' }", 3, "has no axis `los`; it has: loss, streams"),
        ("metric = 'x'\nmost = 1\n[expect.at]\nloss = '2%'", 4, "no value `2%`; choose from: 0%, 1%, burst 1% 3"),
        ("metric = 'x'", 0, "it has no bound"),
        ("metric = 'x'\nmost = 1\nleast = 1", 2, "more than one bound"),
        ("metric = 'x'\nnear = 1", 2, "`near` goes with `within`"),
        ("metric = 'x'\nmost = 1\nconfidence = 95", 3, "below 1; write 0.95"),
        ("metric = 'x'\nmost = 1\nconfidence = 1.0", 3, "below 1, as 0.95"),
        ("metric = 'x'\nmost = 1\neach = true\nconfidence = 0.9", 4, "leave one of them out"),
        ("metric = 'x'\nmost = 1\nratio-to = { arm = 'udp' }", 3, "has no arm `udp`"),
        ("metric = 'x'\nmost = 1\narm = 'tcp'\nratio-to = { arm = 'tcp' }", 4, "leads to the cell itself"),
        ("metric = 'x'\nmost = 1\nratio-to = { }", 3, "leads to the cell itself"),
    ] {
        let (text, first) = expecting(expectation);
        let error = refused(&text);
        let at = format!("line {}: expectation 1: ", first + line);
        assert!(error.starts_with(&at) && error.contains(said), "{expectation}: {error}");
    }
    let (text, first) = expecting("metric = 'x'\nmots = 1");
    assert!(refused(&text).contains(&format!("line {}", first + 2)), "{}", refused(&text));
}
