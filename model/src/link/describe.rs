//! Conditions as one line, for charts and tables.

use std::fmt;

use super::{Aqm, Conditions, Direction, Distribution, Framing, Generator, Link, Loss, QueueCapacity, QueueLimit};
use crate::units::{ByteCount, Probability};

impl fmt::Display for Link {
    /// One line, as charts and tables caption it: `RTT 60ms, 20Mbit, queue 1bdp (150kB), loss 1%`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RTT {}", self.rtt())?;
        if self.generator == Generator::Netem {
            write!(f, ", draws as netem's")?;
        }
        if self.up == self.down {
            return write!(f, "{}", Rest(&self.up, self.enforced(Direction::Up)));
        }
        // What both have alike is said once.
        let (mut up, mut down) = (self.up.clone(), self.down.clone());
        let mut alike = Conditions::transparent();
        if up.loss == down.loss {
            alike.loss = std::mem::take(&mut up.loss);
            down.loss = Loss::None;
        }
        if up.outages == down.outages {
            alike.outages = std::mem::take(&mut up.outages);
            down.outages.clear();
        }
        write!(f, "{}", Rest(&alike, None))?;
        let up = Rest(&up, self.enforced(Direction::Up)).to_string();
        let down = Rest(&down, self.enforced(Direction::Down)).to_string();
        let said = |text: &str| text.trim_start_matches(", ").to_owned();
        match (up.is_empty(), down.is_empty()) {
            (true, true) => Ok(()),
            (false, true) => write!(f, "; up {}", said(&up)),
            (true, false) => write!(f, "; down {}", said(&down)),
            (false, false) if up == down => write!(f, "{up}"),
            (false, false) => write!(f, "; up {}; down {}", said(&up), said(&down)),
        }
    }
}

impl Link {
    /// The size of a direction's buffer as the emulator enforces it, where that is not what was asked for to the
    /// letter: of one in time or bandwidth-delay products, and of one that is raised to hold a packet.
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

/// A direction's conditions but its delay, each after a comma; with its buffer's size in bytes.
struct Rest<'a>(&'a Conditions, Option<ByteCount>);

impl fmt::Display for Rest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self.0;
        if !c.jitter.is_none() {
            write!(f, ", jitter ±{}", c.jitter)?;
            match &c.distribution {
                Distribution::Uniform => {}
                Distribution::Table(table) => write!(f, " by {}", table.name)?,
                named => write!(f, " {named}")?,
            }
        }
        if let Some(rate) = c.rate {
            write!(f, ", {rate}")?;
        }
        if let Some(trace) = &c.rate_trace {
            write!(f, ", {}", trace.describe())?;
        }
        if c.overhead != Framing::default() {
            write!(f, ", overhead {}", c.overhead)?;
        }
        if let Some(queue) = c.queue {
            write!(f, ", queue {queue}")?;
            if let Some(bytes) = self.1 {
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
        for (name, chance) in [("duplicate", c.duplicate), ("corrupt", c.corrupt)] {
            if !chance.is_never() {
                write!(f, ", {name} {chance}")?;
            }
        }
        if !c.reorder.is_never() {
            write!(f, ", reorder {}", c.reorder)?;
        }
        for drop in &c.drops {
            write!(f, ", drop {drop}")?;
        }
        for outage in &c.outages {
            write!(f, ", outage {outage}")?;
        }
        for change in &c.changes {
            write!(f, "; from {change}")?;
        }
        Ok(())
    }
}
