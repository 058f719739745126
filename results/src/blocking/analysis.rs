//! The analysis of one trial: every message with what it waited for.

use std::mem::{self, Discriminant};

use samepath_model::arm::{AttributedBy, Connections, OrderingDomain};
use samepath_model::attribution::{LayoutRecord, ObservationRecord};
use samepath_model::experiment::Trial;
use samepath_model::flow::UNDER_TEST;
use samepath_model::link::Direction;
use samepath_model::record::{End, MessageRecord, PacketRecord, SeriesPoint};
use samepath_model::tuning::Controller;
use samepath_model::workload::MessageId;
use samepath_model::{VoidKind, VoidReason};

use super::attribution::Attribution;
use super::counterfactual::Beyond;
use super::hold::{Held, Opening, States};
use super::packets::{self, Packet};
use super::parts::{self, Account, BLOCKED, Fault, Stall};

/// Why the packets of a trial cannot be attributed to its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unattributed {
    /// Neither layout nor observations were recorded.
    #[error("the trial was recorded without the attribution of packets to messages")]
    Off,
    /// Without an emulated link there is no ledger.
    #[error("the trial had no emulated link, and so there is no ledger of its packets")]
    NoLedger,
    /// A message whose size is left open has no last byte.
    #[error("the workload sends until its time is over, so its messages have no last byte to wait for")]
    OpenEnded,
    /// The trial was attributed, but this file of it is gone.
    #[error(
        "its `{0}` is missing, with which it was recorded; fetch the run again whole, or run the trial anew in another \
         directory"
    )]
    Gone(&'static str),
}

/// Why there is no analysis.
#[derive(Debug, thiserror::Error)]
pub enum AnalyseError<E> {
    /// The trial has no such records.
    #[error(transparent)]
    Unattributed(#[from] Unattributed),
    /// The records cannot be read.
    #[error("{0}")]
    Source(E),
}

/// Every message of a trial with what it waited for.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// In the order of their release.
    pub messages: Vec<MessageRecord>,
    accounts: Vec<Option<Result<Account, Fault>>>,
    pub(super) attribution: Attribution,
    pub(super) stalls: Vec<Stall>,
    pub(super) buffered: u128,
    pub(super) streams: u16,
    /// What held each message at its sender, where the sender told.
    held: Option<Vec<Held>>,
    /// Whether the receive window is the subject, and so may hold a message.
    window_is_subject: bool,
    is_one_connection: bool,
    /// Whether each message of the client has a connection of its own.
    connects_as_released: bool,
    /// Whether the lab sets the windows of flow control, and not the kernel.
    sets_windows: bool,
    /// Whether TCP sends by its congestion window alone, and not by a pacing rate of its controller.
    is_window_alone: bool,
}

/// Follows every message of a trial's flow under test through its packets.
///
/// # Errors
/// Where the trial was not attributed, or a record cannot be read.
pub fn analyse<E>(
    trial: &Trial,
    messages: Vec<MessageRecord>,
    layout: &[LayoutRecord],
    ledger: impl IntoIterator<Item = Result<PacketRecord, E>>,
    observations: impl IntoIterator<Item = Result<ObservationRecord, E>>,
) -> Result<Analysis, AnalyseError<E>> {
    if trial.workload.is_open_ended() {
        return Err(Unattributed::OpenEnded.into());
    }
    if layout.is_empty() {
        return Err(Unattributed::Off.into());
    }
    let mut packets = Vec::new();
    for record in ledger {
        let record = record.map_err(AnalyseError::Source)?;
        packets.extend(Packet::of(&record).filter(|_| record.is_of(UNDER_TEST)));
    }
    if packets.is_empty() {
        return Err(Unattributed::NoLedger.into());
    }
    packets::sort(&mut packets);
    let arm = trial.arm;
    let attribution =
        Attribution::of(arm.attributed_by, layout, packets, observations).map_err(AnalyseError::Source)?;
    let (units, ordered) = (arm.attributed_by == AttributedBy::TlsRecords, arm.ordering != OrderingDomain::Nothing);
    let accounts = parts::accounts(&attribution, &messages, &trial.link, &Beyond::of(trial, layout), units, ordered);
    Ok(Analysis {
        messages,
        accounts: accounts.of,
        attribution,
        stalls: accounts.stalls,
        buffered: accounts.buffered,
        streams: trial.workload.streams(),
        held: None,
        window_is_subject: trial.tuning.receive_window.is_some(),
        sets_windows: arm.stack.is_in_process(),
        is_window_alone: trial.tuning.controller != Controller::Bbr,
        is_one_connection: trial.workload.connections(arm) == 1,
        connects_as_released: arm.connections == Connections::PerMessage,
    })
}

impl Analysis {
    /// Takes what its sender told of itself, in time series, and how the session began, for what held each message there.
    #[must_use]
    pub fn told_by(mut self, series: &[SeriesPoint], opening: Opening) -> Analysis {
        // The samples of several connections are sums, which say nothing of one of them.
        let states = Direction::BOTH.map(|way| match self.is_one_connection {
            true => States::of(series, End::sender(way), self.is_window_alone),
            false => States::default(),
        });
        let states = states.map(|states| states.opened(opening));
        let held = self.messages.iter().zip(&self.accounts).map(|(message, account)| {
            let Some(Ok(account)) = account else { return Held::default() };
            let left = message.released + account.parts.hold;
            let held = states[message.direction.index()].split(
                message.released,
                left,
                message.sent,
                self.attribution.identifier(account.domain),
            );
            match self.connects_as_released && message.direction == Direction::Up {
                true => held.with_own_connection(),
                false => held,
            }
        });
        self.held = Some(held.collect());
        self
    }

    /// What held a message at its sender, by its place; `None` where it has no account, or the sender told nothing.
    pub fn held(&self, message: usize) -> Option<&Held> {
        self.account(message)?;
        self.held.as_ref()?.get(message)
    }

    /// Which limits held messages at their sender that are set by the lab to be ample, in words for the reasons of a
    /// void trial; empty where none did.
    pub fn limits(&self) -> Vec<VoidReason> {
        let Some(held) = &self.held else { return Vec::new() };
        let of = |part: fn(&Held) -> i64, what: &str, remedy: &str| {
            let by: Vec<i64> = held.iter().map(part).filter(|ns| *ns > BLOCKED).collect();
            let longest = by.iter().max()?;
            let longest = *longest as f64 / 1e6;
            let n = by.len();
            let words = format!("{what} held {n} messages at the sender, for up to {longest:.1} ms: {remedy}");
            Some(VoidReason::new(VoidKind::Limit, words))
        };
        // Of TCP it is the kernel's own, which grows as it sees fit: that is no setting of the lab's.
        let is_set = self.sets_windows && !self.window_is_subject;
        let credit = |held: &Held| held.connection + held.stream;
        let ample = "it was to be ample, and is no part of the comparison: set `receive-window` to make it the subject";
        [
            of(
                |held| held.streams,
                "the number of QUIC streams that may be open at once",
                "it is the lab's own limit; send fewer messages at a time",
            ),
            is_set.then(|| of(credit, "flow control", ample)).flatten(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The account of a message by its place; `None` where it was not delivered, or at fault.
    pub fn account(&self, message: usize) -> Option<&Account> {
        self.accounts.get(message)?.as_ref()?.as_ref().ok()
    }

    /// Why a delivered message has none.
    pub fn fault(&self, message: usize) -> Option<Fault> {
        self.accounts.get(message)?.as_ref()?.as_ref().err().copied()
    }

    /// Every message that has an account, with its place.
    pub fn accounts(&self) -> impl Iterator<Item = (usize, &MessageRecord, &Account)> {
        self.messages
            .iter()
            .zip(&self.accounts)
            .enumerate()
            .filter_map(|(place, (message, account))| Some((place, message, account.as_ref()?.as_ref().ok()?)))
    }

    /// The place of a message in the order of release.
    pub fn find(&self, id: MessageId) -> Option<usize> {
        self.messages.iter().position(|message| message.id() == id)
    }

    /// The packets with payload, both directions, in the order in which they came to the link.
    pub fn packets(&self) -> &[Packet] {
        &self.attribution.packets
    }

    /// The message that was blocked longest; `None` where none was.
    pub fn most_blocked(&self) -> Option<usize> {
        let blocked = self.accounts().filter(|(_, _, account)| account.parts.blocked() > 0);
        blocked.max_by_key(|(place, _, account)| (account.parts.blocked(), std::cmp::Reverse(*place))).map(|(p, ..)| p)
    }

    /// What contradicts itself, as reasons why the trial is void; empty where all is well.
    pub fn faults(&self) -> Vec<VoidReason> {
        let mut said: Vec<(Discriminant<Fault>, String, usize)> = Vec::new();
        for (message, account) in self.messages.iter().zip(&self.accounts) {
            let Some(Err(fault)) = account else { continue };
            let kind = mem::discriminant(fault);
            match said.iter_mut().find(|(of, ..)| *of == kind) {
                Some((.., times)) => *times += 1,
                None => said.push((kind, format!("message {}:{} {}", message.stream, message.seq, fault.words()), 1)),
            }
        }
        said.into_iter()
            .map(|(_, words, times)| {
                let more = if times > 1 { format!(" (and {} more like it)", times - 1) } else { String::new() };
                let words = format!("{words}{more}: a fault of a clock or of the attribution");
                VoidReason::new(VoidKind::Contradiction, words)
            })
            .collect()
    }
}
