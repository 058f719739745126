//! Columns of a table by their names: which of them has the times, which the rates, and in which units.
//!
//! The rule: a column of rates is one whose name has a unit of rates (`throughput_mbps`, `bits_per_second`), or,
//! where there is none such, a word for rates (`bandwidth`); a column of times one whose name has a word for
//! times (`time`, `ts_ms`) or is a unit of time alone. A time without a unit is in seconds. A rate without a unit
//! is refused, and so is every choice between two columns or two readings: the trace's form says it then.

use super::form::{Place, RateUnit, TimeUnit};
use crate::units::{DataUnit, Of, without_seconds};

/// What a header says.
#[derive(Debug, PartialEq)]
pub(super) struct Header {
    /// Number of the column of times, from 1, and its unit where the name has one.
    pub(super) time: (usize, Option<TimeUnit>),
    /// Number of the column of rates, from 1, and its unit.
    pub(super) rate: (usize, RateUnit),
}

/// What a name says of rates.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rate {
    Unit(RateUnit),
    /// One of these.
    Either(RateUnit, RateUnit),
    Unsaid,
}

const RATE_WORDS: &[&str] = &[
    "throughput",
    "tput",
    "thpt",
    "bandwidth",
    "bw",
    "rate",
    "bitrate",
    "datarate",
    "speed",
    "capacity",
    "goodput",
    "dl",
    "ul",
    "downlink",
    "uplink",
    "download",
    "upload",
];
const TIME_WORDS: &[&str] = &["timestamp", "time", "ts", "t", "elapsed", "epoch", "when"];
/// Of columns that have a time in them, and are none.
const NO_TIMES: &[&str] = &["rtt", "delay", "latency", "duration", "jitter", "ping", "trip", "interval"];

/// Reads a header. The error says what is unclear, with what may be meant: the text of a form for each.
pub(super) fn read(names: &[&str]) -> Result<Header, Unclear> {
    let times: Vec<(usize, Option<TimeUnit>)> =
        names.iter().enumerate().filter_map(|(at, name)| Some((at + 1, time(name)?))).collect();
    let rates: Vec<(usize, Rate)> =
        names.iter().enumerate().filter_map(|(at, name)| Some((at + 1, rate(name)?))).collect();
    let with_unit: Vec<_> = rates.iter().filter(|(_, rate)| *rate != Rate::Unsaid).copied().collect();
    let rates = if with_unit.is_empty() { rates } else { with_unit };
    let sure: Vec<_> = times.iter().filter(|(_, unit)| unit.is_some()).copied().collect();
    let times = if times.len() > 1 && sure.len() == 1 { sure } else { times };

    let place = |at: usize| match names[at - 1] {
        // A name that the text of a form cannot have.
        name if name.is_empty() || name.contains(char::is_whitespace) => Place::Number(at),
        name => Place::Name(name.to_owned()),
    };
    let form = |time: &(usize, Option<TimeUnit>), rate: usize, unit: RateUnit| {
        let time_unit = time.1.unwrap_or(TimeUnit::S);
        format!("columns {}:{time_unit} {}:{unit}", place(time.0), place(rate))
    };
    let listed = names.join(", ");
    let Some(&time) = times.first() else {
        return Err(Unclear {
            problem: format!("no column of its header ({listed}) is one of times"),
            forms: Vec::new(),
        });
    };
    let Some(&(at, rate)) = rates.first() else {
        return Err(Unclear {
            problem: format!("no column of its header ({listed}) is one of rates"),
            forms: Vec::new(),
        });
    };
    if times.len() > 1 {
        let unit = if let Rate::Unit(unit) = rate { unit } else { RateUnit::MBIT };
        let forms = times.iter().map(|time| form(time, at, unit)).collect();
        return Err(Unclear { problem: format!("several columns of its header ({listed}) may be the times"), forms });
    }
    if rates.len() > 1 {
        let unit = |rate| if let Rate::Unit(unit) | Rate::Either(unit, _) = rate { unit } else { RateUnit::MBIT };
        let forms = rates.iter().map(|&(at, rate)| form(&time, at, unit(rate))).collect();
        return Err(Unclear { problem: format!("several columns of its header ({listed}) may be the rates"), forms });
    }
    let (a, b) = match rate {
        Rate::Unit(unit) => return Ok(Header { time, rate: (at, unit) }),
        Rate::Either(a, b) => (a, b),
        Rate::Unsaid => (RateUnit::MBIT, RateUnit::KBIT),
    };
    let problem = format!("the unit of the rates in column `{}` is not clear", names[at - 1]);
    Err(Unclear { problem, forms: vec![form(&time, at, a), form(&time, at, b)] })
}

/// Why a header cannot be read.
#[derive(Debug)]
pub(super) struct Unclear {
    pub(super) problem: String,
    /// Forms that may be meant; none where nothing can be guessed.
    pub(super) forms: Vec<String>,
}

/// The words of a name: `Throughput (Mbit/s)` has `Throughput` and `Mbitps`.
fn words(name: &str) -> Vec<String> {
    let mut name = name.to_owned();
    for (long, short) in
        [("_per_second", "ps"), ("_per_sec", "ps"), ("_per_s", "ps"), ("/second", "ps"), ("/sec", "ps"), ("/s", "ps")]
    {
        for long in [long.to_owned(), long.replace('_', " ")] {
            name = name.replace(&long, short);
        }
    }
    name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn is_rate_word(word: &str) -> bool {
    let word = word.to_lowercase();
    RATE_WORDS.iter().any(|known| word == *known || (known.len() > 6 && word.contains(known)))
}

/// What a column's name says of rates; `None` where it is of something else.
fn rate(name: &str) -> Option<Rate> {
    let words = words(name);
    let of_rates = words.iter().any(|word| is_rate_word(word));
    let said = words.iter().find_map(|word| unit_in(word, of_rates));
    said.or(of_rates.then_some(Rate::Unsaid))
}

/// The unit of rates that a word is, or ends with.
fn unit_in(word: &str, of_rates: bool) -> Option<Rate> {
    let whole = unit(word, of_rates);
    whole.or_else(|| {
        // `throughputMbps`: the shortest ending that is a unit with its prefix and its `ps`, or a word.
        const LENGTHS: std::ops::RangeInclusive<usize> = 4..=7;
        LENGTHS.filter_map(|length| word.get(word.len().checked_sub(length)?..)).find_map(|end| {
            let of = DataUnit::read(without_seconds(end).0)?;
            if of.prefix.is_empty() { None } else { unit(end, false) }
        })
    })
}

fn unit(word: &str, of_rates: bool) -> Option<Rate> {
    let (bare, seconds) = without_seconds(word);
    let unit = DataUnit::read(bare)?;
    let per_second = !seconds.is_empty();
    let (bits, bytes) = (RateUnit::of(unit, false), RateUnit::of(unit, true));
    match unit.of {
        Of::Bits if per_second || !unit.prefix.is_empty() => Some(Rate::Unit(bits)),
        Of::Bytes if per_second => Some(Rate::Unit(bytes)),
        // `MBPS` has all of it large.
        Of::LargeB if per_second && word.ends_with("PS") => Some(Rate::Either(bits, bytes)),
        Of::LargeB if per_second => Some(Rate::Unit(bytes)),
        // In the names of columns `mbps` is megabits to everybody.
        Of::SmallB if per_second => Some(Rate::Unit(bits)),
        Of::SmallB | Of::LargeB if of_rates && !unit.prefix.is_empty() => Some(Rate::Either(bits, bytes)),
        _ => None,
    }
}

/// What a column's name says of times, and its unit where it has one; `None` where it is of something else.
fn time(name: &str) -> Option<Option<TimeUnit>> {
    let words: Vec<String> = words(name).iter().map(|word| word.to_lowercase()).collect();
    if words.iter().any(|word| NO_TIMES.contains(&word.as_str()) || is_rate_word(word)) {
        return None;
    }
    let unit = words.iter().find_map(|word| TimeUnit::named(word));
    if words.iter().any(|word| TIME_WORDS.contains(&word.as_str())) {
        return Some(unit);
    }
    if words.len() == 1 && unit.is_some() {
        return Some(unit);
    }
    // `timestampms`
    let joined = |word: &String| {
        TIME_WORDS.iter().filter(|known| known.len() > 3).find_map(|known| TimeUnit::named(word.strip_prefix(known)?))
    };
    words.iter().find_map(joined).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_public_traces_are_known() {
        for (names, time, rate) in [
            ("time,throughput_mbps", "1:", "2:Mbit"),
            ("ts_ms,bandwidth_kbps", "1:ms", "2:kbit"),
            ("Time (s),Throughput (Mbit/s)", "1:s", "2:Mbit"),
            ("timestamp_ms,bits_per_second", "1:ms", "2:bit"),
            ("seconds,Mbps", "1:s", "2:Mbit"),
            ("rtt_ms,loss_rate,Mbit/s,elapsed_s", "4:s", "3:Mbit"),
            ("id,timestampms,throughputMbps", "2:ms", "3:Mbit"),
            ("t,speed KB/s", "1:", "2:kB"),
            ("time,MBps", "1:", "2:MB"),
            ("Timestamp,duration_ms,elapsed_ms,bytes,bytes_per_second", "3:ms", "5:B"),
        ] {
            let names: Vec<&str> = names.split(',').collect();
            let header = read(&names).unwrap_or_else(|unclear| panic!("{names:?}: {unclear:?}"));
            let unit = header.time.1.map(|unit| unit.to_string()).unwrap_or_default();
            assert_eq!(format!("{}:{unit}", header.time.0), time, "{names:?}");
            assert_eq!(format!("{}:{}", header.rate.0, header.rate.1), rate, "{names:?}");
        }
    }

    #[test]
    fn what_is_unclear_is_refused_with_the_readings() {
        for (names, forms) in [
            ("time,throughput", &["columns time:s throughput:Mbit", "columns time:s throughput:kbit"][..]),
            ("ts_ms,MBPS", &["columns ts_ms:ms MBPS:Mbit", "columns ts_ms:ms MBPS:MB"]),
            ("time,rate_Mb", &["columns time:s rate_Mb:Mbit", "columns time:s rate_Mb:MB"]),
            ("time,dl_mbps,ul_mbps", &["columns time:s dl_mbps:Mbit", "columns time:s ul_mbps:Mbit"]),
            ("a_ms,time_s,time_ms,mbps", &["columns time_s:s mbps:Mbit", "columns time_ms:ms mbps:Mbit"]),
            ("Time stamp,DL bitrate", &["columns 1:s 2:Mbit", "columns 1:s 2:kbit"]),
            ("mbps,rtt_ms", &[]),
            ("time,bytes", &[]),
        ] {
            let names: Vec<&str> = names.split(',').collect();
            let unclear = read(&names).expect_err("it is not clear");
            assert_eq!(unclear.forms, forms, "{names:?}: {}", unclear.problem);
            for form in unclear.forms {
                form.parse::<super::super::TraceForm>().expect("a form");
            }
        }
    }
}
