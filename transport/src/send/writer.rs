//! A byte stream to be written, and where its next byte lies.

use crate::attribution::Place;
use crate::connection::SendStream;

/// An ordered byte stream, to be written.
#[derive(Debug)]
pub(crate) struct ByteWriter {
    pub(crate) stream: SendStream,
    /// Where its next byte lies, where that is noted.
    pub(crate) place: Option<Place>,
}

impl ByteWriter {
    /// One of a connection's streams, from its start; `place` is that of its connection.
    pub(super) fn one_of_many(stream: SendStream, place: Option<&Place>) -> ByteWriter {
        let place = place.map(|place| place.stream(stream.id()));
        ByteWriter { stream, place }
    }
}
