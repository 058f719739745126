//! What the server says of its day, so that no stranger can fill the log.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

/// How many lines strangers get in a [`PERIOD`]; the rest is counted.
const LINES: u32 = 10;

/// How often what was not said is summed up.
const PERIOD: Duration = Duration::from_secs(10);

/// Takes lines, and counts those that are too many.
pub(crate) struct Journal {
    log: Box<dyn Fn(&str) + Send + Sync>,
    strangers: Mutex<Strangers>,
    /// A period began.
    begun: Notify,
}

#[derive(Default)]
struct Strangers {
    /// Lines in this period.
    said: u32,
    /// How often what happened without a line.
    unsaid: BTreeMap<&'static str, u64>,
}

impl Journal {
    pub(crate) fn new(log: impl Fn(&str) + Send + Sync + 'static) -> Journal {
        Journal { log: Box::new(log), strangers: Mutex::default(), begun: Notify::new() }
    }

    /// Says something of a client that may, or of the server itself.
    pub(crate) fn say(&self, line: &str) {
        (self.log)(line);
    }

    /// Says something of whoever has proven nothing, or counts it as one more of its `kind`.
    pub(crate) fn stranger(&self, kind: &'static str, line: impl FnOnce() -> String) {
        let mut strangers = self.strangers.lock().expect("no panic while held");
        if strangers.said == 0 {
            self.begun.notify_one();
        }
        if strangers.said == LINES {
            *strangers.unsaid.entry(kind).or_default() += 1;
        } else {
            strangers.said += 1;
            drop(strangers);
            self.say(&line());
        }
    }

    /// Sums up each period at its end. Runs as long as the server does.
    pub(crate) async fn keep(&self) {
        loop {
            self.begun.notified().await;
            sleep(PERIOD).await;
            self.sum_up();
        }
    }

    /// Says what was not said yet, and begins anew.
    pub(crate) fn sum_up(&self) {
        let Strangers { unsaid, .. } = std::mem::take(&mut *self.strangers.lock().expect("no panic while held"));
        if !unsaid.is_empty() {
            let sums: Vec<String> = unsaid.iter().map(|(kind, count)| format!("{count} of a {kind}")).collect();
            self.say(&format!("and of such lines within {} s, not printed: {}", PERIOD.as_secs(), sums.join(", ")));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn strangers_get_a_few_lines_and_then_are_counted() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let log = lines.clone();
        let journal = Journal::new(move |line: &str| log.lock().unwrap().push(line.to_owned()));
        for n in 0..1000 {
            journal.stranger(if n % 2 == 0 { "cat" } else { "dog" }, || n.to_string());
            journal.say("a session");
        }
        journal.sum_up();
        journal.sum_up();
        journal.stranger("cat", || "again".into());
        let lines = lines.lock().unwrap();
        let of_strangers: Vec<&str> = lines.iter().map(String::as_str).filter(|line| *line != "a session").collect();
        assert_eq!(lines.len() - of_strangers.len(), 1000);
        assert_eq!(of_strangers[..10], ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
        assert_eq!(
            of_strangers[10..],
            ["and of such lines within 10 s, not printed: 495 of a cat, 495 of a dog", "again"]
        );
    }
}
