//! What is kept of a trial that failed, so that a hang can be explained afterwards.
//!
//! In the trial's directory, under `failed/`: the plan, what each process said on stderr, and the
//! link's ledger so far. Each is bounded in size; what was left out is named.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::Context;
use samepath_model::record::TrialRecord;
use samepath_netem::ledger;
use samepath_netem::trial::{Remains, TrialError, with_flow};
use samepath_results::TrialWriter;
use samepath_results::store::{self, EVIDENCE};

/// Bytes kept of each text, its last.
const TEXT_BYTES: u64 = 1 << 20;
/// Packets kept of the ledger, its last: some megabytes.
const PACKETS: u64 = 200_000;

/// Keeps the evidence, and names its place in the record.
pub(crate) fn keep(writer: TrialWriter, error: TrialError, record: &mut TrialRecord) -> anyhow::Result<()> {
    let (TrialError::Step { remains, .. } | TrialError::Exhausted { remains, .. }) = error else {
        return Ok(writer.discard()?);
    };
    let dir = writer.dir().join(EVIDENCE);
    let leavings = Remains::of(&record.trial, writer.scratch());
    fs::create_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    for text in &leavings.texts {
        let to = dir.join(text.file_name().unwrap_or_default());
        keep_end(text, &to).with_context(|| format!("cannot keep {}", to.display()))?;
    }
    if let Some(spool) = leavings.ledger {
        keep_ledger(&spool, &dir, remains.epoch, &record.trial.id.0)?;
    }
    record.link = remains.link;
    record.epoch_ns = remains.epoch;
    record.evidence = Some(format!("trials/{}/{EVIDENCE}", record.trial.id));
    Ok(writer.finish()?)
}

/// Copies the end of a text, the whole where it is short; nothing of an empty one.
fn keep_end(from: &Path, to: &Path) -> io::Result<()> {
    let mut file = File::open(from)?;
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(());
    }
    let mut kept = File::create(to)?;
    if length > TEXT_BYTES {
        let left_out = length - TEXT_BYTES;
        io::Write::write_all(&mut kept, format!("[{left_out} bytes before this were not kept]\n").as_bytes())?;
        file.seek(SeekFrom::Start(left_out))?;
    }
    io::copy(&mut file.take(TEXT_BYTES), &mut kept)?;
    kept.sync_all()
}

/// Writes the ledger so far. Without an epoch its times count from the first packet that is kept.
fn keep_ledger(spool: &Path, dir: &Path, epoch: Option<u64>, id: &str) -> anyhow::Result<()> {
    let first = || -> anyhow::Result<Option<u64>> {
        let (mut records, _) = ledger::read_so_far(spool, 0, PACKETS)?;
        Ok(records.next().transpose()?.map(|packet| packet.arrived.unsigned_abs()))
    };
    let epoch = match epoch {
        Some(epoch) => epoch,
        None => first()?.unwrap_or(0),
    };
    let (records, left_out) = ledger::read_so_far(spool, epoch, PACKETS)?;
    let records = records.map(|packet| packet.map(with_flow));
    store::write_ledger(&dir.join("ledger.parquet"), id, epoch, &[], records)?;
    if left_out > 0 {
        let told = format!("{left_out} packets before those in ledger.parquet were not kept\n");
        fs::write(dir.join("ledger.txt"), told)?;
    }
    Ok(())
}
