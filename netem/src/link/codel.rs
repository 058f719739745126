//! CoDel: a queue that keeps the wait in it short (RFC 8289).
//!
//! It drops as a packet comes to the queue's head, by how long that packet has waited, so nothing can
//! be said of a packet's departure when it comes. Packets wait here until the server takes them up.

use std::collections::VecDeque;

use samepath_model::units::Duration;

use super::instant::Nanos;

/// A queue of items under CoDel's rule.
#[derive(Debug)]
pub(super) struct CoDel<T> {
    rule: Rule,
    items: VecDeque<Waiting<T>>,
    bytes: u64,
    max_bytes: u64,
}

/// An item and what the rule must know of it.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    pub(super) arrived: Nanos,
    pub(super) size: u32,
    pub(super) item: T,
}

/// The rule's parameters and state; its names are the RFC's.
#[derive(Debug, Clone)]
struct Rule {
    target: Nanos,
    interval: Nanos,
    /// The RFC's MAXPACKET: with no more than this behind it a packet is not dropped.
    max_packet: u64,
    first_above_time: Option<Nanos>,
    drop_next: Nanos,
    count: u32,
    last_count: u32,
    dropping: bool,
}

impl<T> CoDel<T> {
    pub(super) fn new(target: Duration, interval: Duration, mtu: u16) -> Self {
        CoDel {
            rule: Rule {
                target: target.as_nanos(),
                interval: interval.as_nanos(),
                max_packet: u64::from(mtu),
                first_above_time: None,
                drop_next: 0,
                count: 0,
                last_count: 0,
                dropping: false,
            },
            items: VecDeque::new(),
            bytes: 0,
            max_bytes: 0,
        }
    }

    /// Whether these are its parameters.
    pub(super) fn is(&self, target: Duration, interval: Duration) -> bool {
        (self.rule.target, self.rule.interval) == (target.as_nanos(), interval.as_nanos())
    }

    pub(super) fn push(&mut self, arrived: Nanos, size: u32, item: T) {
        self.items.push_back(Waiting { arrived, size, item });
        self.bytes += u64::from(size);
        self.max_bytes = self.max_bytes.max(self.bytes);
    }

    /// When the item at the head came.
    pub(super) fn head_arrived(&self) -> Option<Nanos> {
        self.items.front().map(|head| head.arrived)
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Takes everything out, as the queue is given up.
    pub(super) fn take_all(&mut self) -> VecDeque<Waiting<T>> {
        self.bytes = 0;
        std::mem::take(&mut self.items)
    }

    /// The server is free at `now`: takes items from the head until one is to be served. `mark` is
    /// given each item that the rule would drop, may mark it, and then says so by `true`: it is
    /// served. Dropped ones go to `dropped`.
    ///
    /// RFC 8289, section 5.6, and for marking Linux's `codel_dequeue`.
    pub(super) fn dequeue(
        &mut self,
        now: Nanos,
        mut mark: impl FnMut(&mut T) -> bool,
        mut dropped: impl FnMut(Waiting<T>),
    ) -> Option<Waiting<T>> {
        let (mut head, mut ok_to_drop) = self.pop(now);
        if self.rule.dropping {
            if !ok_to_drop {
                self.rule.dropping = false;
            }
            while self.rule.dropping && now >= self.rule.drop_next {
                let Some(mut waiting) = head else { break };
                self.rule.count += 1;
                if mark(&mut waiting.item) {
                    self.rule.drop_next = self.rule.control_law(self.rule.drop_next);
                    return Some(waiting);
                }
                dropped(waiting);
                (head, ok_to_drop) = self.pop(now);
                if ok_to_drop {
                    self.rule.drop_next = self.rule.control_law(self.rule.drop_next);
                } else {
                    self.rule.dropping = false;
                }
            }
        } else if ok_to_drop && let Some(mut waiting) = head {
            if mark(&mut waiting.item) {
                head = Some(waiting);
            } else {
                dropped(waiting);
                (head, _) = self.pop(now);
            }
            self.rule.enter_dropping(now);
        }
        head
    }

    /// The RFC's `dodequeue`: the head, and whether the rule would drop it.
    fn pop(&mut self, now: Nanos) -> (Option<Waiting<T>>, bool) {
        let Some(waiting) = self.items.pop_front() else {
            self.rule.first_above_time = None;
            return (None, false);
        };
        self.bytes -= u64::from(waiting.size);
        let sojourn = now.saturating_sub(waiting.arrived);
        if sojourn < self.rule.target || self.bytes <= self.rule.max_packet {
            self.rule.first_above_time = None;
            return (Some(waiting), false);
        }
        match self.rule.first_above_time {
            None => {
                self.rule.first_above_time = Some(now + self.rule.interval);
                (Some(waiting), false)
            }
            Some(time) => (Some(waiting), now >= time),
        }
    }
}

impl Rule {
    fn enter_dropping(&mut self, now: Nanos) {
        self.dropping = true;
        let delta = self.count.saturating_sub(self.last_count);
        let recent = now.saturating_sub(self.drop_next) < 16 * self.interval;
        self.count = if delta > 1 && recent { delta } else { 1 };
        self.drop_next = self.control_law(now);
        self.last_count = self.count;
    }

    /// The next drop: `interval` ÷ √count later.
    fn control_law(&self, from: Nanos) -> Nanos {
        from + (self.interval as f64 / f64::from(self.count.max(1)).sqrt()) as Nanos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    /// A server that takes a millisecond a packet, and packets that come `per_ms` a millisecond.
    fn overload(per_ms: u64, millis: u64) -> (Vec<Nanos>, Vec<Nanos>) {
        let mut queue: CoDel<()> = CoDel::new(Duration::from_millis(5), Duration::from_millis(100), 1500);
        let (mut waits, mut drops) = (Vec::new(), Vec::new());
        for at in 0..millis {
            for _ in 0..per_ms {
                queue.push(at * MS, 1500, ());
            }
            let now = at * MS + MS / 2;
            if let Some(served) = queue.dequeue(now, |()| false, |_| drops.push(now)) {
                waits.push(now - served.arrived);
            }
        }
        (waits, drops)
    }

    #[test]
    fn drops_begin_after_an_interval_and_come_closer() {
        let (_, drops) = overload(2, 1000);
        // Two come and one leaves a millisecond: from 10 ms on the head has waited 5 ms.
        assert!((105 * MS..115 * MS).contains(&drops[0]), "{}", drops[0]);
        let gaps: Vec<Nanos> = drops.windows(2).map(|pair| pair[1] - pair[0]).collect();
        for (n, gap) in gaps.iter().take(20).enumerate() {
            // interval ÷ √count, served a millisecond apart.
            let law = 100e6 / ((n + 1) as f64).sqrt();
            assert!((*gap as f64 - law).abs() < 1.1e6, "gap {n}: {gap} against {law}");
        }
    }

    #[test]
    fn below_the_target_nothing_is_dropped() {
        let (waits, drops) = overload(1, 1000);
        assert!(drops.is_empty());
        assert!(waits.iter().all(|wait| *wait < 5 * MS));
    }

    #[test]
    fn marking_takes_the_place_of_dropping() {
        let mut queue: CoDel<u32> = CoDel::new(Duration::from_millis(5), Duration::from_millis(100), 1500);
        let mut marked = 0;
        for at in 0..1000 {
            queue.push(at * MS, 1500, 0);
            queue.push(at * MS, 1500, 0);
            let served = queue.dequeue(
                at * MS,
                |_| {
                    marked += 1;
                    true
                },
                |_| panic!("nothing is dropped"),
            );
            assert!(served.is_some());
        }
        assert!((20..400).contains(&marked), "{marked}");
    }

    #[test]
    fn the_last_packets_are_never_dropped() {
        let mut queue: CoDel<()> = CoDel::new(Duration::from_millis(5), Duration::from_millis(100), 1500);
        for at in 0..100 {
            queue.push(at * 50 * MS, 1500, ());
            // It has waited 49 ms, and nothing is behind it.
            assert!(queue.dequeue((at * 50 + 49) * MS, |()| false, |_| panic!("dropped")).is_some());
        }
    }
}
