//! What the link's command waits for before it starts: a server command that listens.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::reaper::Reaper;
use crate::path::LivePath;
use crate::sockets::{self, Service, Waiting};

/// How often it is looked at.
const LATENCY: Duration = Duration::from_millis(2);
/// How long it is waited for something to listen, where nothing was named.
const LIMIT: Duration = Duration::from_secs(2);
/// How long for what was named.
const NAMED_LIMIT: Duration = Duration::from_secs(10);

/// What the command waits for; written `any`, `none`, or as ports: `tcp:5201,udp:4433`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Ready {
    /// Something that listens.
    #[default]
    Any,
    /// Nothing.
    Nothing,
    /// All of these.
    Services(Vec<Service>),
}

impl FromStr for Ready {
    type Err = String;

    fn from_str(text: &str) -> Result<Ready, String> {
        match text {
            "any" => Ok(Ready::Any),
            "none" => Ok(Ready::Nothing),
            services => services
                .split(',')
                .map(|service| service.trim().parse())
                .collect::<Result<_, String>>()
                .map(Ready::Services),
        }
        .map_err(|error| format!("{error}; or `any`, or `none`"))
    }
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ready::Any => f.write_str("any"),
            Ready::Nothing => f.write_str("none"),
            Ready::Services(services) => {
                f.write_str(&services.iter().map(Service::to_string).collect::<Vec<_>>().join(","))
            }
        }
    }
}

impl Ready {
    /// How long it is waited for, unless the user says.
    pub fn limit(&self) -> Duration {
        if matches!(self, Ready::Services(_)) { NAMED_LIMIT } else { LIMIT }
    }

    /// Whether these sockets are what is waited for. On a loopback nobody reaches them across the link.
    fn is_met(&self, waiting: &[Waiting], not: &[Service]) -> bool {
        let mut reached =
            waiting.iter().filter(|waiting| !waiting.address.is_loopback() && !not.contains(&waiting.service));
        match self {
            Ready::Nothing => true,
            Ready::Any => reached.next().is_some(),
            Ready::Services(services) => {
                let reached: Vec<Service> = reached.map(|waiting| waiting.service).collect();
                services.iter().all(|service| reached.contains(service))
            }
        }
    }

    /// What is missing, in words.
    fn missing(&self, waiting: &[Waiting]) -> String {
        let beside = |waiting: &Waiting| match self {
            Ready::Services(services) => services.contains(&waiting.service),
            Ready::Any | Ready::Nothing => true,
        };
        let what = match self {
            Ready::Services(_) => format!("the server end does not listen on {self}"),
            Ready::Any | Ready::Nothing => "nothing listens at the server end".into(),
        };
        match waiting.iter().find(|waiting| waiting.address.is_loopback() && beside(waiting)) {
            Some(Waiting { service, address }) => {
                format!("{what} ({service} is bound to {address} alone, which the client end cannot reach)")
            }
            None => what,
        }
    }
    /// What becomes of a link whose server does not listen.
    fn given_up(&self, limit: Duration, has_ended: bool, missing: &str) -> Result<Option<String>, String> {
        let (when, remedy) = if has_ended {
            (
                ", and the server command has ended".to_owned(),
                "see what it printed, and whether it serves in the foreground",
            )
        } else {
            let remedy = "give it more time by --server-ready-timeout, or check the port";
            (format!(" after {} s", limit.as_secs_f64()), remedy)
        };
        match self {
            Ready::Services(_) => Err(format!("{missing}{when}, so the command was not started: {remedy}")),
            Ready::Any | Ready::Nothing => Ok(Some(format!(
                "{missing}{when}; the command starts all the same. --server-ready tcp:PORT waits for that port, \
                 --server-ready none for nothing"
            ))),
        }
    }
}

/// Waits until the server command, whose process is `server`, listens. Gives back, in words, that it does not, where
/// the command is to start all the same. `ours` are the ports that are not the server command's.
///
/// # Errors
/// Why it does not listen on what was named.
pub(super) fn await_server(
    ready: &Ready,
    limit: Duration,
    path: &LivePath,
    reaper: &mut Reaper,
    server: Pid,
    ours: &[Service],
) -> Result<Option<String>, String> {
    let deadline = Instant::now() + limit;
    loop {
        let waiting = path.namespaces.server.run(sockets::waiting).map_err(|error| error.to_string())?;
        if ready.is_met(&waiting, ours) || reaper.asked_to_end.is_some() {
            return Ok(None);
        }
        let others = reaper.collect();
        // With no error it may have left somebody behind who is about to serve.
        let has_ended = reaper.status_of(server).is_some_and(|status| !status.success() || !others);
        if has_ended || Instant::now() >= deadline {
            return ready.given_up(limit, has_ended, &ready.missing(&waiting));
        }
        reaper.wait((Instant::now() + LATENCY).min(deadline), None).map_err(|error| error.to_string())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sockets::Protocol;

    fn waiting(service: &str, address: &str) -> Waiting {
        Waiting { service: service.parse().unwrap(), address: address.parse().unwrap() }
    }

    #[test]
    fn readiness_is_read_as_people_write_it() {
        assert_eq!("any".parse(), Ok(Ready::Any));
        assert_eq!("none".parse(), Ok(Ready::Nothing));
        let services =
            vec![Service { protocol: Protocol::Tcp, port: 80 }, Service { protocol: Protocol::Udp, port: 443 }];
        assert_eq!("tcp:80,udp:443".parse(), Ok(Ready::Services(services)));
        for text in ["any", "none", "tcp:80,udp:443"] {
            assert_eq!(text.parse::<Ready>().unwrap().to_string(), text);
        }
        for (wrong, named) in [("5201", "`5201`"), ("tcp:80,", "``"), ("tcp:http", "`tcp:http`"), ("Any", "`Any`")] {
            let said = wrong.parse::<Ready>().unwrap_err();
            assert!(said.contains(named) && said.contains("tcp:5201") && said.contains("`none`"), "{said}");
        }
    }

    #[test]
    fn a_loopback_listener_is_not_ready() {
        let ready = |text: &str| text.parse::<Ready>().unwrap();
        for reached in [waiting("tcp:80", "0.0.0.0"), waiting("tcp:80", "::"), waiting("tcp:80", "198.18.0.2")] {
            assert!(ready("tcp:80").is_met(&[reached], &[]) && ready("any").is_met(&[reached], &[]));
            assert!(!ready("udp:80").is_met(&[reached], &[]) && !ready("tcp:80,tcp:81").is_met(&[reached], &[]));
            assert!(!ready("any").is_met(&[reached], &[reached.service]), "not the server command's");
        }
        assert!(ready("any").is_met(&[waiting("udp:443", "::")], &[]));
        assert!(ready("none").is_met(&[], &[]));
        for hidden in [waiting("tcp:80", "127.0.0.1"), waiting("tcp:80", "::1")] {
            assert!(!ready("tcp:80").is_met(&[hidden], &[]) && !ready("any").is_met(&[hidden], &[]));
            assert!(ready("tcp:80").missing(&[hidden]).contains("alone"), "{}", ready("tcp:80").missing(&[hidden]));
        }
        assert!(!ready("tcp:81").missing(&[waiting("tcp:80", "::1")]).contains("alone"));
    }
}
