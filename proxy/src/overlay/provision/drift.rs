//! Production changed its schema while the preview lives: what that means for it.

/// A change of production's schema that meets the preview's own and was left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collision {
    /// What it is about: `schema.table`, or the name of another object with its kind.
    pub object: String,
    /// What production has.
    pub production: String,
    /// What the preview has.
    pub preview: String,
    /// Statements on the table are refused until it is resolved: its rows can't be shown truly.
    pub refused: bool,
}
