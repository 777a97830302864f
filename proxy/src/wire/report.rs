//! ErrorResponse and NoticeResponse: a list of coded fields.
//!
//! Values are bytes: a database sends them in the client's encoding. What we say ourselves is ASCII wherever we choose the words.

use bytes::{Bytes, BytesMut};

use super::reader::Reader;
use super::{MessageError, writer};

/// The field codes (documentation, "Error and Notice Message Fields").
pub mod code {
    /// Severity, translated.
    pub const SEVERITY: u8 = b'S';
    /// Severity, never translated.
    pub const SEVERITY_RAW: u8 = b'V';
    /// SQLSTATE.
    pub const SQLSTATE: u8 = b'C';
    /// The primary message.
    pub const MESSAGE: u8 = b'M';
    /// DETAIL.
    pub const DETAIL: u8 = b'D';
    /// HINT.
    pub const HINT: u8 = b'H';
    /// The position in the client's text: characters, from 1.
    pub const POSITION: u8 = b'P';
    /// The position in the internal query.
    pub const INTERNAL_POSITION: u8 = b'p';
    /// The internal query's text.
    pub const INTERNAL_QUERY: u8 = b'q';
    /// CONTEXT.
    pub const WHERE: u8 = b'W';
    /// The schema's name.
    pub const SCHEMA: u8 = b's';
    /// The table's name.
    pub const TABLE: u8 = b't';
    /// The column's name.
    pub const COLUMN: u8 = b'c';
    /// The data type's name.
    pub const DATA_TYPE: u8 = b'd';
    /// The constraint's name.
    pub const CONSTRAINT: u8 = b'n';
    /// The source file.
    pub const FILE: u8 = b'F';
    /// The source line.
    pub const LINE: u8 = b'L';
    /// The source routine.
    pub const ROUTINE: u8 = b'R';
}

/// The fields of an ErrorResponse or a NoticeResponse, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    fields: Vec<(u8, Bytes)>,
}

impl Report {
    /// An `ERROR`.
    pub fn error(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self::new("ERROR", sqlstate, message)
    }

    /// A `FATAL` error: the connection is closed after it.
    pub fn fatal(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self::new("FATAL", sqlstate, message)
    }

    /// Any severity: `ERROR`, `FATAL`, `WARNING`, `NOTICE`, ...
    pub fn new(severity: &'static str, sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self::default()
            .with(code::SEVERITY, severity)
            .with(code::SEVERITY_RAW, severity)
            .with(code::SQLSTATE, sqlstate)
            .with(code::MESSAGE, message.into())
    }

    /// With a DETAIL: a sentence.
    #[must_use]
    pub fn detail(self, text: impl Into<String>) -> Self {
        self.with(code::DETAIL, text.into())
    }

    /// With a HINT: a sentence.
    #[must_use]
    pub fn hint(self, text: impl Into<String>) -> Self {
        self.with(code::HINT, text.into())
    }

    /// With one more field, or another value for it.
    #[must_use]
    pub fn with(mut self, code: u8, value: impl Into<Bytes>) -> Self {
        self.set(code, value);
        self
    }

    /// The fields, in order.
    #[must_use]
    pub fn fields(&self) -> &[(u8, Bytes)] {
        &self.fields
    }

    /// A field's value.
    #[must_use]
    pub fn get(&self, code: u8) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|(c, _)| *c == code)
            .map(|(_, value)| value.as_ref())
    }

    /// The SQLSTATE; empty when there's none.
    #[must_use]
    pub fn sqlstate(&self) -> &[u8] {
        self.get(code::SQLSTATE).unwrap_or_default()
    }

    /// The primary message, for people; what isn't UTF-8 is replaced.
    #[must_use]
    pub fn message(&self) -> String {
        String::from_utf8_lossy(self.get(code::MESSAGE).unwrap_or_default()).into_owned()
    }

    /// The severity, never translated where the database says so (since 9.6).
    #[must_use]
    pub fn severity(&self) -> &[u8] {
        self.get(code::SEVERITY_RAW)
            .or_else(|| self.get(code::SEVERITY))
            .unwrap_or_default()
    }

    /// Whether the sender closes the connection after it.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self.severity(), b"FATAL" | b"PANIC")
    }

    /// Sets a field: in its place, or at the end.
    pub fn set(&mut self, code: u8, value: impl Into<Bytes>) {
        let value = value.into();
        match self.fields.iter_mut().find(|(c, _)| *c == code) {
            Some(field) => field.1 = value,
            None => self.fields.push((code, value)),
        }
    }

    /// Removes a field.
    pub fn remove(&mut self, code: u8) {
        self.fields.retain(|(c, _)| *c != code);
    }

    /// Reads the body of an ErrorResponse or a NoticeResponse.
    ///
    /// # Errors
    /// When it isn't one.
    pub fn read(body: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body);
        let mut fields = Vec::new();
        loop {
            match reader.u8()? {
                0 => break,
                code => fields.push((code, Bytes::copy_from_slice(reader.string()?))),
            }
        }
        reader.end()?;
        Ok(Self { fields })
    }

    /// Appends it as an ErrorResponse.
    pub fn write_error(&self, out: &mut BytesMut) {
        self.write(b'E', out);
    }

    /// Appends it as a NoticeResponse.
    pub fn write_notice(&self, out: &mut BytesMut) {
        self.write(b'N', out);
    }

    /// As an ErrorResponse frame of its own.
    #[must_use]
    pub fn error_frame(&self) -> BytesMut {
        let mut out = BytesMut::new();
        self.write_error(&mut out);
        out
    }

    /// A value ends before a NUL in it: the rest can't be said in this protocol.
    fn write(&self, tag: u8, out: &mut BytesMut) {
        let written = writer::frame(out, tag, |out| {
            for (code, value) in &self.fields {
                let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
                out.extend_from_slice(&[*code]);
                writer::string(out, text)?;
            }
            out.extend_from_slice(&[0]);
            Ok(())
        });
        debug_assert!(written.is_ok(), "only a report of 2 GiB can't be written");
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {} (SQLSTATE {})",
            String::from_utf8_lossy(self.severity()),
            self.message(),
            String::from_utf8_lossy(self.sqlstate()),
        )
    }
}
