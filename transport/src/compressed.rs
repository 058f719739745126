//! Compressed messages on their way: what is to be sent of them, and what has arrived.

use std::collections::HashMap;
use std::sync::Mutex;

use bytes::Bytes;
use samepath_model::workload::{MessageId, StreamId};

use crate::frame::{Header, Kind};

/// A compressed message that has arrived whole.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) stream: StreamId,
    pub(crate) seq: u32,
    /// Bytes of its content.
    pub(crate) content: u64,
    pub(crate) coded: Vec<u8>,
}

/// What compressed messages cross the wire as, from when they are compressed until their last frame is made.
#[derive(Debug, Default)]
pub(crate) struct Compressed(Mutex<HashMap<(StreamId, u32), Bytes>>);

impl Compressed {
    /// Puts in what a message was compressed to.
    pub(crate) fn insert(&self, id: MessageId, coded: Bytes) {
        self.0.lock().expect("no panic while held").insert((id.stream, id.seq), coded);
    }

    /// The payload of a frame, and the frame's header, which says where it is the message's last.
    pub(crate) fn frame(&self, header: Header) -> (Header, Bytes) {
        let mut all = self.0.lock().expect("no panic while held");
        let of = (header.stream, header.seq);
        let coded = all.get(&of).expect("it is compressed before it is handed to what writes it");
        let (from, to) = (header.offset as usize, header.offset as usize + header.len as usize);
        let payload = coded.slice(from..to);
        if to < coded.len() {
            return (header, payload);
        }
        all.remove(&of);
        (Header { kind: Kind::End, ..header }, payload)
    }
}
