//! Delays of which some never ended: the curve of the share that was at least so long.

use super::axis::Panel;
use crate::number::number;

/// The delays of one trial's messages, or of several pooled.
#[derive(Debug, Clone, Default)]
pub(super) struct Delays {
    /// Of the delivered messages, in milliseconds, ascending.
    pub(super) sorted: Vec<f64>,
    /// Messages released, delivered or not.
    pub(super) released: usize,
}

impl Delays {
    pub(super) fn pool<'a>(trials: impl Iterator<Item = &'a Delays>) -> Delays {
        let mut all = Delays::default();
        for trial in trials {
            all.sorted.extend_from_slice(&trial.sorted);
            all.released += trial.released;
        }
        all.sorted.sort_by(f64::total_cmp);
        all
    }

    /// The share of the released messages that took at least this place's delay.
    pub(super) fn share(&self, place: usize) -> f64 {
        (self.released - place) as f64 / self.released as f64
    }

    pub(super) fn undelivered(&self) -> usize {
        self.released - self.sorted.len()
    }

    /// The steps of the curve; points that would fall on the same spot are left out.
    pub(super) fn curve(&self, panel: &Panel) -> Vec<(f64, f64)> {
        let mut points = vec![(panel.x.lo(), 1.0)];
        let mut drawn = (f64::MIN, f64::MIN);
        let last = self.sorted.len().wrapping_sub(1);
        for (place, &delay) in self.sorted.iter().enumerate() {
            let share = self.share(place);
            let spot = panel.at(delay, share);
            if place != last && (spot.0 - drawn.0).abs() < 0.5 && (spot.1 - drawn.1).abs() < 0.5 {
                continue;
            }
            drawn = spot;
            let before = points.last().map_or(1.0, |p: &(f64, f64)| p.1);
            points.push((delay, before));
            points.push((delay, share));
        }
        if self.undelivered() > 0 {
            let plateau = self.undelivered() as f64 / self.released as f64;
            let at = self.sorted.last().copied().unwrap_or(panel.x.lo());
            points.push((at, plateau));
            points.push((panel.x.hi(), plateau));
        }
        points
    }

    /// A quantile of all released messages: one that falls on an undelivered message has no value.
    pub(super) fn quantile(&self, q: f64) -> String {
        let place = ((q * self.released as f64).ceil() as usize).clamp(1, self.released.max(1)) - 1;
        self.sorted.get(place).map_or_else(|| "never arrived".into(), |ms| number(*ms))
    }
}

#[cfg(test)]
mod tests {
    use super::super::axis::Axis;
    use super::*;
    use crate::chart::canvas::Rect;

    #[test]
    fn the_undelivered_stay_in_the_denominator() {
        let delays = Delays { sorted: vec![30.0, 31.0, 90.0], released: 4 };
        assert_eq!(delays.share(0), 1.0);
        assert_eq!(delays.share(2), 0.5);
        assert_eq!(delays.quantile(0.5), "31");
        assert_eq!(delays.quantile(0.99), "never arrived");
        let panel = Panel {
            area: Rect { x: 0.0, y: 0.0, w: 100.0, h: 100.0 },
            x: Axis::linear(0.0, 100.0, 5),
            y: Axis::share(0.25),
        };
        let curve = delays.curve(&panel);
        assert_eq!(curve.last(), Some(&(panel.x.hi(), 0.25)));
        assert!(curve.windows(2).all(|w| w[1].1 <= w[0].1 && w[1].0 >= w[0].0), "{curve:?}");
    }
}
