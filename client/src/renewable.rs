//! The control connection of a session: of one that outlives its server, made again with the next.

use std::net::SocketAddr;
use std::time::Duration;

use samepath_transport::control::{self, Answer, ClientControl, ClockOffset, Request};
use samepath_transport::identity::Pin;
use samepath_transport::{Plan, SessionReport, TransportError};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long fetching the server's report may take.
const REPORT_LIMIT: Duration = Duration::from_secs(30);

/// After how long it is tried again whether a server is there.
const AGAIN: Duration = Duration::from_millis(10);

/// The control connection.
pub(crate) struct RenewableControl {
    state: State,
    /// How it is made again; `None` where the session ends with it.
    again: Option<Again>,
    /// The offset of the server's clock.
    pub(crate) offset: ClockOffset,
}

enum State {
    Up(Box<ClientControl>),
    Making(JoinSet<(ClientControl, ClockOffset)>),
}

/// What it takes to go on with another server.
#[derive(Clone)]
pub(crate) struct Again {
    /// Where it may be.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The shared secret, by which it is known: it has another certificate.
    pub(crate) token: String,
    /// What is played.
    pub(crate) plan: Plan,
    /// The start of the schedule.
    pub(crate) epoch: u64,
}

/// What comes on it.
pub(crate) enum Received {
    /// Something that the server says.
    Answer(Answer),
    /// Another server has taken the place of one that is gone, and knows nothing yet but the plan and its start.
    Renewed,
}

impl RenewableControl {
    pub(crate) fn new(control: ClientControl, offset: ClockOffset) -> RenewableControl {
        RenewableControl { state: State::Up(Box::new(control)), again: None, offset }
    }

    /// Has it made again from here on, as often as the server goes.
    pub(crate) fn outlive(&mut self, again: Again) {
        self.again = Some(again);
    }

    /// Its end, while there is a server.
    pub(crate) const fn current(&self) -> Option<&ClientControl> {
        match &self.state {
            State::Up(control) => Some(control),
            State::Making(_) => None,
        }
    }

    /// Sends a request; the next server, where this one is gone, is told all anew.
    pub(crate) async fn send(&mut self, request: &Request) -> Result<(), TransportError> {
        let State::Up(control) = &mut self.state else { return Ok(()) };
        match control.send(request).await {
            Err(TransportError::Gone) if self.again.is_some() => Ok(()),
            sent => sent,
        }
    }

    /// The next thing that comes. Cancel-safe.
    pub(crate) async fn receive(&mut self) -> Result<Received, TransportError> {
        loop {
            match &mut self.state {
                State::Up(control) => match (control.answer().await, &self.again) {
                    (Err(TransportError::Gone), Some(again)) => {
                        let mut making = JoinSet::new();
                        making.spawn(again.clone().make());
                        self.state = State::Making(making);
                    }
                    (answer, _) => return answer.map(Received::Answer),
                },
                State::Making(making) => {
                    let made = making.join_next().await.ok_or(TransportError::Gone)?;
                    let (control, offset) = made.map_err(std::io::Error::other)?;
                    (self.state, self.offset) = (State::Up(Box::new(control)), offset);
                    return Ok(Received::Renewed);
                }
            }
        }
    }

    /// The server's report; `None` of one that is gone, where the session outlives it.
    pub(crate) async fn collect(self) -> Result<Option<SessionReport>, TransportError> {
        let State::Up(control) = self.state else { return Ok(None) };
        let report = timeout(REPORT_LIMIT, control.collect())
            .await
            .map_err(|_| TransportError::Timeout("the server did not hand over its report within 30 s".into()))?;
        match report {
            Err(TransportError::Gone) if self.again.is_some() => Ok(None),
            report => report.map(Some),
        }
    }
}

impl Again {
    /// Opens a session with the next server, as soon as there is one; it has started when this comes back.
    async fn make(self) -> (ClientControl, ClockOffset) {
        loop {
            match self.attempt().await {
                Ok(made) => return made,
                // It is not up yet. How long that may last, the session's end says.
                Err(_) => sleep(AGAIN).await,
            }
        }
    }

    async fn attempt(&self) -> Result<(ClientControl, ClockOffset), TransportError> {
        let mut control = control::connect(&self.addresses, Pin::ProvenByToken, &self.token, &self.plan).await?;
        let offset = control.clock_offset().await?;
        control.send(&Request::Start { epoch_ns: offset.to_server(self.epoch) }).await?;
        control.settle().await?;
        Ok((control, offset))
    }
}
