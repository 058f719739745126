//! What stands against a trial, by what its path says of its work.

use samepath_model::record::DropCause;
use samepath_model::{Tolerance, VoidKind, VoidReason};

use crate::backend::emulator::{Account, Work};
use crate::host::HostCounters;
use crate::link::Nanos;

/// A thread's share of less wall-clock time than this says nothing of what it can bear.
const SHORTEST: Nanos = 100_000_000;

/// What the host's counters say against the trial.
pub(super) fn host_verdict(host: &HostCounters, account: Option<&Account>) -> Vec<VoidReason> {
    let mut void: Vec<VoidReason> = host
        .device_drops
        .iter()
        .map(|(device, drops)| {
            let words = format!("the {device} dropped {drops} packets, outside the link's rules");
            VoidReason::new(VoidKind::HostDrops, words)
        })
        .collect();
    let port_drops = account.map_or(0, |account| account.port_drops);
    if port_drops > 0 {
        let words = format!("{port_drops} packets were dropped on their way to the emulator, outside the link's rules");
        void.push(VoidReason::new(VoidKind::HostDrops, words));
    }
    if host.receive_buffer_drops > 0 {
        let drops = host.receive_buffer_drops;
        let words = format!("{drops} datagrams were dropped because an endpoint's receive buffer was full");
        void.push(VoidReason::new(VoidKind::ReceiveBuffer, words));
    }
    void
}

/// What the hypervisor took, if it was too much.
pub(super) fn steal_verdict(steal: f64, tolerance: &Tolerance) -> Option<VoidReason> {
    (steal > tolerance.steal.fraction()).then(|| {
        let (share, bound) = (steal * 100.0, tolerance.steal);
        let words = format!("the hypervisor gave {share:.1} % of the CPU time to others (bound {bound})");
        VoidReason::new(VoidKind::Steal, words)
    })
}

/// That what is drawn began too long after the schedule's start.
pub(super) fn onset_verdict(began: i64, tolerance: &Tolerance) -> Option<VoidReason> {
    u64::try_from(began).ok().filter(|late| *late > tolerance.lateness.as_nanos()).map(|late| {
        let (late, bound) = (late as f64 / 1e6, tolerance.lateness.as_nanos() as f64 / 1e6);
        let words =
            format!("random conditions began {late:.3} ms after the start of the schedule (bound {bound:.3} ms)");
        VoidReason::new(VoidKind::LinkLate, words)
    })
}

/// What the emulator's account says against the trial.
pub(super) fn emulator_verdict(account: &Account, shaped: bool, mtu: u16, tolerance: &Tolerance) -> Vec<VoidReason> {
    let mut void = Vec::new();
    let mut tell = |kind, words: String| void.push(VoidReason::new(kind, words));
    if shaped && account.lateness.p99_ns > tolerance.lateness.as_nanos() {
        let (late, bound) = (account.lateness.p99_ns as f64 / 1e6, tolerance.lateness.as_nanos() as f64 / 1e6);
        let words = format!("the link was late: 1 % of packets by more than {late:.3} ms (bound {bound:.3} ms)");
        tell(VoidKind::LinkLate, words);
    }
    if account.ledger_lost > 0 {
        let lost = account.ledger_lost;
        tell(VoidKind::LedgerLost, format!("the ledger lost {lost} packets, because its writer could not keep up"));
    }
    let refused: u64 = account.directions.iter().filter_map(|report| report.dropped.get(DropCause::Host.name())).sum();
    if refused > 0 {
        tell(VoidKind::HostDrops, format!("the host refused {refused} packets as they left the link"));
    }
    let largest = account.directions.iter().map(|report| report.largest_packet).max().unwrap_or(0);
    if largest > u32::from(mtu) {
        let words = format!("a packet of {largest} bytes crossed the link, more than its MTU of {mtu}");
        tell(VoidKind::Oversize, words);
    }
    let Work { cpu, spun, wall } = account.work;
    let share = cpu.saturating_sub(spun) as f64 / wall.max(1) as f64;
    if shaped && wall >= SHORTEST && share > tolerance.link_cpu.fraction() {
        let (share, bound) = (share * 100.0, tolerance.link_cpu.fraction() * 100.0);
        let words = format!("the link's data thread was on the CPU for {share:.0} % of the time (bound {bound:.0} %)");
        tell(VoidKind::LinkCpu, words);
    }
    void
}

#[cfg(test)]
mod tests {
    use samepath_model::record::Lateness;
    use samepath_model::void::in_words;

    use super::*;

    fn work(cpu: u64, spun: u64) -> Work {
        Work { cpu: cpu * SHORTEST / 1000, spun: spun * SHORTEST / 1000, wall: SHORTEST }
    }

    fn account() -> Account {
        Account { work: work(500, 0), ..Account::of_nothing() }
    }

    #[test]
    fn link_that_met_its_conditions_is_not_void() {
        assert_eq!(emulator_verdict(&account(), true, 1500, &Tolerance::default()), Vec::new());
        assert_eq!(host_verdict(&HostCounters::default(), Some(&account())), Vec::new());
    }

    #[test]
    fn draws_that_begin_late_are_named_with_the_figure() {
        assert_eq!(onset_verdict(900_000, &Tolerance::default()), None);
        let told = onset_verdict(1_500_000, &Tolerance::default()).expect("1.5 ms is above the bound");
        assert!(told.words.contains("1.500 ms after the start"), "{told}");
    }

    #[test]
    fn each_broken_condition_is_named_with_its_figure() {
        let verdict =
            |account: Account, shaped| in_words(&emulator_verdict(&account, shaped, 1500, &Tolerance::default()));
        let late = || Account { lateness: Lateness { p99_ns: 1_500_000, ..Lateness::default() }, ..account() };
        assert!(verdict(late(), true).contains("1.500 ms"));
        assert_eq!(verdict(late(), false), "", "no conditions were asked for");
        assert!(verdict(Account { ledger_lost: 3, ..account() }, true).contains("lost 3 packets"));
        assert!(verdict(Account { work: work(900, 0), ..account() }, true).contains("90 %"));
        let brief = Work { wall: SHORTEST - 1, ..work(900, 0) };
        assert_eq!(verdict(Account { work: brief, ..account() }, true), "", "too short to tell");
        assert_eq!(verdict(Account { work: work(900, 200), ..account() }, true), "", "waiting is not work");
        let mut large = account();
        large.directions[1].largest_packet = 1501;
        assert!(verdict(large, false).contains("1501 bytes"));
        let mut refused = account();
        refused.directions[0].dropped.insert(DropCause::Host.name().to_owned(), 2);
        assert!(verdict(refused, true).contains("refused 2 packets"));
        let device_drops = [("client's link0 transmitting".to_owned(), 4)].into();
        let host = HostCounters { device_drops, receive_buffer_drops: 5 };
        let told = in_words(&host_verdict(&host, Some(&Account { port_drops: 1, ..account() })));
        for words in ["the client's link0 transmitting dropped 4 packets", "1 packets were dropped on", "5 datagrams"] {
            assert!(told.contains(words), "{told}");
        }
    }
}
