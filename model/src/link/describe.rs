//! Conditions as one line, for charts and tables.

use std::fmt;

use super::{
    Aqm, Blackhole, Change, Conditions, Direction, Distribution, Framing, Generator, Link, Loss, Outage, QueueCapacity,
    QueueLimit, ScriptedDrop,
};
use crate::units::{ByteCount, Duration, Probability};

/// Of scripted drops, outages and changes, more than this are summed up.
const MOST_LISTED: usize = 4;

impl fmt::Display for Link {
    /// One line, as charts and tables caption it: `RTT 60ms, 20Mbit, queue 1bdp (150kB), loss 1%`. Of a long list,
    /// such as 40 scripted drops, it says how many there are, the first and the last; the alternate form (`{:#}`)
    /// has them all.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe_directions(f)?;
        self.rebind.iter().try_for_each(|rebind| write!(f, "; rebind {rebind}"))
    }
}

impl Link {
    fn describe_directions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RTT {}", self.rtt())?;
        let whole = f.alternate();
        let rest = |conditions, enforced| Rest { conditions, enforced, whole }.to_string();
        if self.generator == Generator::Netem {
            write!(f, ", draws as netem's")?;
        }
        if self.up == self.down {
            return write!(f, "{}", rest(&self.up, self.enforced(Direction::Up)));
        }
        // What both have alike is said once.
        let (mut up, mut down) = (self.up.clone(), self.down.clone());
        let mut alike = Conditions::transparent();
        if up.loss == down.loss {
            alike.loss = std::mem::take(&mut up.loss);
            down.loss = Loss::None;
        }
        if up.filter == down.filter {
            alike.filter = up.filter.take();
            down.filter = None;
        }
        if up.outages == down.outages {
            alike.outages = std::mem::take(&mut up.outages);
            down.outages.clear();
        }
        write!(f, "{}", rest(&alike, None))?;
        let up = rest(&up, self.enforced(Direction::Up));
        let down = rest(&down, self.enforced(Direction::Down));
        let said = |text: &str| text.trim_start_matches(", ").to_owned();
        match (up.is_empty(), down.is_empty()) {
            (true, true) => Ok(()),
            (false, true) => write!(f, "; up {}", said(&up)),
            (true, false) => write!(f, "; down {}", said(&down)),
            (false, false) if up == down => write!(f, "{up}"),
            (false, false) => write!(f, "; up {}; down {}", said(&up), said(&down)),
        }
    }

    /// The size of a direction's buffer as the emulator enforces it, where that is not exactly what was asked
    /// for: of one in time or bandwidth-delay products, and of one that is raised to hold a packet.
    fn enforced(&self, direction: Direction) -> Option<ByteCount> {
        match (self.direction(direction).queue, self.queue_capacity(direction)?) {
            (Some(QueueLimit::Bytes(asked)), QueueCapacity::Bytes(bytes)) if asked == bytes => None,
            (_, QueueCapacity::Bytes(bytes)) => Some(bytes),
            (_, QueueCapacity::Packets(_)) => None,
        }
    }
}

/// At most three decimals, without trailing zeros.
fn rounded(value: f64) -> String {
    format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A direction's conditions but its delay, each after a comma.
struct Rest<'a> {
    conditions: &'a Conditions,
    /// Its buffer's size in bytes, where that is to be said.
    enforced: Option<ByteCount>,
    /// Whether long lists are written out.
    whole: bool,
}

impl fmt::Display for Rest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self.conditions;
        if !c.jitter.is_none() {
            write!(f, ", jitter ±{}", c.jitter)?;
            match &c.distribution {
                Distribution::Uniform => {}
                Distribution::Table(table) => write!(f, " by {}", table.name)?,
                named => write!(f, " {named}")?,
            }
            if c.keep_order {
                write!(f, " in order")?;
            }
        }
        if let Some(rate) = c.rate {
            let stopped = if c.stopped { " stopped" } else { "" };
            write!(f, ", {rate}{stopped}")?;
        }
        if let Some(trace) = &c.rate_trace {
            write!(f, ", {}", trace.describe())?;
        }
        if c.overhead != Framing::default() {
            write!(f, ", overhead {}", c.overhead)?;
        }
        if let Some(queue) = c.queue {
            write!(f, ", queue {queue}")?;
            if let Some(bytes) = self.enforced {
                write!(f, " ({bytes})")?;
            }
        }
        if c.aqm != Aqm::None {
            write!(f, ", {}", c.aqm)?;
        }
        if let Some(limit) = c.limit {
            write!(f, ", limit {limit}")?;
        }
        if let Some(slot) = &c.slot {
            write!(f, ", slot {}", slot.describe())?;
        }
        match c.loss {
            Loss::None => {}
            Loss::GilbertElliott(m) if m.loss_bad == Probability::ONE && m.loss_good.is_zero() => {
                let (loss, burst) = (m.stationary_loss() * 100.0, m.mean_burst());
                write!(f, ", loss {}% in bursts of {}", rounded(loss), rounded(burst))?;
            }
            loss => write!(f, ", loss {loss}")?,
        }
        if c.ecn {
            write!(f, ", marked where ECN-capable")?;
        }
        if c.blackhole != Blackhole::None {
            write!(f, ", blackhole {}", c.blackhole)?;
        }
        if c.bleach {
            write!(f, ", ECN bleached")?;
        }
        for (name, chance) in [("duplicate", c.duplicate), ("corrupt", c.corrupt)] {
            if !chance.is_never() {
                write!(f, ", {name} {chance}")?;
            }
        }
        if !c.reorder.is_never() {
            write!(f, ", reorder {}", c.reorder)?;
        }
        if c.drops.len() > MOST_LISTED && !self.whole {
            write!(f, ", {}", drops_in_brief(&c.drops))?;
        } else {
            c.drops.iter().try_for_each(|drop| write!(f, ", drop {drop}"))?;
        }
        if c.outages.len() > MOST_LISTED && !self.whole {
            write!(f, ", {}", outages_in_brief(&c.outages))?;
        } else {
            c.outages.iter().try_for_each(|outage| write!(f, ", outage {outage}"))?;
        }
        if let Some(filter) = &c.filter {
            write!(f, ", only {filter}")?;
        }
        if c.changes.len() > MOST_LISTED && !self.whole {
            write!(f, "; {}", changes_in_brief(&c.changes))
        } else {
            c.changes.iter().try_for_each(|change| write!(f, "; from {change}"))
        }
    }
}

/// `40 scripted drops (data 10 to data 400 in steps of 10)`.
fn drops_in_brief(drops: &[ScriptedDrop]) -> String {
    let (first, last) = (drops[0], drops[drops.len() - 1]);
    let numbers: Option<Vec<u64>> = drops
        .iter()
        .map(|drop| match (*drop, first) {
            (ScriptedDrop::Data(n), ScriptedDrop::Data(_))
            | (ScriptedDrop::Packet(n), ScriptedDrop::Packet(_))
            | (ScriptedDrop::Handshake(n), ScriptedDrop::Handshake(_)) => Some(n),
            (ScriptedDrop::Time { at, every: None }, ScriptedDrop::Time { every: None, .. }) => Some(at.as_nanos()),
            _ => None,
        })
        .collect();
    let step = numbers.as_deref().and_then(step).map(|step| match first {
        ScriptedDrop::Time { .. } => format!(" every {}", Duration::from_nanos(step)),
        _ => format!(" in steps of {step}"),
    });
    format!("{} scripted drops ({first} to {last}{})", drops.len(), step.unwrap_or_default())
}

/// `5 outages (15s..15.5s to 75s..75.5s every 15s)`.
fn outages_in_brief(outages: &[Outage]) -> String {
    let (first, last) = (outages[0], outages[outages.len() - 1]);
    let starts: Vec<u64> = outages.iter().map(|outage| outage.from.as_nanos()).collect();
    let alike = outages.iter().all(|one| one.to - one.from == first.to - first.from && one.every.is_none());
    let step = step(&starts).filter(|_| alike).map(|step| format!(" every {}", Duration::from_nanos(step)));
    format!("{} outages ({first} to {last}{})", outages.len(), step.unwrap_or_default())
}

/// `80 changes (1s to 80s)`.
fn changes_in_brief(changes: &[Change]) -> String {
    let first = changes.iter().map(|change| change.at).min().unwrap_or_default();
    let last = changes.iter().map(|change| change.until.unwrap_or(change.at)).max().unwrap_or_default();
    let again = if changes.iter().any(|change| change.every.is_some()) { ", again and again" } else { "" };
    format!("{} changes ({first} to {last}{again})", changes.len())
}

/// What lies between each and the next, where that is always the same and upwards.
fn step(numbers: &[u64]) -> Option<u64> {
    let mut steps = numbers.windows(2).map(|pair| pair[1].checked_sub(pair[0]).filter(|step| *step > 0));
    let first = steps.next()??;
    steps.all(|step| step == Some(first)).then_some(first)
}
