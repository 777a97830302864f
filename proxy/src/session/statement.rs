//! The client's prepared statements and portals, and ours beside them.
//!
//! A prepared statement is entered when its Parse is sent, not when fresh has accepted it, so that a pipeline can go on;
//! where fresh doesn't accept it (or skips it after an error) the entry before is put back: see [`Undo`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::planner::Reading;
use crate::rewrite::plan::Plan;

/// Every name of ours begins with this; clients' names that do are refused by nobody, they only collide with our own.
const PREFIX: &str = "previewpg_";

/// How many prepared statements of ours a session keeps.
const KEPT: usize = 256;

/// A client's prepared statement.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    /// Ours, never reused: names it in [`super::expect::Describe::Capture`].
    pub(crate) id: u64,
    /// What it says; `None` where it was prepared in a failed transaction or couldn't be read.
    pub(crate) reading: Option<Arc<Reading>>,
    /// What fresh says of it.
    pub(crate) capture: Capture,
    /// The plan, and the generation of names it was made for.
    pub(crate) planned: Option<(u64, Arc<Plan>)>,
}

/// What fresh says of a prepared statement.
#[derive(Debug, Clone, Default)]
pub(crate) enum Capture {
    /// Not asked for.
    #[default]
    None,
    /// Asked for.
    Pending,
    /// Said.
    Done(Arc<Description>),
}

/// A prepared statement's parameters and result, as fresh gives them for the client's own text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Description {
    /// The parameters' types.
    pub(crate) parameters: Vec<u32>,
    /// The body of RowDescription; `None`: it gives no rows.
    pub(crate) row: Option<Bytes>,
}

/// A client's portal.
#[derive(Debug, Clone)]
pub(crate) struct Portal {
    /// What it runs, for what follows from running it.
    pub(crate) reading: Option<Arc<Reading>>,
    /// The plan it was bound by.
    pub(crate) plan: Arc<Plan>,
    /// The answer to its Describe, where fresh's own would be another statement's.
    pub(crate) described: Option<Bytes>,
    /// It isn't known to fresh: it runs on production when it is executed.
    pub(crate) read: Option<Arc<Bound>>,
    /// Production was asked in vain: it runs on fresh.
    pub(crate) stays: bool,
}

/// A Bind that wasn't sent to fresh.
#[derive(Debug)]
pub(crate) struct Bound {
    /// The client's Bind, its body.
    pub(crate) bind: Bytes,
    /// What fresh said of the statement.
    pub(crate) description: Arc<Description>,
}

/// How to put a name back when its message had no effect.
#[derive(Debug, Default)]
pub(crate) enum Undo {
    /// Nothing to do.
    #[default]
    Nothing,
    /// The name meant this (or nothing) before.
    Client(Bytes, Option<Box<Prepared>>),
    /// A statement of ours isn't there.
    Ours(Bytes),
}

/// What is known of a rewritten statement's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Columns {
    /// Asked for.
    Asked,
    /// They are the original's.
    Same,
    /// They aren't.
    Other,
}

/// What is prepared on fresh.
#[derive(Debug, Default)]
pub(crate) struct Statements {
    client: HashMap<Bytes, Prepared>,
    portals: HashMap<Bytes, Portal>,
    ours: HashMap<(Bytes, Vec<u32>), Bytes>,
    /// What is known of the columns of ours, by name.
    columns: HashMap<Bytes, Columns>,
    order: VecDeque<(Bytes, Vec<u32>)>,
    serial: u64,
}

impl Statements {
    /// Enters a statement.
    pub(crate) fn enter(&mut self, name: Bytes, reading: Option<Arc<Reading>>) -> (u64, Undo) {
        self.serial += 1;
        let entry = Prepared {
            id: self.serial,
            reading,
            capture: Capture::None,
            planned: None,
        };
        let before = self.client.insert(name.clone(), entry);
        (self.serial, Undo::Client(name, before.map(Box::new)))
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<&Prepared> {
        self.client.get(name)
    }

    pub(crate) fn get_mut(&mut self, name: &[u8]) -> Option<&mut Prepared> {
        self.client.get_mut(name)
    }

    /// By [`Prepared::id`].
    pub(crate) fn by_id(&mut self, id: u64) -> Option<&mut Prepared> {
        self.client.values_mut().find(|entry| entry.id == id)
    }

    /// A description that was asked for won't come.
    pub(crate) fn uncapture(&mut self, id: u64) {
        if let Some(entry) = self.by_id(id) {
            entry.capture = Capture::None;
        }
    }

    /// Forgets a statement.
    pub(crate) fn remove(&mut self, name: &[u8]) -> Undo {
        match self.client.remove_entry(name) {
            Some((name, entry)) => Undo::Client(name, Some(Box::new(entry))),
            None => Undo::Nothing,
        }
    }

    /// Puts back what a message without effect changed.
    pub(crate) fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Nothing => {}
            Undo::Client(name, Some(before)) => {
                self.client.insert(name, *before);
            }
            Undo::Client(name, None) => {
                self.client.remove(&name);
            }
            Undo::Ours(name) => {
                self.ours.retain(|_, kept| *kept != name);
                self.columns.remove(&name);
                self.order.retain(|key| self.ours.contains_key(key));
            }
        }
    }

    /// `DEALLOCATE ALL`, `DISCARD ALL`: everything prepared is gone, ours as well.
    pub(crate) fn clear(&mut self) {
        self.client.clear();
        self.ours.clear();
        self.columns.clear();
        self.order.clear();
    }

    /// Simple queries drop the unnamed statement and portal.
    pub(crate) fn drop_unnamed(&mut self) {
        self.client.remove(&b""[..]);
        self.portals.remove(&b""[..]);
    }

    pub(crate) fn bind(&mut self, name: Bytes, portal: Portal) {
        self.portals.insert(name, portal);
    }

    pub(crate) fn portal(&self, name: &[u8]) -> Option<&Portal> {
        self.portals.get(name)
    }

    pub(crate) fn close_portal(&mut self, name: &[u8]) -> Option<Portal> {
        self.portals.remove(name)
    }

    /// The transaction ended, and its portals with it.
    pub(crate) fn drop_portals(&mut self) {
        self.portals.clear();
    }

    /// The name of our prepared statement for this text and these types: whether it is new, and which one has to go for it.
    pub(crate) fn ours(&mut self, text: &Bytes, types: &[u32]) -> Ours {
        let key = (text.clone(), types.to_vec());
        if let Some(name) = self.ours.get(&key) {
            return Ours {
                name: name.clone(),
                new: false,
                evicted: None,
            };
        }
        let evicted = if self.order.len() >= KEPT {
            self.order
                .pop_front()
                .and_then(|key| self.ours.remove(&key))
        } else {
            None
        };
        if let Some(evicted) = &evicted {
            self.columns.remove(evicted);
        }
        self.serial += 1;
        let name = Bytes::from(format!("{PREFIX}{}", self.serial));
        self.order.push_back(key.clone());
        self.ours.insert(key, name.clone());
        Ours {
            name,
            new: true,
            evicted,
        }
    }

    /// What is known of the columns of our statement of this name.
    pub(crate) fn columns(&self, name: &[u8]) -> Option<Columns> {
        self.columns.get(name).copied()
    }

    /// Remembers it.
    pub(crate) fn set_columns(&mut self, name: Bytes, columns: Columns) {
        self.columns.insert(name, columns);
    }

    /// Forgets all of ours, for what they name may mean something else now; gives their names, to be closed.
    pub(crate) fn take_ours(&mut self) -> Vec<Bytes> {
        self.order.clear();
        self.columns.clear();
        self.ours.drain().map(|(_, name)| name).collect()
    }
}

/// A prepared statement of ours.
#[derive(Debug)]
pub(crate) struct Ours {
    /// Its name on fresh.
    pub(crate) name: Bytes,
    /// It has to be parsed.
    pub(crate) new: bool,
    /// This one has to be closed.
    pub(crate) evicted: Option<Bytes>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_parse_without_effect_leaves_the_name_as_it_was() {
        let mut statements = Statements::default();
        let (first, _) = statements.enter(Bytes::from_static(b"s"), None);
        let (_, undo) = statements.enter(Bytes::from_static(b"s"), None);
        statements.undo(undo);
        assert_eq!(statements.get(b"s").map(|entry| entry.id), Some(first));
        let undo = statements.remove(b"s");
        assert!(statements.get(b"s").is_none());
        statements.undo(undo);
        assert_eq!(statements.get(b"s").map(|entry| entry.id), Some(first));
    }

    #[test]
    fn our_statements_are_bounded_and_reused() {
        let mut statements = Statements::default();
        let text = |n: usize| Bytes::from(format!("SELECT {n}"));
        let first = statements.ours(&text(0), &[23]);
        assert!(first.new);
        assert!(!statements.ours(&text(0), &[23]).new);
        assert!(
            statements.ours(&text(0), &[20]).new,
            "other types are another statement"
        );
        for n in 1..KEPT - 1 {
            assert!(statements.ours(&text(n), &[]).evicted.is_none());
        }
        assert_eq!(
            statements.ours(&text(KEPT), &[]).evicted,
            Some(first.name.clone())
        );
        let last = statements.ours(&text(KEPT), &[]);
        statements.undo(Undo::Ours(last.name));
        assert!(
            statements.ours(&text(KEPT), &[]).new,
            "a Parse that failed is not there"
        );
    }
}
