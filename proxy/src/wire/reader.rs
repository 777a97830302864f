//! A cursor over a frame's body. Never reads beyond it.

use std::ffi::CStr;

use super::MessageError;

#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], MessageError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(MessageError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// What is left, without reading it.
    pub(super) fn peek(&self) -> &'a [u8] {
        self.rest
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MessageError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(MessageError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, MessageError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, MessageError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Result<i16, MessageError> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, MessageError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, MessageError> {
        self.array().map(i32::from_be_bytes)
    }

    /// A string up to its terminating NUL, without it.
    pub(super) fn string(&mut self) -> Result<&'a [u8], MessageError> {
        let text = CStr::from_bytes_until_nul(self.rest)
            .map_err(|_| MessageError::String)?
            .to_bytes();
        self.rest = self.rest.get(text.len() + 1..).unwrap_or_default();
        Ok(text)
    }

    /// A length and as many bytes; a length of -1 is NULL.
    pub(super) fn value(&mut self) -> Result<Option<&'a [u8]>, MessageError> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| MessageError::Truncated)?;
                self.bytes(length).map(Some)
            }
        }
    }

    pub(super) fn end(&self) -> Result<(), MessageError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(MessageError::Trailing)
        }
    }
}
