//! From a message's bytes to what a byte stream is given.

use bytes::Bytes;

use super::writer::ByteWriter;
use crate::frame::{HEADER_LEN, Header, Kind};
use crate::shared::Shared;

/// The longest frame of a message that is written for latency: what a turn carries where messages compete.
pub(super) const MESSAGE_CHUNK: u64 = 16 << 10;

/// A frame whose payload is shorter than this is copied behind its header: one buffer, one record.
const COPY_BELOW: usize = 16 << 10;

impl Shared {
    /// The frame of these bytes, in as few chunks as is cheap, noted as the writer's next.
    pub(super) fn frame(&self, header: Header, writer: &mut ByteWriter, to: &mut Vec<Bytes>) {
        let Header { kind, stream, seq, offset, .. } = header;
        let len = header.len as usize;
        if let Some(place) = &mut writer.place {
            let message = (kind != Kind::Warmup).then_some(seq);
            place.enter((HEADER_LEN + len) as u64, stream, message, &mut self.log().layout);
        }
        if self.outgoing.has_compressed() && self.outgoing.content(stream, seq).coding().is_some() {
            let (header, payload) = self.compressed.frame(header);
            to.push([&header.encode()[..], &payload].concat().into());
            return;
        }
        let header = header.encode();
        if len == 0 {
            to.push(Bytes::copy_from_slice(&header));
        } else if len <= COPY_BELOW {
            let mut whole = Vec::with_capacity(HEADER_LEN + len);
            whole.extend_from_slice(&header);
            self.payload.append(stream, seq, offset, len, &mut whole);
            to.push(whole.into());
        } else {
            to.push(Bytes::copy_from_slice(&header));
            to.push(self.payload.slice(stream, seq, offset, len));
        }
    }
}
