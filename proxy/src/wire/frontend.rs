//! The frames that clients send: typed reading of a whole frame's body, and writing.
//!
//! Text and values are borrowed bytes in the client's encoding. Reading is strict: a NUL inside, a count that says
//! more than there is, and bytes behind the last field are errors.

use bytes::{BufMut, BytesMut};

use super::reader::Reader;
use super::{MessageError, writer};

/// What Describe and Close are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// `S`: a prepared statement.
    Statement,
    /// `P`: a portal.
    Portal,
}

impl Subject {
    fn byte(self) -> u8 {
        match self {
            Self::Statement => b'S',
            Self::Portal => b'P',
        }
    }
}

/// Reads a Query's text.
///
/// # Errors
/// When the body isn't exactly one NUL-terminated string.
pub fn read_query(body: &[u8]) -> Result<&[u8], MessageError> {
    let mut reader = Reader::new(body);
    let text = reader.string()?;
    reader.end()?;
    Ok(text)
}

/// Parse: prepare a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parse<'a> {
    /// The statement's name; empty: the unnamed one.
    pub name: &'a [u8],
    /// The query's text.
    pub text: &'a [u8],
    /// The parameters' types as far as the client gives them, 0: not given. Each four bytes, as on the wire; see [`Parse::types`].
    raw_types: &'a [u8],
}

impl<'a> Parse<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// When it isn't a Parse.
    pub fn read(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body);
        let name = reader.string()?;
        let text = reader.string()?;
        let count = usize::from(reader.u16()?);
        let raw_types = reader.bytes(count * 4)?;
        reader.end()?;
        Ok(Self {
            name,
            text,
            raw_types,
        })
    }

    /// The parameters' type OIDs as far as the client gives them; 0: not given.
    pub fn types(&self) -> impl ExactSizeIterator<Item = u32> + 'a {
        self.raw_types
            .chunks_exact(4)
            .map(|b| b.try_into().map_or(0, u32::from_be_bytes))
    }
}

/// Bind: make a portal of a prepared statement and parameters. The parameters' values stay opaque.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bind<'a> {
    /// The portal's name; empty: the unnamed one.
    pub portal: &'a [u8],
    /// The prepared statement's name.
    pub statement: &'a [u8],
    /// The parameters' format codes, two bytes each: none (all text), one (for all), or one for each parameter.
    formats: &'a [u8],
    /// How many parameters.
    pub parameters: u16,
    /// Their lengths and bytes, as on the wire.
    values: &'a [u8],
    /// The result columns' format codes, two bytes each, the same way.
    result_formats: &'a [u8],
}

impl<'a> Bind<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// When it isn't a Bind.
    pub fn read(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body);
        let portal = reader.string()?;
        let statement = reader.string()?;
        let count = usize::from(reader.u16()?);
        let formats = reader.bytes(count * 2)?;
        let parameters = reader.u16()?;
        let mut start = reader;
        for _ in 0..parameters {
            reader.value()?;
        }
        let values = start.bytes(start.remaining() - reader.remaining())?;
        let count = usize::from(reader.u16()?);
        let result_formats = reader.bytes(count * 2)?;
        reader.end()?;
        Ok(Self {
            portal,
            statement,
            formats,
            parameters,
            values,
            result_formats,
        })
    }

    /// The parameters' format codes as given: none, one for all, or one for each.
    pub fn formats(&self) -> impl ExactSizeIterator<Item = i16> + 'a {
        codes(self.formats)
    }

    /// The result columns' format codes as given: none (all text), one for all, or one for each column.
    pub fn result_formats(&self) -> impl ExactSizeIterator<Item = i16> + 'a {
        codes(self.result_formats)
    }

    /// The parameters' values in order; `None`: NULL.
    pub fn values(&self) -> impl Iterator<Item = Option<&'a [u8]>> + 'a {
        let mut reader = Reader::new(self.values);
        (0..self.parameters).map_while(move |_| reader.value().ok())
    }

    /// The format code of parameter `n` (from 0).
    #[must_use]
    pub fn format_of(&self, n: usize) -> i16 {
        let mut formats = self.formats();
        if formats.len() == 1 {
            formats.next().unwrap_or(0)
        } else {
            formats.nth(n).unwrap_or(0)
        }
    }

    /// Appends a Bind of the same parameters and result formats with other names.
    ///
    /// # Errors
    /// When a name has a NUL in it.
    pub fn write(
        &self,
        portal: &[u8],
        statement: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), MessageError> {
        self.put(
            portal,
            statement,
            self.formats,
            self.parameters,
            self.values,
            self.result_formats,
            out,
        )
    }

    /// Appends a Bind of the first `count` parameters with other names, and results as text.
    ///
    /// # Errors
    /// When there aren't so many parameters ([`MessageError::Truncated`]) or a name has a NUL in it.
    pub fn write_first(
        &self,
        count: u16,
        portal: &[u8],
        statement: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), MessageError> {
        if count > self.parameters {
            return Err(MessageError::Truncated);
        }
        let mut reader = Reader::new(self.values);
        for _ in 0..count {
            reader.value()?;
        }
        let length = self.values.len() - reader.remaining();
        let values = self.values.get(..length).ok_or(MessageError::Truncated)?;
        let formats = if self.formats.len() > 2 {
            let length = self.formats.len().min(usize::from(count) * 2);
            self.formats.get(..length).ok_or(MessageError::Truncated)?
        } else {
            self.formats
        };
        self.put(portal, statement, formats, count, values, &[], out)
    }

    #[expect(clippy::too_many_arguments, reason = "the message has six fields")]
    fn put(
        &self,
        portal: &[u8],
        statement: &[u8],
        formats: &[u8],
        parameters: u16,
        values: &[u8],
        result_formats: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), MessageError> {
        writer::frame(out, b'B', |out| {
            writer::string(out, portal)?;
            writer::string(out, statement)?;
            writer::count(out, formats.len() / 2)?;
            out.put_slice(formats);
            out.put_u16(parameters);
            out.put_slice(values);
            writer::count(out, result_formats.len() / 2)?;
            out.put_slice(result_formats);
            Ok(())
        })
    }
}

fn codes(raw: &[u8]) -> impl ExactSizeIterator<Item = i16> + '_ {
    raw.chunks_exact(2)
        .map(|b| b.try_into().map_or(0, i16::from_be_bytes))
}

/// Reads the body of a Describe or a Close: of what, and its name.
///
/// # Errors
/// When it isn't one.
pub fn read_subject(body: &[u8]) -> Result<(Subject, &[u8]), MessageError> {
    let mut reader = Reader::new(body);
    let subject = match reader.u8()? {
        b'S' => Subject::Statement,
        b'P' => Subject::Portal,
        _ => return Err(MessageError::Value),
    };
    let name = reader.string()?;
    reader.end()?;
    Ok((subject, name))
}

/// Execute: run a portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execute<'a> {
    /// The portal's name.
    pub portal: &'a [u8],
    /// At most so many rows; 0 (or less): all.
    pub max_rows: i32,
}

impl<'a> Execute<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// When it isn't an Execute.
    pub fn read(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body);
        let portal = reader.string()?;
        let max_rows = reader.i32()?;
        reader.end()?;
        Ok(Self { portal, max_rows })
    }
}

/// FunctionCall (the "fast path"): libpq's large objects use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionCall<'a> {
    /// The function's OID.
    pub function: u32,
    /// How many arguments.
    pub arguments: u16,
    /// Everything behind the OID, as on the wire.
    pub rest: &'a [u8],
}

impl<'a> FunctionCall<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// When it isn't a FunctionCall.
    pub fn read(body: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body);
        let function = reader.u32()?;
        let rest = reader.peek();
        let formats = usize::from(reader.u16()?);
        reader.bytes(formats * 2)?;
        let arguments = reader.u16()?;
        for _ in 0..arguments {
            reader.value()?;
        }
        reader.u16()?;
        reader.end()?;
        Ok(Self {
            function,
            arguments,
            rest,
        })
    }
}

/// Reads a password message (the answer to a clear-text or MD5 request). It isn't to be shown.
///
/// # Errors
/// When the body isn't exactly one NUL-terminated string.
pub fn read_password(body: &[u8]) -> Result<&[u8], MessageError> {
    read_query(body)
}

/// Reads a SASLInitialResponse: the mechanism's name and the mechanism's data, if any.
///
/// # Errors
/// When it isn't one.
pub fn read_sasl_initial(body: &[u8]) -> Result<(&[u8], Option<&[u8]>), MessageError> {
    let mut reader = Reader::new(body);
    let mechanism = reader.string()?;
    let data = reader.value()?;
    reader.end()?;
    Ok((mechanism, data))
}

/// Appends a Query.
///
/// # Errors
/// When the text has a NUL in it or is too long.
pub fn query(text: &[u8], out: &mut BytesMut) -> Result<(), MessageError> {
    writer::frame(out, b'Q', |out| writer::string(out, text))
}

/// Appends a Parse.
///
/// # Errors
/// When a text has a NUL in it, or something is too long.
pub fn parse(
    name: &[u8],
    text: &[u8],
    types: impl ExactSizeIterator<Item = u32>,
    out: &mut BytesMut,
) -> Result<(), MessageError> {
    writer::frame(out, b'P', |out| {
        writer::string(out, name)?;
        writer::string(out, text)?;
        writer::count(out, types.len())?;
        types.for_each(|oid| out.put_u32(oid));
        Ok(())
    })
}

/// Appends a Bind with text parameters and text results.
///
/// # Errors
/// When a name has a NUL in it, or something is too long.
pub fn bind(
    portal: &[u8],
    statement: &[u8],
    values: &[Option<&[u8]>],
    out: &mut BytesMut,
) -> Result<(), MessageError> {
    writer::frame(out, b'B', |out| {
        writer::string(out, portal)?;
        writer::string(out, statement)?;
        out.put_u16(0);
        writer::count(out, values.len())?;
        for value in values {
            writer::value(out, *value)?;
        }
        out.put_u16(0);
        Ok(())
    })
}

/// Appends a Describe.
///
/// # Errors
/// When the name has a NUL in it.
pub fn describe(subject: Subject, name: &[u8], out: &mut BytesMut) -> Result<(), MessageError> {
    about(b'D', subject, name, out)
}

/// Appends a Close.
///
/// # Errors
/// When the name has a NUL in it.
pub fn close(subject: Subject, name: &[u8], out: &mut BytesMut) -> Result<(), MessageError> {
    about(b'C', subject, name, out)
}

fn about(tag: u8, subject: Subject, name: &[u8], out: &mut BytesMut) -> Result<(), MessageError> {
    writer::frame(out, tag, |out| {
        out.put_u8(subject.byte());
        writer::string(out, name)
    })
}

/// Appends an Execute.
///
/// # Errors
/// When the name has a NUL in it.
pub fn execute(portal: &[u8], max_rows: i32, out: &mut BytesMut) -> Result<(), MessageError> {
    writer::frame(out, b'E', |out| {
        writer::string(out, portal)?;
        out.put_i32(max_rows);
        Ok(())
    })
}

/// Appends a Sync.
pub fn sync(out: &mut BytesMut) {
    out.put_slice(&[b'S', 0, 0, 0, 4]);
}

/// Appends a Flush.
pub fn flush(out: &mut BytesMut) {
    out.put_slice(&[b'H', 0, 0, 0, 4]);
}

/// Appends a Terminate.
pub fn terminate(out: &mut BytesMut) {
    out.put_slice(&[b'X', 0, 0, 0, 4]);
}

/// Appends a CopyData.
///
/// # Errors
/// When the data is too long for a frame.
pub fn copy_data(data: &[u8], out: &mut BytesMut) -> Result<(), MessageError> {
    writer::frame(out, b'd', |out| {
        out.put_slice(data);
        Ok(())
    })
}

/// Appends a CopyDone.
pub fn copy_done(out: &mut BytesMut) {
    out.put_slice(&[b'c', 0, 0, 0, 4]);
}

/// Appends a CopyFail.
///
/// # Errors
/// When the message has a NUL in it.
pub fn copy_fail(message: &[u8], out: &mut BytesMut) -> Result<(), MessageError> {
    writer::frame(out, b'f', |out| writer::string(out, message))
}

/// Appends a password message.
///
/// # Errors
/// When the password has a NUL in it.
pub fn password(password: &[u8], out: &mut BytesMut) -> Result<(), MessageError> {
    writer::frame(out, b'p', |out| writer::string(out, password))
}

/// Appends a SASLInitialResponse.
///
/// # Errors
/// When the mechanism's name has a NUL in it.
pub fn sasl_initial(mechanism: &[u8], data: &[u8], out: &mut BytesMut) -> Result<(), MessageError> {
    writer::frame(out, b'p', |out| {
        writer::string(out, mechanism)?;
        writer::value(out, Some(data))
    })
}

/// Appends a SASLResponse.
///
/// # Errors
/// When the data is too long for a frame.
pub fn sasl_response(data: &[u8], out: &mut BytesMut) -> Result<(), MessageError> {
    writer::frame(out, b'p', |out| {
        out.put_slice(data);
        Ok(())
    })
}
