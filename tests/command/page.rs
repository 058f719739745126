//! Web pages over each reliable transport: the round trips that they must take, and what goes first on a slow link.

use samepath_model::page_load::PageLoad;
use samepath_model::workload::page::Kind;
use samepath_model::{Direction, Transport, Workload};

use crate::support::{can_emulate, expect_status, figure, late, run, stdout, test, trials};

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
