//! One type for every connection.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{client, server};

/// A socket without TLS.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix-domain socket.
    Unix(UnixStream),
}

impl Socket {
    /// Sets what every connection of ours has: no Nagle delay, and keepalive so that a peer that vanished is noticed within two minutes.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn tune(&self) -> io::Result<()> {
        match self {
            Self::Unix(_) => Ok(()),
            Self::Tcp(socket) => {
                socket.set_nodelay(true)?;
                SockRef::from(socket).set_tcp_keepalive(
                    &TcpKeepalive::new()
                        .with_time(Duration::from_secs(60))
                        .with_interval(Duration::from_secs(10))
                        .with_retries(6),
                )
            }
        }
    }

    /// Whether bytes have come already; asks the system, doesn't wait. An end of stream counts as nothing.
    ///
    /// # Errors
    /// When the socket is broken.
    pub(crate) fn has_input(&self) -> io::Result<bool> {
        Ok(self.peek()?.is_some_and(|count| count > 0))
    }

    /// What the system has to be read: `None`: nothing; `Some(0)`: the end of the stream.
    fn peek(&self) -> io::Result<Option<usize>> {
        let socket = match self {
            Self::Tcp(socket) => SockRef::from(socket),
            Self::Unix(socket) => SockRef::from(socket),
        };
        match socket.peek(&mut [MaybeUninit::uninit()]) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A connection, to a client or to a database.
#[derive(Debug)]
pub enum Stream {
    /// Without TLS.
    Plain(Socket),
    /// A client's, with TLS: we are the server.
    Server(Box<server::TlsStream<Socket>>),
    /// A database's, with TLS: we are the client.
    Client(Box<client::TlsStream<Socket>>),
}

impl Stream {
    /// Whether it is encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }

    /// Whether it is a Unix-domain socket.
    #[must_use]
    pub fn is_unix(&self) -> bool {
        matches!(self.socket(), Socket::Unix(_))
    }

    fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Server(stream) => stream.get_ref().0,
            Self::Client(stream) => stream.get_ref().0,
        }
    }

    /// Whether the connection stands and nothing has come; what had come is lost. Asks the system, so that what came since the runtime last looked counts as well.
    pub async fn is_quiet(&mut self) -> bool {
        matches!(self.try_read(&mut [0]).await, Ok(None))
            && matches!(self.socket().peek(), Ok(None))
    }

    /// Reads what has come, without waiting. `Ok(None)`: nothing yet; `Ok(Some(0))`: the end of the stream.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        std::future::poll_fn(|cx| {
            let mut buffer = ReadBuf::new(buffer);
            Poll::Ready(match Pin::new(&mut *self).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) => Ok(Some(buffer.filled().len())),
                Poll::Ready(Err(error)) => Err(error),
                Poll::Pending => Ok(None),
            })
        })
        .await
    }
}

impl From<TcpStream> for Stream {
    fn from(socket: TcpStream) -> Self {
        Self::Plain(Socket::Tcp(socket))
    }
}

impl From<UnixStream> for Stream {
    fn from(socket: UnixStream) -> Self {
        Self::Plain(Socket::Unix(socket))
    }
}

macro_rules! delegate {
    ($self:ident, $($variant:path)|+, $inner:ident => $call:expr) => {
        match $self.get_mut() {
            $($variant($inner) => $call,)+
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, Self::Tcp | Self::Unix, s => Pin::new(s).poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, Self::Tcp | Self::Unix, s => Pin::new(s).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, Self::Tcp | Self::Unix, s => Pin::new(s).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, Self::Tcp | Self::Unix, s => Pin::new(s).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, Self::Tcp | Self::Unix, s => Pin::new(s).poll_shutdown(cx))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, Self::Plain | Self::Server | Self::Client, s => Pin::new(s).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, Self::Plain | Self::Server | Self::Client, s => Pin::new(s).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, Self::Plain | Self::Server | Self::Client, s => Pin::new(s).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, Self::Plain | Self::Server | Self::Client, s => Pin::new(s).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, Self::Plain | Self::Server | Self::Client, s => Pin::new(s).poll_shutdown(cx))
    }
}
