//! Records as columns: the Parquet files of a trial.
//!
//! The columns are typed, named with their unit, and nullable where the record has an `Option`, so
//! that DuckDB, Polars, pandas and Spark read them as they are. Row groups are bounded: neither
//! writing nor reading a ledger grows memory with its length.
//!
//! This module knows how a record lies in columns, and nothing of where a file belongs.

use std::fs::File;
use std::sync::Arc;

use parquet::basic::{Compression, Encoding};
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, Int32Type,
    Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, Type};
use samepath_model::attribution::{LayoutRecord, ObservationRecord, Tag};
use samepath_model::flow::FlowId;
use samepath_model::link::Direction;
use samepath_model::record::{Coded, DropCause, End, MessageRecord, Metric, PacketRecord, RECORD_SCHEMA, SeriesPoint};
use samepath_model::workload::MessageId;

/// Rows of a row group: some 10 MB of ledger in memory.
pub(crate) const ROW_GROUP: usize = 1 << 16;

/// Key of the format's version in a file's metadata.
const SCHEMA_KEY: &str = "samepath.schema";
const TRIAL_KEY: &str = "samepath.trial";
const EPOCH_KEY: &str = "samepath.epoch_ns";

/// A file that cannot be read as the records it should hold.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ColumnError {
    #[error("it is of format version {0}, but this program reads version {RECORD_SCHEMA}")]
    Version(u32),
    #[error("{0}")]
    Content(String),
    #[error(transparent)]
    Parquet(#[from] ParquetError),
}

/// A record that lies in columns.
pub(crate) trait Row: Sized {
    /// The file's schema, in Parquet's own notation.
    const SCHEMA: &'static str;
    /// Columns that rise steadily: differences are far smaller than values.
    const RISING: &'static [&'static str];
    /// Columns of which hardly any value comes twice: no dictionary makes them smaller.
    const UNIQUE: &'static [&'static str] = &[];
    /// Writes the rows' columns, in the order of the schema.
    fn write(rows: &[Self], columns: &mut ColumnsOut<'_, '_>) -> Result<(), ParquetError>;
    /// Reads the rows back.
    fn read(columns: &ColumnsIn<'_>) -> Result<Vec<Self>, ColumnError>;
}

/// Writes records to a file, a row group at a time.
pub(crate) struct RowWriter<R> {
    file: SerializedFileWriter<File>,
    rows: Vec<R>,
}

impl<R: Row> RowWriter<R> {
    /// A writer whose file's metadata names the trial and its epoch.
    pub(crate) fn new(out: File, trial: &str, epoch_ns: Option<u64>) -> Result<Self, ColumnError> {
        let schema = Arc::new(parse_message_type(R::SCHEMA)?);
        let mut metadata = vec![
            KeyValue::new(SCHEMA_KEY.to_owned(), RECORD_SCHEMA.to_string()),
            KeyValue::new(TRIAL_KEY.to_owned(), trial.to_owned()),
        ];
        metadata.extend(epoch_ns.map(|ns| KeyValue::new(EPOCH_KEY.to_owned(), ns.to_string())));
        let mut properties = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_compression(Compression::SNAPPY)
            .set_created_by(format!("samepath {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(Some(metadata));
        for &column in R::RISING {
            let path = ColumnPath::from(column);
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        }
        for &column in R::UNIQUE {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(column), false);
        }
        let file = SerializedFileWriter::new(out, schema, Arc::new(properties.build()))?;
        Ok(RowWriter { file, rows: Vec::new() })
    }

    /// Adds a word to the file's metadata.
    pub(crate) fn note(&mut self, key: &str, value: String) {
        self.file.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
    }

    pub(crate) fn push(&mut self, row: R) -> Result<(), ColumnError> {
        self.rows.push(row);
        if self.rows.len() == ROW_GROUP { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ColumnError> {
        if !self.rows.is_empty() {
            let mut group = self.file.next_row_group()?;
            R::write(&self.rows, &mut ColumnsOut { group: &mut group })?;
            group.close()?;
            self.rows.clear();
        }
        Ok(())
    }

    /// Writes what is left and the footer, and gives the file back.
    pub(crate) fn finish(mut self) -> Result<File, ColumnError> {
        self.flush()?;
        // Not `into_inner`, which makes a full disk a text without a kind.
        self.file.finish()?;
        Ok(self.file.inner().try_clone().map_err(ParquetError::from)?)
    }
}

/// Reads records from a file, a row group at a time.
pub(crate) struct RowReader<R> {
    file: SerializedFileReader<File>,
    next_group: usize,
    rows: std::vec::IntoIter<R>,
}

impl<R: Row> RowReader<R> {
    /// Opens the file, and refuses one of another kind, of another version or with other columns.
    pub(crate) fn new(input: File) -> Result<Self, ColumnError> {
        let file = SerializedFileReader::new(input)?;
        let metadata = file.metadata().file_metadata();
        let wanted = parse_message_type(R::SCHEMA)?;
        if metadata.schema_descr().name() != wanted.name() {
            let (is, should) = (metadata.schema_descr().name(), wanted.name());
            return Err(ColumnError::Content(format!("it holds `{is}`, not `{should}`")));
        }
        let version = metadata
            .key_value_metadata()
            .and_then(|pairs| pairs.iter().find(|pair| pair.key == SCHEMA_KEY))
            .and_then(|pair| pair.value.as_ref()?.parse::<u32>().ok())
            .ok_or_else(|| ColumnError::Content(format!("its metadata has no `{SCHEMA_KEY}`: not a file of a run")))?;
        if version != RECORD_SCHEMA {
            return Err(ColumnError::Version(version));
        }
        let names = |schema: &Type| schema.get_fields().iter().map(|field| field.name().to_owned()).collect::<Vec<_>>();
        let (has, should) = (names(metadata.schema_descr().root_schema()), names(&wanted));
        if let Some(missing) = should.iter().find(|name| !has.contains(name)) {
            return Err(ColumnError::Content(format!("it has no column `{missing}`")));
        }
        if let Some(other) = has.iter().find(|name| !should.contains(name)) {
            return Err(ColumnError::Content(format!("it has a column `{other}`, which this program does not know")));
        }
        Ok(RowReader { file, next_group: 0, rows: Vec::new().into_iter() })
    }

    /// Rows in all.
    pub(crate) fn len(&self) -> u64 {
        u64::try_from(self.file.metadata().file_metadata().num_rows()).unwrap_or(0)
    }
}

impl<R: Row> Iterator for RowReader<R> {
    type Item = Result<R, ColumnError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.rows.next() {
                return Some(Ok(row));
            }
            if self.next_group >= self.file.num_row_groups() {
                return None;
            }
            let group = self.next_group;
            self.next_group += 1;
            let read = self
                .file
                .get_row_group(group)
                .map_err(ColumnError::from)
                .and_then(|group| R::read(&ColumnsIn { group: group.as_ref() }));
            match read {
                Ok(rows) => self.rows = rows.into_iter(),
                Err(error) => {
                    // What follows a damaged row group is not to be had.
                    self.next_group = usize::MAX;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// The columns of a row group that is being written.
pub(crate) struct ColumnsOut<'a, 'b> {
    group: &'a mut SerializedRowGroupWriter<'b, File>,
}

impl ColumnsOut<'_, '_> {
    fn required<T: DataType>(&mut self, values: impl Iterator<Item = T::T>) -> Result<(), ParquetError> {
        self.column::<T>(&values.collect::<Vec<_>>(), None)
    }

    fn optional<T: DataType>(&mut self, values: impl Iterator<Item = Option<T::T>>) -> Result<(), ParquetError> {
        let (mut present, mut levels) = (Vec::new(), Vec::new());
        for value in values {
            levels.push(i16::from(value.is_some()));
            present.extend(value);
        }
        self.column::<T>(&present, Some(&levels))
    }

    fn column<T: DataType>(&mut self, values: &[T::T], levels: Option<&[i16]>) -> Result<(), ParquetError> {
        let mut column = self.group.next_column()?.ok_or_else(|| ParquetError::General("a column too many".into()))?;
        column.typed::<T>().write_batch(values, levels, None)?;
        column.close()
    }
}

/// The columns of a row group that is being read.
pub(crate) struct ColumnsIn<'a> {
    group: &'a dyn RowGroupReader,
}

impl ColumnsIn<'_> {
    /// The values of a column found by its name.
    fn optional<T: DataType>(&self, name: &str) -> Result<Vec<Option<T::T>>, ColumnError> {
        let metadata = self.group.metadata();
        let rows = usize::try_from(metadata.num_rows())
            .map_err(|_| ColumnError::Content("a row group with a negative number of rows".into()))?;
        let Some(place) = metadata.columns().iter().position(|column| column.column_path().string() == name) else {
            return Err(ColumnError::Content(format!("it has no column `{name}`")));
        };
        if metadata.column(place).column_type() != T::get_physical_type() {
            return Err(ColumnError::Content(format!("column `{name}` is not of type {}", T::get_physical_type())));
        }
        let mut reader = get_typed_column_reader::<T>(self.group.get_column_reader(place)?);
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        let nullable = metadata.column(place).column_descr().max_def_level() > 0;
        while let (1.., ..) = reader.read_records(rows, Some(&mut levels), None, &mut values)? {}
        if !nullable {
            levels = vec![1; values.len()];
        }
        if levels.len() != rows {
            return Err(ColumnError::Content(format!("column `{name}` has {} of {rows} rows", levels.len())));
        }
        let mut values = values.into_iter();
        Ok(levels.into_iter().map(|level| if level > 0 { values.next() } else { None }).collect())
    }

    fn required<T: DataType>(&self, name: &str) -> Result<impl Iterator<Item = T::T> + use<T>, ColumnError> {
        let values = self.optional::<T>(name)?.into_iter().collect::<Option<Vec<_>>>();
        Ok(values.ok_or_else(|| ColumnError::Content(format!("column `{name}` has a missing value")))?.into_iter())
    }

    /// A column of names, each resolved by `find`.
    fn names<V>(
        &self,
        name: &str,
        find: impl Fn(&str) -> Option<V>,
    ) -> Result<std::vec::IntoIter<Option<V>>, ColumnError> {
        let column = self.optional::<ByteArrayType>(name)?;
        let found = column.into_iter().map(|value| {
            value
                .map(|bytes| {
                    let text = String::from_utf8_lossy(bytes.data()).into_owned();
                    find(&text).ok_or_else(|| ColumnError::Content(format!("column `{name}` has an unknown `{text}`")))
                })
                .transpose()
        });
        Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter())
    }
}

// Parquet keeps unsigned numbers in signed ones of the same width, bit for bit: the casts below
// change no bit, in either direction.

impl Row for MessageRecord {
    const SCHEMA: &'static str = "message messages {
        required int32 flow (INTEGER(8,false));
        required binary direction (UTF8);
        required int32 stream (INTEGER(16,false));
        required int32 seq (INTEGER(32,false));
        required int64 size_bytes (INTEGER(64,false));
        required int64 released_ns;
        optional binary released_by_direction (UTF8);
        optional int32 released_by_stream (INTEGER(16,false));
        optional int32 released_by_seq (INTEGER(32,false));
        optional int64 deadline_ns;
        required int32 attempt (INTEGER(32,false));
        optional int64 cancelled_ns;
        optional int64 sent_ns;
        optional int64 delivered_ns;
        required int64 received_bytes (INTEGER(64,false));
        optional int64 content_bytes (INTEGER(64,false));
        optional int64 compression_cpu_ns (INTEGER(64,false));
        optional int64 decompression_cpu_ns (INTEGER(64,false));
    }";
    const RISING: &'static [&'static str] = &["seq", "released_ns", "sent_ns", "delivered_ns"];

    fn write(rows: &[Self], columns: &mut ColumnsOut<'_, '_>) -> Result<(), ParquetError> {
        columns.required::<Int32Type>(rows.iter().map(|r| i32::from(r.flow)))?;
        columns.required::<ByteArrayType>(rows.iter().map(|r| text(direction_name(r.direction))))?;
        columns.required::<Int32Type>(rows.iter().map(|r| i32::from(r.stream)))?;
        columns.required::<Int32Type>(rows.iter().map(|r| r.seq.cast_signed()))?;
        columns.required::<Int64Type>(rows.iter().map(|r| r.size.cast_signed()))?;
        columns.required::<Int64Type>(rows.iter().map(|r| r.released))?;
        let by = || rows.iter().map(|r| r.released_by);
        columns.optional::<ByteArrayType>(by().map(|by| by.map(|id| text(direction_name(id.direction)))))?;
        columns.optional::<Int32Type>(by().map(|by| by.map(|id| i32::from(id.stream))))?;
        columns.optional::<Int32Type>(by().map(|by| by.map(|id| id.seq.cast_signed())))?;
        columns.optional::<Int64Type>(rows.iter().map(|r| r.deadline))?;
        columns.required::<Int32Type>(rows.iter().map(|r| r.attempt.cast_signed()))?;
        columns.optional::<Int64Type>(rows.iter().map(|r| r.cancelled))?;
        columns.optional::<Int64Type>(rows.iter().map(|r| r.sent))?;
        columns.optional::<Int64Type>(rows.iter().map(|r| r.delivered))?;
        columns.required::<Int64Type>(rows.iter().map(|r| r.received.cast_signed()))?;
        let coded = || rows.iter().map(|r| r.coded);
        columns.optional::<Int64Type>(coded().map(|coded| coded.map(|coded| coded.content.cast_signed())))?;
        columns
            .optional::<Int64Type>(coded().map(|coded| coded.map(|coded| coded.compression_cpu_ns.cast_signed())))?;
        let decompression = |coded: Option<Coded>| coded?.decompression_cpu_ns.map(u64::cast_signed);
        columns.optional::<Int64Type>(coded().map(decompression))
    }

    fn read(columns: &ColumnsIn<'_>) -> Result<Vec<Self>, ColumnError> {
        let mut flow = columns.required::<Int32Type>("flow")?;
        let mut direction = columns.names("direction", direction_named)?;
        let stream = columns.required::<Int32Type>("stream")?;
        let mut seq = columns.required::<Int32Type>("seq")?;
        let mut size = columns.required::<Int64Type>("size_bytes")?;
        let mut released = columns.required::<Int64Type>("released_ns")?;
        let mut by_direction = columns.names("released_by_direction", direction_named)?;
        let mut by_stream = columns.optional::<Int32Type>("released_by_stream")?.into_iter();
        let mut by_seq = columns.optional::<Int32Type>("released_by_seq")?.into_iter();
        let mut deadline = columns.optional::<Int64Type>("deadline_ns")?.into_iter();
        let mut attempt = columns.required::<Int32Type>("attempt")?;
        let mut cancelled = columns.optional::<Int64Type>("cancelled_ns")?.into_iter();
        let mut sent = columns.optional::<Int64Type>("sent_ns")?.into_iter();
        let mut delivered = columns.optional::<Int64Type>("delivered_ns")?.into_iter();
        let mut received = columns.required::<Int64Type>("received_bytes")?;
        let mut content = columns.optional::<Int64Type>("content_bytes")?.into_iter();
        let mut compression = columns.optional::<Int64Type>("compression_cpu_ns")?.into_iter();
        let mut decompression = columns.optional::<Int64Type>("decompression_cpu_ns")?.into_iter();
        let row = |stream: i32| {
            Some(MessageRecord {
                flow: FlowId::try_from(flow.next()?).ok()?,
                direction: direction.next()??,
                stream: u16::try_from(stream).ok()?,
                seq: seq.next()?.cast_unsigned(),
                size: size.next()?.cast_unsigned(),
                released: released.next()?,
                released_by: match (by_direction.next()?, by_stream.next()?, by_seq.next()?) {
                    (Some(direction), Some(stream), Some(seq)) => {
                        Some(MessageId { direction, stream: u16::try_from(stream).ok()?, seq: seq.cast_unsigned() })
                    }
                    _ => None,
                },
                deadline: deadline.next()?,
                attempt: attempt.next()?.cast_unsigned(),
                cancelled: cancelled.next()?,
                sent: sent.next()?,
                delivered: delivered.next()?,
                received: received.next()?.cast_unsigned(),
                coded: match (content.next()?, compression.next()?, decompression.next()?) {
                    (Some(content), Some(cpu), decompression) => Some(Coded {
                        content: content.cast_unsigned(),
                        compression_cpu_ns: cpu.cast_unsigned(),
                        decompression_cpu_ns: decompression.map(i64::cast_unsigned),
                    }),
                    _ => None,
                },
            })
        };
        stream.map(row).collect::<Option<_>>().ok_or_else(out_of_range)
    }
}

impl Row for PacketRecord {
    const SCHEMA: &'static str = "message ledger {
        optional int32 flow (INTEGER(8,false));
        required binary direction (UTF8);
        required int64 number (INTEGER(64,false));
        required boolean duplicate;
        required int64 arrived_ns;
        required int32 size_bytes (INTEGER(32,false));
        required int32 ip_protocol (INTEGER(8,false));
        required int32 source_port (INTEGER(16,false));
        required int32 destination_port (INTEGER(16,false));
        required int32 payload_bytes (INTEGER(32,false));
        optional int32 tcp_seq (INTEGER(32,false));
        required int32 tcp_flags (INTEGER(8,false));
        optional fixed_len_byte_array(16) tag;
        required int64 queued_ns (INTEGER(64,false));
        required boolean corrupted;
        required boolean congestion_marked;
        required boolean bypassed;
        optional int64 left_ns;
        optional binary drop_cause (UTF8);
    }";
    const RISING: &'static [&'static str] = &["number", "arrived_ns", "tcp_seq", "queued_ns", "left_ns"];
    const UNIQUE: &'static [&'static str] = &["tag"];

    fn write(rows: &[Self], columns: &mut ColumnsOut<'_, '_>) -> Result<(), ParquetError> {
        columns.optional::<Int32Type>(rows.iter().map(|r| r.flow.map(i32::from)))?;
        columns.required::<ByteArrayType>(rows.iter().map(|r| text(direction_name(r.direction))))?;
        columns.required::<Int64Type>(rows.iter().map(|r| r.number.cast_signed()))?;
        columns.required::<BoolType>(rows.iter().map(|r| r.duplicate))?;
        columns.required::<Int64Type>(rows.iter().map(|r| r.arrived))?;
        columns.required::<Int32Type>(rows.iter().map(|r| r.size.cast_signed()))?;
        columns.required::<Int32Type>(rows.iter().map(|r| i32::from(r.protocol)))?;
        columns.required::<Int32Type>(rows.iter().map(|r| i32::from(r.source_port)))?;
        columns.required::<Int32Type>(rows.iter().map(|r| i32::from(r.destination_port)))?;
        columns.required::<Int32Type>(rows.iter().map(|r| r.payload.cast_signed()))?;
        columns.optional::<Int32Type>(rows.iter().map(|r| r.tcp_seq.map(u32::cast_signed)))?;
        columns.required::<Int32Type>(rows.iter().map(|r| i32::from(r.tcp_flags)))?;
        columns.optional::<FixedLenByteArrayType>(rows.iter().map(|r| r.tag.as_ref().map(tag_bytes)))?;
        columns.required::<Int64Type>(rows.iter().map(|r| r.queued.cast_signed()))?;
        columns.required::<BoolType>(rows.iter().map(|r| r.corrupted))?;
        columns.required::<BoolType>(rows.iter().map(|r| r.congestion_marked))?;
        columns.required::<BoolType>(rows.iter().map(|r| r.bypassed))?;
        columns.optional::<Int64Type>(rows.iter().map(|r| r.left))?;
        columns.optional::<ByteArrayType>(rows.iter().map(|r| r.dropped.map(|cause| text(cause.name()))))
    }

    fn read(columns: &ColumnsIn<'_>) -> Result<Vec<Self>, ColumnError> {
        let mut flow = columns.optional::<Int32Type>("flow")?.into_iter();
        let mut direction = columns.names("direction", direction_named)?;
        let number = columns.required::<Int64Type>("number")?;
        let mut duplicate = columns.required::<BoolType>("duplicate")?;
        let mut arrived = columns.required::<Int64Type>("arrived_ns")?;
        let mut size = columns.required::<Int32Type>("size_bytes")?;
        let mut protocol = columns.required::<Int32Type>("ip_protocol")?;
        let mut source_port = columns.required::<Int32Type>("source_port")?;
        let mut destination_port = columns.required::<Int32Type>("destination_port")?;
        let mut payload = columns.required::<Int32Type>("payload_bytes")?;
        let mut tcp_seq = columns.optional::<Int32Type>("tcp_seq")?.into_iter();
        let mut tcp_flags = columns.required::<Int32Type>("tcp_flags")?;
        let mut tag = columns.optional::<FixedLenByteArrayType>("tag")?.into_iter();
        let mut queued = columns.required::<Int64Type>("queued_ns")?;
        let mut corrupted = columns.required::<BoolType>("corrupted")?;
        let mut congestion_marked = columns.required::<BoolType>("congestion_marked")?;
        let mut bypassed = columns.required::<BoolType>("bypassed")?;
        let mut left = columns.optional::<Int64Type>("left_ns")?.into_iter();
        let mut dropped =
            columns.names("drop_cause", |name| DropCause::ALL.into_iter().find(|cause| cause.name() == name))?;
        let row = |number: i64| {
            Some(PacketRecord {
                flow: match flow.next()? {
                    Some(flow) => Some(FlowId::try_from(flow).ok()?),
                    None => None,
                },
                direction: direction.next()??,
                number: number.cast_unsigned(),
                duplicate: duplicate.next()?,
                arrived: arrived.next()?,
                size: size.next()?.cast_unsigned(),
                protocol: u8::try_from(protocol.next()?).ok()?,
                source_port: u16::try_from(source_port.next()?).ok()?,
                destination_port: u16::try_from(destination_port.next()?).ok()?,
                payload: payload.next()?.cast_unsigned(),
                tcp_seq: tcp_seq.next()?.map(i32::cast_unsigned),
                tcp_flags: u8::try_from(tcp_flags.next()?).ok()?,
                tag: match tag.next()? {
                    Some(bytes) => Some(bytes.data().try_into().ok()?),
                    None => None,
                },
                queued: queued.next()?.cast_unsigned(),
                corrupted: corrupted.next()?,
                congestion_marked: congestion_marked.next()?,
                bypassed: bypassed.next()?,
                left: left.next()?,
                dropped: dropped.next()?,
            })
        };
        number.map(row).collect::<Option<_>>().ok_or_else(out_of_range)
    }
}

impl Row for LayoutRecord {
    const SCHEMA: &'static str = "message message_ranges {
        required binary direction (UTF8);
        required int32 client_port (INTEGER(16,false));
        required int64 ordering_domain (INTEGER(64,false));
        required int64 start_byte (INTEGER(64,false));
        required int64 end_byte (INTEGER(64,false));
        required int64 record_start_byte (INTEGER(64,false));
        required int64 record_end_byte (INTEGER(64,false));
        required int32 stream (INTEGER(16,false));
        optional int32 seq (INTEGER(32,false));
    }";
    const RISING: &'static [&'static str] =
        &["ordering_domain", "start_byte", "end_byte", "record_start_byte", "record_end_byte", "seq"];

    fn write(rows: &[Self], columns: &mut ColumnsOut<'_, '_>) -> Result<(), ParquetError> {
        columns.required::<ByteArrayType>(rows.iter().map(|r| text(direction_name(r.direction))))?;
        columns.required::<Int32Type>(rows.iter().map(|r| i32::from(r.port)))?;
        columns.required::<Int64Type>(rows.iter().map(|r| r.domain.cast_signed()))?;
        columns.required::<Int64Type>(rows.iter().map(|r| r.start.cast_signed()))?;
        columns.required::<Int64Type>(rows.iter().map(|r| r.end.cast_signed()))?;
        columns.required::<Int64Type>(rows.iter().map(|r| r.unit_start.cast_signed()))?;
        columns.required::<Int64Type>(rows.iter().map(|r| r.unit_end.cast_signed()))?;
        columns.required::<Int32Type>(rows.iter().map(|r| i32::from(r.stream)))?;
        columns.optional::<Int32Type>(rows.iter().map(|r| r.seq.map(u32::cast_signed)))
    }

    fn read(columns: &ColumnsIn<'_>) -> Result<Vec<Self>, ColumnError> {
        let mut direction = columns.names("direction", direction_named)?;
        let mut port = columns.required::<Int32Type>("client_port")?;
        let domain = columns.required::<Int64Type>("ordering_domain")?;
        let mut start = columns.required::<Int64Type>("start_byte")?;
        let mut end = columns.required::<Int64Type>("end_byte")?;
        let mut unit_start = columns.required::<Int64Type>("record_start_byte")?;
        let mut unit_end = columns.required::<Int64Type>("record_end_byte")?;
        let mut stream = columns.required::<Int32Type>("stream")?;
        let mut seq = columns.optional::<Int32Type>("seq")?.into_iter();
        let row = |domain: i64| {
            Some(LayoutRecord {
                direction: direction.next()??,
                port: u16::try_from(port.next()?).ok()?,
                domain: domain.cast_unsigned(),
                start: start.next()?.cast_unsigned(),
                end: end.next()?.cast_unsigned(),
                unit_start: unit_start.next()?.cast_unsigned(),
                unit_end: unit_end.next()?.cast_unsigned(),
                stream: u16::try_from(stream.next()?).ok()?,
                seq: seq.next()?.map(i32::cast_unsigned),
            })
        };
        domain.map(row).collect::<Option<_>>().ok_or_else(out_of_range)
    }
}

impl Row for ObservationRecord {
    const SCHEMA: &'static str = "message packet_observations {
        required binary endpoint (UTF8);
        required binary direction (UTF8);
        required int64 at_ns;
        required int32 client_port (INTEGER(16,false));
        required int64 packet_number (INTEGER(64,false));
        required fixed_len_byte_array(16) tag;
        optional int64 ordering_domain (INTEGER(64,false));
        required int64 start_byte (INTEGER(64,false));
        required int64 end_byte (INTEGER(64,false));
    }";
    const RISING: &'static [&'static str] = &["at_ns", "packet_number", "ordering_domain", "start_byte", "end_byte"];
    const UNIQUE: &'static [&'static str] = &["tag"];

    fn write(rows: &[Self], columns: &mut ColumnsOut<'_, '_>) -> Result<(), ParquetError> {
        columns.required::<ByteArrayType>(rows.iter().map(|r| text(end_name(r.end))))?;
        columns.required::<ByteArrayType>(rows.iter().map(|r| text(direction_name(r.direction))))?;
        columns.required::<Int64Type>(rows.iter().map(|r| r.at))?;
        columns.required::<Int32Type>(rows.iter().map(|r| i32::from(r.port)))?;
        columns.required::<Int64Type>(rows.iter().map(|r| r.number.cast_signed()))?;
        columns.required::<FixedLenByteArrayType>(rows.iter().map(|r| tag_bytes(&r.tag)))?;
        columns.optional::<Int64Type>(rows.iter().map(|r| r.domain.map(u64::cast_signed)))?;
        columns.required::<Int64Type>(rows.iter().map(|r| r.start.cast_signed()))?;
        columns.required::<Int64Type>(rows.iter().map(|r| r.end_offset.cast_signed()))
    }

    fn read(columns: &ColumnsIn<'_>) -> Result<Vec<Self>, ColumnError> {
        let mut end = columns.names("endpoint", end_named)?;
        let mut direction = columns.names("direction", direction_named)?;
        let at = columns.required::<Int64Type>("at_ns")?;
        let mut port = columns.required::<Int32Type>("client_port")?;
        let mut number = columns.required::<Int64Type>("packet_number")?;
        let mut tag = columns.required::<FixedLenByteArrayType>("tag")?;
        let mut domain = columns.optional::<Int64Type>("ordering_domain")?.into_iter();
        let mut start = columns.required::<Int64Type>("start_byte")?;
        let mut end_offset = columns.required::<Int64Type>("end_byte")?;
        let row = |at| {
            Some(ObservationRecord {
                end: end.next()??,
                direction: direction.next()??,
                at,
                port: u16::try_from(port.next()?).ok()?,
                number: number.next()?.cast_unsigned(),
                tag: tag.next()?.data().try_into().ok()?,
                domain: domain.next()?.map(i64::cast_unsigned),
                start: start.next()?.cast_unsigned(),
                end_offset: end_offset.next()?.cast_unsigned(),
            })
        };
        at.map(row).collect::<Option<_>>().ok_or_else(out_of_range)
    }
}

impl Row for SeriesPoint {
    const SCHEMA: &'static str = "message series {
        required int32 flow (INTEGER(8,false));
        required int64 at_ns;
        required binary endpoint (UTF8);
        required binary metric (UTF8);
        required double value;
    }";
    const RISING: &'static [&'static str] = &["at_ns"];

    fn write(rows: &[Self], columns: &mut ColumnsOut<'_, '_>) -> Result<(), ParquetError> {
        columns.required::<Int32Type>(rows.iter().map(|r| i32::from(r.flow)))?;
        columns.required::<Int64Type>(rows.iter().map(|r| r.at))?;
        columns.required::<ByteArrayType>(rows.iter().map(|r| text(end_name(r.end))))?;
        columns.required::<ByteArrayType>(rows.iter().map(|r| text(r.metric.name())))?;
        columns.required::<DoubleType>(rows.iter().map(|r| r.value))
    }

    fn read(columns: &ColumnsIn<'_>) -> Result<Vec<Self>, ColumnError> {
        let mut flow = columns.required::<Int32Type>("flow")?;
        let at = columns.required::<Int64Type>("at_ns")?;
        let mut end = columns.names("endpoint", end_named)?;
        let mut metric =
            columns.names("metric", |name| Metric::ALL.into_iter().find(|metric| metric.name() == name))?;
        let mut value = columns.required::<DoubleType>("value")?;
        let row = |at| {
            Some(SeriesPoint {
                flow: FlowId::try_from(flow.next()?).ok()?,
                at,
                end: end.next()??,
                metric: metric.next()??,
                value: value.next()?,
            })
        };
        at.map(row).collect::<Option<_>>().ok_or_else(out_of_range)
    }
}

fn out_of_range() -> ColumnError {
    ColumnError::Content("a value is missing or does not fit its column".into())
}

fn text(name: &str) -> ByteArray {
    ByteArray::from(name)
}

fn tag_bytes(tag: &Tag) -> FixedLenByteArray {
    ByteArray::from(tag.to_vec()).into()
}

fn end_named(name: &str) -> Option<End> {
    [End::Client, End::Server].into_iter().find(|&end| end_name(end) == name)
}

fn direction_named(name: &str) -> Option<Direction> {
    [Direction::Up, Direction::Down].into_iter().find(|&direction| direction_name(direction) == name)
}

const fn end_name(end: End) -> &'static str {
    match end {
        End::Client => "client",
        End::Server => "server",
    }
}

const fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "up",
        Direction::Down => "down",
    }
}
