//! One session: one client and one workload.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use samepath_model::record::End;
use samepath_transport::book::Book;
use samepath_transport::control::{Answer, Asked, Request, ServerControl};
use samepath_transport::{Phase, Plan, Ports, Session, TransportError, clock, identity};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;

use crate::limits::Limits;
use crate::listeners::Registry;
use crate::log::Log;
use crate::shutdown::Shutdown;

/// Connections that may come at once where each is made for a message of its own.
const AT_ONCE: usize = 64;

/// How long it may take to tell a client, in a few bytes, that it gets nothing.
const FAREWELL: Duration = Duration::from_secs(2);

/// What every session knows of the server.
pub(crate) struct Context {
    pub(crate) token: String,
    /// Of each of the servers that it stands for.
    pub(crate) ports: Vec<Ports>,
    pub(crate) limits: Limits,
    pub(crate) registry: Arc<Registry>,
    /// Free sessions: a permit each.
    pub(crate) permits: Arc<Semaphore>,
    /// Bytes that the sessions have been granted.
    pub(crate) memory: AtomicU64,
    /// Where payments are recorded.
    pub(crate) book: Option<PathBuf>,
    pub(crate) log: Arc<Log>,
}

impl Context {
    /// Whether no session runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.permits.available_permits() == self.limits.sessions
    }

    /// Memory for a session's books, given back when the grant is dropped.
    fn grant(&self, bytes: u64) -> Option<Grant<'_>> {
        let limit = self.limits.memory.bytes();
        self.memory
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= limit)
            })
            .ok()
            .map(|_| Grant { context: self, bytes })
    }

    /// A slot, memory for the records, and the book of a workload that has one; or why there is no session.
    fn admit(&self, plan: &Plan, stage: Shutdown) -> Result<Admitted<'_>, String> {
        if stage > Shutdown::Running {
            return Err("the server is shutting down".into());
        }
        let slot = self.permits.clone().try_acquire_owned().map_err(|_| {
            format!("the server is full: {} sessions are running; try again later", self.limits.sessions)
        })?;
        if let Some(objection) = self.objection(plan) {
            return Err(objection);
        }
        // Only a plan that makes sense has a size.
        let grant = self.grant(plan.memory()).ok_or_else(|| {
            format!(
                "the books of this workload need {} MB, more than the server has left of its {}; send fewer messages or for a shorter time",
                plan.memory().div_ceil(1_000_000),
                self.limits.memory
            )
        })?;
        Ok(Admitted { _slot: slot, _grant: grant, book: self.open_book(plan)? })
    }

    fn open_book(&self, plan: &Plan) -> Result<Option<Book>, String> {
        let Some(keeping) = plan.workload.book() else { return Ok(None) };
        let path = self.book.as_ref().ok_or_else(|| {
            format!("this server keeps no book, which `{}` needs; start it with --book FILE", plan.workload.name())
        })?;
        Book::open(path, keeping).map(Some).map_err(|error| error.to_string())
    }

    /// Why this server does not play this plan.
    fn objection(&self, plan: &Plan) -> Option<String> {
        if let Err(error) = plan.check() {
            return Some(error.to_string());
        }
        let (needed, servers) = (plan.workload.servers(), self.ports.len());
        if usize::from(needed) > servers {
            let name = plan.workload.name();
            return Some(format!(
                "this `{name}` needs {needed} servers, each with ports of its own, and this server stands for {servers}; start \
                 it with --servers {needed}"
            ));
        }
        let limit = self.limits.duration;
        if plan.time_limit > limit {
            return Some(format!(
                "a time limit of {} is more than the {limit} that this server allows (its --max-duration)",
                plan.time_limit
            ));
        }
        None
    }
}

/// What a session has for its time.
struct Admitted<'a> {
    _slot: OwnedSemaphorePermit,
    _grant: Grant<'a>,
    book: Option<Book>,
}

struct Grant<'a> {
    context: &'a Context,
    bytes: u64,
}

impl Drop for Grant<'_> {
    fn drop(&mut self) {
        self.context.memory.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Plays what the client asked for, or refuses.
pub(crate) async fn run(
    mut control: ServerControl,
    asked: Asked,
    from: SocketAddr,
    context: &Context,
    shutdown: watch::Receiver<Shutdown>,
) {
    let plan = &asked.plan;
    let name = format!("{from}: {}, {}", plan.arm, plan.workload);
    let stage = *shutdown.borrow();
    let mut admitted = match context.admit(plan, stage) {
        Ok(admitted) => admitted,
        Err(reason) => {
            context.log.say(&format!("{name}: refused: {reason}"));
            let _ = timeout(FAREWELL, control.refuse(&reason)).await;
            return;
        }
    };
    context.log.say(&format!("{name}: begins"));
    // Around all of it: a client that reads no more keeps us waiting wherever we write.
    let lifetime = plan.time_limit.std().saturating_add(context.limits.slack.std());
    let book = admitted.book.take();
    let played = timeout(lifetime, play(&mut control, asked, context, book, shutdown))
        .await
        .unwrap_or_else(|_| Err(TransportError::Timeout("the session's time is over".into())));
    match played {
        Ok(()) => context.log.say(&format!("{name}: done")),
        Err(error) => {
            context.log.say(&format!("{name}: {error}"));
            let failed = Answer::Failed { reason: error.to_string() };
            let _ = timeout(FAREWELL, control.send(&failed)).await;
        }
    }
}

async fn play(
    control: &mut ServerControl,
    asked: Asked,
    context: &Context,
    book: Option<Book>,
    mut shutdown: watch::Receiver<Shutdown>,
) -> Result<(), TransportError> {
    let secret = identity::random();
    // Capacity for all, so that no listener waits for a session.
    let (connections_in, connections) = mpsc::channel(usize::from(asked.plan.connections()).max(AT_ONCE));
    let entry = context.registry.open(secret, &asked, connections_in);
    let plan = asked.plan;
    let ports = context.ports[..usize::from(plan.workload.servers())].to_vec();
    let (epoch_in, epoch) = watch::channel(None);
    let mut session = Session::start(plan, End::Server, connections, epoch, None, book);
    control.welcome(secret, ports).await?;
    let mut told = Phase::Waiting;
    loop {
        tokio::select! {
            request = control.request() => match request? {
                Request::Ping => control.send(&Answer::Pong { now_ns: clock::now() }).await?,
                Request::Start { epoch_ns } => {
                    epoch_in.send_replace(Some(epoch_ns));
                }
                Request::PeerWarm => session.peer_warm(),
                Request::PeerSent { messages } => session.peer_sent(messages),
                Request::Collect => {
                    drop(entry);
                    return control.report(&session.finish()).await;
                }
                Request::Hello { .. } | Request::Open { .. } => {
                    return Err(TransportError::Control("a second Hello".into()));
                }
            },
            reached = session.reach(told.next()), if told < Phase::Finished => {
                reached?;
                let before = std::mem::replace(&mut told, session.phase());
                if before < Phase::Sent && told >= Phase::Sent {
                    control.send(&Answer::Sent { messages: session.sent() }).await?;
                }
                if told != Phase::Sent {
                    control.send(&Answer::Reached(told)).await?;
                }
            }
            () = async { drop(shutdown.wait_for(|stage| *stage == Shutdown::Now).await) } => {
                return Err(TransportError::Control("the server is shutting down".into()));
            }
        }
    }
}
