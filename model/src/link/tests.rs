//! Conditions: text forms, what they resolve to, and what is refused.

use super::*;

fn spec(text: &str) -> LinkSpec {
    toml::from_str(text).unwrap()
}

#[test]
fn rtt_splits_evenly_and_directions_override_it() {
    let link = spec("rtt = '60ms'\nrate = '20Mbit'\nloss = '1%'\n[up]\nloss = '0%'\n").resolve().unwrap();
    assert_eq!(link.up.delay, Duration::from_millis(30));
    assert_eq!(link.rtt(), Duration::from_millis(60));
    assert_eq!(link.up.loss, Loss::None);
    assert!((link.down.loss.rate() - 0.01).abs() < 1e-12);
    // 20 Mbit/s × 60 ms = 150,000 bytes.
    assert_eq!(link.queue_capacity(Direction::Down), Some(QueueCapacity::Bytes(ByteCount::new(150_000))));
}

#[test]
fn the_impossible_is_refused_by_name() {
    for (text, word) in [
        ("rtt = '1ms'\ndelay = '1ms'", "exclude"),
        ("queue = '100p'", "without a rate"),
        ("rtt = '10ms'\njitter = '6ms'", "before it was sent"),
        ("reorder = '1%'", "needs a delay"),
        ("mtu = 99", "too small"),
        ("rtt = '1h'", "at most"),
        ("profile = 'moon'", "moon"),
        ("aqm = 'codel'", "without a rate"),
        ("overhead = '14'", "without a rate"),
        ("rate = '1Mbit'\nrate-trace = 'inline a 1 1'", "exclude"),
        ("rate-trace = 'lte.down'", "has not been read"),
        ("delay = '9ms'\njitter = '1ms'\ndistribution = 'table wan.dist'", "has not been read"),
        ("limit = 0", "nothing pass"),
        ("generator = 'netem'\nrate = '1Mbit'\nqueue = '9p'", "no `queue`"),
        ("generator = 'netem'\nrate = '1Mbit'\naqm = 'codel'", "no `aqm`"),
        ("generator = 'netem'\nrate-trace = 'inline a 1 1'", "no `rate-trace`"),
        ("generator = 'netem'\nslot = 'distribution normal 9ms 1ms'", "`slot` by a table does not go with"),
        ("slot = 'distribution table a.dist 9ms 1ms'", "the table of pauses `a.dist` has not been read"),
        ("delay = '9ms'\njitter = '5ms'\nchange = ['2s: delay 3ms']", "from 2s"),
        ("change = ['1s..2s: rate 1Mbit']", "no rate to start from"),
        ("change = ['1s: queue 9p']", "without a rate"),
        ("change = ['1s: rate 0']", "no rate whose queue could fill"),
        ("generator = 'netem'\nrate = '1Mbit'\nchange = ['1s: rate 0']", "netem has no rate of 0"),
        ("delay = '9ms'\nreorder = '1%'\nkeep-order = true", "exclude each other"),
        ("delay = '9ms'\njitter = '5ms'\nchange = ['1s every 2s: delay 9ms', '2s every 2s: delay 3ms']", "from 2s"),
    ] {
        let message = spec(text).resolve().unwrap_err().to_string();
        assert!(message.contains(word), "{text}: {message}");
    }
    assert!(toml::from_str::<LinkSpec>("latency = '1ms'").unwrap_err().to_string().contains("latency"));
}

#[test]
fn words_without_effect_are_refused_except_in_records() {
    for (text, word) in [
        ("distribution = 'normal'", "`distribution` without jitter: add `jitter`"),
        ("delay = '9ms'\nup = { jitter = '1ms' }\ndown = { distribution = 'normal' }", "without jitter (down)"),
        ("rtt = '9ms'\nchange = ['1s: distribution normal']", "without jitter"),
        ("ecn = true", "`ecn` without loss"),
        ("keep-order = true\nrtt = '9ms'", "`keep-order` without jitter"),
        ("filter = 'udp'", "`filter` without conditions"),
        ("delay = '9ms'\ndown = { filter = 'udp', delay = '0ms' }", "`filter` without conditions (down)"),
        ("blackhole = '1500B'", "a `blackhole` above 1500B swallows nothing"),
        ("mtu = 1300\nup = { blackhole = '1400B' }", "`blackhole` above 1400B (up)"),
        ("up = { ecn = true }\ndown = { loss = '1%' }", "without loss (up)"),
        ("generator = 'netem'\nloss-key = 'index'", "`loss-key` does not go with `generator` netem"),
    ] {
        let spec = spec(text);
        let message = spec.refuse_idle(&spec).unwrap_err().to_string();
        assert!(message.contains(word), "{text}: {message}");
        spec.resolve().unwrap();
    }
    for text in [
        "",
        "ecn = false",
        "ecn = true\nloss = '0%'",
        "ecn = true\ndown = { loss = '1%' }",
        "ecn = true\nchange = ['1s..2s: loss 3%']",
        "rtt = '9ms'\ndistribution = 'normal'\njitter = '0ms'",
        "rtt = '9ms'\ndistribution = 'normal'\nchange = ['1s: jitter 1ms']",
        "profile = 'busy-wifi'\necn = true",
        "loss-key = 'index'",
        "generator = 'netem'",
        "filter = 'udp'\nloss = '100%'",
        "filter = 'udp'\nprofile = '4g'",
        "filter = 'udp'\nup = { drop = ['data 3'] }",
        "filter = 'udp'\nrebind = ['2s: port']",
        "blackhole = '1499B'",
        "rtt = '9ms'\nkeep-order = true\nchange = ['1s: jitter 1ms']",
    ] {
        let spec = spec(text);
        spec.refuse_idle(&spec).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    // Only what is said later is looked at then.
    let running = spec("rtt = '9ms'\nup = { jitter = '1ms' }\nloss = '1%'\necn = true");
    let later = spec("distribution = 'normal'");
    running.amended(&later).refuse_idle(&later).unwrap();
    let without = LinkSpec::default().amended(&later);
    assert!(without.refuse_idle(&later).is_err());
    assert!(without.refuse_idle(&LinkSpec::default()).is_ok());
}

#[test]
fn the_buffer_that_is_enforced_is_said() {
    for (text, said) in [
        ("rtt = '60ms'\nrate = '20Mbit'", "RTT 60ms, 20Mbit, queue 1bdp (150kB)"),
        // Ten packets, and one: less would carry no burst, and nothing.
        ("rtt = '1ms'\nrate = '1Mbit'", "RTT 1ms, 1Mbit, queue 1bdp (15kB)"),
        ("rate = '1Mbit'\nqueue = '1ms'\nmtu = 1400", "RTT 0ms, 1Mbit, queue 1ms (1400B)"),
        ("rate = '1Mbit'\nqueue = '100B'", "RTT 0ms, 1Mbit, queue 100B (1500B)"),
        ("rate = '1Mbit'\nqueue = '64KiB'", "RTT 0ms, 1Mbit, queue 64KiB"),
        ("rate = '1Mbit'\nqueue = '9p'", "RTT 0ms, 1Mbit, queue 9p"),
        (
            "rtt = '60ms'\nup = { rate = '2Mbit' }\ndown = { rate = '20Mbit' }",
            "RTT 60ms; up 2Mbit, queue 1bdp (15kB); down 20Mbit, queue 1bdp (150kB)",
        ),
    ] {
        assert_eq!(spec(text).resolve().unwrap().to_string(), said, "{text}");
    }
}

#[test]
fn gilbert_elliott_by_mean_loss_and_burst() {
    let Loss::GilbertElliott(model) = "burst 2% 3".parse().unwrap() else { panic!("not a burst model") };
    assert!((model.stationary_loss() - 0.02).abs() < 1e-12);
    assert!((model.mean_burst() - 3.0).abs() < 1e-12);
    let text = Loss::GilbertElliott(model).to_string();
    let Loss::GilbertElliott(back) = text.parse().unwrap() else { panic!("{text}") };
    assert!((back.stationary_loss() - 0.02).abs() < 1e-10);
}

#[test]
fn text_forms_round_trip() {
    for text in ["100p", "64KiB", "50ms", "1bdp", "0.5bdp"] {
        assert_eq!(text.parse::<QueueLimit>().unwrap().to_string(), text);
    }
    for text in ["data 3", "packet 1", "bytes 14600..16060", "handshake 2", "time 1.5s", "time 1s..1.2s"] {
        assert_eq!(text.parse::<ScriptedDrop>().unwrap().to_string(), text);
    }
    for text in ["2s..2.5s", "2s..2.5s every 15s"] {
        assert_eq!(text.parse::<Outage>().unwrap().to_string(), text);
    }
    for text in [
        "data every 100",
        "packet 50..500",
        "handshake 50..500 every 100",
        "data 50.. every 100",
        "data 5..",
        "time 1s every 2s",
        "time 1s..1.2s every 2s",
    ] {
        assert_eq!(text.parse::<ScriptedDrop>().unwrap().to_string(), text);
    }
    for text in [
        "data 0",
        "bytes 5..5",
        "drop",
        "handshake 0",
        "time 2",
        "time 2s..1s",
        "data every 0",
        "data every x",
        "data 0..5",
        "data 9..9",
        "data 9..3",
        "data 5 every 3",
        "data ..5",
        "packet every",
        "bytes 1..5 every 3",
        "time 1s..3s every 2s",
        "time 1s every 0s",
        "time 1s every x",
    ] {
        assert!(text.parse::<ScriptedDrop>().is_err(), "{text}");
    }
    for text in ["2s", "2s..1s", "1s..2s every 1s", "1s..2s every 500ms", "1s..2s every", "1s..2s every 2"] {
        assert!(text.parse::<Outage>().is_err(), "{text}");
    }
    for text in ["0p", "p", "1", "0bdp", "nanbdp"] {
        assert!(text.parse::<QueueLimit>().is_err(), "{text}");
    }
}

#[test]
fn one_line_says_it_all() {
    let link = spec("rtt = '60ms'\nrate = '20Mbit'\nloss = '1%'").resolve().unwrap();
    assert_eq!(link.to_string(), "RTT 60ms, 20Mbit, queue 1bdp (150kB), loss 1%");
    let link = spec("rtt = '60ms'\n[down]\nloss = '1%'").resolve().unwrap();
    assert_eq!(link.to_string(), "RTT 60ms; down loss 1%");
    for (text, said) in [
        ("filter = 'udp port 443'\nloss = '100%'", "RTT 0ms, loss 100%, only udp port 443"),
        ("filter = 'udp'\n[up]\nloss = '1%'\n[down]\nloss = '2%'", "RTT 0ms, only udp; up loss 1%; down loss 2%"),
        ("[up]\nfilter = 'udp'\nloss = '1%'", "RTT 0ms; up loss 1%, only udp"),
        ("blackhole = '1400B'\nbleach = true", "RTT 0ms, blackhole 1400B, ECN bleached"),
        ("rtt = '9ms'\njitter = '1ms'\nkeep-order = true", "RTT 9ms, jitter ±1ms in order"),
        ("rtt = '9ms'\nrebind = ['2s every 5s: port']", "RTT 9ms; rebind 2s every 5s: port"),
        ("outage = ['2s..2.5s every 15s']", "RTT 0ms, outage 2s..2.5s every 15s"),
        (
            "up = { drop = ['data 1', 'data 2', 'data 3', 'data 4', 'data 9'] }",
            "RTT 0ms; up 5 scripted drops (data 1 to data 9)",
        ),
    ] {
        assert_eq!(spec(text).resolve().unwrap().to_string(), said, "{text}");
    }
    let stopped = spec("rate = '8Mbit'\nqueue = '9p'\nchange = ['1s: rate 0']").resolve().unwrap();
    let then = stopped.at(Duration::from_secs(2));
    assert!(then.to_string().starts_with("RTT 0ms, 8Mbit stopped, queue 9p; "), "{then}");
}

/// What was typed comes back as it is.
fn round_trips<T: std::str::FromStr<Err = ConditionError> + std::fmt::Display>(texts: &[&str]) {
    for text in texts {
        let value = text.parse::<T>().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(value.to_string(), *text);
    }
}

fn refuses<T: std::str::FromStr<Err = ConditionError> + std::fmt::Debug>(texts: &[&str]) {
    for text in texts {
        let error = text.parse::<T>().expect_err(text).to_string();
        assert!(error.contains(text.trim()) || error.contains('`'), "{text}: {error}");
    }
}

#[test]
fn every_condition_has_a_text_form_and_refuses_nonsense() {
    round_trips::<Chance>(&["0%", "1%", "1% 25%"]);
    round_trips::<Jitter>(&["0ms", "5ms", "5ms 25%"]);
    round_trips::<Reorder>(&["25%", "25% 50%", "25% 50% gap 5", "25% gap 3"]);
    round_trips::<Loss>(&["1%", "1% 25%", "gemodel 1% 10% 70% 0.1%", "state 1% 30% 20% 40% 0.5%"]);
    round_trips::<Distribution>(&[
        "uniform",
        "normal",
        "pareto",
        "paretonormal",
        "table a b.dist",
        "inline mine -8 0 9",
        &format!("kept a.dist sha256:{}", "0a".repeat(32)),
    ]);
    round_trips::<Framing>(&["14", "-4", "10 48 5", "0 53"]);
    round_trips::<Slot>(&["10ms", "10ms 20ms", "0ms 2ms packets 5", "10ms 20ms packets 5 bytes 64KiB"]);
    round_trips::<Slot>(&[
        "distribution normal 10ms 2ms",
        "distribution table a.dist 10ms 2ms packets 5",
        "distribution inline a.dist -8 0 9 10ms 2ms bytes 64KiB",
        &format!("distribution kept a.dist sha256:{} 10ms 2ms packets 5", "0a".repeat(32)),
    ]);
    round_trips::<Aqm>(&["none", "codel", "codel ecn", "codel 2ms 50ms ecn", "threshold 30p", "threshold 0.5bdp"]);
    round_trips::<RateTrace>(&[
        "traces/lte.down",
        "inline lte.down 0 1 1x3 5",
        "mahimahi my traces/lte.down",
        "columns 1:s 2:Mbit a b.csv",
        "columns ts_ms:ms dl:kB x",
        &format!("kept lte.down sha256:{} 10s 4.8Mbit mahimahi", "0a".repeat(32)),
        &format!("kept lte.csv sha256:{} 10s 4.8Mbit columns 1:s 3:kbit", "0a".repeat(32)),
    ]);
    round_trips::<Blackhole>(&["none", "1400B", "1kB"]);
    round_trips::<Rebind>(&["2s: port", "2s every 5s: address"]);
    round_trips::<Filter>(&["udp port 443", "not (tcp or icmp)", "flow 2-4 and greater 1000"]);
    round_trips::<Change>(&[
        "2s every 10s: rate 5Mbit",
        "1s..2s every 1s: loss 2%",
        "2s: bleach false, keep-order true",
    ]);
    round_trips::<Change>(&["2s: blackhole 1300B", "2s: blackhole none", "2s: rate 0bit", "2s..3s: rate 0bit"]);
    for zero in ["2s: rate 0", "2s: rate 0Mbit", "2s: rate 0.0kbit", "2s: delay 9ms, rate 0"] {
        assert_eq!(zero.parse::<Change>().unwrap().set.rate, Some(BitRate::new(0)), "{zero}");
    }
    round_trips::<Change>(&["2s: delay 80ms, rate 5Mbit", "1s..2s: loss 2%", "1ms: ecn true, limit 40, loss 1% 3%"]);
    assert_eq!("2s: rtt 60ms".parse::<Change>().unwrap().to_string(), "2s: delay 30ms");

    refuses::<Chance>(&["", "1", "1% 2% 3%", "101%"]);
    refuses::<Jitter>(&["", "5ms 1% 2%"]);
    refuses::<Reorder>(&["25% gap 0", "25% gap x"]);
    refuses::<Loss>(&["1% 2% 3%", "state", "state 60% 10% 0% 100% 60%", "state 1% 0%", "state 1% 50% 10% 0%"]);
    refuses::<Distribution>(&["gauss", "table ", "inline empty", "inline big 40000"]);
    refuses::<Framing>(&["", "x", "1 0 5", "1 5 -5", "1 -5"]);
    refuses::<Slot>(&["", "20ms 10ms", "0ms", "1ms packets 0", "1ms lots 3", "1ms packets"]);
    refuses::<Slot>(&[
        "distribution",
        "distribution normal 1ms",
        "distribution gauss 1ms 1ms",
        "distribution normal 0ms 0ms",
    ]);
    refuses::<Aqm>(&["red", "codel 100ms 5ms", "codel 0ms", "threshold", "threshold 0p"]);
    refuses::<RateTrace>(&["", "inline a", "inline a 0", "inline a 1y", "inline a 1x1001"]);
    refuses::<RateTrace>(&[
        "columns s Mbit",
        "columns s Mbps x",
        "columns day Mbit x",
        "kept a sha256:00 1s 1Mbit mahimahi",
    ]);
    refuses::<Change>(&[
        "2s",
        "2s: rate",
        "2s: mtu 1300",
        "2s..1s: rate 1Mbit",
        "1s..2s: queue 9p",
        "1s: ecn 1, ecn 2",
        "1s: rate 0, rate 5Mbit",
        "1s: rate 0, rate 0",
        "1s: rate 0x",
        "1s..4s every 2s: rate 5Mbit",
        "1s every 5: rate 5Mbit",
        "1s every 10us: rate 5Mbit",
        "1s: filter udp",
    ]);
    refuses::<Blackhole>(&["", "x", "67B", "1400x"]);
    refuses::<Rebind>(&["", "2s", "2s: ports", "port", "2: port", "2s every 0s: port"]);
}

#[test]
fn what_may_mark_is_known_beforehand() {
    let marks = |text: &str| spec(text).resolve().unwrap().down.may_mark();
    for text in [
        "loss = '1%'\necn = true",
        "rate = '1Mbit'\naqm = 'codel ecn'",
        "rate = '1Mbit'\naqm = 'threshold 5p'",
        "loss = '1%'\nchange = ['2s: ecn true']",
    ] {
        assert!(marks(text), "{text}");
    }
    for text in ["loss = '1%'", "rate = '1Mbit'\naqm = 'codel'", "change = ['2s: loss 1%']"] {
        assert!(!marks(text), "{text}");
    }
}

#[test]
fn states_have_their_stationary_distribution() {
    let Loss::Markov(chain) = "state 2% 30% 20% 40% 1%".parse().unwrap() else { panic!("not a chain") };
    // Iterated to convergence, from the transitions alone.
    let (p13, p31, p32, p23, p14) = (0.02, 0.3, 0.2, 0.4, 0.01);
    let mut shares = [1.0, 0.0, 0.0, 0.0];
    for _ in 0..10_000 {
        let [one, two, three, four] = shares;
        shares = [
            one * (1.0 - p13 - p14) + three * p31 + four,
            two * (1.0 - p23) + three * p32,
            one * p13 + two * p23 + three * (1.0 - p31 - p32),
            one * p14,
        ];
    }
    for (told, iterated) in chain.stationary().into_iter().zip(shares) {
        assert!((told - iterated).abs() < 1e-12, "{told} {iterated}");
    }
    assert!((chain.stationary_loss() - shares[2] - shares[3]).abs() < 1e-12);
    // The defaults are those of tc: p31 = 1 − p13, p32 = 0, p23 = 100 %, p14 = 0.
    assert_eq!("state 1%".parse::<Loss>().unwrap().to_string(), "state 1% 99% 0% 100% 0%");
}

#[test]
fn cells_count_as_atm_does() {
    let atm: Framing = "10 48 5".parse().unwrap();
    // 1500 + 10 bytes are 31.5 cells of 48: 32 of 53.
    assert_eq!(atm.wire_size(1500), 32 * 53);
    assert_eq!(atm.wire_size(38), 53);
    assert_eq!(atm.wire_size(39), 106);
    assert_eq!("-20".parse::<Framing>().unwrap().wire_size(1500), 1480);
    assert_eq!("-20".parse::<Framing>().unwrap().wire_size(10), 0);
}

#[test]
fn files_are_read_before_anything_is_decided() {
    let mut said = spec("rate-trace = 'a.trace'\n[up]\ndelay = '9ms'\njitter = '1ms'\ndistribution = 'table b.dist'");
    let mut inputs = Inputs::default();
    said.read_files(&mut inputs, &|path| match path {
        "a.trace" => Ok("1\n2\n".into()),
        "b.dist" => Ok("# mine\n-8192 0\n8192\n".into()),
        _ => Err("not there".into()),
    })
    .unwrap();
    let mut link = said.resolve().unwrap();
    let Distribution::Table(table) = &link.up.distribution else { panic!("no table") };
    assert_eq!((table.name.as_str(), &table.values[..]), ("b.dist", &[-8192, 0, 8192][..]));
    // What there is to say survives the record; trace and table themselves are had by their checksums.
    let text = serde_json::to_string(&link).unwrap();
    assert_eq!(serde_json::from_str::<Link>(&text).unwrap(), link);
    let schedule = |link: &Link, direction| {
        link.direction(direction).rate_trace.clone().unwrap().read().unwrap().schedule().cloned()
    };
    link = serde_json::from_str(&text).unwrap();
    assert_eq!(schedule(&link, Direction::Up), None);
    link.load(|checksum| inputs.get(checksum).cloned().ok_or_else(|| "not there".into())).unwrap();
    let Distribution::Table(table) = &link.up.distribution else { panic!("no table") };
    assert_eq!(table.values[..], [-8192, 0, 8192]);
    let both = Direction::BOTH.map(|direction| schedule(&link, direction));
    let [Some(Schedule::Opportunities(up)), Some(Schedule::Opportunities(down))] = &both else { panic!("{both:?}") };
    assert!(std::sync::Arc::ptr_eq(up, down) && up[..] == [1, 2]);
    let mut absent = spec("rate-trace = 'c.trace'");
    let error = absent.read_files(&mut inputs, &|_| Err("not there".into())).unwrap_err().to_string();
    assert!(error.contains("c.trace") && error.contains("not there"), "{error}");
}

#[test]
fn conditions_change_at_once_or_evenly() {
    let link =
        spec("delay = '10ms'\nrate = '8Mbit'\nloss = '1%'\nchange = ['1s: delay 50ms', '2s..4s: rate 4Mbit, loss 3%']")
            .resolve()
            .unwrap();
    let at = |millis: u64| {
        let then = link.at(Duration::from_millis(millis)).down;
        (then.delay.as_nanos() / 1_000_000, then.rate.unwrap().bits_per_second(), (then.loss.rate() * 1e6).round())
    };
    assert_eq!(at(999), (10, 8_000_000, 10_000.0));
    assert_eq!(at(1000), (50, 8_000_000, 10_000.0));
    assert_eq!(at(3000), (50, 6_000_000, 20_000.0));
    assert_eq!(at(4000), (50, 4_000_000, 30_000.0));
    assert_eq!(at(9000), (50, 4_000_000, 30_000.0));
    let times = link.down.change_times(Duration::from_secs(9));
    assert_eq!(times.first().copied(), Some(Duration::from_secs(1)));
    assert_eq!(times.last().copied(), Some(Duration::from_secs(4)));
    assert_eq!(times.len(), 1 + 1 + 1000);
}

#[test]
fn changes_come_again_and_the_later_one_holds() {
    let delays = |text: &str, millis: &[u64]| -> Vec<u64> {
        let link = spec(text).resolve().unwrap();
        millis.iter().map(|at| link.at(Duration::from_millis(*at)).up.delay.as_nanos() / 1_000_000).collect()
    };
    let two = "delay = '1ms'\nchange = ['7s every 10s: delay 2ms', '2s every 10s: delay 9ms']";
    assert_eq!(delays(two, &[0, 1999, 2000, 6999, 7000, 12_000, 16_999, 17_000, 99_999]), [1, 1, 9, 9, 2, 9, 9, 2, 2]);
    // Of one time the one that is written later.
    assert_eq!(delays("change = ['1s: delay 3ms', '1s: delay 4ms']", &[1000]), [4]);
    // A ramp that comes again starts from what it has left, or from what another has put there.
    let alone = "delay = '10ms'\nchange = ['1s..2s every 4s: delay 50ms']";
    assert_eq!(delays(alone, &[1000, 1500, 2000, 5000, 5500]), [10, 30, 50, 50, 50]);
    let wave = "delay = '10ms'\nchange = ['0s..1s every 2s: delay 50ms', '1s..2s every 2s: delay 10ms']";
    assert_eq!(delays(wave, &[0, 500, 1000, 1500, 2000, 2500, 3500, 20_500]), [10, 30, 50, 30, 10, 30, 30, 30]);
    let link = spec(two).resolve().unwrap();
    let times = link.up.change_times(Duration::from_secs(20));
    assert_eq!(times, [2, 7, 12, 17].map(Duration::from_secs));
    assert_eq!(link.up.next_change(Some(Duration::from_secs(1_000_003))), Some(Duration::from_secs(1_000_007)));
    // Every step of a ramp, each time.
    let ramp = spec(alone).resolve().unwrap().up.change_times(Duration::from_secs(9));
    assert_eq!((ramp.len(), ramp[0], ramp[1001]), (2003, Duration::from_secs(1), Duration::from_secs(5)));
}

#[test]
fn conditions_last_until_the_next_change() {
    // Steps of 1,000,013 ns, and a last one that is shorter.
    let link = spec(
        "delay = '10ms'\nrate = '8Mbit'\nchange = ['1s..2000013007ns every 3s: delay 70ms, loss 9%', \
         '1500us every 7ms: rate 5Mbit', '3s..3000400us: rate 1Mbit']",
    )
    .resolve()
    .unwrap();
    let mut times = link.up.change_times(Duration::from_secs(9));
    times.insert(0, Duration::ZERO);
    for pair in times.windows(2) {
        let (from, within) = (link.at(pair[0]), (pair[1] - pair[0]).as_nanos() - 1);
        assert_eq!(link.at(pair[0] + Duration::from_nanos(within)), from);
        assert_eq!(link.at(pair[0] + Duration::from_nanos(within / 2)), from);
    }
}

#[test]
fn a_rate_of_nothing_keeps_the_buffer() {
    let link =
        spec("rtt = '60ms'\nrate = '20Mbit'\nchange = ['1s..2s: rate 0', '4s..6s: rate 10Mbit']").resolve().unwrap();
    let at = |millis: u64| {
        let then = link.at(Duration::from_millis(millis));
        (then.up.stopped, then.up.rate.unwrap().bits_per_second(), then.queue_capacity(Direction::Up).unwrap())
    };
    let bytes = |n| QueueCapacity::Bytes(ByteCount::new(n));
    assert_eq!(at(1500), (false, 10_000_000, bytes(75_000)));
    assert_eq!(at(2000), (true, 20_000_000, bytes(150_000)));
    assert_eq!(at(3999), (true, 20_000_000, bytes(150_000)));
    assert_eq!(at(5000), (false, 5_000_000, bytes(37_500)));
    assert_eq!(at(6000), (false, 10_000_000, bytes(75_000)));
    let text = serde_json::to_string(&link.at(Duration::from_secs(3))).unwrap();
    assert!(serde_json::from_str::<Link>(&text).unwrap().up.stopped);
}

#[test]
fn netem_has_its_limit_and_no_queue() {
    let link = spec("generator = 'netem'\nrate = '1Mbit'").resolve().unwrap();
    assert_eq!((link.up.limit, link.up.queue), (Some(NETEM_LIMIT), None));
    assert_eq!(link.queue_capacity(Direction::Up), None);
    // A profile's own queue gives way.
    let link = spec("generator = 'netem'\nprofile = '4g'").resolve().unwrap();
    assert_eq!(link.up.queue, None);
}

#[test]
fn conditions_of_old_records_are_read() {
    let old = r#"{"up":{"delay":"10ms","jitter":"1ms","rate":"8Mbit","queue":"1bdp","loss":"1%","duplicate":"0%",
        "corrupt":"0%","reorder":"0.1%","drops":["data 3"],"outages":["1s..2s"]},
        "down":{"delay":"0ms","jitter":"0ms","rate":null,"queue":null,"loss":"0%","duplicate":"0%","corrupt":"0%",
        "reorder":"0%","drops":[],"outages":[]},"mtu":1500,"loss-key":"time"}"#;
    let link: Link = serde_json::from_str(old).unwrap();
    assert_eq!(link.down, Conditions::transparent());
    assert_eq!(link.generator, Generator::Counter);
}

#[test]
fn long_lists_are_summed_up_unless_asked_for() {
    let list =
        |of: &dyn Fn(u64) -> String, n: u64| (1..=n).map(|i| format!("'{}'", of(i))).collect::<Vec<_>>().join(",");
    let link =
        |key: &str, of: &dyn Fn(u64) -> String, n| spec(&format!("{key} = [{}]", list(of, n))).resolve().unwrap();
    let drops = link("rtt = '60ms'\n[down]\ndrop", &|i| format!("data {}", 10 * i), 40);
    assert_eq!(drops.to_string(), "RTT 60ms; down 40 scripted drops (data 10 to data 400 in steps of 10)");
    let whole = format!("{drops:#}");
    assert!(whole.contains("drop data 10, drop data 20") && whole.ends_with("drop data 400"), "{whole}");
    let odd = link("rtt = '60ms'\n[down]\ndrop", &|i| format!("packet {}", i * i), 5);
    assert_eq!(odd.to_string(), "RTT 60ms; down 5 scripted drops (packet 1 to packet 25)");
    let outages = link("outage", &|i| format!("{}s..{}.5s", 15 * i, 15 * i), 5);
    assert_eq!(outages.to_string(), "RTT 0ms, 5 outages (15s..15.5s to 75s..75.5s every 15s)");
    let changes = link("rate = '9Mbit'\nchange", &|i| format!("{i}s: rate {i}Mbit, delay 1ms"), 80);
    assert!(changes.to_string().ends_with("; 80 changes (1s to 80s)"), "{changes}");
    assert_eq!(format!("{changes:#}").matches("; from ").count(), 80);
    // A few are told one by one.
    let few = link("rtt = '60ms'\n[down]\ndrop", &|i| format!("data {i}"), 3);
    assert_eq!(few.to_string(), "RTT 60ms; down drop data 1, drop data 2, drop data 3");
}
