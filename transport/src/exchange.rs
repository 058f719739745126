//! A connection for each request of the client, made as it is released, on which its response comes back.
//!
//! What becomes of one connection concerns one exchange alone: where it cannot be made, or breaks, its request has failed,
//! and the driver is told.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use samepath_model::end::End;
use samepath_model::workload::{Event, MessageId, Release};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::connection::{Connection, Dialer, Probe, Read, RecvStream, Scratch, Service};
use crate::exchanges::Answer;
use crate::frame::Decoder;
use crate::queue::{Queue, Work};
use crate::receive::grace;
use crate::send::{ByteWriter, write_message};
use crate::shared::Shared;
use crate::{TransportError, clock};

/// Makes a connection for each request that is released, until no more are.
pub(crate) async fn request_each(shared: Arc<Shared>, dialer: Dialer, mut queue: Queue) -> Result<(), TransportError> {
    let mut tasks = JoinSet::new();
    let mut under_way: HashMap<MessageId, oneshot::Sender<()>> = HashMap::new();
    let dialer = Arc::new(dialer);
    let mut is_open = true;
    while is_open || !tasks.is_empty() {
        tokio::select! {
            biased;
            Some(ended) = tasks.join_next() => {
                let ended: Result<MessageId, TransportError> = ended.map_err(std::io::Error::other)?;
                under_way.remove(&ended?);
            }
            work = queue.recv(), if is_open => match work {
                None => is_open = false,
                Some(Work::Send(release)) => {
                    let (gives_up, given_up) = oneshot::channel();
                    under_way.insert(release.id, gives_up);
                    tasks.spawn(request(shared.clone(), dialer.clone(), release, given_up));
                }
                Some(Work::Cancel(id)) => {
                    if let Some(gives_up) = under_way.remove(&id) {
                        // It fails only where the exchange is over by now.
                        let _ = gives_up.send(());
                    }
                }
            }
        }
    }
    Ok(())
}

/// One request, unless it is given up: its connection is closed then.
async fn request(
    shared: Arc<Shared>,
    dialer: Arc<Dialer>,
    release: Release,
    given_up: oneshot::Receiver<()>,
) -> Result<MessageId, TransportError> {
    let _entered = shared.exchanges.enter();
    tokio::select! {
        biased;
        Ok(()) = given_up => shared.give_up(release.id),
        done = exchange(&shared, &dialer, &release) => match done {
            Err(error) if error.is_of_a_connection() => {
                shared.exchanges.note_failure(error.kind());
                shared.log().cancelled(shared.index(release.id), clock::now());
                shared.drive(Event::Failed(release.id), clock::now());
            }
            done => done?,
        }
    }
    Ok(release.id)
}

async fn exchange(shared: &Shared, dialer: &Dialer, release: &Release) -> Result<(), TransportError> {
    let (connection, preface) = dialer.dial(release.id).await?;
    let probe = connection.probe()?;
    let (reader, mut writer) = shared.adopt(connection)?;
    let mut reader = Reading::new(reader);
    write_message(shared, &mut writer, release, Some(preface)).await?;
    while reader.read(shared, None).await? {
        if reader.has_whole {
            break;
        }
    }
    if !reader.has_whole {
        return Err(TransportError::Closed { missing: 1 });
    }
    // The response is here: what becomes of the connection is of no more interest.
    if shared.plan.workload.closes_first() == End::Server {
        while let Ok(true) = reader.read(shared, None).await {}
        await_fin(probe.as_ref()).await;
    }
    shared.exchanges.count(probe);
    let _ = writer.stream.close().await;
    Ok(())
}

/// Waits for the FIN of a peer that closes first: TLS says before it that nothing more comes, and who closes upon that
/// would be no later.
async fn await_fin(connection: Option<&Probe>) {
    const LOOK: Duration = Duration::from_millis(1);
    const LOOKS: u32 = 50;
    for _ in 0..LOOKS {
        if connection.is_none_or(Probe::peer_has_closed) {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Answers requests, each on its connection, as they come.
pub(crate) async fn answer_each(
    shared: Arc<Shared>,
    mut connections: mpsc::Receiver<Connection>,
) -> Result<(), TransportError> {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            Some(ended) = tasks.join_next() => {
                let ended: Result<(), TransportError> = ended.map_err(std::io::Error::other)?;
                ended?;
            }
            Some(connection) = connections.recv() => {
                tasks.spawn(answer(shared.clone(), connection));
            }
            // Nobody makes connections any more: the session is over.
            else => std::future::pending().await,
        }
    }
}

/// One request, and the answer to it.
async fn answer(shared: Arc<Shared>, connection: Connection) -> Result<(), TransportError> {
    let _entered = shared.exchanges.enter();
    let (answers, mut answer) = mpsc::unbounded_channel();
    let probe = connection.probe()?;
    let (reader, mut writer) = shared.adopt(connection)?;
    let mut reader = Reading::new(reader);
    let ended = loop {
        tokio::select! {
            read = reader.read(&shared, Some(&answers)) => match read {
                Ok(true) => {}
                ended => break ended.map(drop),
            },
            Some((release, written)) = answer.recv() => {
                if let Err(error) = write_message(&shared, &mut writer, &release, None).await {
                    break Err(error);
                }
                let _ = written.send(());
                if shared.plan.workload.closes_first() == End::Server {
                    let _ = writer.stream.close().await;
                }
            }
        }
    };
    if shared.plan.workload.closes_first() == End::Client {
        await_fin(probe.as_ref()).await;
    }
    shared.exchanges.count(probe);
    if let Some(id) = reader.id {
        shared.exchanges.answers().remove(&id);
    }
    if !reader.has_whole {
        shared.enter(clock::now(), |sink| sink.given_up(reader.id.map(|id| (id.stream, id.seq))))?;
    }
    match ended {
        Err(error) if error.is_of_a_connection() => Ok(()),
        ended => ended,
    }
}

/// Hands each answer to the connection that its request came on.
pub(crate) async fn route_answers(shared: Arc<Shared>, mut queue: Queue) -> Result<(), TransportError> {
    let mut writing = JoinSet::new();
    while let Some(work) = queue.recv().await {
        let Work::Send(release) = work else { continue };
        let (written, is_written) = oneshot::channel();
        let of = release.by.and_then(|request| shared.exchanges.answers().get(&request).cloned());
        match of {
            Some(answers) if answers.send((release, written)).is_ok() => {
                writing.spawn(is_written);
            }
            // Its connection has ended.
            _ => shared.drive(Event::Failed(release.id), clock::now()),
        }
        while writing.try_join_next().is_some() {}
    }
    while writing.join_next().await.is_some() {}
    Ok(())
}

/// What is read of a connection: one message.
struct Reading {
    stream: RecvStream,
    scratch: Scratch,
    decoder: Decoder,
    /// The message, once it has begun.
    id: Option<MessageId>,
    has_whole: bool,
}

impl Reading {
    fn new(stream: RecvStream) -> Reading {
        Reading { scratch: stream.scratch(), stream, decoder: Decoder::default(), id: None, has_whole: false }
    }

    /// Reads what is there, and notes it; `false` at the end of the connection. Whoever writes an answer is entered by
    /// `answers` before the driver is told of the request.
    async fn read(
        &mut self,
        shared: &Shared,
        answers: Option<&mpsc::UnboundedSender<Answer>>,
    ) -> Result<bool, TransportError> {
        if self.stream.read(&mut self.scratch).await? != Read::Bytes {
            return Ok(false);
        }
        let now = clock::now();
        let direction = shared.end.outgoing().opposite();
        let (decoder, scratch) = (&mut self.decoder, &self.scratch);
        let (mut id, mut whole) = (self.id, self.has_whole);
        shared.enter(now, |sink| {
            sink.reads += 1;
            for mut bytes in scratch.pieces() {
                while let Some(piece) = decoder.next(&mut bytes)? {
                    let message = MessageId { direction, stream: piece.header.stream, seq: piece.header.seq };
                    if id.is_none()
                        && let Some(answers) = answers
                    {
                        shared.exchanges.answers().insert(message, answers.clone());
                    }
                    id = Some(message);
                    whole |= sink.ordered(&piece, now)?;
                }
            }
            Ok(())
        })?;
        (self.id, self.has_whole) = (id, whole);
        Ok(true)
    }
}

/// Ends the waiting for messages of connections that were closed before anything of them had come.
pub(crate) async fn await_stragglers(shared: Arc<Shared>) -> Result<(), TransportError> {
    let mut peer_sent = shared.peer_sent.clone();
    if peer_sent.wait_for(Option::is_some).await.is_err() {
        return Ok(());
    }
    let told = clock::now();
    let grace = grace(&shared.plan);
    let mut timer = clock::Timer::new()?;
    loop {
        let last = shared.enter(clock::now(), |sink| Ok(sink.last_arrival()))?;
        let until = last.max(told) + grace;
        timer.until(until.max(clock::now() + grace / 8)).await?;
        if clock::now() >= until && shared.exchanges.under_way() == 0 {
            return shared.enter(clock::now(), |sink| {
                sink.end_after(0);
                Ok(())
            });
        }
    }
}

impl Shared {
    /// Takes a connection that serves one exchange: what it offers to read and to write.
    fn adopt(&self, connection: Connection) -> Result<(RecvStream, ByteWriter), TransportError> {
        self.watch_exchange(&connection)?;
        let place = self.place(&connection)?;
        match connection.split(&self.plan, true, true) {
            (Some(Service::Stream(stream)), Some(Service::Stream(reader))) => {
                Ok((reader, ByteWriter { stream, place }))
            }
            _ => unreachable!("a connection a message is one byte stream"),
        }
    }
}
