//! A table as the page's template takes it.

use serde::Serialize;

use crate::chart::Table;

#[derive(Serialize)]
pub(super) struct TableView {
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

impl From<&Table> for TableView {
    fn from(table: &Table) -> Self {
        TableView { head: table.head.clone(), rows: table.rows.clone() }
    }
}
