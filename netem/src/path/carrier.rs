//! What carries a path's packets: a bare cable, the embedded emulator, or a router with the kernel's netem.

use samepath_model::VoidReason;
use samepath_model::link::Link;

use super::error::PathError;
use crate::backend::emulator::{Account, Emulator, Probing, Work};
use crate::backend::kernel::{Router, RouterAccount};
use crate::control::Snapshot;
use crate::host::CpuTimes;
use crate::link::Nanos;
use crate::namespace::Namespaces;

/// What carries packets between the ends.
#[derive(Debug)]
pub(super) enum Carrier {
    /// A bare pair of devices: nothing is decided, and nothing is counted.
    Cable,
    /// The embedded emulator.
    Emulator(Emulator),
    /// A router, with the kernel's netem.
    Router(Box<Router>),
}

/// What a carrier leaves that was stopped.
#[derive(Debug)]
pub(super) struct Stopped {
    /// What it says of its work; `None` of a cable.
    pub(super) account: Option<Account>,
    /// What stands against that.
    pub(super) doubts: Vec<VoidReason>,
    /// What the machine's CPUs had done by the end of its work.
    pub(super) cpu: Option<CpuTimes>,
}

impl Carrier {
    /// Whether something keeps the link's conditions; a bare pair of devices has none.
    pub(super) fn is_emulated(&self) -> bool {
        match self {
            Carrier::Cable => false,
            Carrier::Emulator(_) | Carrier::Router(_) => true,
        }
    }

    /// The router, if it is one.
    pub(super) fn router(&self) -> Option<&Router> {
        match self {
            Carrier::Router(router) => Some(router),
            Carrier::Cable | Carrier::Emulator(_) => None,
        }
    }

    /// Tells it when the schedule starts (CLOCK_MONOTONIC).
    ///
    /// # Errors
    /// What the kernel refuses.
    pub(super) fn set_epoch(&self, namespaces: &Namespaces, epoch: Nanos) -> Result<(), PathError> {
        match self {
            Carrier::Cable => {}
            Carrier::Emulator(emulator) => emulator.set_epoch(epoch),
            Carrier::Router(router) => router.begin_draws(namespaces, epoch)?,
        }
        Ok(())
    }

    /// Puts these conditions in force, and gives back since when they are (CLOCK_MONOTONIC).
    ///
    /// # Errors
    /// Why they cannot be, in words; then what was in force still is.
    pub(super) fn change(&self, namespaces: &Namespaces, link: &Link) -> Result<Nanos, String> {
        match self {
            Carrier::Cable => {
                Err("a bare cable has no conditions that could be changed; start the link with `--backend auto`".into())
            }
            Carrier::Emulator(emulator) => Ok(emulator.change(link).ok_or("its data thread does not answer")?),
            Carrier::Router(router) => router.change(namespaces, link).map_err(|error| error.to_string()),
        }
    }

    /// How it stands; `None` where nothing is emulated, or who counts does not answer.
    pub(super) fn snapshot(&self) -> Option<Snapshot> {
        match self {
            Carrier::Cable => None,
            Carrier::Emulator(emulator) => emulator.snapshot(),
            Carrier::Router(router) => router.snapshot(),
        }
    }

    /// Makes way for probes, which are in no book; tells whether it could.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub(super) fn set_aside(&self, namespaces: &Namespaces, probes: &Probing) -> Result<bool, PathError> {
        match self {
            // Nothing counts and nothing waits, so nothing is in the way.
            Carrier::Cable => Ok(true),
            Carrier::Emulator(emulator) => Ok(emulator.probe(Some(probes))),
            Carrier::Router(router) => {
                router.set_aside(namespaces)?;
                Ok(true)
            }
        }
    }

    /// Whether probes that are under way meet nothing else that an end sends. The kernel's disciplines take all.
    pub(super) fn keeps_probes_apart(&self) -> bool {
        match self {
            Carrier::Emulator(_) => true,
            Carrier::Cable | Carrier::Router(_) => false,
        }
    }

    /// Carries the trial's packets again, as if there had been no probes.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub(super) fn resume(&self, namespaces: &Namespaces) -> Result<(), PathError> {
        match self {
            Carrier::Cable => {}
            Carrier::Emulator(emulator) => {
                emulator.probe(None);
            }
            Carrier::Router(router) => router.resume(namespaces)?,
        }
        Ok(())
    }

    /// Whether it still runs.
    pub(super) fn is_running(&self) -> bool {
        match self {
            Carrier::Cable => true,
            Carrier::Emulator(emulator) => emulator.is_running(),
            Carrier::Router(router) => router.is_running(),
        }
    }

    /// Ends its work, and takes its account.
    ///
    /// # Errors
    /// Where it failed, now or before.
    pub(super) fn stop(self, namespaces: &Namespaces) -> Result<Stopped, PathError> {
        match self {
            Carrier::Cable => Ok(Stopped { account: None, doubts: Vec::new(), cpu: CpuTimes::read() }),
            Carrier::Emulator(emulator) => {
                let account = emulator.stop()?;
                Ok(Stopped { account: Some(account), doubts: Vec::new(), cpu: CpuTimes::read() })
            }
            Carrier::Router(router) => {
                // The kernel has carried the packets: what is left is the ledger.
                let cpu = CpuTimes::read();
                let (account, doubts) = account_of(router.stop(namespaces)?);
                Ok(Stopped { account: Some(account), doubts, cpu })
            }
        }
    }
}

/// The account of a link that the kernel carries, and what stands against it: nothing of ours moved the packets, so
/// nothing waited or spun.
fn account_of(router: RouterAccount) -> (Account, Vec<VoidReason>) {
    let RouterAccount { directions, lateness, cpu, ledger_lost, ledger_cut, capture, doubts } = router;
    let account = Account {
        directions,
        lateness,
        work: Work { cpu, spun: cpu, wall: 0 },
        ledger_lost,
        ledger_cut,
        capture,
        ..Account::of_nothing()
    };
    (account, doubts)
}
