//! When the objects of a `page` were there, from the records of its messages.

use std::collections::HashMap;
use std::ops::Range;

use crate::link::Direction;
use crate::record::{Instant, MessageRecord};
use crate::workload::page::{Kind, Object};
use crate::workload::{MessageId, Page, StreamId};

/// The load of a page in a trial, or in a session between two machines. Times count from the start of the schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageLoad {
    /// Its objects by their numbers, each with when it was there whole; `None` where it never was.
    pub objects: Vec<(Object, Option<Instant>)>,
    /// Requests on the critical path: the chain, each released by the answer to the one before, that the object which
    /// came last ends.
    pub path: u32,
}

impl PageLoad {
    /// That of the page which this seed makes, on these streams.
    pub fn of(page: &Page, seed: u64, streams: Range<StreamId>, messages: &[MessageRecord]) -> PageLoad {
        let own: HashMap<MessageId, &MessageRecord> =
            messages.iter().filter(|m| streams.contains(&m.stream)).map(|m| (m.id(), m)).collect();
        let down = || own.values().filter(|message| message.direction == Direction::Down);
        let came: HashMap<u32, Instant> = down().filter_map(|m| Some((m.seq, m.delivered?))).collect();
        let objects: Vec<_> =
            (0..).zip(page.objects(seed)).map(|(n, object)| (object, came.get(&n).copied())).collect();
        let mut path = 0;
        let mut at = down().filter(|m| m.delivered.is_some()).max_by_key(|m| (m.delivered, m.seq)).copied();
        while let Some(message) = at {
            path += u32::from(message.direction == Direction::Up);
            at = message.released_by.and_then(|by| own.get(&by)).copied();
        }
        PageLoad { objects, path }
    }

    /// When all objects of these kinds were there; `None` where there is none, or one never was.
    pub fn all_of(&self, kinds: &[Kind]) -> Option<Instant> {
        let own = self.objects.iter().filter(|(object, _)| kinds.contains(&object.kind));
        own.map(|(_, at)| *at).collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// When the first object beside the HTML was there.
    pub fn first_object(&self) -> Option<Instant> {
        self.objects.iter().filter(|(object, _)| object.kind != Kind::Html).filter_map(|(_, at)| *at).min()
    }

    /// When the largest image was there.
    pub fn largest_image(&self) -> Option<Instant> {
        let images = self.objects.iter().filter(|(object, _)| object.kind == Kind::Image);
        // Of several as large, the first.
        images.rev().max_by_key(|(object, _)| object.bytes)?.1
    }

    /// When everything was there.
    pub fn whole(&self) -> Option<Instant> {
        let all = self.objects.iter().map(|(_, at)| *at).collect::<Option<Vec<_>>>()?;
        all.into_iter().max()
    }
}
