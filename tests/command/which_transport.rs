//! The table of uses: floors, verdicts and what is said beside them, in real namespaces.

use samepath_results::Run;
use serde_json::Value;

use crate::support::{can_emulate, expect_status, file, run, stdout, test, tolerant};

/// Two seeds are enough at a confidence of 0.5.
const SMALL: &str = r#"
schema = 1
name = "small"
repeat = 2

[[part]]
name = "dns"
use = "DNS"
arms = ["tcp", "udp"]
workload = { kind = "query", per-second = 100, count = 40, retry = "none" }
axes = { profile = ["home-dsl", "geostationary-satellite"] }

[[part]]
name = "login"
use = "login"
arms = ["tcp", "tls"]
workload = { kind = "rpc", outstanding = 1, count = 1, calls = 3, cold = true }
axes = { profile = ["home-dsl"] }

[[part]]
name = "beside"
use = "DNS"
arms = ["tcp", "udp"]
workload = { kind = "query", per-second = 100, count = 40, retry = "none" }
axes = { profile = ["4g"] }
competing-flow = [{ name = "download", arm = "tcp", workload = { kind = "bulk", duration = "1s" } }]

[[need]]
use = "DNS"
metric = "latency-p99"
most = "250ms"
limit = "5s"
confidence = 0.5
source = "our choice"

[[need]]
use = "login"
metric = "latency-p50"
most = "1ms"
percentile = 50
confidence = 0.5
source = "faster than light"

[[rule]]
use = "DNS"
says = "DNS needs UDP"
arms = ["udp"]
"#;

/// The verdict and the needs of a cell of the table in JSON.
fn cell<'v>(uses: &'v Value, conditions: &str, of: &str, arm: &str) -> &'v Value {
    let named = |list: &'v Value, key: &str, name: &str| {
        let found = list.as_array().unwrap().iter().find(|one| one[key] == name);
        found.unwrap_or_else(|| panic!("no {key} {name} in {list}"))
    };
    let row = named(&named(&uses["blocks"], "conditions", conditions)["rows"], "use", of);
    named(&row["cells"], "arm", arm)
}

#[test]
fn uses_are_judged_by_measurement_and_by_distance() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (file(dir.path(), "small.toml", &tolerant(SMALL)), dir.path().join("run"));
    // That a need is not met is an answer, and no failure.
    let output = run(&["run", &path, "--out", out.to_str().unwrap(), "--json"]);
    expect_status(&output, 0);
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let uses = &document["uses"];
    // An answer takes a round trip, so 600 ms on every arm; a login four, and with TLS five.
    for arm in ["tcp", "udp"] {
        assert_eq!(cell(uses, "geostationary-satellite", "DNS", arm)["verdict"], "fails-by-distance", "{arm}");
    }
    for (arm, floor) in [("tcp", 100.0), ("tls", 125.0)] {
        let login = cell(uses, "home-dsl", "login", arm);
        assert_eq!((&login["verdict"], &login["needs"][0]["floor"]), (&"fails-by-distance".into(), &floor.into()));
    }
    let near = cell(uses, "home-dsl", "DNS", "udp");
    assert_eq!((&near["within_limit"], &near["needs"][0]["floor"]), (&true.into(), &25.0.into()));
    // Nothing is ever faster than its floor.
    let cells = uses["blocks"].as_array().unwrap().iter().flat_map(|block| block["rows"].as_array().unwrap());
    for need in cells.flat_map(|row| row["cells"].as_array().unwrap()).map(|cell| &cell["needs"][0]) {
        assert!(need["found"].as_f64().unwrap() >= need["floor"].as_f64().unwrap(), "{need}");
    }
    let said = uses["uses"][0]["sentences"].to_string();
    assert!(
        said.contains("On 4g, beside a download: the download itself, over tcp, got") && said.contains("DNS needs UDP"),
        "{said}"
    );

    let page = std::fs::read_to_string(out.join("report/index.html")).unwrap();
    assert!(page.contains("<h2 id=\"h-uses\">Which transport?</h2>") && page.contains("fails by distance"));
    let again = run(&["report", out.to_str().unwrap()]);
    expect_status(&again, 0);
    assert_eq!(Run::open(&out).unwrap().needs().len(), 2);
}
