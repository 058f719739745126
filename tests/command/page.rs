//! Web pages over each reliable transport: the round trips that they must take, and what goes first on a slow link.

use samepath_model::page_load::PageLoad;
use samepath_model::record::{NameLookup, PacketRecord, TrialRecord};
use samepath_model::workload::page::Kind;
use samepath_model::{Direction, Transport, Workload};
use samepath_results::Run;

use crate::support::{can_emulate, expect_status, figure, file, late, run, stderr, stdout, test, trials};

#[test]
fn a_page_takes_the_round_trips_it_must() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // An image of 10 kB fits any window. Of 80 kB, slow start from ten segments sends 14, 29 and 58; from the window that
    // the HTML has opened, two rounds at least.
    let load = |image: &str, rounds: std::ops::RangeInclusive<u32>| {
        let part = format!(
            "arms = ['tcp', 'tls', 'quic', 'quic/per-message']\n\
             workload = {{ kind = 'page', contents = {{ html = '12kB', images = {{ count = 1, bytes = '{image}' }} }} }}\n\
             link = {{ rtt = '100ms' }}"
        );
        let run = trials(dir.path(), image, &part);
        for record in run.trials() {
            let id = &record.trial.id;
            let first = 100.0 * f64::from(record.trial.arm.first_byte_round_trips);
            let html = figure(record, "html_ms");
            let most = 25.0 + 4.0 * late(record);
            assert!((first..first + most).contains(&html), "{id}: HTML after {html} ms, not {first} ms");
            let taken = figure(record, "largest_image_ms") - html;
            let [least, mut longest] = [rounds.start(), rounds.end()].map(|n| 100.0 * f64::from(*n));
            // quinn's pacer spreads a window that is left over four fifths of a round trip.
            if record.trial.arm.transport == Transport::Quic && rounds.end() > rounds.start() {
                longest += 80.0;
            }
            assert!(
                (least..longest + 2.0 * most).contains(&taken),
                "{id}: the image took {taken} ms, not {longest} ms"
            );
            assert_eq!(figure(record, "critical_path_requests"), 2.0, "{id}");
        }
        run
    };
    load("80kB", 2..=3);
    let run_of_small = load("10kB", 1..=1);
    let dir = run_of_small.dir().to_str().unwrap();
    for record in run_of_small.trials() {
        let messages = run_of_small.messages(&record.trial.id).unwrap();
        let last = messages.iter().max_by_key(|message| message.delivered).unwrap();
        let name = format!("down:{}:{}", last.stream, last.seq);
        let output = run(&["explain", dir, "--trial", &record.trial.id.0, "--message", &name]);
        expect_status(&output, 0);
        let words = stdout(&output);
        assert!(words.contains("Critical path: 4 messages from the release of up:0:0"), "{words}");
    }
}

#[test]
fn stylesheets_come_before_images_where_priorities_are() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = "arms = ['tls', 'quic', 'quic/per-message']\n\
                workload = { kind = 'page', contents = { html = '5kB', css = { count = 1, bytes = '60kB' }, \
                             images = { count = 2, bytes = '240kB' } } }\n\
                link = { rtt = '20ms', rate = '2Mbit', queue = '400kB' }\n\
                axes = { order = ['priority', 'round-robin', 'sequential'] }";
    let run = trials(dir.path(), "slow", part);
    assert_eq!(run.trials().len(), 9);
    for record in run.trials() {
        let id = &record.trial.id;
        let Workload::Page(page) = &record.trial.workload else { unreachable!("it is what was asked") };
        let messages = run.messages(id).unwrap();
        let streams = record.trial.workload.scored_streams();
        let load = PageLoad::of(page, record.trial.seed, streams.clone(), &messages);
        // Nothing is requested before what names it is there.
        for request in messages.iter().filter(|message| message.direction == Direction::Up) {
            let by = load.objects[request.seq as usize].0.named_by.map(|by| load.objects[by as usize].1.unwrap());
            assert!(by.is_none_or(|by| request.released >= by), "{id}: {request:?}");
        }
        // 65 kB at 2 Mbit/s take 260 ms; with as much of the image as of the stylesheet, twice as long.
        let stylesheets = figure(record, "stylesheets_ms");
        let (first_image, css) = (load.all_of(&[Kind::Image]).unwrap(), load.all_of(&[Kind::Css]).unwrap());
        assert!(css < first_image, "{id}");
        let set_up = 20.0 * (f64::from(record.trial.arm.first_byte_round_trips) + 1.0);
        let (least, most) = match record.trial.axes["order"].as_str() {
            "round-robin" => (460.0, 620.0),
            _ => (260.0, 340.0),
        };
        let fits = (set_up + least..set_up + most + 4.0 * late(record)).contains(&stylesheets);
        assert!(fits, "{id}: stylesheets after {stylesheets} ms, {set_up} ms of it round trips");
    }
}

/// A page of two requests, with what is to be said of the lookup.
fn small(lookup: &str) -> String {
    let contents = "{ html = '12kB', images = { count = 1, bytes = '10kB' } }";
    format!("workload = {{ kind = 'page', contents = {contents}, {lookup} }}\n")
}

fn name_lookup(record: &TrialRecord) -> Option<NameLookup> {
    record.summary.as_ref().unwrap().name_lookup
}

/// The packets of a trial's lookup, one way: what stands around 50 bytes is the session's preface and a frame's header, and
/// around 200 the latter alone.
fn packets_of_lookup(run: &Run, record: &TrialRecord, direction: Direction) -> Vec<PacketRecord> {
    let payload = if direction == Direction::Up { 32 + 16 + 50 } else { 16 + 200 };
    let ledger = run.ledger(&record.trial.id).unwrap().unwrap().map(Result::unwrap);
    // Of the server's ports this one is UDP's alone; QUIC has another.
    let port =
        |packet: &PacketRecord| if direction == Direction::Up { packet.destination_port } else { packet.source_port };
    ledger
        .filter(|packet| (packet.protocol, packet.direction, packet.payload) == (17, direction, payload))
        .filter(|packet| port(packet) == 4434)
        .collect()
}

#[test]
fn a_lookup_takes_a_round_trip_before_the_handshake() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = format!(
        "arms = ['tcp', 'tls', 'tls/per-stream', 'quic', 'quic/per-message']\n{}\
         link = {{ rtt = '100ms' }}\naxes = {{ lookup = ['cached', 'uncached'] }}",
        small("lookup-retry = 'chromium'")
    );
    let run_of_pages = trials(dir.path(), "lookup", &part);
    assert_eq!(run_of_pages.trials().len(), 10);
    let of =
        |lookup: &'static str| run_of_pages.trials().iter().filter(move |record| record.trial.axes["lookup"] == lookup);
    for uncached in of("uncached") {
        let cached = of("cached").find(|record| record.trial.arm == uncached.trial.arm).unwrap();
        let id = &uncached.trial.id;
        assert_eq!(name_lookup(cached), None, "{id}");
        let packets = |record, way| packets_of_lookup(&run_of_pages, record, way);
        assert!(
            Direction::BOTH.iter().all(|way| packets(cached, *way).is_empty()),
            "{id}: a cached name is not asked for"
        );
        let [query, response] = Direction::BOTH.map(|way| packets(uncached, way)).map(|packets| {
            assert_eq!(packets.len(), 1, "{id}");
            packets[0].clone()
        });
        let NameLookup { took_ns, tries, answered } = name_lookup(uncached).unwrap();
        assert!(answered && tries == 1, "{id}");
        // It begins with the schedule, and ends as the response leaves the link.
        let (took, came) = (took_ns as f64 / 1e6, response.left.unwrap() as f64 / 1e6);
        let most = 3.0 + 2.0 * late(uncached);
        assert!(query.arrived >= 0 && came >= 100.0, "{id}: {query:?}, {response:?}");
        assert!((came..came + most).contains(&took), "{id}: {took} ms, response after {came} ms");
        // Everything that follows is so much later, and no more.
        let apart = 5.0 + 4.0 * (late(cached) + late(uncached));
        for figure_of in ["html_ms", "largest_image_ms", "page_load_ms"] {
            let later = figure(uncached, figure_of) - figure(cached, figure_of);
            assert!((later - took).abs() < apart, "{id}: {figure_of} is {later} ms later, the lookup took {took} ms");
        }
        let first_byte = |record: &TrialRecord| record.summary.as_ref().unwrap().first_byte_ms.unwrap();
        assert!((first_byte(uncached) - first_byte(cached) - took).abs() < apart, "{id}: first byte");

        // The decomposition has it, as a part of the hold of the one message that waited for it.
        let blocking = uncached.summary.as_ref().unwrap().blocking.as_ref().unwrap();
        let held = blocking.hold.unwrap();
        let sum = |part: f64| part * blocking.messages as f64;
        let messages = run_of_pages.messages(id).unwrap();
        // The client's clock may have been late with its release.
        let waited = took - messages[0].released as f64 / 1e6;
        assert!((sum(held.lookup) - waited).abs() < 1e-6, "{id}: {held:?}, not {waited} ms");
        let handshake = uncached.summary.as_ref().unwrap().handshake_ms.unwrap();
        assert!(sum(held.setup) > 0.9 * handshake && sum(held.setup) < handshake + 1e-6, "{id}: {held:?}");
        assert!((held.values().iter().sum::<f64>() - blocking.all.hold).abs() < 1e-6, "{id}: {held:?}");

        let last = messages.iter().max_by_key(|message| message.delivered).unwrap();
        let name = format!("down:{}:{}", last.stream, last.seq);
        let dir = run_of_pages.dir().to_str().unwrap();
        let output = run(&["explain", dir, "--trial", &id.0, "--message", &name]);
        expect_status(&output, 0);
        let words = stdout(&output);
        let line = words.lines().find(|line| line.starts_with("The senders held these messages by:"));
        let parts = ["lookup of the name 10", "set-up of its connection"];
        assert!(line.is_some_and(|line| parts.iter().all(|part| line.contains(part))), "{words}");
    }
}

#[test]
fn a_dropped_query_costs_the_timeout_of_its_rule() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (lost, others) in [(Direction::Up, 1), (Direction::Down, 2)] {
        let part = format!(
            "arms = ['tcp', 'quic']\n{}link = {{ rtt = '40ms', {lost} = {{ drop = ['time 0s'] }} }}",
            small("lookup = 'uncached', lookup-retry = 'unbound'")
        );
        let run = trials(dir.path(), &lost.to_string(), &part);
        for record in run.trials() {
            let id = &record.trial.id;
            let NameLookup { took_ns, tries, answered } = name_lookup(record).unwrap();
            assert!(answered && tries == 2, "{id}: {tries} tries");
            let (took, least) = (took_ns as f64 / 1e6, 376.0 + 40.0);
            assert!((least..least + 3.0 + 2.0 * late(record)).contains(&took), "{id}: {took} ms, not {least} ms");
            let queries = packets_of_lookup(&run, record, Direction::Up);
            assert_eq!(queries.len(), 2, "{id}");
            assert_eq!(packets_of_lookup(&run, record, Direction::Down).len(), others, "{id}");
            let gap = (queries[1].arrived - queries[0].arrived) as f64 / 1e6;
            assert!((gap - 376.0).abs() < 3.0 + 2.0 * late(record), "{id}: the second query after {gap} ms");
            let first = took + 40.0 * f64::from(record.trial.arm.first_byte_round_trips);
            let html = figure(record, "html_ms");
            assert!((first..first + 25.0 + 4.0 * late(record)).contains(&html), "{id}: {html} ms, not {first} ms");
        }
    }
}

#[test]
fn an_unresolved_name_is_the_failure_of_its_page() {
    if !can_emulate(test!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = format!(
        "arms = ['tcp', 'quic']\n{}link = {{ rtt = '20ms', down = {{ drop = ['time 0s..20s'] }} }}",
        small("lookup = 'uncached', lookup-retry = 'glibc', lookup-timeout = '200ms', lookup-tries = 3")
    );
    let run_of_pages = trials(dir.path(), "unresolved", &part);
    let dir = run_of_pages.dir().to_str().unwrap();
    for record in run_of_pages.trials() {
        let (id, summary) = (&record.trial.id, record.summary.as_ref().unwrap());
        let NameLookup { took_ns, tries, answered } = name_lookup(record).unwrap();
        assert!(!answered && tries == 3, "{id}");
        let took = took_ns as f64 / 1e6;
        assert!((600.0..603.0 + 2.0 * late(record)).contains(&took), "{id}: given up after {took} ms");
        assert_eq!((summary.messages, summary.delivered, summary.handshake_ms), (1, 0, None), "{id}");
        assert!(!summary.score.contains_key("page_load_ms"), "{id}");
        let packets = run_of_pages.ledger(id).unwrap().unwrap().filter(|packet| packet.as_ref().unwrap().arrived >= 0);
        assert_eq!(packets.count(), 6, "{id}: three queries, three responses, and no connection");
        let output = run(&["explain", dir, "--trial", &id.0]);
        expect_status(&output, 0);
        assert!(stdout(&output).contains("the name of its server was not resolved"), "{}", stdout(&output));
    }
    let output = run(&["report", dir]);
    expect_status(&output, 0);
    let report = std::fs::read_to_string(run_of_pages.dir().join("report/index.html")).unwrap();
    assert!(report.contains("In 2 trials of 2 no query for the name of the server was answered"), "{report}");
}

#[test]
fn a_lookup_that_cannot_be_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (lookup, link, remedy) in [
        ("lookup = 'never'", "", "`cached`"),
        ("lookup = 'uncached', cold = false", "", "leave one of them out"),
        ("lookup = 'uncached', lookup-retry = 'none', lookup-tries = 2", "", "`lookup-retry` is `none`"),
        ("lookup = 'uncached', lookup-response = '1MB'", "", "`lookup-response` must lie between 1B and"),
        ("lookup = 'uncached', lookup-response = '1000B'", "mtu = 1000", "at least 1096"),
    ] {
        let text = format!(
            "schema = 1\nname = 'x'\n[[part]]\nname = 'a'\narms = ['tcp']\n{}link = {{ {link} }}\n",
            small(lookup)
        );
        let output = run(&["run", &file(dir.path(), "refused.toml", &text)]);
        expect_status(&output, 2);
        assert!(stderr(&output).contains(remedy), "{lookup}: {}", stderr(&output));
    }
}
