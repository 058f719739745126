//! What stands against a trial, in words with the figure, by what its path says of its work.

use samepath_model::Tolerance;
use samepath_model::record::DropCause;

use crate::backend::emulator::{Account, Work};
use crate::host::HostCounters;
use crate::link::Nanos;

/// A thread's share of less wall-clock time than this says nothing of what it can bear.
const SHORTEST: Nanos = 100_000_000;

/// What the host's counters say against the trial.
pub(super) fn host_verdict(host: &HostCounters, account: Option<&Account>) -> Vec<String> {
    let mut void: Vec<String> = host
        .device_drops
        .iter()
        .map(|(device, drops)| format!("the {device} dropped {drops} packets, outside the link's rules"))
        .collect();
    let port_drops = account.map_or(0, |account| account.port_drops);
    if port_drops > 0 {
        void.push(format!("{port_drops} packets were dropped on their way to the emulator, outside the link's rules"));
    }
    if host.receive_buffer_drops > 0 {
        void.push(format!(
            "{} datagrams were dropped because an endpoint's receive buffer was full",
            host.receive_buffer_drops
        ));
    }
    void
}

/// What the hypervisor took, if it was too much.
pub(super) fn steal_verdict(steal: f64, tolerance: &Tolerance) -> Option<String> {
    (steal > tolerance.steal.fraction()).then(|| {
        format!("the hypervisor gave {:.1} % of the CPU time to others (bound {})", steal * 100.0, tolerance.steal)
    })
}

/// What the emulator's account says against the trial.
pub(super) fn emulator_verdict(account: &Account, shaped: bool, mtu: u16, tolerance: &Tolerance) -> Vec<String> {
    let mut void = Vec::new();
    if shaped && account.lateness.p99_ns > tolerance.lateness.as_nanos() {
        void.push(format!(
            "the link was late: 1 % of packets by more than {:.3} ms (bound {:.3} ms)",
            account.lateness.p99_ns as f64 / 1e6,
            tolerance.lateness.as_nanos() as f64 / 1e6
        ));
    }
    if account.ledger_lost > 0 {
        void.push(format!("the ledger lost {} packets, because its writer could not keep up", account.ledger_lost));
    }
    let refused: u64 = account.directions.iter().filter_map(|report| report.dropped.get(DropCause::Host.name())).sum();
    if refused > 0 {
        void.push(format!("the host refused {refused} packets as they left the link"));
    }
    let largest = account.directions.iter().map(|report| report.largest_packet).max().unwrap_or(0);
    if largest > u32::from(mtu) {
        void.push(format!("a packet of {largest} bytes crossed the link, more than its MTU of {mtu}"));
    }
    let Work { cpu, spun, wall } = account.work;
    let share = cpu.saturating_sub(spun) as f64 / wall.max(1) as f64;
    if shaped && wall >= SHORTEST && share > tolerance.link_cpu.fraction() {
        void.push(format!(
            "the link's data thread was on the CPU for {:.0} % of the time (bound {:.0} %)",
            share * 100.0,
            tolerance.link_cpu.fraction() * 100.0
        ));
    }
    void
}

#[cfg(test)]
mod tests {
    use samepath_model::record::Lateness;

    use super::*;

    fn work(cpu: u64, spun: u64) -> Work {
        Work { cpu: cpu * SHORTEST / 1000, spun: spun * SHORTEST / 1000, wall: SHORTEST }
    }

    fn account() -> Account {
        Account { work: work(500, 0), ..Account::of_nothing() }
    }

    #[test]
    fn a_link_that_kept_its_promise_is_not_void() {
        assert_eq!(emulator_verdict(&account(), true, 1500, &Tolerance::default()), Vec::<String>::new());
        assert_eq!(host_verdict(&HostCounters::default(), Some(&account())), Vec::<String>::new());
    }

    #[test]
    fn each_broken_condition_is_named_with_its_figure() {
        let verdict =
            |account: Account, shaped| emulator_verdict(&account, shaped, 1500, &Tolerance::default()).join("; ");
        let late = || Account { lateness: Lateness { p99_ns: 1_500_000, ..Lateness::default() }, ..account() };
        assert!(verdict(late(), true).contains("1.500 ms"));
        assert_eq!(verdict(late(), false), "", "nothing was promised");
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
        let told = host_verdict(&host, Some(&Account { port_drops: 1, ..account() })).join("; ");
        for words in ["the client's link0 transmitting dropped 4 packets", "1 packets were dropped on", "5 datagrams"] {
            assert!(told.contains(words), "{told}");
        }
    }
}
