//! Release of messages at their scheduled times, into the queues of what writes them.

use std::sync::Arc;

use samepath_model::workload::Message;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::session::Shared;
use crate::{TransportError, clock};

pub(super) type Queue = UnboundedReceiver<Message>;

/// Puts each message into its writer's queue at its time.
pub(super) async fn release(shared: Arc<Shared>, queues: Vec<UnboundedSender<Message>>) -> Result<(), TransportError> {
    let epoch = shared.epoch().await;
    let mut timer = clock::Timer::new()?;
    for message in shared.plan.workload.schedule() {
        timer.until(epoch + message.release.as_nanos()).await?;
        let writer = if queues.len() == 1 { 0 } else { usize::from(message.stream) };
        // It fails only where the writer failed, which says so itself.
        let _ = queues[writer].send(message);
    }
    Ok(())
}
