//! Queues from an end's driver to what writes its messages.

use samepath_model::arm::{Connections, OrderingDomain};
use samepath_model::workload::{Class, MessageId, Release, Table};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::plan::Plan;

/// What a writer is told.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    /// A message was released.
    Send(Release),
    /// One that was released before is withdrawn, unless it was begun.
    Cancel(MessageId),
}

/// The writer's end of a queue.
pub(crate) type Queue = UnboundedReceiver<Work>;

/// The driver's ends of all queues.
#[derive(Debug, Clone)]
pub(crate) struct Queues {
    senders: Vec<UnboundedSender<Work>>,
    /// The queue of each stream.
    of_stream: Vec<u16>,
}

impl Queues {
    /// A queue for each writer of these messages.
    pub(crate) fn new(plan: &Plan, table: &Table) -> (Queues, Vec<Option<Queue>>) {
        let of_stream: Vec<u16> = match table.is_empty() {
            true => Vec::new(),
            false => (0..table.streams()).map(|stream| queue_of(plan, table, stream)).collect(),
        };
        let n = of_stream.iter().max().map_or(0, |last| last + 1);
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..n).map(|_| unbounded_channel()).unzip();
        (Queues { senders, of_stream }, receivers.into_iter().map(Some).collect())
    }

    /// Hands a message to what writes it.
    pub(crate) fn send(&self, release: Release) {
        self.put(release.id, Work::Send(release));
    }

    /// Withdraws one.
    pub(crate) fn cancel(&self, id: MessageId) {
        self.put(id, Work::Cancel(id));
    }

    fn put(&self, id: MessageId, work: Work) {
        if let Some(sender) = self.of_stream.get(usize::from(id.stream)).map(|n| &self.senders[usize::from(*n)]) {
            // It fails only where the writer failed, which says so itself.
            let _ = sender.send(work);
        }
    }
}

/// The queue of messages that have a QUIC stream or a connection each, and of datagrams that are written for latency.
pub(crate) const FIRST: u16 = 0;
/// The queue of datagrams that are written for throughput.
pub(crate) const DATAGRAM_TRANSFERS: u16 = 1;

/// Which queue a stream's messages go to: one for each writer.
pub(crate) fn queue_of(plan: &Plan, table: &Table, stream: u16) -> u16 {
    let is_transfer = table.class(stream) == Some(Class::Throughput);
    if plan.arm.connections == Connections::PerMessage {
        return FIRST;
    }
    if plan.workload.servers() > 1 {
        // Each has a connection, and a stream.
        return plan.workload.server_of(stream);
    }
    match plan.arm.ordering {
        OrderingDomain::Connection => FIRST,
        OrderingDomain::Stream => stream,
        // A stream of one large message has a QUIC stream for it either way.
        OrderingDomain::Message if is_transfer => stream + 1,
        OrderingDomain::Nothing if is_transfer => DATAGRAM_TRANSFERS,
        OrderingDomain::Message | OrderingDomain::Nothing => FIRST,
    }
}
