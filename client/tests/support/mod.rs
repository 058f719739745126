//! A server in the test's own process, and what is played against it.
#![allow(dead_code, reason = "each test program uses its part")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use samepath_client::{Played, Target, play};
use samepath_model::arm::Arm;
use samepath_model::link::Direction;
use samepath_model::tuning::Tuning;
use samepath_model::units::{BitRate, ByteCount, Duration};
use samepath_model::workload::{Bulk, Workload};
use samepath_server::{Limits, Ready, Server, ServerConfig, Shutdown};
use samepath_transport::Plan;
use samepath_transport::identity::Pin;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) const TOKEN: &str = "a secret";

/// A server that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) ready: Ready,
    pub(crate) address: SocketAddr,
    pub(crate) pin: Pin,
    pub(crate) shutdown: watch::Sender<Shutdown>,
    pub(crate) serving: JoinHandle<()>,
    pub(crate) log: Arc<Mutex<Vec<String>>>,
}

pub(crate) fn serve_with(limits: Limits) -> Running {
    serve_for(limits, 1)
}

/// A process that stands for so many servers.
pub(crate) fn serve_for(limits: Limits, servers: u16) -> Running {
    let listen = (Ipv4Addr::LOCALHOST, 0).into();
    let server = Server::bind(ServerConfig { listen, token: TOKEN.into(), limits, servers, book: None }).unwrap();
    let (shutdown, stage) = watch::channel(Shutdown::Running);
    let log = Arc::new(Mutex::new(Vec::new()));
    let lines = log.clone();
    Running {
        ready: server.ready(),
        address: server.address(),
        pin: Pin::Exactly(server.fingerprint()),
        serving: tokio::spawn(server.serve(stage, move |line| lines.lock().unwrap().push(line.to_owned()))),
        shutdown,
        log,
    }
}

pub(crate) fn serve() -> Running {
    serve_with(Limits::default())
}

impl Running {
    pub(crate) fn target(&self) -> Target {
        Target { control: vec![self.address], data: None, token: TOKEN.into(), pin: self.pin }
    }

    pub(crate) async fn play(&self, plan: &Plan) -> Played {
        let mut announced = None;
        let played = play(&self.target(), plan, |epoch| announced = Some(epoch)).await;
        let played = played.unwrap_or_else(|error| {
            panic!("{} {}: {error}; server: {:?}", plan.arm, plan.workload, self.log.lock().unwrap())
        });
        assert_eq!(announced, Some(played.report.epoch_ns));
        played
    }
}

pub(crate) fn plan(arm: Arm, workload: Workload) -> Plan {
    Plan {
        arm,
        workload,
        tuning: Tuning::default(),
        seed: 42,
        mtu: 1500,
        rtt: Duration::ZERO,
        rate: None,
        time_limit: Duration::from_secs(60),
        attribution: false,
    }
}

pub(crate) fn bytes(direction: Direction, streams: u16, bytes: u64) -> Workload {
    // Paced, so that no datagram is lost for want of a buffer.
    let udp_rate = Some(BitRate::new(200_000_000));
    Workload::Bulk(Bulk { direction, streams, bytes: Some(ByteCount::new(bytes)), udp_rate, ..Bulk::default() })
}
