use super::*;
use crate::link::ConditionError;

fn traced(text: &str) -> Result<(String, Schedule), String> {
    said(text.as_bytes(), None)
}

fn said(bytes: &[u8], form: Option<&str>) -> Result<(String, Schedule), String> {
    let form = form.map(|form| form.parse::<TraceForm>().unwrap());
    match read("dir/t.csv", bytes, form.as_ref()) {
        Ok((form, schedule)) => Ok((form.to_string(), schedule)),
        Err(ConditionError::Trace { problem, .. }) => Err(problem),
        Err(other) => panic!("{other}"),
    }
}

fn steps(schedule: &Schedule) -> Vec<(u64, u64)> {
    let Schedule::Steps(steps) = schedule else { panic!("no steps") };
    steps.steps().iter().map(|step| (step.from, step.rate)).collect()
}

#[test]
fn mahimahis_form_is_known_by_its_one_column() {
    let (form, schedule) = traced("# of a drive\r\n1\r\n1\r\n\r\n3\r\n10\r\n").unwrap();
    assert_eq!((form.as_str(), &schedule), ("mahimahi", &Schedule::Opportunities(vec![1, 1, 3, 10].into())));
    // Four opportunities of 1504 bytes in 10 ms.
    assert_eq!(schedule.mean(), BitRate::new(4 * 1504 * 8 * 100));
    assert_eq!(schedule.period(), Duration::from_millis(10));
}

#[test]
fn two_columns_are_seconds_and_megabits() {
    const SECOND: u64 = 1_000_000_000;
    let meant = [(0, 2_680_000_000_000), (1_008_663_912, 1_873_447_222_220), (2 * SECOND, 0)];
    for text in [
        "0.0113360881805 2.68\n1.02 1.87344722222\n2.0113360881805 0\n",
        "0.0113360881805\t2.68\n1.02\t1.87344722222\n2.0113360881805\t0e0",
        "\u{feff}0.0113360881805,2.68\r\n\r\n1.02,1.87344722222\r\n2.0113360881805,0.0\r\n",
        "# s and Mbit/s\n0.0113360881805; 2.68\n# a tunnel\n1.02; 1.87344722222\n2.0113360881805; 0\n",
    ] {
        let (form, schedule) = traced(text).unwrap();
        assert_eq!((form.as_str(), steps(&schedule)), ("columns 1:s 2:Mbit", meant.to_vec()), "{text:?}");
        // The last holds for as long as the one before it.
        assert_eq!(schedule.period().as_nanos(), 2 * SECOND + (2 * SECOND - meant[1].0));
    }
}

#[test]
fn columns_are_known_by_their_names() {
    for (text, form) in [
        ("time,throughput_mbps\n0,5\n1,6\n", "columns 1:s 2:Mbit"),
        ("ts_ms,bandwidth_kbps\n1732690000000,5000\n1732690000500,6000\n", "columns 1:ms 2:kbit"),
        ("\"rtt\",\"MB/s\",\"time\"\n9,0.5,0\n9,0.75,1\n", "columns 3:s 2:MB"),
        ("# time_ms rate_kbit\n0 5000\n500 6000\n", "columns 1:ms 2:kbit"),
    ] {
        assert_eq!(traced(text).unwrap().0, form, "{text:?}");
    }
    // The word for a form goes before what the names say.
    let (form, schedule) = said(b"time,rate\n0,5\n1,6\n", Some("columns time:ms rate:kbit")).unwrap();
    assert_eq!(
        (form.as_str(), steps(&schedule)),
        ("columns 1:ms 2:kbit", vec![(0, 5_000_000_000), (1_000_000, 6_000_000_000)])
    );
    let (form, _) = said(b"0,9,5\n1,9,6\n", Some("columns s 3:Mbit/s")).unwrap();
    assert_eq!(form, "columns 1:s 3:Mbit");
}

#[test]
fn mistakes_name_the_line_and_the_remedy() {
    for (text, words) in [
        ("", &["empty"][..]),
        ("# nothing\n\n", &["empty"]),
        ("0\n", &["period"]),
        ("5\n4\n", &["line 2", "order of time"]),
        ("x\n", &["line 1", "`x`"]),
        ("1\n2.5\n", &["line 2", "`2.5`", "mahimahi"]),
        ("0 1\n\n2 1\n1 1\n", &["line 4", "earlier"]),
        ("0 1\n0 2\n", &["line 2", "leave one out"]),
        ("0 1\n1 -2\n", &["line 2", "below 0", "write 0"]),
        ("-1 1\n1 2\n", &["line 1", "below 0"]),
        ("0 1\n1 NaN\n", &["line 2", "`NaN`", "leave the line out"]),
        ("0;1\n1;2,5\n", &["line 2", "`2,5`", "decimal point"]),
        ("0 1\n1\n", &["line 2", "1 columns"]),
        ("0 0\n1 0\n", &["all 0"]),
        ("0 5\n", &["one line", "`rate`"]),
        ("time,mbps\n", &["header"]),
        ("0 1 2\n", &["3 columns", "`columns 1:s 2:Mbit dir/t.csv`"]),
        ("time,rate\n0,1\n1,2\n", &["`columns time:s rate:Mbit dir/t.csv`", "`columns time:s rate:kbit dir/t.csv`"]),
        ("time,mbps\n0,1\n500,2\n", &["`columns 1:s 2:Mbit dir/t.csv`", "`columns 1:ms 2:Mbit dir/t.csv`"]),
        ("1732690000000 5\n1732690000001 6\n", &["`columns 1:ms 2:Mbit dir/t.csv`"]),
        ("0 5000\n1 6000\n", &["`columns 1:s 2:Mbit dir/t.csv`", "`columns 1:s 2:kbit dir/t.csv`"]),
        ("{\"a\": 1}", &["JSON"]),
        ("0 1\n1 1e13\n", &["line 2", "1000 Gbit/s"]),
    ] {
        let error = traced(text).expect_err(text);
        assert!(words.iter().all(|word| error.contains(word)), "{text:?}: {error}");
        // Forms that are to be written can be.
        for form in error.split('`').filter_map(|said| said.strip_suffix(" dir/t.csv")) {
            form.parse::<TraceForm>().unwrap();
        }
    }
    for (bytes, words) in [(&b"\xff\xfe1\0\n\0"[..], &["UTF-16", "UTF-8"]), (b"1\n2\n\x80\n", &["line 3", "UTF-8"])] {
        let error = said(bytes, None).expect_err("no text");
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    let error = said(b"time,rate\n0,5\n1,6\n", Some("columns when:s rate:kbit")).unwrap_err();
    assert!(error.contains("`when`") && error.contains("time, rate"), "{error}");
}

#[test]
fn a_trace_shows_name_form_and_mean() {
    let (_, schedule) = traced("0 5\n10 0\n20 1\n").unwrap();
    let checksum = Checksum::of(b"");
    let trace = Trace::kept("/some/where/my lte.log", checksum, TraceForm::COMMON, schedule);
    assert_eq!(trace.describe(), "rate of my_lte.log (s and Mbit/s; 2.0 Mbit/s in the mean; again every 30s)");
    assert_eq!(trace.to_string(), format!("kept my_lte.log {checksum} 30s 2Mbit columns 1:s 2:Mbit"));
    let mut back: Trace = trace.to_string().parse().unwrap();
    assert_eq!((back.schedule(), &back), (None, &trace));
    // Another file under the same name is found out.
    assert!(back.load(b"0 5\n10 0\n20 2\n").unwrap_err().to_string().contains("2333333bit"));
    back.load(b"0 5\n10 0\n20 1\n").unwrap();
    assert_eq!(back.schedule(), trace.schedule());
}
