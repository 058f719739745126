//! What the user of a session's workload felt, which is told with the rest; computing it is others' work.

use samepath_model::arm::Arm;
use samepath_model::record::MessageRecord;
use samepath_model::workload::Workload;

/// A figure of a workload's score: its name in files, name and value in words, and the value.
pub type Figure = (&'static str, String, f64);

/// Figures of a score, from the workload, its arm and seed, and the messages of a session.
pub type Score = fn(&Workload, Arm, u64, &[MessageRecord]) -> Vec<Figure>;
