//! The frames that databases send: typed reading of a whole frame's body, and writing.
//!
//! Text and values are borrowed bytes in the client's encoding. ErrorResponse and NoticeResponse are in [`super::report`].

use bytes::{BufMut, BytesMut};

use super::reader::Reader;
use super::{MessageError, TransactionStatus, writer};

/// One column of a RowDescription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The column's name.
    pub name: &'a [u8],
    /// The table's OID; 0: not a column of a table.
    pub table: u32,
    /// The attribute number; 0: not a column of a table.
    pub attribute: i16,
    /// The data type's OID.
    pub type_oid: u32,
    /// The data type's size; negative: of variable width.
    pub type_size: i16,
    /// The type modifier.
    pub type_modifier: i32,
    /// The format code: 0 text, 1 binary. 0 where it isn't known yet (Describe of a statement).
    pub format: i16,
}

/// The bytes of a [`Field`] behind its name's NUL.
const FIELD: usize = 18;

/// Reads the body of a RowDescription.
///
/// # Errors
/// When it isn't one.
pub fn read_row_description(body: &[u8]) -> Result<Vec<Field<'_>>, MessageError> {
    let mut reader = Reader::new(body);
    let count = usize::from(reader.u16()?);
    // What is there bounds the allocation, not what a count says.
    let mut fields = Vec::with_capacity(count.min(reader.remaining() / (FIELD + 1)));
    for _ in 0..count {
        fields.push(Field {
            name: reader.string()?,
            table: reader.u32()?,
            attribute: reader.i16()?,
            type_oid: reader.u32()?,
            type_size: reader.i16()?,
            type_modifier: reader.i32()?,
            format: reader.i16()?,
        });
    }
    reader.end()?;
    Ok(fields)
}

/// Appends a RowDescription.
///
/// # Errors
/// When a name has a NUL in it or there are too many fields.
pub fn row_description(fields: &[Field<'_>], out: &mut BytesMut) -> Result<(), MessageError> {
    writer::frame(out, b'T', |out| {
        writer::count(out, fields.len())?;
        for field in fields {
            writer::string(out, field.name)?;
            out.put_u32(field.table);
            out.put_i16(field.attribute);
            out.put_u32(field.type_oid);
            out.put_i16(field.type_size);
            out.put_i32(field.type_modifier);
            out.put_i16(field.format);
        }
        Ok(())
    })
}

/// Sets the format codes in the body of a RowDescription, in place: `formats` as in a Bind (none: all text, one: for all, or one for each column).
///
/// # Errors
/// When it isn't a RowDescription, or the number of formats doesn't fit ([`MessageError::Value`]).
pub fn set_formats(body: &mut [u8], formats: &[i16]) -> Result<(), MessageError> {
    let count = read_row_description(body)?.len();
    if formats.len() > 1 && formats.len() != count {
        return Err(MessageError::Value);
    }
    let mut at = 2;
    for n in 0..count {
        let rest = body.get(at..).ok_or(MessageError::Truncated)?;
        let name = rest
            .iter()
            .position(|byte| *byte == 0)
            .ok_or(MessageError::String)?;
        at += name + 1 + FIELD;
        let format = match formats {
            [] => 0,
            [all] => *all,
            each => each.get(n).copied().unwrap_or(0),
        };
        body.get_mut(at - 2..at)
            .ok_or(MessageError::Truncated)?
            .copy_from_slice(&format.to_be_bytes());
    }
    Ok(())
}

/// Reads the body of a ParameterDescription: the parameters' type OIDs.
///
/// # Errors
/// When it isn't one.
pub fn read_parameter_description(body: &[u8]) -> Result<Vec<u32>, MessageError> {
    let mut reader = Reader::new(body);
    let count = usize::from(reader.u16()?);
    let mut types = Vec::with_capacity(count.min(reader.remaining() / 4));
    for _ in 0..count {
        types.push(reader.u32()?);
    }
    reader.end()?;
    Ok(types)
}

/// Appends a ParameterDescription.
///
/// # Errors
/// When there are too many.
pub fn parameter_description(types: &[u32], out: &mut BytesMut) -> Result<(), MessageError> {
    writer::frame(out, b't', |out| {
        writer::count(out, types.len())?;
        types.iter().for_each(|oid| out.put_u32(*oid));
        Ok(())
    })
}

/// Reads the body of a DataRow: the columns; `None`: NULL.
///
/// # Errors
/// When it isn't one.
pub fn read_data_row(body: &[u8]) -> Result<Vec<Option<&[u8]>>, MessageError> {
    let mut reader = Reader::new(body);
    let count = usize::from(reader.u16()?);
    let mut columns = Vec::with_capacity(count.min(reader.remaining() / 4));
    for _ in 0..count {
        columns.push(reader.value()?);
    }
    reader.end()?;
    Ok(columns)
}

/// Appends a DataRow.
///
/// # Errors
/// When there are too many columns, or something is too long.
pub fn data_row(columns: &[Option<&[u8]>], out: &mut BytesMut) -> Result<(), MessageError> {
    writer::frame(out, b'D', |out| {
        writer::count(out, columns.len())?;
        for column in columns {
            writer::value(out, *column)?;
        }
        Ok(())
    })
}

/// Reads the body of a CommandComplete: the command tag.
///
/// # Errors
/// When it isn't one.
pub fn read_command_complete(body: &[u8]) -> Result<&[u8], MessageError> {
    let mut reader = Reader::new(body);
    let tag = reader.string()?;
    reader.end()?;
    Ok(tag)
}

/// Reads the body of a ReadyForQuery.
///
/// # Errors
/// When it isn't one.
pub fn read_ready_for_query(body: &[u8]) -> Result<TransactionStatus, MessageError> {
    let mut reader = Reader::new(body);
    let status = TransactionStatus::from_byte(reader.u8()?)?;
    reader.end()?;
    Ok(status)
}

/// Reads the body of a ParameterStatus: name and value.
///
/// # Errors
/// When it isn't one.
pub fn read_parameter_status(body: &[u8]) -> Result<(&[u8], &[u8]), MessageError> {
    let mut reader = Reader::new(body);
    let name = reader.string()?;
    let value = reader.string()?;
    reader.end()?;
    Ok((name, value))
}

/// The body of a BackendKeyData: what a CancelRequest must say.
#[derive(Clone, PartialEq, Eq)]
pub struct BackendKey {
    /// The process's id.
    pub process: u32,
    /// The secret: 4 bytes, or up to 256 with protocol 3.2.
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for BackendKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackendKey")
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}

impl BackendKey {
    /// Reads the body of a BackendKeyData.
    ///
    /// # Errors
    /// When it isn't one.
    pub fn read(body: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body);
        let process = reader.u32()?;
        match reader.peek() {
            secret if (4..=256).contains(&secret.len()) => Ok(Self {
                process,
                secret: secret.to_vec(),
            }),
            secret if secret.len() < 4 => Err(MessageError::Truncated),
            _ => Err(MessageError::Trailing),
        }
    }

    /// Appends it as a BackendKeyData.
    pub fn write(&self, out: &mut BytesMut) {
        let written = writer::frame(out, b'K', |out| {
            out.put_u32(self.process);
            out.put_slice(&self.secret);
            Ok(())
        });
        debug_assert!(written.is_ok(), "a key is at most 256 bytes");
    }
}

/// A NotificationResponse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notification<'a> {
    /// The process id of who notified.
    pub process: u32,
    /// The channel.
    pub channel: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Notification<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// When it isn't one.
    pub fn read(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body);
        let process = reader.u32()?;
        let channel = reader.string()?;
        let payload = reader.string()?;
        reader.end()?;
        Ok(Self {
            process,
            channel,
            payload,
        })
    }
}

/// Appends a ReadyForQuery.
pub fn ready_for_query(status: TransactionStatus, out: &mut BytesMut) {
    out.put_slice(&[b'Z', 0, 0, 0, 5, status.byte()]);
}

/// Appends a CommandComplete.
///
/// # Errors
/// When the tag has a NUL in it.
pub fn command_complete(tag: &[u8], out: &mut BytesMut) -> Result<(), MessageError> {
    writer::frame(out, b'C', |out| writer::string(out, tag))
}

/// Appends a ParameterStatus.
///
/// # Errors
/// When a text has a NUL in it.
pub fn parameter_status(name: &[u8], value: &[u8], out: &mut BytesMut) -> Result<(), MessageError> {
    writer::frame(out, b'S', |out| {
        writer::string(out, name)?;
        writer::string(out, value)
    })
}

/// Appends a ParseComplete.
pub fn parse_complete(out: &mut BytesMut) {
    out.put_slice(&[b'1', 0, 0, 0, 4]);
}

/// Appends a BindComplete.
pub fn bind_complete(out: &mut BytesMut) {
    out.put_slice(&[b'2', 0, 0, 0, 4]);
}

/// Appends a CloseComplete.
pub fn close_complete(out: &mut BytesMut) {
    out.put_slice(&[b'3', 0, 0, 0, 4]);
}

/// Appends a NoData.
pub fn no_data(out: &mut BytesMut) {
    out.put_slice(&[b'n', 0, 0, 0, 4]);
}

/// Appends an EmptyQueryResponse.
pub fn empty_query_response(out: &mut BytesMut) {
    out.put_slice(&[b'I', 0, 0, 0, 4]);
}

/// Appends a PortalSuspended.
pub fn portal_suspended(out: &mut BytesMut) {
    out.put_slice(&[b's', 0, 0, 0, 4]);
}

/// What a database (or we) ask of who logs in: the body of an `R` frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// Logged in.
    Ok,
    /// A password in clear text is asked for.
    Cleartext,
    /// An MD5-hashed password is asked for, with this salt.
    Md5([u8; 4]),
    /// SASL: the mechanisms offered, each with its NUL, and a last NUL; see [`Authentication::mechanisms`].
    Sasl(&'a [u8]),
    /// SASL goes on.
    SaslContinue(&'a [u8]),
    /// SASL's last data.
    SaslFinal(&'a [u8]),
    /// A method that we don't have (Kerberos, GSSAPI, SSPI, ...): its number.
    Other(u32),
}

impl<'a> Authentication<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// When it isn't one.
    pub fn read(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body);
        let kind = reader.u32()?;
        let data = reader.peek();
        let exact = |value, length: usize| match data.len() {
            l if l == length => Ok(value),
            l if l < length => Err(MessageError::Truncated),
            _ => Err(MessageError::Trailing),
        };
        match kind {
            0 => exact(Self::Ok, 0),
            3 => exact(Self::Cleartext, 0),
            5 => data
                .first_chunk()
                .ok_or(MessageError::Truncated)
                .and_then(|salt| exact(Self::Md5(*salt), 4)),
            10 if data.ends_with(&[0]) => Ok(Self::Sasl(data)),
            10 => Err(MessageError::String),
            11 => Ok(Self::SaslContinue(data)),
            12 => Ok(Self::SaslFinal(data)),
            other => Ok(Self::Other(other)),
        }
    }

    /// The names of the mechanisms that [`Authentication::Sasl`] offers; empty for others.
    pub fn mechanisms(self) -> impl Iterator<Item = &'a [u8]> {
        let data = match self {
            Self::Sasl(data) => data,
            _ => &[],
        };
        data.split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
    }

    /// Appends it as a frame.
    ///
    /// # Errors
    /// When the data is too long for a frame.
    pub fn write(self, out: &mut BytesMut) -> Result<(), MessageError> {
        writer::frame(out, b'R', |out| {
            let (kind, data): (u32, &[u8]) = match &self {
                Self::Ok => (0, &[]),
                Self::Cleartext => (3, &[]),
                Self::Md5(salt) => (5, salt),
                Self::Sasl(data) => (10, data),
                Self::SaslContinue(data) => (11, data),
                Self::SaslFinal(data) => (12, data),
                Self::Other(kind) => (*kind, &[]),
            };
            out.put_u32(kind);
            out.put_slice(data);
            Ok(())
        })
    }
}
