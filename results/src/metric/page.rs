//! Figures of a page's load, from a trial's messages.

use std::ops::Range;

use samepath_model::page_load::PageLoad;
use samepath_model::record::{MessageRecord, NameLookup, TrialRecord};
use samepath_model::workload::StreamId;
use samepath_model::workload::page::{Kind, Page};
use samepath_model::{Trial, Workload};

use super::definition::{Better, Metric, PLAIN, Unit, of_workload};

/// The metrics of a page's load.
pub(crate) const METRICS: &[&Metric] = &[
    &LOOKUP,
    &LOOKUP_TRIES,
    &HTML,
    &FIRST_OBJECT,
    &CSS,
    &SCRIPTS,
    &FONTS,
    &IMAGES,
    &LARGEST_IMAGE,
    &LOAD,
    &PATH_REQUESTS,
];

const TIME: Metric = Metric { unit: Unit::Millis, better: Some(Better::Lower), ..PLAIN };

/// From the start of the schedule until the response to the lookup of the server's name was there.
pub(crate) const LOOKUP: Metric = Metric {
    name: "name_lookup_ms",
    label: "name lookup",
    of: |t| lookup(t).filter(|lookup| lookup.answered).map(|lookup| lookup.took_ns as f64 / 1e6),
    ..TIME
};

/// Queries of it that were sent, whether one was answered or none.
pub(crate) const LOOKUP_TRIES: Metric = Metric {
    name: "name_lookup_tries",
    label: "queries of the name",
    better: Some(Better::Lower),
    of: |t| lookup(t).map(|lookup| f64::from(lookup.tries)),
    head: Some("queries of\nthe name"),
    changes: ("fewer", "more"),
    ..PLAIN
};

fn lookup(record: &TrialRecord) -> Option<NameLookup> {
    record.summary.as_ref()?.name_lookup
}

/// From the start of the schedule until the HTML was there whole.
const HTML: Metric = Metric { name: "html_ms", label: "HTML", of: |t| of_workload(t, HTML.name), ..TIME };

/// Until the first object beside the HTML was.
const FIRST_OBJECT: Metric =
    Metric { name: "first_object_ms", label: "first object", of: |t| of_workload(t, FIRST_OBJECT.name), ..TIME };

/// Until all stylesheets were: before that a browser shows nothing.
pub(crate) const CSS: Metric =
    Metric { name: "stylesheets_ms", label: "stylesheets", of: |t| of_workload(t, CSS.name), ..TIME };

/// Until all scripts were.
const SCRIPTS: Metric = Metric { name: "scripts_ms", label: "scripts", of: |t| of_workload(t, SCRIPTS.name), ..TIME };

/// Until all fonts were.
const FONTS: Metric = Metric { name: "fonts_ms", label: "fonts", of: |t| of_workload(t, FONTS.name), ..TIME };

/// Until all images were.
const IMAGES: Metric = Metric { name: "images_ms", label: "images", of: |t| of_workload(t, IMAGES.name), ..TIME };

/// Until the largest image was, which stands for the largest contentful paint.
pub(crate) const LARGEST_IMAGE: Metric =
    Metric { name: "largest_image_ms", label: "largest image", of: |t| of_workload(t, LARGEST_IMAGE.name), ..TIME };

/// Until everything was.
pub(crate) const LOAD: Metric =
    Metric { name: "page_load_ms", label: "whole page", of: |t| of_workload(t, LOAD.name), ..TIME };

/// Requests on the critical path of the object that came last.
pub(crate) const PATH_REQUESTS: Metric = Metric {
    name: "critical_path_requests",
    label: "requests on the critical path",
    of: |t| of_workload(t, PATH_REQUESTS.name),
    head: Some("requests on the\ncritical path"),
    ..PLAIN
};

/// The figures of a trial, from its messages.
pub(crate) fn figures(trial: &Trial, messages: &[MessageRecord]) -> Vec<(&'static Metric, f64)> {
    match trial.workload.scored() {
        Workload::Page(page) => of_load(page, trial.seed, trial.workload.scored_streams(), messages),
        _ => Vec::new(),
    }
}

fn of_load(
    page: &Page,
    seed: u64,
    streams: Range<StreamId>,
    messages: &[MessageRecord],
) -> Vec<(&'static Metric, f64)> {
    let load = PageLoad::of(page, seed, streams, messages);
    let times = [
        (&HTML, load.all_of(&[Kind::Html])),
        (&FIRST_OBJECT, load.first_object()),
        (&CSS, load.all_of(&[Kind::Css])),
        (&SCRIPTS, load.all_of(&[Kind::Script])),
        (&FONTS, load.all_of(&[Kind::Font])),
        (&IMAGES, load.all_of(&[Kind::Image])),
        (&LARGEST_IMAGE, load.largest_image()),
        (&LOAD, load.whole()),
    ];
    let times = times.into_iter().filter_map(|(metric, at)| Some((metric, at? as f64 / 1e6)));
    let path = load.whole().map(|_| (&PATH_REQUESTS, f64::from(load.path)));
    times.chain(path).collect()
}

#[cfg(test)]
mod tests {
    use samepath_model::workload::MessageId;
    use samepath_model::workload::page::{Contents, Group, Own};
    use samepath_model::{ByteCount, Direction};

    use super::*;

    fn message(direction: Direction, stream: u16, seq: u32, by: Option<MessageId>, at: Option<i64>) -> MessageRecord {
        MessageRecord {
            flow: 0,
            direction,
            stream,
            seq,
            size: 100,
            released: 0,
            released_by: by,
            deadline: None,
            attempt: 1,
            cancelled: None,
            sent: Some(0),
            delivered: at.map(|ms| ms * 1_000_000),
            received: 100,
            coded: None,
        }
    }

    #[test]
    fn a_load_is_reckoned_by_hand() {
        let group = |count, bytes| Group { count, bytes: ByteCount::new(bytes) };
        let own = Own { html: ByteCount::new(2_000), css: group(1, 500), images: group(2, 9_000), ..Own::default() };
        let page = Page { contents: Contents::Own(own), ..Page::default() };
        let id = |direction, stream, seq| Some(MessageId { direction, stream, seq });
        let (up, down) = (Direction::Up, Direction::Down);
        // The stylesheet (1) and the larger image (2) are named by the HTML (0), the other (3) by the stylesheet.
        let mut messages = [
            message(up, 0, 0, None, Some(30)),
            message(down, 0, 0, id(up, 0, 0), Some(60)),
            message(up, 0, 1, id(down, 0, 0), Some(90)),
            message(up, 1, 2, id(down, 0, 0), Some(90)),
            message(down, 0, 1, id(up, 0, 1), Some(120)),
            message(down, 1, 2, id(up, 1, 2), Some(190)),
            message(up, 0, 3, id(down, 0, 1), Some(150)),
            message(down, 0, 3, id(up, 0, 3), Some(180)),
        ];
        let figure = |messages: &[MessageRecord], metric: &Metric| {
            of_load(&page, 1, 0..100, messages).iter().find(|(of, _)| *of == metric).map(|(_, value)| *value)
        };
        let times = [&HTML, &FIRST_OBJECT, &CSS, &SCRIPTS, &IMAGES, &LARGEST_IMAGE, &LOAD, &PATH_REQUESTS];
        let expected = [60.0, 120.0, 120.0, f64::NAN, 190.0, 190.0, 190.0, 2.0];
        for (metric, expected) in times.into_iter().zip(expected) {
            assert_eq!(figure(&messages, metric), Some(expected).filter(|value| !value.is_nan()), "{}", metric.name);
        }
        messages[7].delivered = Some(210_000_000);
        assert_eq!((figure(&messages, &LOAD), figure(&messages, &PATH_REQUESTS)), (Some(210.0), Some(3.0)));
        messages[5].delivered = None;
        for missing in [&IMAGES, &LARGEST_IMAGE, &LOAD, &PATH_REQUESTS] {
            assert_eq!(figure(&messages, missing), None, "{}", missing.name);
        }
    }
}
