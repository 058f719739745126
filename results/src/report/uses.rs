//! The table of uses as the page shows it.

use serde::Serialize;

use crate::uses::{Block, Row, Use, UseCell, Uses};

#[derive(Serialize)]
pub(super) struct UsesView {
    blocks: Vec<BlockView>,
    uses: Vec<Use>,
}

#[derive(Serialize)]
struct BlockView {
    conditions: String,
    link: String,
    arms: Vec<String>,
    rows: Vec<RowView>,
}

#[derive(Serialize)]
struct RowView {
    name: String,
    /// An arm each; `None` where the use does not have it.
    cells: Vec<Option<CellView>>,
}

#[derive(Serialize)]
struct CellView {
    /// By which it is coloured: meets, fails or open.
    class: &'static str,
    /// The sign before the verdict, so that colour is not all that tells verdicts apart.
    mark: char,
    verdict: String,
    figure: String,
    floor: String,
    /// Why it cannot be told; empty where it can.
    reason: String,
}

impl UsesView {
    pub(super) fn of(uses: &Uses) -> UsesView {
        UsesView { blocks: uses.blocks.iter().map(BlockView::of).collect(), uses: uses.uses.clone() }
    }
}

impl BlockView {
    fn of(block: &Block) -> BlockView {
        let row = |row: &Row| {
            let of_arm = |arm| row.cells.iter().find(|cell| cell.arm == arm).map(CellView::of);
            RowView { name: row.of.clone(), cells: block.arms.iter().map(|arm| of_arm(*arm)).collect() }
        };
        BlockView {
            conditions: block.conditions.clone(),
            link: block.link.clone(),
            arms: block.arms.iter().map(ToString::to_string).collect(),
            rows: block.rows.iter().map(row).collect(),
        }
    }
}

impl CellView {
    fn of(cell: &UseCell) -> CellView {
        let reason = cell.reason();
        let (class, mark) = match (cell.verdict.is_failed(), &reason) {
            (true, _) => ("fails", '✗'),
            (_, Some(_)) => ("open", '?'),
            _ => ("meets", '✓'),
        };
        CellView {
            class,
            mark,
            verdict: cell.words(),
            figure: cell.figure(),
            floor: cell.floor().unwrap_or_default(),
            reason: reason.unwrap_or_default(),
        }
    }
}
