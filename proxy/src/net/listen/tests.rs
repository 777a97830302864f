#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::*;
use crate::net::drain::admin_shutdown;
use crate::wire::startup::startup_message;

/// A session that is in a transaction from a `B` to an `E`, and never hears anything when its user is `deaf`.
#[derive(Default)]
struct Sessions {
    cancelled: AtomicUsize,
}

impl Handler for Sessions {
    async fn client(self: Arc<Self>, mut client: Client) {
        let stream = &mut client.greeted.stream;
        stream.write_all(b"!").await.unwrap();
        if client.greeted.startup.user() == "deaf" {
            std::future::pending::<()>().await;
        }
        let mut transaction = false;
        loop {
            let mut byte = [0];
            tokio::select! {
                read = stream.read(&mut byte) => match (read, byte) {
                    (Ok(1), [b'B']) => {
                        transaction = true;
                        stream.write_all(b"!").await.unwrap();
                    }
                    (Ok(1), [b'E']) => transaction = false,
                    _ => return,
                },
                () = client.drain.draining(), if !transaction => break,
                () = client.drain.ending() => break,
            }
        }
        refuse(stream, &admin_shutdown()).await;
    }

    async fn cancel(self: Arc<Self>, _: CancelRequest) {
        self.cancelled.fetch_add(1, Ordering::Relaxed);
    }
}

struct Serving {
    folder: tempfile::TempDir,
    places: Places,
    shutdown: Shutdown,
    sessions: Arc<Sessions>,
    task: JoinHandle<()>,
}

fn serving(max_clients: usize, drain_limit: Duration) -> Serving {
    let folder = tempfile::TempDir::new().unwrap();
    let listener = Listener::Unix(UnixListener::bind(folder.path().join("s")).unwrap());
    let (places, shutdown) = (Places::new(max_clients), Shutdown::default());
    let sessions = Arc::new(Sessions::default());
    let options = Options {
        greeting: Greeting::default(),
        drain_limit,
    };
    let task = tokio::spawn(serve(
        listener,
        options,
        places.clone(),
        Arc::clone(&sessions),
        shutdown.clone(),
    ));
    Serving {
        folder,
        places,
        shutdown,
        sessions,
        task,
    }
}

impl Serving {
    async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.folder.path().join("s"))
            .await
            .unwrap()
    }

    async fn client(&self, user: &str) -> UnixStream {
        let mut stream = self.connect().await;
        let mut hello = BytesMut::new();
        startup_message([("user", user)], &mut hello).unwrap();
        stream.write_all(&hello).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'!');
        stream
    }
}

async fn last_words(mut stream: UnixStream) -> Report {
    let mut told = Vec::new();
    stream.read_to_end(&mut told).await.unwrap();
    assert_eq!(told[0], b'E');
    Report::read(&told[5..]).unwrap()
}

#[tokio::test]
async fn no_more_clients_than_places() {
    let serving = serving(2, Duration::from_secs(1));
    let first = serving.client("a").await;
    let _second = serving.client("b").await;
    assert_eq!(serving.places.taken(), 2);
    let mut third = serving.connect().await;
    let mut packet = BytesMut::new();
    startup_message([("user", "c")], &mut packet).unwrap();
    third.write_all(&packet).await.unwrap();
    let report = last_words(third).await;
    assert_eq!(report.sqlstate(), b"53300");
    assert_eq!(report.message(), "sorry, too many clients already");
    // A cancel request gets through all the same.
    let mut fourth = serving.connect().await;
    packet.clear();
    CancelRequest {
        process: 1,
        secret: vec![1; 4],
    }
    .write(&mut packet);
    fourth.write_all(&packet).await.unwrap();
    assert_eq!(fourth.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(serving.sessions.cancelled.load(Ordering::Relaxed), 1);
    // Who says nothing doesn't take a place.
    let _silent = serving.connect().await;
    assert_eq!(serving.places.taken(), 2);
    drop(first);
    while serving.places.taken() > 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    serving.client("d").await;
    serving.task.abort();
}

#[tokio::test]
async fn the_number_of_places_may_change() {
    let serving = serving(1, Duration::from_secs(1));
    let hello = |user: &str| {
        let mut packet = BytesMut::new();
        startup_message([("user", user)], &mut packet).unwrap();
        packet
    };
    let first = serving.client("a").await;
    serving.places.set(100, Duration::from_secs(1));
    let mut more = Vec::new();
    for _ in 0..99 {
        more.push(serving.client("b").await);
    }
    assert_eq!(serving.places.taken(), 100);
    serving.places.set(1, Duration::from_millis(50));
    assert_eq!(serving.places.taken(), 100, "somebody was sent away");
    more.clear();
    while serving.places.taken() > 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut second = serving.connect().await;
    second.write_all(&hello("c")).await.unwrap();
    assert_eq!(last_words(second).await.sqlstate(), b"53300");
    drop(first);
    // Who doesn't say who it is has so long.
    let mut silent = serving.connect().await;
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    serving.task.abort();
}

#[tokio::test]
async fn who_is_in_the_middle_of_a_greeting_is_told() {
    let serving = serving(9, Duration::from_secs(5));
    let mut late = serving.connect().await;
    let mut packet = BytesMut::new();
    startup_message([("user", "late")], &mut packet).unwrap();
    late.write_all(&packet[..4]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    serving.shutdown.drain();
    late.write_all(&packet[4..]).await.unwrap();
    assert_eq!(last_words(late).await.sqlstate(), b"57P03");
    serving.task.await.unwrap();
}

#[tokio::test]
async fn transactions_may_end() {
    let serving = serving(9, Duration::from_secs(30));
    let idle = serving.client("idle").await;
    let mut busy = serving.client("busy").await;
    busy.write_all(b"B").await.unwrap();
    assert_eq!(busy.read_u8().await.unwrap(), b'!');
    let silent = serving.connect().await;
    serving.shutdown.drain();
    assert_eq!(last_words(idle).await.sqlstate(), b"57P01");
    // Nobody comes in any more.
    assert!(
        UnixStream::connect(serving.folder.path().join("s"))
            .await
            .is_err()
    );
    drop(silent);
    assert!(!serving.task.is_finished());
    busy.write_all(b"E").await.unwrap();
    assert_eq!(last_words(busy).await.sqlstate(), b"57P01");
    serving.task.await.unwrap();
}

#[tokio::test]
async fn but_not_for_ever() {
    let serving = serving(9, Duration::from_millis(200));
    let mut busy = serving.client("busy").await;
    busy.write_all(b"B").await.unwrap();
    assert_eq!(busy.read_u8().await.unwrap(), b'!');
    let mut deaf = serving.client("deaf").await;
    let start = Instant::now();
    serving.shutdown.drain();
    assert_eq!(last_words(busy).await.sqlstate(), b"57P01");
    assert!(start.elapsed() >= Duration::from_millis(200));
    serving.task.await.unwrap();
    assert_eq!(deaf.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(serving.places.taken(), 0);
}
