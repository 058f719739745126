//! Rate-limited logging: peers that have not authenticated cannot fill the log.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

/// Lines about unauthenticated peers in a [`PERIOD`]; further ones are counted.
const LINES: u32 = 10;

/// Time after which the lines that were only counted are summed up.
const PERIOD: Duration = Duration::from_secs(10);

/// The server's log.
pub(crate) struct Log {
    write: Box<dyn Fn(&str) + Send + Sync>,
    unauthenticated: Mutex<Unauthenticated>,
    /// A period began.
    begun: Notify,
}

#[derive(Default)]
struct Unauthenticated {
    /// Lines in this period.
    said: u32,
    /// How often what happened without a line.
    unsaid: BTreeMap<&'static str, u64>,
}

impl Log {
    pub(crate) fn new(write: impl Fn(&str) + Send + Sync + 'static) -> Log {
        Log { write: Box::new(write), unauthenticated: Mutex::default(), begun: Notify::new() }
    }

    /// Writes a line about an authenticated client, or the server itself.
    pub(crate) fn say(&self, line: &str) {
        (self.write)(line);
    }

    /// Writes a line about an unauthenticated peer, or counts it as one more of its `kind`.
    pub(crate) fn unauthenticated(&self, kind: &'static str, line: impl FnOnce() -> String) {
        let mut period = self.unauthenticated.lock().expect("no panic while held");
        if period.said == 0 {
            self.begun.notify_one();
        }
        if period.said == LINES {
            *period.unsaid.entry(kind).or_default() += 1;
        } else {
            period.said += 1;
            drop(period);
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
        let Unauthenticated { unsaid, .. } =
            std::mem::take(&mut *self.unauthenticated.lock().expect("no panic while held"));
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
    fn lines_about_unauthenticated_peers_are_few_and_then_counted() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let log = lines.clone();
        let log = Log::new(move |line: &str| log.lock().unwrap().push(line.to_owned()));
        for n in 0..1000 {
            log.unauthenticated(if n % 2 == 0 { "cat" } else { "dog" }, || n.to_string());
            log.say("a session");
        }
        log.sum_up();
        log.sum_up();
        log.unauthenticated("cat", || "again".into());
        let lines = lines.lock().unwrap();
        let about_them: Vec<&str> = lines.iter().map(String::as_str).filter(|line| *line != "a session").collect();
        assert_eq!(lines.len() - about_them.len(), 1000);
        assert_eq!(about_them[..10], ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
        assert_eq!(
            about_them[10..],
            ["and of such lines within 10 s, not printed: 495 of a cat, 495 of a dog", "again"]
        );
    }
}
