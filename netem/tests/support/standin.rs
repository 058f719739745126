//! A stand-in for the command and its two ends, so that the harness can be tested without them.
//!
//! ```text
//! standin link BACKEND [--rtt T] [--rate R] [--loss L] [--key K] [--spec JSON] [--seed N] [--server CMD]
//!              [--ledger FILE] [--mode M] -- CMD...
//! standin __trial PLAN         the harness's own verb
//! standin server | client …    the ends of a trial: one greeting over TCP, by the harness's contract
//! standin doctor                what the machine can do, as JSON
//! standin echo                 a TCP echo at the server's end, IPv4 and IPv6, until it is ended
//! standin greet ADDRESS…       a greeting to the echo at each address
//! standin sink FILE N          writes the sizes of the datagrams it gets, until one of N bytes comes
//! standin burst ADDRESS COUNT  sends COUNT times twenty datagrams of 200 bytes at once, then some of N bytes
//! standin spray ADDRESS COUNT  sends COUNT datagrams of as many different sizes, then some of N bytes
//! standin flood ADDRESS COUNT BYTES MICROS
//!                              sends COUNT numbered datagrams of BYTES, one in MICROS, and then the end
//! standin gather FILE          writes number, departure and arrival of each that comes, and whether it is whole
//! ```

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use samepath_model::link::LinkSpec;
use samepath_model::record::{EndReport, PlayReport};
use samepath_model::{Mode, Trial};
use samepath_netem::shell::{LinkPlan, Ready, run};
use samepath_netem::{monotonic, probe, trial};

const ECHO_PORT: u16 = 7007;
const SINK_PORT: u16 = 7009;
const LAST: usize = 1400;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (verb, rest) = words.split_first().expect("a verb");
    match verb.as_str() {
        "link" => link(rest),
        "__trial" => return trial::main(Path::new(&rest[0])),
        "server" => server(),
        "client" => client(rest),
        "doctor" => println!("{}", serde_json::to_string_pretty(&probe::all()).expect("it has a text form")),
        "echo" => echo(),
        "greet" => rest.iter().for_each(|address| greet(address.parse().expect("an address"))),
        "sink" => sink(Path::new(&rest[0]), rest[1].parse().expect("a size")),
        "burst" => burst(rest[0].parse().expect("an address"), rest[1].parse().expect("a number")),
        "spray" => spray(rest[0].parse().expect("an address"), rest[1].parse().expect("a number")),
        "flood" => {
            let number = |at: usize| rest[at].parse().expect("a number");
            flood(rest[0].parse().expect("an address"), number(1), number(2) as usize, number(3));
        }
        "gather" => gather(Path::new(&rest[0])),
        "stamp" => stamp(),
        other => panic!("no verb `{other}`"),
    }
    ExitCode::SUCCESS
}

fn link(words: &[String]) {
    let at = words.iter().position(|word| word == "--").expect("a command after --");
    let (words, command) = (&words[..at], words[at + 1..].iter().map(Into::into).collect());
    let backend = words[0].parse().expect("a backend");
    let mut spec = LinkSpec::default();
    let (mut server_command, mut ledger, mut mode, mut seed) = (None, None, Mode::Auto, 1);
    for pair in words[1..].chunks(2) {
        let value = &pair[1];
        match pair[0].as_str() {
            "--rtt" => spec.rtt = Some(value.parse().expect("a time")),
            "--rate" => spec.rate = Some(value.parse().expect("a rate")),
            "--loss" => spec.loss = Some(value.parse().expect("a loss rule")),
            "--key" => spec.loss_key = Some(serde_json::from_str(&format!("\"{value}\"")).expect("time or index")),
            "--spec" => spec = serde_json::from_str(value).expect("conditions"),
            "--seed" => seed = value.parse().expect("a number"),
            "--server" => server_command = Some(value.clone()),
            "--mode" => mode = value.parse().expect("a mode"),
            "--ledger" => ledger = Some(PathBuf::from(value)),
            other => panic!("no option `{other}`"),
        }
    }
    let link = spec.resolve().expect("a link that can be");
    match run(LinkPlan {
        spec,
        inputs: Default::default(),
        link,
        name: None,
        seed,
        backend,
        mode,
        server_command,
        ready: Ready::Any,
        ready_limit: Ready::Any.limit(),
        host_ports: Vec::new(),
        controller: None,
        command,
        ledger,
        capture: None,
        quiet: false,
    }) {
        Ok(ended) => std::process::exit(ended.status),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}

/// Says that it is ready, and then answers each greeting; ends at once when greeted by `die`.
fn server() {
    assert!(std::env::var("SAMEPATH_TOKEN").is_ok_and(|token| token.len() == 32), "the token is in the environment");
    let listener = TcpListener::bind("0.0.0.0:4433").expect("a port of an empty namespace");
    println!(
        r#"{{"event":"ready","control":"0.0.0.0:4433","tcp_port":4433,"tls_port":1,"quic_port":2,"udp_port":3,"fingerprint":"sha256:00"}}"#
    );
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        let mut word = [0u8; 3];
        if stream.read_exact(&mut word).is_ok() {
            if &word == b"die" {
                eprintln!("the server was told to die");
                std::process::exit(1);
            }
            let _ = stream.write_all(&word);
        }
    }
}

/// Plays by the trial's part: `good`, `hangs`, `fails`, `server-dies`, `leaves-daemon`.
#[allow(clippy::zombie_processes)] // the daemon is left behind on purpose
fn client(words: &[String]) {
    let after = |flag: &str| words.iter().position(|word| word == flag).map(|at| words[at + 1].clone()).expect(flag);
    let trial: Trial =
        serde_json::from_slice(&std::fs::read(after("--trial")).expect("the trial's file")).expect("a trial");
    let control: SocketAddr = words[0].parse().expect("the control address");
    let data = SocketAddr::new(after("--via").parse().expect("the data address"), control.port());
    assert_eq!(after("--fingerprint"), "sha256:00");
    assert!(words.iter().any(|word| word == "--await-start"));
    println!(r#"{{"event":"ready","earliest_ns":{}}}"#, monotonic());
    let mut told = String::new();
    std::io::stdin().read_line(&mut told).expect("the start is told");
    let told: serde_json::Value = serde_json::from_str(&told).expect("a line of JSON");
    let epoch_ns = told["start_ns"].as_u64().expect("the start");
    let say = |word: &[u8; 3], to: SocketAddr| -> Duration {
        let begun = std::time::Instant::now();
        let mut stream = TcpStream::connect(to).expect("the server is there");
        stream.write_all(word).expect("it listens");
        let mut answer = [0u8; 3];
        let _ = stream.read_exact(&mut answer);
        begun.elapsed()
    };
    match trial.part.as_str() {
        "good" | "leaves-daemon" => {}
        "hangs" => std::thread::sleep(Duration::from_secs(3600)),
        "fails" => {
            eprintln!("the client found something wrong");
            std::process::exit(1);
        }
        "server-dies" => {
            say(b"die", control);
            std::thread::sleep(Duration::from_secs(3600));
        }
        other => panic!("no part `{other}`"),
    }
    if trial.part == "leaves-daemon" {
        let mut daemon = std::process::Command::new("sleep");
        daemon.arg("31536042").stdout(std::process::Stdio::null());
        daemon.spawn().expect("sleep exists");
    }
    say(b"hey", control);
    let took = say(b"hey", data);
    let report = PlayReport {
        epoch_ns,
        clock_error_ns: 0,
        name_lookup: None,
        handshake_ns: Some(took.as_nanos() as u64),
        connecting: 0,
        first_byte_ns: None,
        complete: true,
        failure: None,
        messages: Vec::new(),
        series: Vec::new(),
        layout: Vec::new(),
        observations: Vec::new(),
        client: EndReport::default(),
        server: EndReport::default(),
    };
    std::fs::write(after("--report"), postcard::to_stdvec(&report).expect("a report")).expect("scratch can be written");
    println!(r#"{{"event":"result"}}"#);
}

fn echo() {
    // An IPv6 socket takes IPv4 too, which is the system's default.
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, ECHO_PORT)).expect("a port of an empty namespace");
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        std::thread::spawn(move || std::io::copy(&mut stream.try_clone().expect("a copy"), &mut stream));
    }
}

/// Sends 200 kB to the echo and checks every byte that comes back.
fn greet(address: IpAddr) {
    let sent: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
    let mut stream = TcpStream::connect((address, ECHO_PORT)).expect("the echo is there");
    let mut writer = stream.try_clone().expect("a copy");
    let to_send = sent.clone();
    let sending = std::thread::spawn(move || {
        writer.write_all(&to_send).expect("it takes all");
        writer.shutdown(std::net::Shutdown::Write).expect("it was open");
    });
    let mut back = Vec::new();
    stream.read_to_end(&mut back).expect("it gives all back");
    sending.join().expect("all was sent");
    assert!(back == sent, "the bytes came back changed");
    println!("echoed {} bytes from {address}", back.len());
}

fn sink(file: &Path, last: usize) {
    let socket = UdpSocket::bind(("0.0.0.0", SINK_PORT)).expect("a port of an empty namespace");
    grow_buffers(&socket);
    let mut sizes = String::new();
    let mut buffer = [0u8; 2048];
    loop {
        let n = socket.recv(&mut buffer).expect("a datagram");
        if n == last {
            break;
        }
        sizes += &format!("{n}\n");
    }
    std::fs::write(file, sizes).expect("the file can be written");
}

/// Room for all that a test sends, as far as the kernel grants it, however long the receiver is kept from running.
fn grow_buffers(socket: &UdpSocket) {
    let _ = setsockopt(socket, sockopt::RcvBufForce, &(16 << 20))
        .or_else(|_| setsockopt(socket, sockopt::RcvBuf, &(16 << 20)));
}

/// Each burst is one super-packet to the device that can take one.
fn burst(address: IpAddr, count: usize) {
    const SIZE: usize = 200;
    let socket = connected(address);
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::UdpGsoSegment, &(SIZE as i32))
        .expect("the kernel segments datagrams");
    for _ in 0..count {
        socket.send(&[7; 20 * SIZE]).expect("it is sent");
        // Paced, so that no receive buffer overflows on a busy machine.
        std::thread::sleep(Duration::from_millis(2));
    }
    say_the_end(&connected(address));
}

/// Keeps the kernel stamping packets. To begin and to end that, as probes and taps do, it rewrites its code as it
/// runs, which the emulated processor of a virtual machine does not always survive.
fn stamp() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true).expect("packets are stamped");
    loop {
        std::thread::park();
    }
}

fn connected(address: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a port");
    socket.connect((address, SINK_PORT)).expect("a route");
    socket
}

fn spray(address: IpAddr, count: usize) {
    let socket = connected(address);
    for n in 0..count {
        socket.send(&vec![0; 100 + n]).expect("it is sent");
        // Paced, so that no receive buffer overflows on a busy machine.
        if n % 4 == 3 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    say_the_end(&socket);
}

/// Often enough for one of them to survive the loss.
fn say_the_end(socket: &UdpSocket) {
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(1));
        let _ = socket.send(&[0; LAST]);
    }
}

/// The number of the datagrams that say the end.
const END: u64 = u64::MAX;
/// How often the end is said, and the pause between: often enough for one to survive.
const ENDS: (u32, Duration) = (60, Duration::from_millis(5));
/// After the first word of the end, what is still under way may take this long.
const STILL_UNDER_WAY: Duration = Duration::from_millis(1500);
/// What follows the number and the time in a datagram.
const FILLING: u8 = 0x5a;

fn flood(address: IpAddr, count: u64, bytes: usize, micros: u64) {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a port");
    socket.connect((address, SINK_PORT)).expect("a route");
    // As of an ECN-capable transport (RFC 3168): a link that marks in place of dropping does so.
    setsockopt(&socket, sockopt::Ipv4Tos, &2).expect("a socket of IPv4");
    let mut datagram = vec![FILLING; bytes.max(16)];
    let mut send = |number: u64| {
        datagram[..8].copy_from_slice(&number.to_be_bytes());
        datagram[8..16].copy_from_slice(&monotonic().to_be_bytes());
        let _ = socket.send(&datagram);
    };
    let begun = monotonic();
    for number in 0..count {
        // Paced by absolute time, in small groups where a sleep would be longer than the pause.
        let due = begun + number * micros * 1000;
        if let Some(ahead) = due.checked_sub(monotonic()).filter(|ahead| *ahead > 500_000) {
            std::thread::sleep(Duration::from_nanos(ahead));
        }
        send(number);
    }
    for _ in 0..ENDS.0 {
        std::thread::sleep(ENDS.1);
        send(END);
    }
}

fn gather(file: &Path) {
    let socket = UdpSocket::bind(("0.0.0.0", SINK_PORT)).expect("a port of an empty namespace");
    // A slow machine may give the link's thread precedence for a while.
    grow_buffers(&socket);
    let mut lines = String::new();
    let mut buffer = [0u8; 2048];
    let mut deadline = None;
    loop {
        let now = std::time::Instant::now();
        let left = deadline.map(|deadline: std::time::Instant| deadline.saturating_duration_since(now));
        if left.is_some_and(|left| left.is_zero()) {
            break;
        }
        socket.set_read_timeout(left).expect("a time that is not zero");
        let Ok(n) = socket.recv(&mut buffer) else { break };
        let arrived = monotonic();
        let word = |at: usize| u64::from_be_bytes(buffer[at..at + 8].try_into().expect("8 bytes"));
        if n >= 16 && word(0) == END {
            deadline.get_or_insert_with(|| std::time::Instant::now() + STILL_UNDER_WAY);
            continue;
        }
        let whole = n >= 16 && buffer[16..n].iter().all(|byte| *byte == FILLING);
        lines += &format!("{} {} {arrived} {}\n", word(0), word(8), u8::from(whole));
    }
    lines += "end\n";
    let partial = file.with_extension("partial");
    std::fs::write(&partial, lines).expect("the file can be written");
    std::fs::rename(partial, file).expect("it is renamed");
}
