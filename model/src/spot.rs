//! Where in an experiment's file something stands, so that a mistake that shows only once all is read
//! can still be told with its line.

use toml::de::{DeTable, DeValue};

/// One step into a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A key of a table.
    Key(String),
    /// A place in a list, from 0.
    Item(usize),
}

/// The steps from the top of a file to something in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spot(Vec<Step>);

impl Spot {
    /// What stands at this key of the top table.
    pub(crate) fn key(name: &str) -> Spot {
        Spot::default().then(name)
    }

    /// What stands at this key in the table here.
    #[must_use]
    pub(crate) fn then(mut self, name: &str) -> Spot {
        self.0.push(Step::Key(name.to_owned()));
        self
    }

    /// What stands at this place of the list here.
    #[must_use]
    pub(crate) fn item(mut self, place: usize) -> Spot {
        self.0.push(Step::Item(place));
        self
    }

    /// These steps, and the others from there.
    #[must_use]
    pub(crate) fn join(mut self, further: Spot) -> Spot {
        self.0.extend(further.0);
        self
    }

    /// The keys on the way, from the top; places in lists are left out.
    pub fn keys(&self) -> Vec<&str> {
        let keys = self.0.iter().filter_map(|step| match step {
            Step::Key(name) => Some(name.as_str()),
            Step::Item(_) => None,
        });
        keys.collect()
    }

    /// The line, from 1, on which this stands in `text`; where the way there is not written out, that of
    /// the last step that is. Where it leads to a table, the line of the first of its keys that `problem`
    /// names, if any. `None` where nothing of it is in the text.
    pub(crate) fn line(&self, text: &str, problem: &str) -> Option<usize> {
        let document = DeTable::parse(text).ok()?;
        let (mut inner, mut found) = (Inner::Table(document.get_ref()), None);
        for step in &self.0 {
            let next = match (step, &inner) {
                (Step::Key(name), Inner::Table(table)) => entry(table, name),
                (Step::Item(place), Inner::Value(DeValue::Array(items))) => {
                    items.get(*place).map(|item| (item.span().start, item.get_ref()))
                }
                _ => None,
            };
            let Some((at, value)) = next else { break };
            found = Some(at);
            inner = value.as_table().map_or(Inner::Value(value), Inner::Table);
        }
        if let Inner::Table(table) = inner {
            found = quoted(problem).find_map(|name| deep(table, name)).or(found);
        }
        found.map(|at| text[..at].matches('\n').count() + 1)
    }
}

/// What a step led to.
enum Inner<'a> {
    Table(&'a DeTable<'a>),
    Value(&'a DeValue<'a>),
}

/// Where a key of the table stands, and its value.
fn entry<'a>(table: &'a DeTable<'a>, name: &str) -> Option<(usize, &'a DeValue<'a>)> {
    table.iter().find(|(key, _)| key.get_ref() == name).map(|(key, value)| (key.span().start, value.get_ref()))
}

/// Where the key stands in the table or in one within it.
fn deep(table: &DeTable<'_>, name: &str) -> Option<usize> {
    let within = || table.iter().find_map(|(_, value)| deep(value.get_ref().as_table()?, name));
    entry(table, name).map(|(at, _)| at).or_else(within)
}

/// The words in backticks: so do messages name keys.
pub fn quoted(message: &str) -> impl Iterator<Item = &str> {
    message.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name = 'x'\n\n[[part]]\nname = 'a'\n[part.link]\nrtt = '5ms'\n[part.link.up]\nqueue = '9p'\n\
                        [[part]]\narms = [\n  'tcp',\n  'udp',\n]\naxes = { loss = ['1%'] }\n";

    #[test]
    fn a_spot_has_its_line() {
        let part = |place: usize| Spot::key("part").item(place);
        let line = |spot: Spot| spot.line(TEXT, "");
        assert_eq!(line(Spot::key("name")), Some(1));
        assert_eq!(line(part(0).then("name")), Some(4));
        assert_eq!(line(part(1).then("arms").item(1)), Some(12));
        assert_eq!(line(part(1).then("axes").then("loss").item(0)), Some(14));
        // What is not there is told where it would be.
        assert_eq!(line(part(1).then("workload")), Some(9));
        assert_eq!(line(Spot::key("repeat")), None);
        assert_eq!(part(1).then("arms").item(1).keys(), ["part", "arms"]);
    }

    #[test]
    fn a_named_key_is_found_in_its_table() {
        let link = Spot::key("part").item(0).then("link");
        assert_eq!(link.line(TEXT, "`queue` without a rate (up): add `rate`"), Some(8));
        assert_eq!(link.line(TEXT, "a `limit` of 0 goes with no `rtt`"), Some(6));
        assert_eq!(link.line(TEXT, "cannot be"), Some(5));
    }
}
