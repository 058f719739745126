//! A text as an API returns it: JSON records of orders, one after the other, that is as compressible as real ones.
//!
//! What makes JSON small is how much of it comes again: keys, hosts, the names of customers and products; what keeps it
//! from being smaller are identifiers, times, prices and words. Both are here in such measure that gzip at level 6 makes
//! 1 kB of it 2.3 times smaller, 10 kB 4.4 times, 100 kB 5.4 times. Measured beside it, without white space: events of
//! GitHub's API (`github.json` of orjson's tests) 2.5 times at 1 kB, 4.4 at 10 kB and 5.5 at 50 kB; a search of Twitter's
//! (`twitter.json`) 1.8, 4.3 and, at 100 kB, 9.5 times; a catalogue of events (`citm_catalog.json`) 3.0, 12.8 and 27
//! times. So this text is rather a hard one, and what compression gives here an API should get.
//!
//! No part comes twice within [`samepath_model::workload::MOST_TEXT`], so that no coder's window finds what a response
//! does not hold.

use std::fmt::Write as _;

use super::mix::mix;

/// A text, and where its records begin.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) bytes: Vec<u8>,
    pub(super) records: Vec<usize>,
}

impl Text {
    /// So many bytes of records, the last one cut off.
    pub(super) fn of(len: usize) -> Text {
        let mut draws = Draws(0);
        let (mut text, mut records) = (String::with_capacity(len + 4096), Vec::new());
        let (mut id, mut time) = (481_000_000, 0);
        while text.len() < len {
            records.push(text.len());
            id += 1 + draws.below(40);
            time += 20 + draws.below(600);
            record(&mut text, &mut draws, id, time);
        }
        text.truncate(len);
        Text { bytes: text.into_bytes(), records }
    }
}

/// Draws, one after the other.
#[derive(Debug)]
struct Draws(u64);

impl Draws {
    /// A number below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.0 += 1;
        below(n, mix(self.0))
    }

    /// The rank of a word by Zipf's law, nearly: below 4095, each octave as often as the one before.
    fn rank(&mut self) -> u64 {
        let octave = 1 << self.below(12);
        octave + self.below(octave) - 1
    }
}

/// 64 random bits as a number below `n` (Lemire 2019, without the rejection).
const fn below(n: u64, bits: u64) -> u64 {
    ((bits as u128 * n as u128) >> 64) as u64
}

/// The order of this number, placed at this time in seconds, and the comma behind it.
fn record(text: &mut String, draws: &mut Draws, id: u64, time: u64) {
    const STATUS: [&str; 5] = ["open", "paid", "shipped", "returned", "cancelled"];
    let customer = draws.below(5000);
    let number = 100_000 + mix(customer) % 900_000;
    let (first, last) = (word(100 + mix(customer) % 300), word(400 + mix(customer + 7) % 2000));
    let updated = time + draws.below(7200);
    let status = STATUS[draws.below(5).min(draws.below(5)) as usize];
    let etag = draws.below(u64::MAX);
    let _ = write!(
        text,
        r#"{{"id":{id},"url":"https://api.example.com/v1/orders/{id}","created_at":"{}","updated_at":"{}","status":"{status}","customer":{{"id":{number},"name":"{} {}","email":"{first}.{last}@example.com","url":"https://api.example.com/v1/customers/{number}"}},"items":["#,
        at(time),
        at(updated),
        capital(&first),
        capital(&last),
    );
    for n in 0..1 + draws.below(4) {
        let product = draws.rank() % 1024;
        let _ = write!(
            text,
            r#"{}{{"sku":"{:06x}","title":"{} {}","quantity":{},"price":"{}.{:02}","discount":null}}"#,
            if n == 0 { "" } else { "," },
            mix(product) & 0xff_ffff,
            word(mix(product + 1) % 500),
            word(mix(product + 2) % 500),
            1 + draws.below(4).min(draws.below(4)),
            1 + mix(product + 3) % 200,
            mix(product + 4) % 100,
        );
    }
    text.push_str(r#"],"cancelled_at":null,"note":"#);
    if draws.below(3) == 0 {
        text.push('"');
        for n in 0..3 + draws.below(18) {
            text.push_str(if n == 0 { "" } else { " " });
            text.push_str(&word(draws.rank()));
        }
        text.push('"');
    } else {
        text.push_str("null");
    }
    let _ = write!(text, r#","etag":"{etag:016x}"}},"#);
}

/// An instant, so many seconds after the start of a year of months of 28 days.
fn at(time: u64) -> String {
    let (days, seconds) = (time / 86_400, time % 86_400);
    format!(
        "2026-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        1 + days / 28 % 12,
        1 + days % 28,
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// The word of this rank: of two or three syllables.
fn word(rank: u64) -> String {
    const SYLLABLES: [&str; 66] = [
        "ba", "be", "bi", "bo", "da", "de", "di", "do", "fa", "fe", "ga", "ge", "ka", "ke", "ki", "ko", "la", "le",
        "li", "lo", "ma", "me", "mi", "mo", "na", "ne", "ni", "no", "pa", "pe", "ra", "re", "ri", "ro", "sa", "se",
        "si", "so", "ta", "te", "ti", "to", "va", "ve", "vi", "vo", "za", "ze", "en", "er", "an", "ar", "in", "is",
        "on", "or", "un", "es", "al", "el", "il", "ul", "ant", "ent", "ing", "ion",
    ];
    let syllable = |n: u64| SYLLABLES[(mix(rank * 31 + n * 1009 + 5) % SYLLABLES.len() as u64) as usize];
    (0..2 + mix(rank * 7 + 1) % 2).map(syllable).collect()
}

fn capital(word: &str) -> String {
    word[..1].to_uppercase() + &word[1..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_json_and_another_one() {
        let text = Text::of(300_000);
        let whole = std::str::from_utf8(&text.bytes).unwrap();
        let mut ids = std::collections::BTreeSet::new();
        for pair in text.records.windows(2) {
            let record: serde_json::Value =
                serde_json::from_str(whole[pair[0]..pair[1]].trim_end_matches(',')).unwrap();
            assert!(ids.insert(record["id"].as_u64().unwrap()));
            assert!(!record["items"].as_array().unwrap().is_empty());
        }
        assert!(ids.len() > 300, "{}", ids.len());
    }

    #[test]
    fn the_text_is_the_same_at_both_ends() {
        let (short, long) = (Text::of(5_000), Text::of(10_000));
        assert_eq!(short.bytes, long.bytes[..5_000]);
    }
}
