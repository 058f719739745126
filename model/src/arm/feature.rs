//! Features: what may be switched on in an arm, written `+name` after it.

/// A feature that is built.
#[derive(Debug)]
pub struct FeatureRow {
    /// The name as typed, without the `+`.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
}

/// Every feature that is built. A new one goes to the end, and at most 16 can be there.
pub static FEATURES: &[FeatureRow] = &[];

/// The features of an arm: a set of rows of [`FEATURES`], a bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Features(u16);

impl Features {
    /// Reads names of the table's rows, in any order; which one is unknown, where one is.
    pub(super) fn parse<'a>(
        names: impl IntoIterator<Item = &'a str>,
        table: &[FeatureRow],
    ) -> Result<Features, &'a str> {
        names.into_iter().try_fold(Features::default(), |Features(set), name| {
            let place = table.iter().position(|row| row.name == name).ok_or(name)?;
            Ok(Features(set | 1 << place))
        })
    }

    /// The rows of the table that are in the set, in the table's order.
    pub(super) fn rows(self, table: &[FeatureRow]) -> impl Iterator<Item = &FeatureRow> {
        table.iter().enumerate().filter(move |(place, _)| self.0 & 1 << place != 0).map(|(_, row)| row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_a_set_of_rows() {
        let table = ["tfo", "0rtt", "resumed"].map(|name| FeatureRow { name, about: "" });
        let read = |names: &[&'static str]| Features::parse(names.iter().copied(), &table);
        let named = |set: Features| set.rows(&table).map(|row| row.name).collect::<Vec<_>>();
        assert_eq!(read(&[]), Ok(Features::default()));
        assert_eq!(read(&["0rtt", "tfo", "0rtt"]), read(&["tfo", "0rtt"]));
        assert_eq!(named(read(&["resumed", "tfo"]).unwrap()), ["tfo", "resumed"]);
        assert_eq!(read(&["tfo", "ecn"]), Err("ecn"));
        assert!(FEATURES.len() <= 16, "a bit each");
    }
}
