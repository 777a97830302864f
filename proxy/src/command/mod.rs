//! The commands of `previewpg`.
