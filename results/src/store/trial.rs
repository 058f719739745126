//! The files of one trial: written beside their place and moved there whole; read a part at a time.

use std::fmt::Display;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use samepath_model::attribution::{LayoutRecord, ObservationRecord};
use samepath_model::experiment::TrialId;
use samepath_model::record::{MessageRecord, PacketRecord, SeriesPoint};

use super::StoreError;
use super::files::{Destination, partial, put_in_place, remove_tree, sync_directory};
use crate::columns::{Row, RowReader, RowWriter};

/// File of the messages in a trial's directory.
pub(super) const MESSAGES: &str = "messages.parquet";
/// File of the ledger.
pub(super) const LEDGER: &str = "ledger.parquet";
/// File of the time series.
pub(super) const SERIES: &str = "series.parquet";
/// File of the byte ranges of messages in their ordering domains.
pub(super) const LAYOUT: &str = "message-ranges.parquet";
/// File of the packets as the ends observed them.
pub(super) const OBSERVATIONS: &str = "packet-observations.parquet";
/// Ending of a directory that is not whole yet.
pub(super) const PARTIAL: &str = ".partial";

/// Writes one trial's files to `trials/<id>.partial/`, and moves them to `trials/<id>/` when whole.
/// Dropped before [`TrialWriter::finish`], it leaves nothing.
#[derive(Debug)]
pub struct TrialWriter {
    id: TrialId,
    partial: PathBuf,
    scratch: PathBuf,
    place: PathBuf,
    /// Where the files of the attempt before this one are kept, where there was one.
    before: Option<PathBuf>,
    epoch_ns: Option<u64>,
    finished: bool,
}

/// Where the files of an attempt are that another followed.
pub(super) fn attempt(trials: &Path, id: &TrialId, number: u32) -> PathBuf {
    trials.join(format!("{id}.attempt-{number}"))
}

impl TrialWriter {
    /// Begins afresh: what a killed run left of the trial is removed.
    pub(super) fn begin(trials: &Path, id: &TrialId, number: u32) -> Result<TrialWriter, StoreError> {
        let partial = trials.join(format!("{id}{PARTIAL}"));
        let place = trials.join(&id.0);
        let before = (number > 1).then(|| attempt(trials, id, number - 1));
        remove_tree(&partial)?;
        let scratch = partial.join("scratch");
        let writer = TrialWriter { id: id.clone(), partial, scratch, place, before, epoch_ns: None, finished: false };
        fs::create_dir_all(&writer.scratch).map_err(StoreError::io("create", &writer.scratch))?;
        Ok(writer)
    }

    /// A directory for spools and reports while the trial runs; it is removed at the end.
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// The directory whose files will be the trial's, for captures and logs that others write.
    pub fn dir(&self) -> &Path {
        &self.partial
    }

    /// The start of the schedule on CLOCK_MONOTONIC, in nanoseconds, for the metadata of the files
    /// written from now on.
    pub fn set_epoch(&mut self, epoch_ns: u64) {
        self.epoch_ns = Some(epoch_ns);
    }

    /// Writes `messages.parquet`.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write_messages(&mut self, messages: impl IntoIterator<Item = MessageRecord>) -> Result<(), StoreError> {
        self.write(MESSAGES, messages.into_iter().map(Ok::<_, std::convert::Infallible>))
    }

    /// Writes `series.parquet`.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write_series(&mut self, series: impl IntoIterator<Item = SeriesPoint>) -> Result<(), StoreError> {
        self.write(SERIES, series.into_iter().map(Ok::<_, std::convert::Infallible>))
    }

    /// Writes `message-ranges.parquet`: where the messages lie in their ordering domains.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write_layout(&mut self, layout: impl IntoIterator<Item = LayoutRecord>) -> Result<(), StoreError> {
        self.write(LAYOUT, layout.into_iter().map(Ok::<_, std::convert::Infallible>))
    }

    /// Writes `packet-observations.parquet`: what the ends saw in their packets.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write_observations(
        &mut self,
        observations: impl IntoIterator<Item = ObservationRecord>,
    ) -> Result<(), StoreError> {
        self.write(OBSERVATIONS, observations.into_iter().map(Ok::<_, std::convert::Infallible>))
    }

    /// Writes `ledger.parquet` as it comes, in memory that does not grow with it.
    ///
    /// # Errors
    /// Where the source breaks off, or the file cannot be written.
    pub fn write_ledger<E: Display>(
        &mut self,
        ledger: impl IntoIterator<Item = Result<PacketRecord, E>>,
    ) -> Result<(), StoreError> {
        self.write(LEDGER, ledger)
    }

    /// Moves the trial to its place, synced. The attempt before it makes way for it; what else is there is replaced.
    ///
    /// # Errors
    /// Where the files cannot be synced or moved; nothing is left then.
    pub fn finish(mut self) -> Result<(), StoreError> {
        remove_tree(&self.scratch)?;
        sync_directory(&self.partial)?;
        match &self.before {
            // What a killed run left of this very attempt is none that was before it.
            Some(before) if self.place.exists() && !before.exists() => {
                fs::rename(&self.place, before).map_err(StoreError::io("keep", before))?;
            }
            _ => remove_tree(&self.place)?,
        }
        fs::rename(&self.partial, &self.place).map_err(StoreError::io("move to its place", &self.place))?;
        self.finished = true;
        self.place.parent().map_or(Ok(()), sync_directory)
    }

    /// Removes what was written: the trial failed, and its line says why.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn discard(self) -> Result<(), StoreError> {
        remove_tree(&self.partial)
    }

    fn write<R: Row, E: Display>(
        &mut self,
        name: &str,
        rows: impl IntoIterator<Item = Result<R, E>>,
    ) -> Result<(), StoreError> {
        let path = self.partial.join(name);
        let file = File::create(&path).map_err(StoreError::io("create", &path))?;
        let file = write_rows(file, &path, &self.id.0, self.epoch_ns, &[], rows)?;
        file.sync_all().map_err(StoreError::io("sync", &path))
    }
}

/// Writes a ledger to a file of its own, outside any run: beside its place, synced, then moved there. A device or a
/// pipe is written to as it is. `notes` are further keys of its metadata, with their values.
///
/// # Errors
/// Where the source breaks off, or the file cannot be written; nothing is left then.
pub fn write_ledger<E: Display>(
    path: &Path,
    name: &str,
    epoch_ns: u64,
    notes: &[(&str, String)],
    ledger: impl IntoIterator<Item = Result<PacketRecord, E>>,
) -> Result<(), StoreError> {
    match Destination::of(path).map_err(StoreError::io("write", path))? {
        Destination::Stream(stream) => write_rows(stream, path, name, Some(epoch_ns), notes, ledger).map(drop),
        Destination::File(path) => {
            let file = partial(&path).map_err(StoreError::io("write", &path))?;
            let same = file.as_file().try_clone().map_err(StoreError::io("write", &path))?;
            write_rows(same, &path, name, Some(epoch_ns), notes, ledger)?;
            put_in_place(file, &path)
        }
    }
}

/// Writes the rows to `file`, which stands for `path`, and gives it back.
fn write_rows<R: Row, E: Display>(
    file: File,
    path: &Path,
    id: &str,
    epoch_ns: Option<u64>,
    notes: &[(&str, String)],
    rows: impl IntoIterator<Item = Result<R, E>>,
) -> Result<File, StoreError> {
    let wrong = StoreError::columns("write", path);
    let mut writer = RowWriter::new(file, id, epoch_ns).map_err(&wrong)?;
    notes.iter().for_each(|(key, value)| writer.note(key, value.clone()));
    for row in rows {
        let row = row.map_err(|error| StoreError::Source { id: id.to_owned(), problem: error.to_string() })?;
        writer.push(row).map_err(&wrong)?;
    }
    writer.finish().map_err(&wrong)
}

impl Drop for TrialWriter {
    fn drop(&mut self) {
        if !self.finished {
            // What cannot be removed now, the next run of the trial removes or complains about.
            let _ = fs::remove_dir_all(&self.partial);
        }
    }
}

/// The ledger of a trial, read a row group at a time.
pub struct Ledger {
    path: PathBuf,
    rows: RowReader<PacketRecord>,
}

impl Ledger {
    pub(super) fn open(path: &Path) -> Result<Ledger, StoreError> {
        Ok(Ledger { path: path.to_owned(), rows: open_rows(path)? })
    }

    /// Packets in all.
    pub fn packets(&self) -> u64 {
        self.rows.len()
    }
}

impl Iterator for Ledger {
    type Item = Result<PacketRecord, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.rows.next()?.map_err(StoreError::columns("read", &self.path)))
    }
}

/// Every row of a file.
pub(super) fn read_all<R: Row>(path: &Path) -> Result<Vec<R>, StoreError> {
    open_rows::<R>(path)?.collect::<Result<_, _>>().map_err(StoreError::columns("read", path))
}

fn open_rows<R: Row>(path: &Path) -> Result<RowReader<R>, StoreError> {
    let file = File::open(path).map_err(StoreError::io("read", path))?;
    RowReader::new(file).map_err(StoreError::columns("read", path))
}
