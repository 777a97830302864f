//! Writing frames: the length is set when the body is complete; what can't be written leaves the buffer as it was.

use bytes::{BufMut, BytesMut};

use super::MessageError;

/// Appends one frame.
pub(super) fn frame(
    out: &mut BytesMut,
    tag: u8,
    body: impl FnOnce(&mut BytesMut) -> Result<(), MessageError>,
) -> Result<(), MessageError> {
    let start = out.len();
    out.put_u8(tag);
    let result = counted(out, body);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Appends a length that counts itself, and what it counts.
pub(super) fn counted(
    out: &mut BytesMut,
    body: impl FnOnce(&mut BytesMut) -> Result<(), MessageError>,
) -> Result<(), MessageError> {
    let start = out.len();
    out.put_i32(0);
    let result = body(out).and_then(|()| {
        let length = i32::try_from(out.len() - start).map_err(|_| MessageError::TooLong)?;
        if let Some(place) = out.get_mut(start..start + 4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    });
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Appends a string and its NUL.
pub(super) fn string(out: &mut BytesMut, text: &[u8]) -> Result<(), MessageError> {
    if text.contains(&0) {
        return Err(MessageError::String);
    }
    out.put_slice(text);
    out.put_u8(0);
    Ok(())
}

/// Appends a two-byte count.
pub(super) fn count(out: &mut BytesMut, count: usize) -> Result<(), MessageError> {
    out.put_u16(u16::try_from(count).map_err(|_| MessageError::TooLong)?);
    Ok(())
}

/// Appends a value: its length and its bytes, or -1.
pub(super) fn value(out: &mut BytesMut, value: Option<&[u8]>) -> Result<(), MessageError> {
    match value {
        None => out.put_i32(-1),
        Some(bytes) => {
            out.put_i32(i32::try_from(bytes.len()).map_err(|_| MessageError::TooLong)?);
            out.put_slice(bytes);
        }
    }
    Ok(())
}
