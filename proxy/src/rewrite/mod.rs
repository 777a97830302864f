//! Facts + catalog → what to send where. Pure: values in, values out.

pub mod plan;
