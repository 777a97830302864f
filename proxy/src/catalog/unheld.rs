//! Reads that were sent with nothing in front of them that holds their names.
//!
//! Nearly every read is: nobody is changing the schema. Who is about to says so first ([`super::store::Changing`]), and from then on names are held; but what was sent just before
//! may be parsed by fresh long after. So who changes the schema waits for those, too. A read is done with once fresh has begun to answer it, or has its tables locked: PostgreSQL
//! locks what it has found a name to mean until the transaction's end. One that isn't within the time that can be waited is *overtaken*: whatever it returns is nobody's.
//!
//! Nothing here waits; [`crate::command::control`] does.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::model::Oid;

/// Those of all sessions of a process.
#[derive(Debug, Default)]
pub struct Unheld {
    reads: Mutex<Reads>,
    /// One is gone.
    gone: Notify,
}

#[derive(Debug, Default)]
struct Reads {
    next: u64,
    under_way: BTreeMap<u64, Under>,
}

/// One that fresh isn't known to have parsed.
#[derive(Debug)]
struct Under {
    process: u32,
    relations: Vec<Oid>,
    overtaken: Arc<AtomicBool>,
}

/// A read that was sent, until it's dropped: fresh has begun to answer it.
#[derive(Debug)]
pub struct Sent {
    unheld: Arc<Unheld>,
    number: u64,
    overtaken: Arc<AtomicBool>,
}

impl Unheld {
    /// A read is sent to this process of fresh's, which names these relations. Said before looking whether somebody changes the schema: who begins to says that before looking here.
    #[must_use]
    pub fn send(self: &Arc<Self>, process: u32, relations: Vec<Oid>) -> Sent {
        let overtaken = Arc::default();
        let mut reads = self.lock();
        let number = reads.next;
        reads.next += 1;
        let under = Under {
            process,
            relations,
            overtaken: Arc::clone(&overtaken),
        };
        reads.under_way.insert(number, under);
        Sent {
            unheld: Arc::clone(self),
            number,
            overtaken,
        }
    }

    /// Ends when there are none, but of the process `own`.
    pub async fn gone(&self, own: Option<u32>) {
        loop {
            let gone = self.gone.notified();
            let mut gone = std::pin::pin!(gone);
            gone.as_mut().enable();
            if self.processes(own).is_empty() {
                return;
            }
            gone.await;
        }
    }

    /// The processes of fresh's that run them, but for `own`.
    #[must_use]
    pub fn processes(&self, own: Option<u32>) -> Vec<u32> {
        let reads = self.lock();
        let processes = reads.under_way.values().map(|read| read.process);
        processes.filter(|process| Some(*process) != own).collect()
    }

    /// Takes out those that have locked all of their relations, of which `locked` tells.
    pub fn have_locked(&self, locked: &HashSet<(u32, Oid)>) {
        self.lock().under_way.retain(|_, read| {
            let mut relations = read.relations.iter();
            !relations.all(|oid| locked.contains(&(read.process, *oid)))
        });
    }

    /// Those, but of the process `own`, can be waited for no longer.
    pub fn overtake(&self, own: Option<u32>) {
        self.lock().under_way.retain(|_, read| {
            let stays = Some(read.process) == own;
            read.overtaken.fetch_or(!stays, Ordering::AcqRel);
            stays
        });
    }

    fn lock(&self) -> MutexGuard<'_, Reads> {
        // Whole, whatever its holder did.
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sent {
    /// Whether somebody has changed the schema without waiting for it, so that its names may have meant other tables.
    #[must_use]
    pub fn is_overtaken(&self) -> bool {
        self.overtaken.load(Ordering::Acquire)
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        let mut reads = self.unheld.lock();
        if reads.under_way.remove(&self.number).is_some() {
            self.unheld.gone.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reads_end_lock_or_are_overtaken() {
        let unheld = Arc::new(Unheld::default());
        unheld.gone(None).await;
        let ends = unheld.send(1, vec![10]);
        let locks = unheld.send(2, vec![10, 11]);
        let sleeps = unheld.send(3, vec![10, 11]);
        assert_eq!(unheld.processes(None), [1, 2, 3]);
        assert_eq!(unheld.processes(Some(2)), [1, 3]);
        unheld.have_locked(&HashSet::from([(2, 10), (2, 11), (3, 10), (1, 11)]));
        assert_eq!(unheld.processes(None), [1, 3]);
        drop(ends);
        assert_eq!(unheld.processes(None), [3]);
        unheld.gone(Some(3)).await;
        unheld.overtake(Some(3));
        assert!(!sleeps.is_overtaken(), "nobody waits for himself");
        unheld.overtake(None);
        unheld.gone(None).await;
        assert!(sleeps.is_overtaken() && !locks.is_overtaken());
        assert!(!unheld.send(3, vec![10]).is_overtaken());
    }

    #[tokio::test]
    async fn who_waits_is_told_of_the_last() {
        let unheld = Arc::new(Unheld::default());
        let (one, two) = (unheld.send(1, vec![1]), unheld.send(2, vec![1]));
        let waiting = tokio::spawn({
            let unheld = Arc::clone(&unheld);
            async move { unheld.gone(None).await }
        });
        drop(one);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(two);
        assert!(waiting.await.is_ok());
    }
}
