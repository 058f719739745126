//! The command line: what can be typed, and nothing of what it does.

#![allow(rustdoc::broken_intra_doc_links)] // square brackets are those of a usage line, not of a link

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use samepath_model::link::{
    Aqm, Blackhole, Chance, Change, ConditionError, ConditionsSpec, Distribution, Filter, Framing, Generator, Inputs,
    Jitter, Loss, LossKey, Outage, QueueLimit, RateTrace, Rebind, Reorder, ScriptedDrop, Slot,
};
use samepath_model::spot::quoted;
use samepath_model::{Arm, BitRate, Direction, Duration, LinkSpec, Mode};
use samepath_netem::backend::Backend;
use samepath_netem::relay::HostPort;
use samepath_netem::shell::Ready;
use samepath_results::explain::Name;

use crate::exit::Mistake;

/// Sends the same workload down the same path over TCP, TLS, UDP and QUIC, and shows, with proof,
/// what each transport did to it.
#[derive(Debug, Parser)]
#[command(name = "samepath", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Exit status: 0 done; 1 failed, also where an expectation failed; 2 the command line or a file is \
wrong; 3 done, but with void or failed trials or an inconclusive expectation; 77 not supported on this machine; 130 interrupted. `link` ends with the \
status of its command."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run an experiment and draw its report
    Run(Box<RunArgs>),
    /// Go on with a run that was interrupted
    Resume(ResumeArgs),
    /// Run again as recorded, and compare
    Replay(ReplayArgs),
    /// Draw reports again, from the records alone
    Report(ReportArgs),
    /// Did anything change between two runs, by how much, how sure
    Compare(CompareArgs),
    /// Why a message was late: each part of its delay, and the dropped packet that it waited for
    Explain(ExplainArgs),
    /// Join the shards of one experiment into one run
    Merge(MergeArgs),
    /// The lab checks itself against theory
    Validate(ValidateArgs),
    /// Experiments, arms, workloads and link profiles
    List(ListArgs),
    /// Run any program at the client end of an emulated link
    Link(Box<LinkCommand>),
    /// What this machine can and cannot do, and the remedy for each lack
    Doctor(DoctorArgs),
    /// Answer clients, on this machine or for another
    Server(samepath_server::ServerArgs),
    /// Play a workload against a server
    Client(Box<samepath_client::ClientArgs>),
    /// Print completions for a shell
    Completions {
        /// The shell to complete for
        shell: clap_complete::Shell,
    },
    /// Whether a link can be brought up here, tried in a process of its own
    #[command(name = "__attempt", hide = true)]
    Attempt {
        /// What is to carry its packets
        #[arg(value_parser = backend())]
        backend: Backend,
    },
    /// One trial, in a process of its own
    #[command(name = "__trial", hide = true)]
    Trial {
        /// The plan, as the harness wrote it
        plan: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Name of a built-in experiment (see `samepath list`), or an experiment file
    #[arg(default_value = "head-of-line")]
    pub(crate) experiment: String,
    /// Arms to compare, in place of the experiment's own: tcp, tls, udp, quic, quic/shared, …
    #[arg(long = "arm", value_name = "ARM", value_delimiter = ',')]
    pub(crate) arms: Vec<Arm>,
    /// Vary a condition, workload parameter or tuning: --set loss=0%,1%,2%
    #[arg(long = "set", value_name = "AXIS=V,V")]
    pub(crate) set: Vec<AxisValues>,
    /// Paired seeds 1 to N, in place of the experiment's own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) repeat: Option<u32>,
    /// One seed alone
    #[arg(long, value_name = "SEED", conflicts_with = "repeat")]
    pub(crate) seed: Option<u64>,
    /// A quick look: one seed, and the first and last value of each axis. It proves little, and says so
    #[arg(long)]
    pub(crate) quick: bool,
    #[command(flatten)]
    pub(crate) link: LinkFlags,
    #[command(flatten)]
    pub(crate) harness: HarnessArgs,
    /// Whether the link may hand neighbouring packets over as one, in place of the experiment's own: auto, exact, fast
    #[arg(long, value_name = "MODE")]
    pub(crate) mode: Option<Mode>,
    /// Only every N-th trial, from the K-th (from 1), or auto/N: the K that the batch system gives this task. Under
    /// a Slurm array it is not needed
    #[arg(long, value_name = "K/N")]
    pub(crate) shard: Option<crate::shard::Wish>,
    #[command(flatten)]
    pub(crate) verdicts: VerdictArgs,
    /// Directory to make for the run [default: results/runs/UTC-EXPERIMENT]
    #[arg(long, value_name = "DIR", value_parser = file)]
    pub(crate) out: Option<PathBuf>,
    /// Print the resolved experiment and its trials, and run nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// How trials are carried out; alike for `run`, `resume`, `replay` and `validate`.
#[derive(Debug, Clone, Args)]
pub(crate) struct HarnessArgs {
    /// What carries the link's packets
    #[arg(long, value_parser = backend(), default_value_t)]
    pub(crate) backend: Backend,
    /// Trials at the same time [default: as many as this machine surely keeps apart]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: Option<u16>,
    /// How often a trial that the machine voided (steal, lateness, a CPU too busy, packets that the host dropped) is
    /// run again, at the end of the run
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=2))]
    pub(crate) retries: u32,
    /// Keep every packet of each trial, with its fate, in capture.pcapng beside the trial's records,
    /// with the keys to decrypt it (keys.log) and QUIC's own logs (*.sqlog)
    #[arg(long)]
    pub(crate) capture: bool,
    /// Print machine-readable results alone
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where verdicts go beside the terminal.
#[derive(Debug, Args)]
pub(crate) struct VerdictArgs {
    /// Write the verdicts to this file as JUnit XML, in which an inconclusive one counts as skipped
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub(crate) junit: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The run's directory
    pub(crate) run: PathBuf,
    #[command(flatten)]
    pub(crate) harness: HarnessArgs,
    #[command(flatten)]
    pub(crate) verdicts: VerdictArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Directory of the run to repeat
    pub(crate) run: PathBuf,
    #[command(flatten)]
    pub(crate) harness: HarnessArgs,
    /// Directory to make for the new run [default: results/runs/UTC-EXPERIMENT]
    #[arg(long, value_name = "DIR", value_parser = file)]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Directories of runs
    #[arg(required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// Check every file against the checksums written when the run ended
    #[arg(long)]
    pub(crate) verify: bool,
    #[command(flatten)]
    pub(crate) verdicts: VerdictArgs,
    /// Print machine-readable results alone
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// The run to compare against
    pub(crate) before: PathBuf,
    /// The run that may have changed
    pub(crate) after: PathBuf,
    /// Print machine-readable results alone
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The run's directory
    pub(crate) run: PathBuf,
    /// The trial [default: the one with the longest blocked time]
    #[arg(long, value_name = "ID")]
    pub(crate) trial: Option<String>,
    /// The message, as 3:17 for number 17 of stream 3, or up:3:17 where both ends send [default: the most blocked one of the trial]
    #[arg(long, value_name = "[DIRECTION:]STREAM:SEQ")]
    pub(crate) message: Option<MessageName>,
    /// Print machine-readable results alone
    #[arg(long)]
    pub(crate) json: bool,
}

/// A message by its direction, its stream, and its number in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MessageName(pub(crate) Name);

impl std::str::FromStr for MessageName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write STREAM:SEQ, both counted from 0, as 3:17, or with its direction, as up:3:17".to_owned();
        let (direction, name) = match text.split_once(':') {
            Some(("up", name)) => (Some(Direction::Up), name),
            Some(("down", name)) => (Some(Direction::Down), name),
            _ => (None, text),
        };
        let (stream, seq) = name.split_once(':').ok_or_else(wrong)?;
        let (stream, seq) = (stream.parse().map_err(|_| wrong())?, seq.parse().map_err(|_| wrong())?);
        Ok(MessageName(Name { direction, stream, seq }))
    }
}

#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    /// Directory to make for the joined run
    pub(crate) out: PathBuf,
    /// The shards
    #[arg(required = true, num_args = 1..)]
    pub(crate) runs: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Checks to make [default: all]; --list names them
    pub(crate) checks: Vec<String>,
    /// A part of each check (fewer seeds, cells and packets) by the same bounds, in less than three minutes; those
    /// of which no part says anything are left out
    #[arg(long)]
    pub(crate) quick: bool,
    /// Name the checks and what each expects
    #[arg(long)]
    pub(crate) list: bool,
    #[command(flatten)]
    pub(crate) harness: HarnessArgs,
    #[command(flatten)]
    pub(crate) verdicts: VerdictArgs,
    /// Keep the runs that the checks were scored from in this directory
    #[arg(long, value_name = "DIR", value_parser = file)]
    pub(crate) keep: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Print machine-readable results alone
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the file of this built-in experiment, to start one's own from
    #[arg(long, value_name = "EXPERIMENT")]
    pub(crate) show: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print machine-readable results alone
    #[arg(long)]
    pub(crate) json: bool,
}

/// A link to run, or a word to those that run.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct LinkCommand {
    #[command(subcommand)]
    pub(crate) verb: Option<LinkVerb>,
    #[command(flatten)]
    pub(crate) run: LinkArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LinkVerb {
    /// Links that are running
    List(LinkListArgs),
    /// How a running link stands: its conditions and counters
    Status(LinkStatusArgs),
    /// Change the conditions of a running link; what is not named stays as it is
    Set(Box<LinkSetArgs>),
}

#[derive(Debug, Args)]
pub(crate) struct LinkListArgs {
    /// Print machine-readable results alone
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LinkStatusArgs {
    /// Its name, or its process [default: the one this runs in, or the only one]
    pub(crate) name: Option<String>,
    /// Print machine-readable results alone
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Packets inside the link stay; with `--backend netem`, those in a queue that gives way to one of \
another kind (a buffer in bytes, one with `--aqm`) are lost, and the draws start anew. Times, as those of an outage, \
count from the start of the link's command. MTU, generator and loss key stay for as long as it runs.\n\n\
Example:\n  samepath link set --loss 5% --down-rate 2Mbit"
)]
// Understood, to be refused with a word of their own, and not offered.
#[command(mut_arg("mtu", |flag| flag.hide(true)), mut_arg("loss_key", |flag| flag.hide(true)))]
#[command(mut_arg("generator", |flag| flag.hide(true)))]
pub(crate) struct LinkSetArgs {
    /// Its name, or its process [default: the one this runs in, or the only one]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) link: LinkFlags,
    /// Start from a link without conditions, and not from those it has
    #[arg(long)]
    pub(crate) clear: bool,
    /// Print machine-readable results alone
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "The command finds the addresses of both ends in SAMEPATH_SERVER and SAMEPATH_CLIENT \
(IPv6: SAMEPATH_SERVER6, SAMEPATH_CLIENT6). The server end is a network of its own: there is what --server-command \
starts, the host's ports that --host-port names, and nothing else, neither the host nor the Internet. Such a port is \
carried by a TCP connection of this program's: controller, pacing and buffers of the service's own end at the host's \
loopback. To measure a server's own TCP, start it by --server-command. The exit status of samepath link is the \
command's. While it runs, `samepath link status` (or SIGUSR1) tells the counters, and `samepath link set` changes the conditions. \
A link started by the command leads through this one: its server is this one's, unless it has one of its own.\n\n\
Examples:\n  samepath link --rtt 50ms --loss 1% --rate 20Mbit --server-command 'iperf3 -s -1' -- \\\n    \
sh -c 'iperf3 -c $SAMEPATH_SERVER'\n  \
samepath link --rtt 80ms --host-port 8765 -- sh -c 'curl http://$SAMEPATH_SERVER:8765/'")]
pub(crate) struct LinkArgs {
    #[command(flatten)]
    pub(crate) link: LinkFlags,
    /// Decides which packets are lost
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub(crate) seed: u64,
    /// What carries the link's packets
    #[arg(long, value_parser = backend(), default_value_t)]
    pub(crate) backend: Backend,
    /// Whether neighbouring packets may be handed over as one: auto (where no condition shows by it), exact, fast
    #[arg(long, value_name = "MODE", default_value_t)]
    pub(crate) mode: Mode,
    /// Run this by the shell at the server end, and end it with the command. What it prints goes to stderr
    #[arg(long, value_name = "CMD")]
    pub(crate) server_command: Option<String>,
    /// What the command waits for, before it starts: any (something that listens at the server end), none, or ports,
    /// as tcp:5201,udp:4433, without which it is not started [default: any]
    #[arg(long, value_name = "WHAT", requires = "server_command")]
    pub(crate) server_ready: Option<Ready>,
    /// How long it waits [default: 2s, and 10s for ports]
    #[arg(long, value_name = "TIME", requires = "server_command", allow_hyphen_values = true)]
    pub(crate) server_ready_timeout: Option<Duration>,
    /// Have this TCP port of the host at the server end, under its own number or another (8765:80), and a UDP port by
    /// `udp:4433`. It is the service on the loopback of where the link is started
    #[arg(long = "host-port", value_name = "PORT[:PORT]")]
    pub(crate) host_ports: Vec<HostPort>,
    /// Congestion controller that TCP at both ends begins with, as cubic [default: the host's]
    #[arg(long, value_name = "NAME")]
    pub(crate) controller: Option<String>,
    /// Write what became of every packet to this Parquet file
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub(crate) ledger: Option<PathBuf>,
    /// Write every packet, with a comment that says its fate, to this pcapng file, for Wireshark
    #[arg(long, value_name = "FILE", value_parser = capture_file)]
    pub(crate) capture: Option<PathBuf>,
    /// What it is called in `samepath link set` and the like [default: the number of its process]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Do not print the link's own counts at the end
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// The command to run at the client end [default: an interactive shell]
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// A file or directory that is to be made. `-`, by which others mean standard output, is none.
fn file(path: &str) -> Result<PathBuf, String> {
    if path == "-" {
        return Err("no file is written to standard output; give it a name (`./-` for one of that name)".into());
    }
    Ok(path.into())
}

/// The file of a capture, which may be one that a shell makes of a command.
fn capture_file(path: &str) -> Result<PathBuf, String> {
    file(path)
        .map_err(|wrong| format!("{wrong}. To watch packets as they come, in bash: --capture >(wireshark -k -i -)"))
}

/// The backends by their names, which help and completions list with what each is.
fn backend() -> impl TypedValueParser<Value = Backend> {
    PossibleValuesParser::new(Backend::ALL.map(|backend| PossibleValue::new(backend.name()).help(backend.about())))
        .try_map(|name| name.parse())
}

/// Conditions of the link, as flags. Those of one direction come before those of both.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Link conditions")]
pub(crate) struct LinkFlags {
    /// Start from a named set of conditions (see `samepath list`)
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// The conditions apply to these packets alone, the others pass as if there were none: 'udp port 443',
    /// 'not tcp', 'dst port 53 or icmp', 'greater 1200', 'tcp flow 2', in words of pcap-filter(7): tcp, udp, icmp,
    /// icmp6, ip, ip6, proto N, [src|dst] port N[-M], [src|dst] host ADDRESS, less N, greater N, size N[-M],
    /// flow N[-M] (numbered from 1 in each direction and protocol), not, and, or, ( ). A later fragment is taken for
    /// what the first of its datagram was. For several filters start one link in another
    #[arg(long, value_name = "FILTER", allow_hyphen_values = true)]
    filter: Option<Filter>,
    /// Round-trip time, half each way
    #[arg(long, value_name = "TIME", conflicts_with = "delay", allow_hyphen_values = true)]
    rtt: Option<Duration>,
    /// Delay each way
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    delay: Option<Duration>,
    /// Variation of the delay, plus or minus, as 5ms; '5ms 25%' with a correlation. It reorders packets that are
    /// closer together than that, behind a rate too, where netem by itself keeps the order: see --keep-order
    #[arg(long, value_name = "JITTER", allow_hyphen_values = true)]
    jitter: Option<Jitter>,
    /// How jitter is distributed: uniform, normal, pareto, paretonormal, or 'table FILE' [default: uniform]
    #[arg(long, value_name = "NAME", value_parser = text::<Distribution>)]
    distribution: Option<Distribution>,
    /// Jitter keeps the order: a packet that would overtake one before it leaves together with it. (netem does so
    /// wherever it has a rate, and so the netem backend does it by a rate)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    keep_order: Option<bool>,
    /// Rate of the bottleneck, as 20Mbit
    #[arg(long, value_name = "RATE", allow_hyphen_values = true)]
    rate: Option<BitRate>,
    /// Bytes that the rate counts beside each packet, and cells: '14', '10 48 5'
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    overhead: Option<Framing>,
    /// Rate of the bottleneck from a file: mahimahi's form, or a time and a rate a line (s and Mbit/s, or as a
    /// header names them); 'columns ms kbit FILE' and 'columns 1:s 3:Mbit FILE' say what the columns are
    #[arg(long, value_name = "FILE", value_parser = text::<RateTrace>)]
    rate_trace: Option<RateTrace>,
    /// Buffer of the bottleneck: 1bdp, 100p, 64KiB or 50ms [default: 1bdp]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    queue: Option<QueueLimit>,
    /// Management of the buffer: none, 'codel [TARGET [INTERVAL]] [ecn]', 'threshold SIZE' (marks ECN) [default: none]
    #[arg(long, value_name = "RULE")]
    aqm: Option<Aqm>,
    /// Packets that may be in a direction at once, waiting or under way
    #[arg(long, value_name = "PACKETS", allow_hyphen_values = true)]
    limit: Option<u32>,
    /// Packets leave in groups after pauses: 'MIN [MAX] [packets N] [bytes N]', or 'distribution NAME DELAY JITTER' in
    /// place of MIN and MAX
    #[arg(long, value_name = "SLOT", value_parser = text::<Slot>, allow_hyphen_values = true)]
    slot: Option<Slot>,
    /// Random loss: 1%, '1% 25%' (correlated), 'gemodel P [R [1-H [1-K]]]', 'state P13 [P31 [P32 [P23 [P14]]]]', or
    /// 'burst LOSS PACKETS'
    #[arg(long, value_name = "LOSS", allow_hyphen_values = true)]
    loss: Option<Loss>,
    /// Random loss marks ECN-capable packets in place of losing them
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    ecn: Option<bool>,
    /// Share of packets delivered twice: 1%, or '1% 25%' with a correlation
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    duplicate: Option<Chance>,
    /// Share of packets with one bit flipped, likewise
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    corrupt: Option<Chance>,
    /// Share of packets that skip the delay: '25% [CORRELATION] [gap N]'
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    reorder: Option<Reorder>,
    /// Larger packets than this vanish without a word, as where a path carries less than it says: 1400B
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    blackhole: Option<Blackhole>,
    /// The ECN field of every packet is cleared as it comes to the link, before any queue could mark it
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    bleach: Option<bool>,
    /// A NAT before the server forgets its mappings: '2s: port' gives the client's flows other ports, '2s: address'
    /// another address, '2s every 5s: port' again and again. What the server still sends to where they came from
    /// before is lost; its TCP answers from there on with resets. With QUIC it shows whether a connection migrates
    /// (the lab's own servers do not let them: in `run` they end by it)
    #[arg(long, value_name = "WHEN: WHAT", allow_hyphen_values = true)]
    rebind: Vec<Rebind>,
    /// Nothing passes from FROM to TO, as 2s..2.5s; '2s..2.5s every 15s' again and again
    #[arg(long, value_name = "FROM..TO", allow_hyphen_values = true)]
    outage: Vec<Outage>,
    /// Conditions change: '2s: rate 5Mbit, delay 80ms' at once, '2s..4s: rate 5Mbit' evenly, '2s every 10s: rate
    /// 5Mbit' again and again. At a rate of 0 nothing passes, and the queue fills, until it changes again
    #[arg(long, value_name = "CHANGE", value_parser = text::<Change>, allow_hyphen_values = true)]
    change: Vec<Change>,
    /// Drop on purpose: 'up data 3', 'down packet 7', 'up bytes 14600..16060', 'down handshake 2', 'up time 1.5s',
    /// 'up time 1s..1.2s'. All count from 1, packets as a capture's comments do (a ledger's `number` is one less);
    /// `data` counts packets with at least 100 bytes of payload, and so no bare acknowledgements. Several at once:
    /// 'up data every 100', 'up data 50..500 every 10', 'up time 1s every 5s' (the end is excluded)
    #[arg(long, value_name = "DROP")]
    drop: Vec<DirectedDrop>,
    /// Largest IP packet in bytes [default: 1500]
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    mtu: Option<u16>,
    /// What random loss is keyed by: the same draw at the same time, or the same fate for the n-th packet
    #[arg(long, value_name = "KEY", value_parser = loss_key)]
    loss_key: Option<LossKey>,
    /// Where random draws come from: 'counter' (no effect moves another's), or 'netem', the kernel's own sequence
    /// for the seed [default: counter]
    #[arg(long, value_name = "NAME")]
    generator: Option<Generator>,
    #[command(flatten)]
    up: UpFlags,
    #[command(flatten)]
    down: DownFlags,
}

/// Declares the flags of one direction alone, so that a condition is named once for both.
macro_rules! direction_flags {
    ($($field:ident $name:literal: $kind:ty = $parser:expr,)*) => {
        direction_flags!(@one UpFlags, "Conditions from client to server alone", "up-", $($field $name: $kind = $parser,)*);
        direction_flags!(@one DownFlags, "Conditions from server to client alone", "down-", $($field $name: $kind = $parser,)*);
    };
    (@one $flags:ident, $heading:literal, $direction:literal, $($field:ident $name:literal: $kind:ty = $parser:expr,)*) => {
        #[derive(Debug, Default, Args)]
        #[command(next_help_heading = $heading)]
        struct $flags {
            $(#[arg(long = concat!($direction, $name), id = concat!($direction, $name), value_name = "VALUE",
                value_parser = $parser, allow_hyphen_values = true, help = "As the flag without the direction")]
            $field: Option<$kind>,)*
            #[arg(long = concat!($direction, "outage"), id = concat!($direction, "outage"), value_name = "FROM..TO",
                allow_hyphen_values = true, help = "As the flag without the direction")]
            outage: Vec<Outage>,
            #[arg(long = concat!($direction, "change"), id = concat!($direction, "change"), value_name = "CHANGE",
                value_parser = text::<Change>, allow_hyphen_values = true, help = "As the flag without the direction")]
            change: Vec<Change>,
        }

        impl $flags {
            fn spec(&self, drop: Vec<ScriptedDrop>) -> ConditionsSpec {
                let (outage, change) = (self.outage.clone(), self.change.clone());
                ConditionsSpec { $($field: self.$field.clone(),)* drop, outage, change }
            }
        }
    };
}

direction_flags!(
    filter "filter": Filter = text::<Filter>,
    delay "delay": Duration = text::<Duration>,
    jitter "jitter": Jitter = text::<Jitter>,
    distribution "distribution": Distribution = text::<Distribution>,
    keep_order "keep-order": bool = text::<bool>,
    rate "rate": BitRate = text::<BitRate>,
    overhead "overhead": Framing = text::<Framing>,
    rate_trace "rate-trace": RateTrace = text::<RateTrace>,
    queue "queue": QueueLimit = text::<QueueLimit>,
    aqm "aqm": Aqm = text::<Aqm>,
    limit "limit": u32 = text::<u32>,
    slot "slot": Slot = text::<Slot>,
    loss "loss": Loss = text::<Loss>,
    ecn "ecn": bool = text::<bool>,
    duplicate "duplicate": Chance = text::<Chance>,
    corrupt "corrupt": Chance = text::<Chance>,
    reorder "reorder": Reorder = text::<Reorder>,
    blackhole "blackhole": Blackhole = text::<Blackhole>,
    bleach "bleach": bool = text::<bool>,
);

/// What a value says in text.
fn text<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{error}"))
}

impl LinkFlags {
    /// The flags that a message about conditions is about: the first given one that it names, else all that were
    /// given. `None` where none was.
    pub(crate) fn blamed(&self, message: &str) -> Option<String> {
        let given = self.given();
        let condition = |flag: &str| flag.trim_start_matches("up-").trim_start_matches("down-").to_owned();
        let named = quoted(message).find_map(|name| given.iter().find(|flag| condition(flag) == name));
        let flags: Vec<String> =
            named.map_or(&given[..], std::slice::from_ref).iter().map(|f| format!("--{f}")).collect();
        (!flags.is_empty()).then(|| flags.join(", "))
    }

    /// The names of the flags that were given.
    fn given(&self) -> Vec<String> {
        let Ok(serde_json::Value::Object(said)) = serde_json::to_value(self.spec()) else { return Vec::new() };
        let mut given = Vec::new();
        for (name, value) in said {
            match value {
                // What is dropped on purpose has its direction in the value, and one flag.
                serde_json::Value::Object(direction) => given.extend(direction.keys().map(|inner| match &**inner {
                    "drop" => inner.clone(),
                    inner => format!("{name}-{inner}"),
                })),
                _ => given.push(name),
            }
        }
        given
    }

    /// The flags in the form that files have, and the files that they name, read.
    pub(crate) fn read(&self) -> anyhow::Result<(LinkSpec, Inputs)> {
        let (mut spec, mut inputs) = (self.spec(), Inputs::default());
        let read = &crate::builtin::read_file;
        let LinkSpec { rate_trace, distribution, slot, change, up, down, .. } = &mut spec;
        for (direction, rate_trace, distribution, slot, change) in [
            ("", rate_trace, distribution, slot, change),
            ("up-", &mut up.rate_trace, &mut up.distribution, &mut up.slot, &mut up.change),
            ("down-", &mut down.rate_trace, &mut down.distribution, &mut down.slot, &mut down.change),
        ] {
            let blame =
                |flag: &'static str| move |error: ConditionError| Mistake(format!("--{direction}{flag}: {error}"));
            if let Some(trace) = rate_trace {
                inputs.read_trace(trace, read).map_err(blame("rate-trace"))?;
            }
            if let Some(distribution) = distribution {
                inputs.read_table(distribution, read).map_err(blame("distribution"))?;
            }
            if let Some(slot) = slot {
                inputs.read_slot(slot, read).map_err(blame("slot"))?;
            }
            inputs.read_changes(change, read).map_err(blame("change"))?;
        }
        Ok((spec, inputs))
    }

    /// The flags in the form that files have.
    fn spec(&self) -> LinkSpec {
        let drops = |direction| {
            self.drop.iter().filter(|drop| drop.direction == direction).map(|drop| drop.drop).collect::<Vec<_>>()
        };
        LinkSpec {
            profile: self.profile.clone(),
            rtt: self.rtt,
            mtu: self.mtu,
            loss_key: self.loss_key,
            generator: self.generator,
            rebind: self.rebind.clone(),
            filter: self.filter.clone(),
            keep_order: self.keep_order,
            blackhole: self.blackhole,
            bleach: self.bleach,
            delay: self.delay,
            jitter: self.jitter,
            distribution: self.distribution.clone(),
            rate: self.rate,
            overhead: self.overhead,
            rate_trace: self.rate_trace.clone(),
            queue: self.queue,
            aqm: self.aqm,
            limit: self.limit,
            slot: self.slot.clone(),
            loss: self.loss,
            ecn: self.ecn,
            duplicate: self.duplicate,
            corrupt: self.corrupt,
            reorder: self.reorder,
            outage: self.outage.clone(),
            change: self.change.clone(),
            up: self.up.spec(drops(Direction::Up)),
            down: self.down.spec(drops(Direction::Down)),
        }
    }
}

fn loss_key(text: &str) -> Result<LossKey, String> {
    match text {
        "time" => Ok(LossKey::Time),
        "index" => Ok(LossKey::Index),
        _ => Err("write `time` or `index`".into()),
    }
}

/// A scripted drop and the direction it is for: `up data 3`.
#[derive(Debug, Clone)]
struct DirectedDrop {
    direction: Direction,
    drop: ScriptedDrop,
}

impl std::str::FromStr for DirectedDrop {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (direction, rest) = match text.trim().split_once(char::is_whitespace) {
            Some(("up", rest)) => (Direction::Up, rest),
            Some(("down", rest)) => (Direction::Down, rest),
            _ => return Err("start with the direction, as `up data 3` or `down packet 7`".into()),
        };
        Ok(DirectedDrop { direction, drop: rest.parse().map_err(|error| format!("{error}"))? })
    }
}

/// An axis and the values it takes: `loss=0%,1%`.
#[derive(Debug, Clone)]
pub(crate) struct AxisValues {
    pub(crate) axis: String,
    pub(crate) values: Vec<String>,
}

impl std::str::FromStr for AxisValues {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (axis, values) = text.split_once('=').ok_or("write AXIS=VALUE,VALUE, as loss=0%,1%")?;
        let values: Vec<String> = values.split(',').map(|v| v.trim().to_owned()).collect();
        if axis.trim().is_empty() || values.iter().any(String::is_empty) {
            return Err("write AXIS=VALUE,VALUE, as loss=0%,1%".into());
        }
        Ok(AxisValues { axis: axis.trim().to_owned(), values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_say_what_files_say() {
        let cli = Cli::try_parse_from([
            "samepath",
            "link",
            "--rtt",
            "60ms",
            "--loss",
            "burst 1% 3",
            "--up-rate",
            "5Mbit",
            "--drop",
            "up data 3",
            "--filter",
            "udp port 443",
            "--down-filter",
            "icmp",
            "--keep-order",
            "--jitter",
            "1ms",
            "--blackhole",
            "1300B",
            "--up-bleach",
            "true",
            "--rebind",
            "2s every 5s: port",
            "--down-outage",
            "1s..2s every 9s",
            "--",
            "true",
        ])
        .unwrap();
        let Verb::Link(link) = cli.verb else { panic!("not link") };
        let resolved = link.run.link.spec().resolve().unwrap();
        assert_eq!(resolved.up.rate, Some(BitRate::new(5_000_000)));
        assert_eq!(resolved.down.rate, None);
        assert_eq!(resolved.up.drops, [ScriptedDrop::Data(3)]);
        let file = serde_json::json!({
            "rtt": "60ms", "loss": "burst 1% 3", "filter": "udp port 443", "keep-order": true, "jitter": "1ms",
            "blackhole": "1300B", "rebind": ["2s every 5s: port"],
            "up": { "rate": "5Mbit", "drop": ["data 3"], "bleach": true },
            "down": { "filter": "icmp", "outage": ["1s..2s every 9s"] },
        });
        assert_eq!(resolved, serde_json::from_value::<LinkSpec>(file).unwrap().resolve().unwrap());
    }

    #[test]
    fn slips_are_refused() {
        for line in [
            &["samepath", "run", "--shard", "3/2"][..],
            &["samepath", "run", "--set", "loss"],
            &["samepath", "run", "--rtt", "60"],
            &["samepath", "run", "--rtt", "60ms", "--delay", "30ms"],
            &["samepath", "link", "--drop", "data 3"],
            &["samepath", "run", "--arm", "sctp"],
        ] {
            assert!(Cli::try_parse_from(line).is_err(), "{line:?}");
        }
    }
}
