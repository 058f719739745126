use super::*;
use crate::link::{Loss, QueueLimit};
use proptest::prelude::*;

#[test]
fn reads_what_people_write() {
    assert_eq!("10Mbit".parse(), Ok(BitRate::new(10_000_000)));
    assert_eq!("1.5Gbit/s".parse(), Ok(BitRate::new(1_500_000_000)));
    assert_eq!("64KiB".parse(), Ok(ByteCount::new(65_536)));
    assert_eq!("10MB".parse(), Ok(ByteCount::new(10_000_000)));
    assert_eq!("20ms".parse(), Ok(Duration::from_millis(20)));
    assert_eq!("0.5%".parse(), Ok(Probability(0.005)));
}

#[test]
fn refuses_a_guess_and_names_both_readings() {
    let bytes = "10M".parse::<ByteCount>().unwrap_err().to_string();
    assert!(bytes.contains("10MB") && bytes.contains("10MiB"), "{bytes}");
    let rate = "10M".parse::<BitRate>().unwrap_err().to_string();
    assert!(rate.contains("10Mbit") && rate.contains("80Mbit"), "{rate}");
    let time = "10m".parse::<Duration>().unwrap_err().to_string();
    assert!(time.contains("10ms") && time.contains("10min"), "{time}");
    let p = "0.01".parse::<Probability>().unwrap_err().to_string();
    assert!(p.contains("0.01%") && p.contains("1%"), "{p}");
}

#[test]
fn refuses_what_is_impossible() {
    assert!("-1ms".parse::<Duration>().unwrap_err().to_string().contains("negative"));
    assert!("101%".parse::<Probability>().is_err());
    assert!("0Mbit".parse::<BitRate>().is_err());
    assert!("1e9s".parse::<Duration>().is_err());
    assert!("99999999999h".parse::<Duration>().is_err());
    assert!("".parse::<ByteCount>().is_err());
    assert!("1.2.3s".parse::<Duration>().is_err());
}

#[test]
fn serialisation_time_is_exact() {
    assert_eq!(BitRate::new(10_000_000).time_for(1250), Duration::from_millis(1));
    assert_eq!(BitRate::new(10_000_000).bytes_in(Duration::from_millis(1)), ByteCount::new(1250));
}

proptest! {
    #[test]
    fn text_form_round_trips(n in 0u64..1 << 62, p in 0u32..=u32::MAX) {
        prop_assert_eq!(ByteCount(n).to_string().parse(), Ok(ByteCount(n)));
        prop_assert_eq!(Duration(n).to_string().parse(), Ok(Duration(n)));
        prop_assert_eq!(BitRate(n + 1).to_string().parse(), Ok(BitRate(n + 1)));
        let p = Probability(f64::from(p) / f64::from(u32::MAX));
        let back: Probability = p.to_string().parse().unwrap();
        prop_assert!((back.0 - p.0).abs() < 1e-11);
    }
}

/// What comes of a text: the canonical form of what it means, or the values that the refusal says to write.
fn outcome<T: std::str::FromStr<Err: fmt::Display> + fmt::Display>(typed: &str) -> Result<String, String> {
    typed.parse::<T>().map(|value| value.to_string()).map_err(|error| error.to_string())
}

/// Each text is either read as what stands beside it, or refused with the typed text and with all of the values
/// that stand beside it, each of which can be read.
fn table<T: std::str::FromStr<Err: fmt::Display> + fmt::Display>(rows: &[(&str, Result<&str, &[&str]>)]) {
    for (typed, expected) in rows {
        match (outcome::<T>(typed), expected) {
            (Ok(read), Ok(meant)) => assert_eq!(&read, meant, "{typed}"),
            (Err(said), Err(values)) => {
                assert!(said.contains(&format!("`{typed}`")), "{typed}: {said}");
                let words: Vec<&str> =
                    said.split_whitespace().map(|word| word.trim_matches(['(', ')', ',', ';', ':'])).collect();
                for value in *values {
                    assert!(words.contains(value), "{typed}: no {value} in: {said}");
                    assert!(outcome::<T>(value).is_ok(), "{typed}: {value} is to be written, but cannot be read");
                }
            }
            (got, _) => panic!("{typed}: {got:?}, not {expected:?}"),
        }
    }
}

#[test]
fn rates_are_read_or_refused_with_what_to_write() {
    table::<BitRate>(&[
        ("10Mbit", Ok("10Mbit")),
        ("10mbit", Ok("10Mbit")),
        ("10kbit", Ok("10kbit")),
        ("10Kbit", Ok("10kbit")),
        ("10gbit", Ok("10Gbit")),
        ("1tbit", Ok("1000Gbit")),
        ("10Mbit/s", Ok("10Mbit")),
        ("10mbit/s", Ok("10Mbit")),
        ("10 Mbit/sec", Ok("10Mbit")),
        ("10Mbitps", Ok("10Mbit")),
        ("10Mbits/s", Ok("10Mbit")),
        ("10MBit/s", Ok("10Mbit")),
        ("1Kibit", Ok("1024bit")),
        ("9600bit", Ok("9.6kbit")),
        ("10Mbps", Err(&["10Mbit", "80Mbit"])),
        ("10mbps", Err(&["10Mbit", "80Mbit"])),
        ("10kbps", Err(&["10kbit", "80kbit"])),
        ("10Kbps", Err(&["10kbit", "80kbit"])),
        ("1.5gbps", Err(&["1.5Gbit", "12Gbit"])),
        ("10bps", Err(&["10bit", "80bit"])),
        ("10Mb", Err(&["10Mbit", "80Mbit"])),
        ("10Mb/s", Err(&["10Mbit", "80Mbit"])),
        ("10mb/s", Err(&["10Mbit", "80Mbit"])),
        ("10MB/s", Err(&["80Mbit", "10Mbit"])),
        ("10MBps", Err(&["80Mbit", "10Mbit"])),
        ("0.3MB/s", Err(&["2.4Mbit", "0.3Mbit"])),
        ("1MiB/s", Err(&["8Mibit", "1Mibit"])),
        ("10Mbyte/s", Err(&["80Mbit"])),
        ("10M", Err(&["10Mbit", "80Mbit"])),
        ("10m", Err(&["10Mbit", "80Mbit"])),
        ("10k", Err(&["10kbit", "80kbit"])),
        ("10M/s", Err(&["10Mbit", "80Mbit"])),
        ("10", Err(&["10bit", "10kbit", "10Mbit", "10Gbit"])),
        ("1,5Mbit", Err(&["1.5Mbit"])),
        ("1,500kbit", Err(&["1.500kbit", "1500kbit"])),
        ("10pps", Err(&[])),
        ("1e6bit", Err(&[])),
        ("0Mbit", Err(&[])),
        ("Mbit", Err(&[])),
        ("-1Mbit", Err(&[])),
    ]);
    // What is not known is named as it was typed.
    assert!(outcome::<BitRate>("10pps").unwrap_err().contains("`pps`"));
}

#[test]
fn sizes_are_read_or_refused_with_what_to_write() {
    table::<ByteCount>(&[
        ("64KiB", Ok("64KiB")),
        ("64kiB", Ok("64KiB")),
        ("64kB", Ok("64kB")),
        ("64KB", Ok("64kB")),
        ("1500", Ok("1500B")),
        ("1500bytes", Ok("1500B")),
        ("10mB", Ok("10MB")),
        ("1TiB", Ok("1024GiB")),
        ("64K", Err(&["64kB", "64KiB"])),
        ("64k", Err(&["64kB", "64KiB"])),
        ("10M", Err(&["10MB", "10MiB"])),
        ("64kb", Err(&["64kB", "64KiB", "8kB"])),
        ("64Kb", Err(&["64kB", "64KiB", "8kB"])),
        ("64b", Err(&["64B", "8B"])),
        ("64Ki", Err(&["64KiB"])),
        ("64kib", Err(&["64KiB", "8KiB"])),
        ("64kbit", Err(&["8kB"])),
        ("64p", Err(&[])),
        ("64kB/s", Err(&[])),
    ]);
}

#[test]
fn durations_are_read_or_refused_with_what_to_write() {
    table::<Duration>(&[
        ("20ms", Ok("20ms")),
        ("20msec", Ok("20ms")),
        ("20msecs", Ok("20ms")),
        ("20 milliseconds", Ok("20ms")),
        ("20us", Ok("20us")),
        ("20usec", Ok("20us")),
        ("20nsec", Ok("20ns")),
        ("2sec", Ok("2s")),
        ("2secs", Ok("2s")),
        ("2 seconds", Ok("2s")),
        ("2mins", Ok("120s")),
        ("2minutes", Ok("120s")),
        ("1hour", Ok("3600s")),
        ("0", Ok("0ms")),
        ("20", Err(&["20ms", "20s", "20us"])),
        ("2m", Err(&["2ms", "2min"])),
        ("2M", Err(&["2ms", "2min"])),
        ("20MS", Err(&["20ms"])),
        ("20S", Err(&["20s"])),
        ("0,5s", Err(&["0.5s"])),
        ("2d", Err(&[])),
        ("2e3ms", Err(&[])),
    ]);
}

#[test]
fn shares_are_read_or_refused_with_what_to_write() {
    table::<Probability>(&[
        ("10%", Ok("10%")),
        ("10 %", Ok("10%")),
        ("0", Ok("0%")),
        ("10", Err(&["10%"])),
        ("1", Err(&["1%", "100%"])),
        ("0.1", Err(&["0.1%", "10%"])),
        ("0.07", Err(&["0.07%", "7%"])),
        ("0.0001", Err(&["0.0001%", "0.01%"])),
        ("10percent", Err(&["10%"])),
        ("10 pct", Err(&["10%"])),
        ("5‰", Err(&["0.5%"])),
        ("0,5%", Err(&["0.5%"])),
        ("110%", Err(&[])),
        ("110", Err(&[])),
    ]);
    let said = outcome::<Probability>("10").unwrap_err();
    assert!(!said.contains("1000%"), "{said}");
    // The rule that losses are read by says the same.
    assert_eq!(outcome::<Loss>("10").unwrap_err(), said);
}

#[test]
fn queue_sizes_are_read_or_refused_with_remedy() {
    table::<QueueLimit>(&[
        ("100p", Ok("100p")),
        ("100packets", Ok("100p")),
        ("100 pkts", Ok("100p")),
        ("1bdp", Ok("1bdp")),
        ("0.5bdp", Ok("0.5bdp")),
        ("64KiB", Ok("64KiB")),
        ("1500bytes", Ok("1500B")),
        ("50ms", Ok("50ms")),
        ("50msec", Ok("50ms")),
        ("50usec", Ok("50us")),
        ("100", Err(&["100p", "100B"])),
        ("64K", Err(&["64kB", "64KiB"])),
        ("64kb", Err(&["64kB", "64KiB", "8kB"])),
        ("50m", Err(&["50ms", "50MB", "50MiB"])),
        ("50MS", Err(&["50ms"])),
        ("0p", Err(&[])),
        ("0bdp", Err(&[])),
        ("2000bdp", Err(&[])),
        ("1.5p", Err(&[])),
        ("10Mbit/s", Err(&[])),
    ]);
}

#[test]
fn a_bare_number_is_refused_as_in_flags() {
    #[derive(Debug, Deserialize)]
    struct File {
        #[allow(dead_code)] // it is never read: each is refused
        rate: BitRate,
    }
    let said = toml::from_str::<File>("\nrate = 10").unwrap_err().to_string();
    assert!(said.contains("line 2") && said.contains(&outcome::<BitRate>("10").unwrap_err()), "{said}");
    let said = toml::from_str::<File>("rate = true").unwrap_err().to_string();
    assert!(said.contains("in quotation marks"), "{said}");
}
