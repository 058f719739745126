//! `samepath client`: flags, and what is printed.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use samepath_model::Trial;
use samepath_model::arm::Arm;
use samepath_model::link::Direction;
use samepath_model::record::PlayReport;
use samepath_model::shortage;
use samepath_model::tuning::{Controller, Order, Tuning};
use samepath_model::units::{BitRate, ByteCount, Duration};
use samepath_model::workload::{Bulk, Messages, Workload};
use samepath_transport::identity::{Fingerprint, Pin};
use samepath_transport::{Plan, TransportError, limits, reach, runtime};

use crate::play::{Loss, Played, Target, play_agreed};
use crate::score::Score;
use crate::{json, summary};

const DEFAULT_PORT: u16 = 4433;

/// How much longer than the workload itself a session may take, unless said otherwise.
const TIME_BESIDE: Duration = Duration::from_secs(30);

/// The workloads, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WorkloadKind {
    /// As much as the transport takes
    Bulk,
    /// Small messages on a fixed schedule
    Messages,
}

/// What is sent, as typed.
#[derive(Debug, Clone, PartialEq)]
enum WorkloadChoice {
    /// A workload whose parameters are flags.
    Named(WorkloadKind),
    /// Any workload, as an experiment's file has it.
    Table(Box<Workload>),
}

impl FromStr for WorkloadChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.trim_start().starts_with('{') {
            let table = "or a table as in an experiment's file, as '{ kind = \"rpc\", outstanding = 1, count = 100 }'";
            return WorkloadKind::from_str(text, false)
                .map(WorkloadChoice::Named)
                .map_err(|_| format!("write bulk, messages, {table}"));
        }
        #[derive(serde::Deserialize)]
        struct File {
            workload: Workload,
        }
        toml::from_str::<File>(&format!("workload = {text}"))
            .map(|file| WorkloadChoice::Table(Box::new(file.workload)))
            .map_err(|error| error.message().to_owned())
    }
}

/// The directions, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DirectionKind {
    /// Client to server
    Up,
    /// Server to client
    Down,
}

/// Flags of `samepath client`.
#[derive(Debug, Clone, Args)]
pub struct ClientArgs {
    /// The server: a name or address, and its port where it is not 4433. Of a name that has several addresses, of
    /// IPv6 and IPv4, each is tried, and the first that answers is taken (RFC 8305)
    #[arg(value_name = "HOST[:PORT]")]
    host: String,
    /// What carries the bytes: tcp, tcp/per-stream, tcp/per-message, tls, tls/per-stream, tls/per-message, quic, quic/shared, quic/per-message, quic/datagram, udp
    #[arg(long, default_value = "quic", conflicts_with = "trial")]
    arm: Arm,
    /// What is sent: bulk, messages, or a table as in an experiment's file, as '{ kind = "rpc", outstanding = 1, count = 100 }'
    #[arg(long, default_value = "bulk", conflicts_with = "trial")]
    workload: WorkloadChoice,
    /// Which way the payload goes [default: down]
    #[arg(long, value_enum, conflicts_with = "trial")]
    direction: Option<DirectionKind>,
    /// How long to send [default: 5s, unless --bytes or --count says how much]
    #[arg(long, value_name = "TIME", conflicts_with_all = ["bytes", "count", "trial"])]
    duration: Option<Duration>,
    /// Bulk: how much to send
    #[arg(long, value_name = "SIZE", conflicts_with = "trial")]
    bytes: Option<ByteCount>,
    /// Logical streams [default: 1 for bulk, 8 for messages]
    #[arg(long, value_name = "N", conflicts_with = "trial")]
    streams: Option<u16>,
    /// Messages: size of each
    #[arg(long, value_name = "SIZE", conflicts_with = "trial")]
    size: Option<ByteCount>,
    /// Messages: time between two of one stream
    #[arg(long, value_name = "TIME", conflicts_with = "trial")]
    spacing: Option<Duration>,
    /// Messages: release those of all streams at one instant, not staggered within the spacing
    #[arg(long, conflicts_with = "trial")]
    together: bool,
    /// Messages: how many a stream
    #[arg(long, value_name = "N", conflicts_with = "trial")]
    count: Option<u32>,
    /// Messages: bytes sent beforehand to open the congestion window [default: 1MB]
    #[arg(long, value_name = "SIZE", conflicts_with = "trial")]
    warmup: Option<ByteCount>,
    /// Bulk on udp: offered rate [default: as fast as the host can]
    #[arg(long, value_name = "RATE", conflicts_with = "trial")]
    udp_rate: Option<BitRate>,
    /// Bulk on udp: payload of a datagram [default: what fills the MTU]
    #[arg(long, value_name = "SIZE", conflicts_with = "trial")]
    datagram: Option<ByteCount>,
    /// Largest IP packet of the path. Given, packets of this size are sent from the start, and none larger; else QUIC
    /// begins with 1200 bytes and finds out what the path takes, up to 1500 (RFC 8899), and TCP and UDP go by the
    /// interface and by what routers say
    #[arg(long, value_name = "BYTES", conflicts_with = "trial")]
    mtu: Option<u16>,
    /// Congestion controller of TCP and QUIC: cubic, reno, bbr
    #[arg(long, default_value_t = Controller::Cubic, conflicts_with = "trial")]
    controller: Controller,
    /// Whose turn it is where several streams share a connection: round-robin, sequential
    #[arg(long, value_name = "ORDER", default_value_t = Order::RoundRobin, conflicts_with = "trial")]
    order: Order,
    /// The most plaintext in a TLS record of tls [default: as much as is handed over, up to 16KiB]
    #[arg(long, value_name = "SIZE", conflicts_with = "trial")]
    tls_record_size: Option<ByteCount>,
    /// Decides the payload
    #[arg(long, default_value_t = 1, conflicts_with = "trial")]
    seed: u64,
    /// Longest time the whole may take [default: the duration and 30s, or 5min with --bytes]
    #[arg(long, value_name = "TIME", conflicts_with = "trial")]
    time_limit: Option<Duration>,
    /// The server's secret
    #[arg(long, value_name = "SECRET", env = "SAMEPATH_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The server's certificate, as it prints it. Without it the certificate is the one whose holder
    /// proves that it knows the token
    #[arg(long, value_name = "sha256:HEX")]
    fingerprint: Option<Fingerprint>,
    /// Make the data connections to this host instead of the address that the control connection reached
    #[arg(long, value_name = "HOST")]
    via: Option<String>,
    /// Play the trial in this file instead of what the flags say
    #[arg(long, value_name = "FILE")]
    trial: Option<PathBuf>,
    /// With --trial: say on standard output, in a line of JSON, when the schedule could start, and start it when a line
    /// of JSON on standard input says so. For a harness that starts several flows together
    #[arg(long, hide = true, requires = "trial")]
    await_start: bool,
    /// Write the records to this file
    #[arg(long, value_name = "FILE", value_parser = file)]
    report: Option<PathBuf>,
    /// Print one JSON document; with --trial, a line of JSON when the start is decided and one at the end
    #[arg(long)]
    json: bool,
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// The command line or a file is wrong.
    #[error("{0}")]
    Usage(String),
    /// The session failed.
    #[error("{0}")]
    Failed(String),
}

/// A file that is to be made. `-`, by which others mean standard output, is none.
fn file(path: &str) -> Result<PathBuf, String> {
    if path == "-" {
        return Err(
            "records are not text; name a file (`./-` for one of that name), and --json prints what people and \
                    scripts read"
                .into(),
        );
    }
    Ok(path.into())
}

/// Runs `samepath client`, which tells `score`, too. Exit status: 0 done, 1 failed, 2 the command line or a file is wrong.
pub fn main(args: ClientArgs, score: Score) -> ExitCode {
    limits::raise_open_files();
    match run(&args, score) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("samepath: {error}");
            if args.json && args.trial.is_none() {
                // Scripts that read the document find the error where iperf3 puts it; without a reader it is
                // said all the same, on stderr and by the status.
                let _ = writeln!(std::io::stdout(), "{}", serde_json::json!({ "error": error.to_string() }));
            }
            ExitCode::from(match error {
                CliError::Usage(_) => 2,
                CliError::Failed(_) => 1,
            })
        }
    }
}

fn run(args: &ClientArgs, score: Score) -> Result<(), CliError> {
    let trial = args.trial()?;
    let plan = match &trial {
        Some(trial) => Plan::of(trial),
        None => args.plan()?,
    };
    let is_killed = trial.is_some_and(|trial| !trial.restarts.is_empty());
    let loss = if is_killed { Loss::IsAnOutcome } else { Loss::IsAnError };
    plan.check().map_err(|error| CliError::Usage(error.to_string()))?;
    if let Some(files) = plan.tuning.open_files {
        let refused = |error: std::io::Error| CliError::Failed(format!("cannot limit open files to {files}: {error}"));
        limits::limit_open_files(files).map_err(refused)?;
    }
    let target = args.target()?;
    let failed = |error: String| CliError::Failed(error);
    let runtime = runtime::start().map_err(|error| failed(format!("cannot start: {}", shortage::told(&error))))?;
    let lines = args.json && args.trial.is_some();
    let say = |line: serde_json::Value| {
        // Without a listener the session still counts.
        let mut out = std::io::stdout();
        let _ = writeln!(out, "{line}");
        let _ = out.flush();
    };
    let agree = async |earliest: u64| {
        if args.await_start {
            say(serde_json::json!({ "event": "ready", "earliest_ns": earliest }));
            return told_start().await;
        }
        if lines {
            say(serde_json::json!({ "event": "start", "epoch_ns": earliest }));
        }
        Ok(earliest)
    };
    let played =
        runtime.block_on(play_agreed(&target, &plan, loss, agree)).map_err(|error| failed(error.to_string()))?;
    runtime.shutdown_background();
    if let Some(path) = &args.report {
        write_report(path, &played.report)
            .map_err(|error| failed(format!("cannot write the records to {}: {error}", path.display())))?;
    }
    let felt = || score(&plan.workload, plan.arm, plan.seed, &played.report.messages);
    let text = match (args.json, lines) {
        (false, _) => summary::text(&plan, &played, &felt()),
        (true, false) => format!("{:#}\n", json::document(&plan, &played, &felt())),
        (true, true) => format!("{}\n", result_line(&played)),
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| failed(format!("cannot write to standard output: {error}")))
}

/// The start of the schedule, as the line of JSON on standard input says it.
async fn told_start() -> Result<u64, TransportError> {
    let read = || {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    };
    let line = tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other)??;
    let told = serde_json::from_str::<serde_json::Value>(&line).ok().and_then(|line| line["start_ns"].as_u64());
    told.ok_or_else(|| TransportError::Control("standard input names no start; write {\"start_ns\": N}".into()))
}

/// The last line for the harness, which reads the rest in the records.
fn result_line(played: &Played) -> serde_json::Value {
    let report = &played.report;
    serde_json::json!({
        "event": "result",
        "complete": report.complete,
        "messages": report.messages.len(),
        "delivered": report.messages.iter().filter(|m| m.delivered.is_some()).count(),
        "received_bytes": report.messages.iter().map(|m| m.received).sum::<u64>(),
    })
}

/// Whole or not at all; a device or a pipe is written to as it is.
fn write_report(path: &Path, report: &PlayReport) -> Result<(), Box<dyn std::error::Error>> {
    let bytes = postcard::to_stdvec(report)?;
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        return Ok(std::fs::write(path, bytes)?);
    }
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(&bytes)?;
    file.persist(path)?;
    Ok(())
}

impl ClientArgs {
    /// The trial that is to be played, where a file has it.
    fn trial(&self) -> Result<Option<Trial>, CliError> {
        let Some(path) = &self.trial else { return Ok(None) };
        let usage = |error: String| CliError::Usage(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| usage(error.to_string()))?;
        serde_json::from_str(&text).map(Some).map_err(|error| usage(format!("not a trial: {error}")))
    }

    /// What the flags say is to be played.
    fn plan(&self) -> Result<Plan, CliError> {
        let workload = self.workload()?;
        if workload.farthest() > Duration::ZERO {
            let problem = "`extra-rtts` are a link's to add, and here the servers stand where they stand: leave it out, or run \
                           an experiment, whose link is emulated (`samepath run`)";
            return Err(CliError::Usage(problem.into()));
        }
        let time_limit = self.time_limit.unwrap_or_else(|| match workload.nominal_duration() {
            Some(duration) => duration + TIME_BESIDE,
            None => Duration::from_secs(300),
        });
        Ok(Plan {
            arm: self.arm,
            workload: workload.for_arm(self.arm),
            tuning: Tuning {
                controller: self.controller,
                order: self.order,
                tls_record_size: self.tls_record_size,
                // What the path takes is not known, unless it is said.
                quic_mtu_discovery: self.mtu.is_none(),
                ..Tuning::default()
            },
            seed: self.seed,
            mtu: self.mtu.unwrap_or(1500),
            rtt: Duration::ZERO,
            rate: None,
            time_limit,
            // Packets are attributed by a link's ledger, which a real path does not have.
            attribution: false,
        })
    }

    fn workload(&self) -> Result<Workload, CliError> {
        let direction = match self.direction {
            Some(DirectionKind::Up) => Direction::Up,
            Some(DirectionKind::Down) | None => Direction::Down,
        };
        let only = |kind: &str, flags: &[(&str, bool)]| match flags.iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(CliError::Usage(format!("{flag} belongs to --workload {kind}; leave it out"))),
            None => Ok(()),
        };
        let of_messages = [
            ("--size", self.size.is_some()),
            ("--spacing", self.spacing.is_some()),
            ("--together", self.together),
            ("--count", self.count.is_some()),
            ("--warmup", self.warmup.is_some()),
        ];
        let of_bulk = [
            ("--bytes", self.bytes.is_some()),
            ("--udp-rate", self.udp_rate.is_some()),
            ("--datagram", self.datagram.is_some()),
        ];
        let of_both = [
            ("--direction", self.direction.is_some()),
            ("--duration", self.duration.is_some()),
            ("--streams", self.streams.is_some()),
        ];
        Ok(match &self.workload {
            WorkloadChoice::Table(workload) => {
                let flags = of_messages.into_iter().chain(of_bulk).chain(of_both);
                if let Some((flag, _)) = flags.into_iter().find(|(_, given)| *given) {
                    let problem = format!("{flag} goes with a workload by its name; write it into the table");
                    return Err(CliError::Usage(problem));
                }
                Workload::clone(workload)
            }
            WorkloadChoice::Named(WorkloadKind::Bulk) => {
                only("messages", &of_messages)?;
                let duration = self.duration.or(self.bytes.is_none().then_some(Duration::from_secs(5)));
                Workload::Bulk(Bulk {
                    direction,
                    streams: self.streams.unwrap_or(1),
                    bytes: self.bytes,
                    duration,
                    udp_rate: self.udp_rate,
                    datagram: self.datagram,
                })
            }
            WorkloadChoice::Named(WorkloadKind::Messages) => {
                only("bulk", &of_bulk)?;
                let default = Messages::default();
                let duration = self.duration.or(self.count.is_none().then_some(Duration::from_secs(5)));
                Workload::Messages(Messages {
                    direction,
                    streams: self.streams.unwrap_or(default.streams),
                    size: self.size.unwrap_or(default.size),
                    spacing: self.spacing.unwrap_or(default.spacing),
                    staggered: !self.together,
                    count: self.count,
                    duration,
                    warmup: self.warmup,
                })
            }
        })
    }

    fn target(&self) -> Result<Target, CliError> {
        let control = resolve(&self.host, DEFAULT_PORT)?;
        let data = self.via.as_deref().map(|host| resolve(host, DEFAULT_PORT)).transpose()?;
        let token = self.token.clone().filter(|token| !token.is_empty()).ok_or_else(|| {
            CliError::Usage(
                "the server's token is missing: give it with --token, or in the environment as SAMEPATH_TOKEN; the server prints it when it starts"
                    .into(),
            )
        })?;
        Ok(Target { control, data, token, pin: self.fingerprint.map_or(Pin::ProvenByToken, Pin::Exactly) })
    }
}

/// The addresses of `HOST`, `HOST:PORT`, an address, or `[ADDRESS]:PORT`, in the order in which they are to be tried.
fn resolve(text: &str, default_port: u16) -> Result<Vec<SocketAddr>, CliError> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(vec![address]);
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(vec![(ip, default_port).into()]);
    }
    let (name, port) = match text.rsplit_once(':') {
        None => (text, default_port),
        // An address whose interface is named, as fe80::1%eth0.
        _ if bare.contains('%') && !bare.contains(']') => (bare, default_port),
        Some((name, port)) => {
            let port = port.parse().map_err(|_| {
                CliError::Usage(format!(
                    "`{text}`: `{port}` is not a port; write HOST or HOST:PORT, as lab.example:4433"
                ))
            })?;
            (name.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(name), port)
        }
    };
    let unknown = |detail: String| CliError::Failed(format!("cannot find the host `{name}`: {detail}"));
    let found = reach::in_turns((name, port).to_socket_addrs().map_err(|error| unknown(error.to_string()))?);
    if found.is_empty() { Err(unknown("it has no address".into())) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_as_people_write_them() {
        for (text, expected) in [
            ("127.0.0.1", "127.0.0.1:4433"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("::1", "[::1]:4433"),
            ("[::1]", "[::1]:4433"),
            ("[::1]:5000", "[::1]:5000"),
        ] {
            assert_eq!(resolve(text, DEFAULT_PORT).unwrap(), [expected.parse().unwrap()]);
        }
        assert!(matches!(resolve("localhost:none", DEFAULT_PORT), Err(CliError::Usage(_))));
    }
}
