//! What can be wrong with conditions.

use crate::units::UnitError;

/// Conditions that cannot be, with the remedy.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConditionError {
    /// A quantity could not be read.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// A queue limit could not be read.
    #[error(
        "`{0}` is not a queue size: write 100p (packets), 64KiB (bytes), 50ms (time) or 1bdp (bandwidth-delay products), more than zero"
    )]
    Queue(String),
    /// A loss rule could not be read.
    #[error("`{input}` is not a loss rule: {problem}")]
    Loss {
        /// What was typed.
        input: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A scripted drop could not be read.
    #[error(
        "`{0}` is not a scripted drop: write `data N`, `packet N`, `handshake N` (from 1), several as `data every N` or \
         `data FROM..TO every N`, `bytes FROM..TO`, `time T` or `time FROM..TO` (again with `every PERIOD`, longer than it lasts)"
    )]
    Drop(String),
    /// An outage could not be read.
    #[error(
        "`{0}` is not an outage: write FROM..TO, as 2s..2.5s, the end after the start, and to repeat it `2s..2.5s every 15s`, more than it lasts"
    )]
    Outage(String),
    /// A filter could not be read.
    #[error("`{input}` is not a filter: {problem}; write what packets are to meet the conditions, as `udp port 443`")]
    Filter {
        /// What was typed.
        input: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A black hole could not be read.
    #[error(
        "`{0}` is not the size of a black hole: write the largest packet that passes, as 1400B (68 and more), or none"
    )]
    Blackhole(String),
    /// A rebinding could not be read.
    #[error(
        "`{0}` is not a rebinding: write WHEN: port or WHEN: address, as `2s: port`, and to repeat it `2s every 5s: port`"
    )]
    Rebind(String),
    /// A share with its correlation could not be read.
    #[error("`{0}` is not a share of packets: write 1%, or 1% 25% with a correlation")]
    Chance(String),
    /// A reordering rule could not be read.
    #[error("`{0}` is not a reordering rule: write 25%, 25% 50% with a correlation, or 25% 50% gap 5")]
    Reorder(String),
    /// Jitter could not be read.
    #[error("`{0}` is not a jitter: write 5ms, or 5ms 25% with a correlation")]
    Jitter(String),
    /// A distribution could not be read.
    #[error("`{0}` is not a distribution: write uniform, normal, pareto, paretonormal, or table FILE")]
    Distribution(String),
    /// A table of delays could not be read.
    #[error("the table of delays `{name}`: {problem}")]
    Table {
        /// The file.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A rate trace could not be read.
    #[error("the rate trace `{name}`: {problem}")]
    Trace {
        /// The file.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Framing could not be read.
    #[error(
        "`{0}` is not a packet overhead: write the bytes added to each packet, and if there are cells their size and \
         the bytes added to each, as 14 or `10 48 5`"
    )]
    Framing(String),
    /// Slots could not be read.
    #[error(
        "`{0}` is not a slot: write MIN [MAX] [packets N] [bytes N], as `10ms 20ms packets 5`, or \
         `distribution NAME DELAY JITTER` in place of the two; MAX at least MIN and more \
         than zero"
    )]
    Slot(String),
    /// Queue management could not be read.
    #[error(
        "`{0}` is not a queue management: write none, codel [TARGET [INTERVAL]] [ecn] (the target above zero and below \
         the interval), or threshold SIZE"
    )]
    Aqm(String),
    /// A change could not be read.
    #[error(
        "`{input}` is not a change: {problem}; write AT: NAME VALUE, …, as `2s: rate 5Mbit, delay 80ms`, or FROM..TO: …, and to repeat it `2s every 10s: …`"
    )]
    Change {
        /// What was typed.
        input: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A generator that does not exist.
    #[error("`{0}` is not a generator: write counter or netem")]
    Generator(String),
    /// Conditions that exclude each other, or that no link can have.
    #[error("impossible link conditions: {0}")]
    Impossible(String),
}
