//! The objects of a web page: how many and how large, and which names which.
//!
//! Numbers and sizes are the medians of desktop home pages (HTTP Archive, Web Almanac 2025). Nobody has published how
//! deep pages are: HTML names stylesheets, scripts and images; those name fonts, more images and data; and then come
//! beacons.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::draw;
use super::super::message::MessageId;
use super::super::size::{LogNormal, Size};
use crate::link::Direction;
use crate::units::ByteCount;

/// What of the HTML comes first, and whatever it names is requested before the rest is here: what fits an initial window
/// of ten segments (RFC 6928) on every transport, beside what QUIC's handshake has left in it.
pub(super) const FIRST_OF_HTML: ByteCount = ByteCount::new(12_000);

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The document, which comes in two parts where it is long.
    Html,
    /// A stylesheet.
    Css,
    /// A script.
    Script,
    /// An image.
    Image,
    /// A font.
    Font,
    /// What scripts ask for: data, video.
    Data,
    /// What is sent to be counted, with next to no answer.
    Beacon,
}

/// An object of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its size.
    pub bytes: ByteCount,
    /// The object that names it; `None` for the HTML.
    pub named_by: Option<u32>,
}

/// What a page is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "`contents` is `full`, `inner`, `small`, or { html = \"22kB\", images = { count = 19, bytes = \"1MB\" } }, with \
                 css, scripts, fonts, data, beacons likewise"
)]
pub enum Contents {
    /// The median of a kind of page.
    Named(Named),
    /// Its objects one kind after the other.
    Own(Own),
}

/// Pages by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Named {
    /// The median home page: 78 requests, 2.86 MB.
    Full,
    /// The median inner page: 71 requests, 1.87 MB, of the same kinds.
    Inner,
    /// A quarter of the requests and a sixth of the bytes, for short trials.
    Small,
}

/// Objects, one kind after the other; a kind that is left out has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Own {
    /// Size of the HTML.
    pub html: ByteCount,
    /// Stylesheets.
    pub css: Group,
    /// Scripts.
    pub scripts: Group,
    /// Images.
    pub images: Group,
    /// Fonts.
    pub fonts: Group,
    /// Data and video that scripts ask for.
    pub data: Group,
    /// Beacons.
    pub beacons: Group,
}

/// Objects of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Group {
    /// How many.
    pub count: u32,
    /// Their sizes together, divided among them by the seed.
    pub bytes: ByteCount,
}

const fn group(count: u32, bytes: u64) -> Group {
    Group { count, bytes: ByteCount::new(bytes) }
}

impl Contents {
    /// Its objects by kind.
    pub const fn own(&self) -> Own {
        match self {
            // Beacons are some of the 22 requests that are none of the other kinds: half of them, of 200 B each.
            Contents::Named(Named::Full) => Own {
                html: ByteCount::new(22_000),
                css: group(8, 82_000),
                scripts: group(22, 697_000),
                images: group(19, 1_058_000),
                fonts: group(4, 139_000),
                data: group(12, 861_600),
                beacons: group(12, 2_400),
            },
            Contents::Named(Named::Inner) => Own {
                html: ByteCount::new(22_000),
                css: group(8, 54_000),
                scripts: group(20, 455_000),
                images: group(17, 691_000),
                fonts: group(4, 91_000),
                data: group(10, 554_800),
                beacons: group(11, 2_200),
            },
            Contents::Named(Named::Small) => Own {
                html: ByteCount::new(22_000),
                css: group(2, 14_000),
                scripts: group(5, 110_000),
                images: group(5, 170_000),
                fonts: group(1, 23_000),
                data: group(3, 137_400),
                beacons: group(3, 600),
            },
            Contents::Own(own) => *own,
        }
    }

    /// Its objects, in the order in which the page names them; the HTML comes first, in one part or two.
    pub fn objects(&self, seed: u64) -> Vec<Object> {
        let own = self.own();
        let mut all = Vec::new();
        let mut add = |kind, bytes, named_by| {
            all.push(Object { kind, bytes, named_by });
            all.len() as u32 - 1
        };
        let first = add(Kind::Html, own.html.min(FIRST_OF_HTML), None);
        let rest = match own.html.bytes().saturating_sub(FIRST_OF_HTML.bytes()) {
            0 => first,
            rest => add(Kind::Html, ByteCount::new(rest), None),
        };
        // The head of the HTML names stylesheets, half of the scripts and the largest image; its body the other half,
        // and half of the images.
        let mut parts = |kind, group: Group, by: &dyn Fn(u32) -> u32| -> Vec<u32> {
            let sizes = sizes(kind, group, seed);
            (0..).zip(sizes).map(|(n, bytes)| add(kind, bytes, Some(by(n)))).collect()
        };
        let in_turn = |of: &[u32], n: u32| of.get(n as usize % of.len().max(1)).copied();
        let css = parts(Kind::Css, own.css, &|_| first);
        let scripts =
            parts(Kind::Script, own.scripts, &|n| if n < own.scripts.count.div_ceil(2) { first } else { rest });
        let of_html = own.images.count.div_ceil(2);
        let code: Vec<u32> = css.iter().chain(&scripts).copied().collect();
        let images = parts(Kind::Image, own.images, &|n| match n {
            0 => first,
            n if n < of_html => rest,
            n => in_turn(&code, n).unwrap_or(rest),
        });
        let fonts = parts(Kind::Font, own.fonts, &|n| in_turn(&css, n).unwrap_or(rest));
        let data = parts(Kind::Data, own.data, &|n| in_turn(&scripts, n).unwrap_or(rest));
        let late: Vec<u32> = fonts.iter().chain(images.iter().skip(of_html as usize)).chain(&data).copied().collect();
        parts(Kind::Beacon, own.beacons, &|n| in_turn(&late, n).or(in_turn(&scripts, n)).unwrap_or(rest));
        all
    }
}

/// Sizes that together are those of the group: drawn from the log-normal distribution of their kind, and scaled; of
/// images the largest comes first.
fn sizes(kind: Kind, group: Group, seed: u64) -> Vec<ByteCount> {
    let drawn = |median, p99| Size::LogNormal(LogNormal { median: ByteCount::new(median), p99: ByteCount::new(p99) });
    // From the median and the 90th percentile of a response. Of stylesheets and data there is none: as scripts.
    let size = match kind {
        Kind::Image => drawn(8_000, 2_130_000),
        Kind::Font => drawn(23_000, 235_000),
        Kind::Html | Kind::Beacon => drawn(200, 200),
        Kind::Css | Kind::Script | Kind::Data => drawn(4_600, 969_000),
    };
    let name = |seq| MessageId { direction: Direction::Down, stream: kind as u16, seq };
    let mut draws: Vec<u64> = (0..group.count).map(|n| size.of(seed ^ SIZES, name(n))).collect();
    if kind == Kind::Image {
        draws.sort_unstable_by(|a, b| b.cmp(a));
        // The others in an order that their sizes do not decide.
        draws.get_mut(1..).unwrap_or_default().sort_by_cached_key(|draw| draw::bits(seed ^ *draw, name(0)));
    }
    let all = u128::from(draws.iter().sum::<u64>().max(1));
    let up_to = |sum: u64| (u128::from(group.bytes.bytes()) * u128::from(sum) / all) as u64;
    let mut sum = 0;
    let share = |draw: u64| {
        let before = up_to(sum);
        sum += draw;
        ByteCount::new((up_to(sum) - before).max(1))
    };
    draws.into_iter().map(share).collect()
}

/// Sets the draws of a page apart from others.
const SIZES: u64 = 0x7061_6765_5f6f_626a;

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Own { html, css, scripts, images, fonts, data, beacons } = self.own();
        let groups = [css, scripts, images, fonts, data, beacons];
        let requests = 1 + groups.iter().map(|group| group.count).sum::<u32>();
        let bytes = html.bytes() + groups.iter().map(|group| group.bytes.bytes()).sum::<u64>();
        write!(f, "{requests} requests, {}", ByteCount::new(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_what_its_table_says() {
        for (named, requests, bytes) in [(Named::Full, 78, 2_862_000), (Named::Inner, 71, 1_870_000)] {
            let page = Contents::Named(named);
            for seed in 1..20 {
                let all = page.objects(seed);
                assert_eq!(all.len(), requests + 1, "the HTML comes in two parts");
                let sum: u64 = all.iter().map(|object| object.bytes.bytes()).sum();
                assert!((bytes..bytes + 20).contains(&sum), "{sum} bytes");
                assert_eq!(all, page.objects(seed));
                let images = || all.iter().filter(|object| object.kind == Kind::Image);
                let largest = images().map(|image| image.bytes).max();
                assert_eq!(
                    images().next().map(|image| (image.bytes, image.named_by)),
                    largest.map(|size| (size, Some(0)))
                );
            }
            assert_ne!(page.objects(1), page.objects(2));
        }
    }

    #[test]
    fn objects_are_named_before_they_come() {
        let depth = |all: &[Object], mut at: u32| {
            let mut depth = 0;
            while let Some(by) = all[at as usize].named_by {
                assert!(by < at);
                (at, depth) = (by, depth + 1);
            }
            depth
        };
        let all = Contents::Named(Named::Full).objects(3);
        let deepest = |kind| (0..).zip(&all).filter(|(_, o)| o.kind == kind).map(|(n, _)| depth(&all, n)).max();
        let depths =
            [Kind::Html, Kind::Css, Kind::Script, Kind::Image, Kind::Font, Kind::Data, Kind::Beacon].map(deepest);
        assert_eq!(depths, [0, 1, 1, 2, 2, 2, 3].map(Some));
    }
}
