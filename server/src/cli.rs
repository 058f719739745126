//! `samepath server`: flags, the ready line, signals.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use samepath_model::Duration;
use samepath_model::shortage;
use samepath_model::units::ByteCount;
use samepath_model::workload::MOST_SERVERS;
use samepath_transport::{identity, limits, runtime, tcp};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::{Limits, Server, ServerConfig, Shutdown};

const DEFAULT_PORT: u16 = 4433;

/// Flags of `samepath server`.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// Address and port for control connections and QUIC; TCP and UDP take the next port, TLS the one
    /// after, so it is 65533 at most. With port 0 the kernel chooses each; `[::]` takes IPv6 and IPv4, `0.0.0.0`
    /// IPv4 alone [default: `[::]:4433`, or `0.0.0.0:4433` where this host has no IPv6]
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = parse_listen)]
    pub listen: Option<SocketAddr>,
    /// Secret that clients must know. Without it a random one is made and printed
    #[arg(long, value_name = "SECRET", env = "SAMEPATH_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Print what happens as lines of JSON
    #[arg(long)]
    pub json: bool,
    /// Most sessions at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_sessions: u32,
    /// Longest session a client may ask for
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub max_duration: Duration,
    /// Most memory for the books of all sessions together
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    pub max_memory: ByteCount,
    /// Servers to stand for: a workload may need several, as `fan-out` one for each service. Each takes three ports, those of
    /// the second begin three above those of the first, and so on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_SERVERS)))]
    pub servers: u16,
    /// File in which the payments of workload `payment` are recorded, a line of JSON each. What it holds already is
    /// known; one session at a time writes it
    #[arg(long, value_name = "FILE")]
    pub book: Option<PathBuf>,
}

fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let listen: SocketAddr =
        text.parse().or_else(|_| bare.parse::<IpAddr>().map(|ip| (ip, DEFAULT_PORT).into())).map_err(|_| {
            format!(
                "`{text}` is not an address of this host: write [::] or [::]:{DEFAULT_PORT} (IPv6 and IPv4), or 0.0.0.0:{DEFAULT_PORT}"
            )
        })?;
    crate::serve::ports(listen.port(), 1).map_err(|error| error.to_string())?;
    Ok(listen)
}

/// Runs `samepath server` until it is told to end; the exit status says whether all went well.
pub fn main(args: ServerArgs) -> ExitCode {
    limits::raise_open_files();
    let runtime = match runtime::start() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("samepath: cannot start: {}", shortage::told(&error));
            return ExitCode::FAILURE;
        }
    };
    let code = match runtime.block_on(run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("samepath: {error}");
            ExitCode::FAILURE
        }
    };
    // Sessions have had their time.
    runtime.shutdown_background();
    code
}

async fn run(args: ServerArgs) -> Result<(), Box<dyn std::error::Error>> {
    // Before the ready line, so that a signal that answers it is not missed.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let given = args.token.filter(|token| !token.is_empty());
    let token = given.clone().unwrap_or_else(|| samepath_model::hex(&identity::random::<16>()));
    let limits = Limits {
        sessions: args.max_sessions as usize,
        duration: args.max_duration,
        memory: args.max_memory,
        ..Limits::default()
    };
    let listen = args.listen.unwrap_or_else(|| (tcp::any_address(), DEFAULT_PORT).into());
    let server =
        Server::bind(ServerConfig { listen, token: token.clone(), limits, servers: args.servers, book: args.book })?;

    let ready = server.ready();
    let mut out = std::io::stdout();
    if args.json {
        let mut line = serde_json::to_value(&ready)?;
        line["event"] = "ready".into();
        if given.is_none() {
            line["token"] = token.into();
        }
        writeln!(out, "{line}")?;
    } else {
        writeln!(out, "listening on {} (control)", ready.control)?;
        writeln!(
            out,
            "ports         tcp {}, tls {}, udp {}, quic {}",
            ready.tcp_port, ready.tls_port, ready.udp_port, ready.quic_port
        )?;
        if ready.servers > 1 {
            writeln!(out, "servers       {}, each with its ports three above those of the one before", ready.servers)?;
        }
        writeln!(out, "fingerprint   {}", ready.fingerprint)?;
        match given {
            Some(_) => writeln!(out, "token         as given")?,
            None => {
                writeln!(out, "token         {token}   (made now; clients give it with --token or SAMEPATH_TOKEN)")?
            }
        }
    }
    out.flush()?;

    let (stage, shutdown) = watch::channel(Shutdown::Running);
    let json = args.json;
    let log = move |line: &str| {
        let mut out = std::io::stdout();
        // Nobody may be listening any more; that is no reason to stop serving.
        let _ = if json {
            writeln!(out, "{}", serde_json::json!({ "event": "log", "text": line }))
        } else {
            writeln!(out, "{line}")
        };
    };
    let serving = server.serve(shutdown, log);
    tokio::pin!(serving);
    loop {
        tokio::select! {
            () = &mut serving => return Ok(()),
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        // The first signal lets sessions finish, the second does not.
        stage.send_modify(|stage| {
            *stage = if *stage == Shutdown::Running { Shutdown::Draining } else { Shutdown::Now };
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, expected) in [
            ("0.0.0.0", "0.0.0.0:4433"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("::", "[::]:4433"),
            ("[::1]", "[::1]:4433"),
            ("[::]:5000", "[::]:5000"),
        ] {
            assert_eq!(parse_listen(text).unwrap().to_string(), expected);
        }
        assert!(parse_listen("somewhere").unwrap_err().contains("0.0.0.0"));
        assert_eq!(parse_listen("[::]:65533").unwrap().port(), 65533);
        for port in [65534, 65535] {
            let error = parse_listen(&format!("127.0.0.1:{port}")).unwrap_err();
            assert!(error.contains(&port.to_string()) && error.contains("65533"), "{error}");
        }
    }
}
