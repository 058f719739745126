//! Effects on single packets, drawn for each: duplication, corruption, reordering, and delay with its jitter.

use std::sync::Arc;

use samepath_model::link::Conditions;

use super::distribution;
use super::draws::{Draws, Effect, Key, Sequence};
use super::instant::Nanos;

/// What befalls single packets, drawn for each.
#[derive(Debug)]
pub(super) struct Effects {
    pub(super) ecn: bool,
    pub(super) duplicate: (f64, Sequence),
    pub(super) corrupt: (f64, Sequence),
    reorder: (f64, Sequence),
    gap: u32,
    /// Packets delayed since the last that was not.
    since_reorder: u32,
    keep_order: bool,
    delay: Nanos,
    spread: Nanos,
    jitter: Sequence,
    /// The jitter's table; `None`: uniform.
    table: Option<Arc<[i16]>>,
}

impl Effects {
    pub(super) fn new(conditions: &Conditions) -> Self {
        let mut effects = Effects {
            ecn: false,
            duplicate: (0.0, Sequence::new(Effect::Duplicate, 0.0)),
            corrupt: (0.0, Sequence::new(Effect::Corrupt, 0.0)),
            reorder: (0.0, Sequence::new(Effect::Reorder, 0.0)),
            gap: 1,
            since_reorder: 0,
            keep_order: false,
            delay: 0,
            spread: 0,
            jitter: Sequence::new(Effect::Jitter, 0.0),
            table: None,
        };
        effects.change(conditions);
        effects
    }

    pub(super) fn change(&mut self, conditions: &Conditions) {
        self.ecn = conditions.ecn;
        for (effect, chance) in [
            (&mut self.duplicate, conditions.duplicate),
            (&mut self.corrupt, conditions.corrupt),
            (&mut self.reorder, conditions.reorder.chance),
        ] {
            effect.0 = chance.share.fraction();
            effect.1.change(chance.correlation.fraction());
        }
        self.gap = conditions.reorder.gap.max(1);
        self.keep_order = conditions.keep_order;
        self.delay = conditions.delay.as_nanos();
        self.spread = conditions.jitter.spread.as_nanos();
        self.jitter.change(conditions.jitter.correlation.fraction());
        self.table = distribution::table(&conditions.distribution);
    }

    pub(super) fn restart(&mut self) {
        for (_, sequence) in [&mut self.duplicate, &mut self.corrupt, &mut self.reorder] {
            sequence.restart();
        }
        self.jitter.restart();
    }

    pub(super) fn may_reorder(&self) -> bool {
        !self.keep_order && (self.spread > 0 || self.reorder.0 > 0.0)
    }

    /// The delay of a packet that does not skip it.
    pub(super) fn delay(&mut self, draws: &Draws, copy: bool, key: Key) -> Nanos {
        if self.spread == 0 {
            return self.delay;
        }
        let u = self.jitter.next(draws, copy, key);
        match &self.table {
            // Uniform in [delay − jitter, delay + jitter); the jitter is never more than the delay.
            None => self.delay.saturating_sub(self.spread) + (u * (2 * self.spread) as f64) as Nanos,
            Some(table) => {
                let value = f64::from(table[(u * table.len() as f64) as usize]);
                // Earlier than at once it cannot be.
                (self.delay as f64 + self.spread as f64 * value / distribution::SCALE).max(0.0).round() as Nanos
            }
        }
    }

    /// Whether a packet skips the delay line.
    pub(super) fn skips(&mut self, draws: &Draws, copy: bool, key: Key) -> bool {
        if self.reorder.0 == 0.0 {
            return false;
        }
        // Drawn for every packet, so that a gap moves no draw.
        let drawn = self.reorder.1.next(draws, copy, key) < self.reorder.0;
        let skips = drawn && self.since_reorder >= self.gap - 1;
        self.since_reorder = if skips { 0 } else { self.since_reorder.saturating_add(1) };
        skips
    }
}
