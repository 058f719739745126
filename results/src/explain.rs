//! Why a message was late, in words and numbers: the text and the document of `samepath explain`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use samepath_model::blocking::{DelayParts, HoldParts};
use samepath_model::experiment::{Trial, TrialId};
use samepath_model::link::ScriptedDrop;
use samepath_model::record::{DropCause, Instant, NameLookup, Outcome, TrialRecord};
use samepath_model::void::in_words;
use samepath_model::workload::{MessageId, StreamId};
use samepath_model::{Direction, VoidReason};
use serde::Serialize;

use crate::blocking::{self, AnalyseError, Analysis, Fate, Held, Missing, NEVER, Packet, Parts, Step, Story};
use crate::store::{Run, StoreError};

#[cfg(test)]
mod tests;

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// Of this trial; else of the one with the longest blocked time.
    pub trial: Option<TrialId>,
    /// Of this message; else of the most blocked, or of the slowest where none was.
    pub message: Option<Name>,
}

/// What a person calls a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Name {
    /// Which way it goes; where that is left open, as most of its workload does.
    pub direction: Option<Direction>,
    /// Its stream.
    pub stream: StreamId,
    /// Its number in the stream.
    pub seq: u32,
}

impl Name {
    fn of(self, trial: &Trial) -> MessageId {
        let Name { direction, stream, seq } = self;
        MessageId { direction: direction.unwrap_or(trial.workload.direction()), stream, seq }
    }
}

/// A question that has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// There is no such trial.
    #[error("the run has no record of a trial `{0}`; it has: {1}")]
    NoTrial(TrialId, String),
    /// There is no such message.
    #[error("trial `{trial}` has no message {stream}:{seq}; {has}")]
    NoMessage {
        /// The trial.
        trial: TrialId,
        /// The stream asked for.
        stream: StreamId,
        /// The number asked for.
        seq: u32,
        /// What there is instead.
        has: String,
    },
    /// No trial can be explained.
    #[error(
        "no trial of this run has its packets attributed to its messages; run the experiment again with `attribution = true` \
         in its part (it is on by default for messages, and needs an emulated link)"
    )]
    NothingMapped,
    /// The records cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What kind of answer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It waited for bytes other than its own.
    Blocked,
    /// It waited for further copies of its own bytes, and for nothing else.
    OwnLoss,
    /// Some of its bytes were lost, but it did not wait for the further copies: they were there by the time the
    /// last of them was.
    RecoveredInTime,
    /// It waited for neither, and nothing of it was lost.
    Undisturbed,
    /// The application never had it whole.
    NeverDelivered,
    /// No connection was ever made, as the name of the server was not resolved.
    Unresolved,
    /// The trial's packets are not attributed to its messages.
    Unattributed,
    /// The records contradict each other.
    Fault,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The trial.
    pub trial: TrialId,
    /// Its part.
    pub part: String,
    /// Its axes.
    pub axes: BTreeMap<String, String>,
    /// Its arm.
    pub arm: String,
    /// Its seed.
    pub seed: u64,
    /// Why the trial does not count, where it does not.
    pub void: Vec<VoidReason>,
    /// Which way the messages go.
    pub direction: Direction,
    /// The stream.
    pub stream: StreamId,
    /// The number in the stream.
    pub seq: u32,
    /// Its size in bytes; `None` where the workload sends until its time is over.
    #[serde(rename = "size_bytes")]
    pub size: Option<u64>,
    /// What kind of answer it is.
    pub verdict: Verdict,
    /// Why there is no more to say, where there is not.
    pub reason: Option<String>,
    /// When it was released, in milliseconds of the schedule.
    pub released_ms: f64,
    /// When the application had it.
    pub delivered_ms: Option<f64>,
    /// The whole delay.
    pub delay_ms: Option<f64>,
    /// When the last of its own bytes reached the receiving host.
    pub arrived_ms: Option<f64>,
    /// The parts of the delay, by the names of the summary; they add up to it.
    pub parts_ms: Option<BTreeMap<&'static str, f64>>,
    /// What the sender's hold is made of, by what held it there; they add up to it. `None` where the sender told
    /// nothing.
    pub sender_hold_ms: Option<BTreeMap<&'static str, f64>>,
    /// Blocked in all.
    pub blocked_ms: Option<f64>,
    /// Whether the first copy of each of its bytes arrived.
    pub intact: Option<bool>,
    /// The packets that first carried its bytes.
    pub carried_by: Vec<PacketSaid>,
    /// Of its own bytes, those that were lost.
    pub own: Vec<MissingSaid>,
    /// The bytes that it waited for when all its own had arrived.
    pub blockers: Vec<MissingSaid>,
    /// Other messages that waited for the same packet last.
    pub waiting: Vec<WaitingSaid>,
    /// The critical path that ends with it: itself last, each message released by the delivery of the one before. Empty
    /// where the clock released it, or where its operation begins with it.
    pub critical_path: Vec<StepSaid>,
    /// From the release of the first of them to the delivery of the last: the sum of what they waited and took.
    pub critical_path_ms: Option<f64>,
}

/// A message of a critical path.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepSaid {
    /// `DIRECTION:STREAM:SEQ`.
    pub message: String,
    /// From the delivery of the one before to its release: service, a queue of requests, thought.
    pub waited_ms: f64,
    /// The whole delay.
    pub delay_ms: f64,
    /// The parts of the delay; `None` where its packets are not known.
    pub parts_ms: Option<BTreeMap<&'static str, f64>>,
    /// What the sender's hold is made of; `None` where the sender told nothing.
    pub sender_hold_ms: Option<BTreeMap<&'static str, f64>>,
}

/// A packet, as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PacketSaid {
    /// Its number in its direction, from 0, as in the ledger; in words it is counted from 1.
    pub packet: u64,
    /// When it came to the link.
    pub at_ms: f64,
    /// How long it waited for the bottleneck and was transmitted.
    pub queued_ms: f64,
    /// `delivered`, or why it was not: `loss`, `overflow`, `corruption`, …
    pub fate: Fate,
    /// When it left the link for the receiving host.
    pub left_ms: Option<f64>,
}

/// Bytes that were missing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MissingSaid {
    /// How many.
    pub bytes: u64,
    /// Whose: `STREAM:SEQ`; empty for warm-up and what serves the connection.
    pub of: Vec<String>,
    /// Whether they lie behind the message, in the TLS record that its last byte lies in.
    pub follows: bool,
    /// The packets with them that did not get through.
    pub lost: Vec<PacketSaid>,
    /// The packet that brought them.
    pub brought_by: Option<PacketSaid>,
    /// When they reached the receiving host.
    pub arrived_ms: Option<f64>,
}

/// A message that waited, too.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WaitingSaid {
    /// `STREAM:SEQ`.
    pub message: String,
    /// How long it was blocked.
    pub blocked_ms: f64,
}

/// Answers a question about a run.
///
/// # Errors
/// Where there is no such trial or message, no trial is attributed, or records cannot be read.
pub fn explain(run: &Run, question: &Question) -> Result<Explanation, ExplainError> {
    let record = match &question.trial {
        Some(id) => run.trial(id).ok_or_else(|| ExplainError::NoTrial(id.clone(), known(run)))?,
        None => worst(run).ok_or(ExplainError::NothingMapped)?,
    };
    if matches!(record.outcome, Outcome::Failed { .. }) {
        return Err(ExplainError::NoTrial(record.trial.id.clone(), format!("{} (this one failed)", known(run))));
    }
    if let Some(reason) = unresolved(record) {
        return without_parts(run, record, question, Verdict::Unresolved, reason);
    }
    match blocking::of_trial(run, &record.trial) {
        Ok(analysis) => {
            let place = choose(&analysis, record, question)?;
            Ok(told(record, &analysis, place))
        }
        Err(AnalyseError::Unattributed(reason)) => {
            without_parts(run, record, question, Verdict::Unattributed, reason.to_string())
        }
        Err(AnalyseError::Source(error)) => Err(error.into()),
    }
}

/// The trial with the longest blocked time; those that count come first.
fn worst(run: &Run) -> Option<&TrialRecord> {
    let blocked = |record: &TrialRecord| {
        let summary = record.summary.as_ref()?;
        let delay = summary.delay_ms.map_or(0.0, |delay| delay.max);
        Some((summary.blocking.as_ref()?.blocked_ms.max, delay))
    };
    let attributed = run.trials().iter().filter_map(|record| Some((record, blocked(record)?)));
    attributed
        .max_by(|(a, x), (b, y)| {
            (a.outcome.is_done(), x.0, x.1)
                .partial_cmp(&(b.outcome.is_done(), y.0, y.1))
                .unwrap_or(std::cmp::Ordering::Equal)
        })
        .map(|(record, _)| record)
}

/// The trials of a run by name, as far as they fit a message.
fn known(run: &Run) -> String {
    const SHOWN: usize = 12;
    let names: Vec<&str> = run.trials().iter().map(|record| record.trial.id.0.as_str()).collect();
    match names.len() {
        0 => "none".into(),
        n if n > SHOWN => format!("{}, … ({n} in all)", names[..SHOWN].join(", ")),
        _ => names.join(", "),
    }
}

fn choose(analysis: &Analysis, record: &TrialRecord, question: &Question) -> Result<usize, ExplainError> {
    if let Some(name) = question.message {
        let id = name.of(&record.trial);
        return analysis.find(id).ok_or_else(|| no_message(record, id));
    }
    let slowest = || {
        let accounts = analysis.accounts();
        accounts.max_by_key(|(place, _, account)| (account.parts.total(), std::cmp::Reverse(*place))).map(|(p, ..)| p)
    };
    // Where nothing was delivered the first message stands for all.
    Ok(analysis.most_blocked().or_else(slowest).unwrap_or(0))
}

fn no_message(record: &TrialRecord, MessageId { direction, stream, seq }: MessageId) -> ExplainError {
    let table = record.trial.workload.table(direction, record.trial.seed);
    let has = match table.per_stream(stream) {
        0 => format!("its streams are 0 to {}", table.streams().saturating_sub(1)),
        n if seq < n => "it was never released: the trial's `messages.parquet` has those that were".into(),
        n => format!("stream {stream} has messages 0 to {}", n - 1),
    };
    ExplainError::NoMessage { trial: record.trial.id.clone(), stream, seq, has }
}

/// Why there was no connection, where the name of the server was not resolved.
fn unresolved(record: &TrialRecord) -> Option<String> {
    let NameLookup { took_ns, tries, answered } = record.summary.as_ref()?.name_lookup?;
    (!answered).then(|| {
        format!(
            "the name of its server was not resolved (queries without an answer: {tries}; given up after {} ms), so no \
             connection was made",
            ms(took_ns as f64 / 1e6)
        )
    })
}

/// The answer of a trial of whose messages no more is known than their records say.
fn without_parts(
    run: &Run,
    record: &TrialRecord,
    question: &Question,
    verdict: Verdict,
    reason: String,
) -> Result<Explanation, ExplainError> {
    let messages = run.messages(&record.trial.id)?;
    let wanted = |m: &&samepath_model::record::MessageRecord| match question.message {
        Some(name) => m.id() == name.of(&record.trial),
        None => true,
    };
    let slowest = messages.iter().filter(wanted).max_by_key(|m| m.delivered.map(|at| at - m.released));
    let Some(message) = slowest else {
        return Err(no_message(record, question.message.unwrap_or_default().of(&record.trial)));
    };
    Ok(Explanation { verdict, reason: Some(reason), ..blank(record, message) })
}

fn blank(record: &TrialRecord, message: &samepath_model::record::MessageRecord) -> Explanation {
    let trial = &record.trial;
    Explanation {
        trial: trial.id.clone(),
        part: trial.part.clone(),
        axes: trial.axes.clone(),
        arm: trial.arm.to_string(),
        seed: trial.seed,
        void: match &record.outcome {
            Outcome::Void { reasons } => reasons.clone(),
            _ => Vec::new(),
        },
        direction: message.direction,
        stream: message.stream,
        seq: message.seq,
        size: (!trial.workload.is_open_ended()).then_some(message.size),
        verdict: Verdict::Undisturbed,
        reason: None,
        released_ms: millis(message.released),
        delivered_ms: message.delivered.map(millis),
        delay_ms: message.delivered.map(|at| millis(at - message.released)),
        arrived_ms: None,
        parts_ms: None,
        sender_hold_ms: None,
        blocked_ms: None,
        intact: None,
        carried_by: Vec::new(),
        own: Vec::new(),
        blockers: Vec::new(),
        waiting: Vec::new(),
        critical_path: Vec::new(),
        critical_path_ms: None,
    }
}

fn told(record: &TrialRecord, analysis: &Analysis, place: usize) -> Explanation {
    let Some(story) = analysis.story(place) else {
        unreachable!("the place was found among the analysis' own messages")
    };
    let Story { message, account, fault, own, blockers, carried_by, uncarried, waiting } = story;
    let said = blank(record, message);
    let verdict = match (account, fault) {
        (_, Some(_)) => Verdict::Fault,
        (None, None) => Verdict::NeverDelivered,
        (Some(account), None) if account.parts.blocked() > 0 => Verdict::Blocked,
        (Some(account), None) if account.parts.own_loss > 0 => Verdict::OwnLoss,
        (Some(account), None) if !account.intact => Verdict::RecoveredInTime,
        (Some(_), None) => Verdict::Undisturbed,
    };
    let reason = match verdict {
        Verdict::Fault => fault.map(|fault| format!("it {}", fault.words())),
        Verdict::NeverDelivered if uncarried > 0 => {
            Some(format!("{uncarried} of its bytes never came to the link: the sender did not send them"))
        }
        _ => None,
    };
    let path = analysis
        .critical_path(place, |message| record.trial.workload.begins(message.id()))
        .filter(|path| path.steps.len() > 1);
    Explanation {
        verdict,
        reason,
        arrived_ms: account.map(|account| millis(account.arrived)),
        parts_ms: account.map(|account| named(&account.parts)),
        sender_hold_ms: analysis.held(place).map(named_holds),
        blocked_ms: account.map(|account| millis(account.parts.blocked())),
        intact: account.map(|account| account.intact),
        carried_by: carried_by.iter().map(packet_said).collect(),
        own: own.iter().map(missing_said).collect(),
        blockers: blockers.iter().map(missing_said).collect(),
        waiting: waiting
            .into_iter()
            .map(|one| WaitingSaid { message: format!("{}:{}", one.stream, one.seq), blocked_ms: millis(one.blocked) })
            .collect(),
        critical_path_ms: path.as_ref().map(|path| millis(path.total().time())),
        critical_path: path.iter().flat_map(|path| &path.steps).map(step_said).collect(),
        ..said
    }
}

/// The parts of a delay by the names of the summary.
fn named(parts: &Parts) -> BTreeMap<&'static str, f64> {
    DelayParts::NAMES.into_iter().zip(parts.values().map(millis)).collect()
}

/// What a hold is made of, by the names of the summary.
fn named_holds(held: &Held) -> BTreeMap<&'static str, f64> {
    HoldParts::NAMES.into_iter().zip(held.values().map(millis)).collect()
}

/// The parts as people read them: sender hold, network, own loss, blocked, stack.
fn grouped(parts: &BTreeMap<&'static str, f64>) -> [f64; 5] {
    let part = |name: &str| parts.get(name).copied().unwrap_or_default();
    [
        part("sender_hold"),
        part("queue") + part("propagation"),
        part("own_loss"),
        part("blocked_other_streams") + part("blocked_own_stream") + part("blocked_tls_record"),
        part("host_stack"),
    ]
}

fn step_said(step: &Step<'_>) -> StepSaid {
    let MessageId { direction, stream, seq } = step.message.id();
    StepSaid {
        message: format!("{direction}:{stream}:{seq}"),
        waited_ms: millis(step.waited),
        delay_ms: millis(step.delay),
        parts_ms: step.parts.as_ref().map(named),
        sender_hold_ms: step.held.as_ref().map(named_holds),
    }
}

fn millis(ns: Instant) -> f64 {
    ns as f64 / 1e6
}

fn packet_said(packet: &Packet) -> PacketSaid {
    PacketSaid {
        packet: packet.number,
        at_ms: millis(packet.arrived),
        queued_ms: packet.queued as f64 / 1e6,
        fate: packet.fate,
        left_ms: (packet.left != NEVER).then(|| millis(packet.left)),
    }
}

fn missing_said(missing: &Missing) -> MissingSaid {
    MissingSaid {
        bytes: missing.end - missing.start,
        of: missing.of.iter().flatten().map(|(stream, seq)| format!("{stream}:{seq}")).collect(),
        follows: missing.follows,
        lost: missing.lost().map(packet_said).collect(),
        brought_by: missing.brought().map(packet_said),
        arrived_ms: (missing.at != NEVER).then(|| millis(missing.at)),
    }
}

/// Things of one kind that are told one by one; of more, the last and how many there are.
const TOLD: usize = 6;

impl Explanation {
    /// The answer in words.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let axes = crate::cells::label(&self.axes);
        let conditions = if axes.is_empty() { String::new() } else { format!("{axes}, ") };
        let _ = writeln!(
            text,
            "Message {}:{} of trial {} ({}, {conditions}seed {}): {} {}, released at {} ms.",
            self.stream,
            self.seq,
            self.trial,
            self.arm,
            self.seed,
            self.size.map_or_else(|| "without end,".to_owned(), |size| format!("{size} bytes")),
            self.direction,
            ms(self.released_ms)
        );
        if !self.void.is_empty() {
            let _ = writeln!(text, "The trial is void: {}.", in_words(&self.void));
        }
        text += &self.headline();
        text += &self.parts();
        self.own_loss(&mut text);
        self.blocked(&mut text);
        self.others(&mut text);
        text += &self.chain();
        if self.own.iter().chain(&self.blockers).any(|missing| !missing.lost.is_empty() || missing.brought_by.is_some())
        {
            let _ = writeln!(
                text,
                "\nPackets are counted from 1, as `--drop '{} packet N'` and a capture count them; in the ledger their \
                 `number` is one less.",
                self.direction
            );
        }
        text
    }

    fn headline(&self) -> String {
        let reason = self.reason.as_deref().unwrap_or_default();
        match (self.verdict, self.delay_ms) {
            (Verdict::Unresolved, _) => format!("It was never delivered: {reason}.\n"),
            (Verdict::Unattributed, Some(delay)) => {
                format!("It was delivered after {} ms. What it waited for is not known: {reason}.\n", ms(delay))
            }
            (Verdict::Unattributed, None) if self.size.is_none() => {
                format!("It has no end, and so no delay that could be explained: {reason}.\n")
            }
            (Verdict::Unattributed, None) => format!("It was never delivered. Why is not known: {reason}.\n"),
            (Verdict::Fault, _) => {
                format!("Its records contradict each other, so its delay is not explained: {reason}.\n")
            }
            (Verdict::NeverDelivered, _) => match &self.reason {
                None => "The application never had it whole.\n".into(),
                Some(reason) => format!("The application never had it whole: {reason}.\n"),
            },
            (_, delay) => {
                let delay = ms(delay.unwrap_or_default());
                let blocked = ms(self.blocked_ms.unwrap_or_default());
                match self.verdict {
                    Verdict::Blocked => {
                        format!("It was delivered after {delay} ms, of which it was blocked for {blocked} ms.\n")
                    }
                    Verdict::OwnLoss => format!(
                        "It was delivered after {delay} ms. It was not blocked: it waited for its own bytes alone.\n"
                    ),
                    Verdict::RecoveredInTime => format!(
                        "It was delivered after {delay} ms. It was not blocked. Some of it was lost, but it did not \
                         wait for the further copies: they were there by the time its last byte was.\n"
                    ),
                    _ => {
                        format!("It was delivered after {delay} ms. It was not blocked, and nothing of it was lost.\n")
                    }
                }
            }
        }
    }

    fn parts(&self) -> String {
        let Some(parts) = &self.parts_ms else { return String::new() };
        let part = |name: &str| parts.get(name).copied().unwrap_or_default();
        let [hold, network, own_loss, blocked, stack] = grouped(parts);
        let held_by = self.sender_hold_ms.as_ref().map(held_by).filter(|by| !by.is_empty());
        let held_by = held_by.map_or_else(String::new, |by| format!("; held by: {by}"));
        let rows = [
            ("sender hold", hold, format!("release until its last byte came to the link{held_by}")),
            ("network", network, format!("queue {}, propagation {}", ms(part("queue")), ms(part("propagation")))),
            ("own loss", own_loss, "waiting for further copies of its own bytes".to_owned()),
            (
                "blocked",
                blocked,
                format!(
                    "by other streams {}, by its own stream {}, by the rest of its TLS record {}",
                    ms(part("blocked_other_streams")),
                    ms(part("blocked_own_stream")),
                    ms(part("blocked_tls_record"))
                ),
            ),
            ("stack", stack, "all it needed had arrived, until the application had it".to_owned()),
            ("delay", self.delay_ms.unwrap_or_default(), "the sum".to_owned()),
        ];
        let mut text = String::from("\n");
        for (name, value, note) in rows {
            let _ = writeln!(text, "  {name:<12} {:>10} ms   {note}", ms(value));
        }
        text
    }

    /// The critical path, a row a message: what the ends waited before it, and the parts of its delay.
    fn chain(&self) -> String {
        let ([first, .., last], Some(time)) = (&self.critical_path[..], self.critical_path_ms) else {
            return String::new();
        };
        let steps = &self.critical_path;
        let mut text = format!(
            "\nCritical path: {} messages from the release of {} to the delivery of {}, each released by the delivery of the \
             one before; {} ms.\n\n",
            steps.len(),
            first.message,
            last.message,
            ms(time)
        );
        let line = |name: &str, columns: [String; 7]| {
            let columns: String = columns.iter().map(|column| format!(" {column:>11}")).collect();
            format!("  {name:<14}{columns}\n")
        };
        text += &line(
            "[ms]",
            ["waited", "sender hold", "network", "own loss", "blocked", "stack", "together"].map(Into::into),
        );
        let shown = if steps.len() > TOLD { TOLD - 1 } else { steps.len() };
        let row = |step: &StepSaid| line(&step.message, step.columns().map(ms));
        text.extend(steps[..shown].iter().map(row));
        if shown < steps.len() {
            text += &format!("  … {} more …\n{}", steps.len() - shown - 1, row(last));
        }
        let sum = steps
            .iter()
            .map(StepSaid::columns)
            .fold([0.0; 7], |sum, columns| std::array::from_fn(|at| sum[at] + columns[at]));
        text += &line("sum", sum.map(ms));
        let mut held: BTreeMap<&'static str, f64> = HoldParts::NAMES.map(|name| (name, 0.0)).into();
        for (name, value) in steps.iter().flat_map(|step| step.sender_hold_ms.iter().flatten()) {
            *held.entry(name).or_default() += value;
        }
        match held_by(&held) {
            by if by.is_empty() => text,
            by => text + &format!("\nThe senders held these messages by: {by}.\n"),
        }
    }

    fn own_loss(&self, text: &mut String) {
        if self.own.is_empty() {
            if self.verdict == Verdict::NeverDelivered && !self.carried_by.is_empty() {
                let _ = writeln!(text, "\nEvery packet that carried its bytes left the link intact.");
            }
            return;
        }
        let _ = writeln!(text, "\nLost of its own bytes:");
        list(text, &self.own, |missing| self.missing(missing, "of it"));
    }

    fn blocked(&self, text: &mut String) {
        if self.blockers.is_empty() {
            return;
        }
        let arrived = self.arrived_ms.map(ms).unwrap_or_default();
        let _ = writeln!(text, "\nAll its own bytes had arrived at {arrived} ms. What it still waited for:");
        list(text, &self.blockers, |missing| {
            let whose = match &missing.of[..] {
                [] => "of the connection (warm-up or handshake)".to_owned(),
                [one] => format!("of message {one}"),
                [first, .., last] if missing.of.len() > TOLD => {
                    format!("of {} messages, {first} to {last}", missing.of.len())
                }
                all => format!("of messages {}", all.join(", ")),
            };
            self.missing(missing, &whose)
        });
    }

    fn missing(&self, missing: &MissingSaid, whose: &str) -> String {
        let place = if missing.follows { ", which follow in the same TLS record" } else { "" };
        let mut words = format!("{} bytes {whose}{place}: ", missing.bytes);
        for lost in &missing.lost {
            let _ = write!(words, "{} came to the link at {} ms and {}; ", lost.name(), ms(lost.at_ms), cause(lost));
        }
        match &missing.brought_by {
            Some(packet) => {
                let left = packet.left_ms.map(ms).unwrap_or_default();
                let own = self.carried_by.iter().map(|packet| packet.at_ms);
                let verb = if !missing.lost.is_empty() {
                    "retransmitted them"
                } else if self.arrived_ms.is_some_and(|arrived| packet.at_ms > arrived) {
                    "first sent them only then, coming"
                } else if !missing.follows && own.fold(f64::NEG_INFINITY, f64::max) >= packet.at_ms {
                    "with them was overtaken: it came"
                } else {
                    "with them came"
                };
                let _ = write!(words, "{} {verb} at {} ms and arrived at {left} ms.", packet.name(), ms(packet.at_ms));
            }
            None => words += "no packet brought them.",
        }
        words
    }

    fn others(&self, text: &mut String) {
        let names = |all: &[WaitingSaid]| -> String {
            all.iter().map(|one| format!("{} ({} ms)", one.message, ms(one.blocked_ms))).collect::<Vec<_>>().join(", ")
        };
        let said = match (&self.waiting[..], self.verdict) {
            ([], Verdict::Blocked) => "No other message waited for the same packet.".to_owned(),
            ([], _) => return,
            (all, verdict) => {
                let what = if verdict == Verdict::Blocked { "for the same packet" } else { "for what it had lost" };
                let n = all.len();
                let (verb, s) = if n == 1 { ("waited", "") } else { ("waited", "s") };
                let shown = names(&all[..n.min(TOLD)]);
                let more = if n > TOLD { ", …" } else { "" };
                format!("{n} other message{s} {verb} {what}: {shown}{more}.")
            }
        };
        let _ = writeln!(text, "\n{said}");
    }
}

/// What held messages at their senders: what took a tenth of a millisecond or more, the longest first.
fn held_by(held: &BTreeMap<&'static str, f64>) -> String {
    const WORTH_TELLING: f64 = 0.1;
    let named = HoldParts::NAMES.iter().zip(HoldParts::WORDS);
    let mut by: Vec<(f64, &str)> = named.map(|(name, words)| (held[name], words)).collect();
    by.retain(|(ms, _)| *ms >= WORTH_TELLING);
    by.sort_by(|a, b| b.0.total_cmp(&a.0));
    by.into_iter().map(|(value, words)| format!("{words} {}", ms(value))).collect::<Vec<_>>().join(", ")
}

/// The items one by one, the last of them always.
fn list<T>(text: &mut String, all: &[T], words: impl Fn(&T) -> String) {
    let shown = if all.len() > TOLD { TOLD - 1 } else { all.len() };
    for one in &all[..shown] {
        let _ = writeln!(text, "- {}", words(one));
    }
    if let (true, Some(last)) = (shown < all.len(), all.last()) {
        let _ = writeln!(text, "- … {} more …", all.len() - shown - 1);
        let _ = writeln!(text, "- last: {}", words(last));
    }
}

impl StepSaid {
    /// What the ends waited, the parts of the delay (0 where they are not known), and all of it.
    fn columns(&self) -> [f64; 7] {
        let [hold, network, own_loss, blocked, stack] = self.parts_ms.as_ref().map(grouped).unwrap_or_default();
        [self.waited_ms, hold, network, own_loss, blocked, stack, self.waited_ms + self.delay_ms]
    }
}

impl PacketSaid {
    /// What a scripted drop and a capture call it.
    fn name(&self) -> ScriptedDrop {
        ScriptedDrop::Packet(self.packet + 1)
    }
}

/// What befell a packet, as the rest of a sentence.
fn cause(packet: &PacketSaid) -> &'static str {
    match packet.fate {
        Fate::Dropped(DropCause::Loss) => "was dropped by random loss",
        Fate::Dropped(DropCause::Script) => "was dropped by the script",
        Fate::Dropped(DropCause::Outage) => "was dropped in an outage",
        Fate::Dropped(DropCause::Overflow) => "was dropped by a full queue",
        Fate::Dropped(DropCause::Aqm) => "was dropped by the queue's management",
        Fate::Dropped(DropCause::Blackhole) => "was larger than the black hole lets pass",
        Fate::Dropped(DropCause::Nat) => "was for a mapping that the NAT had forgotten",
        Fate::Dropped(DropCause::Host) => "was refused by the host",
        Fate::Dropped(DropCause::LinkDown) => "was still under way when the link went down",
        Fate::Corrupted => "arrived with a flipped bit",
        Fate::Delivered => "arrived intact",
    }
}

/// Milliseconds to the microsecond, as people read them.
fn ms(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.to_owned() }
}
