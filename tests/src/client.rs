//! A client that speaks PostgreSQL's protocol (version 3.0) frame by frame.
//!
//! Drivers hide what this crate is about: exact row descriptions, command tags, error fields, and the
//! order of messages. A [`Session`] sends one statement at a time and may leave it pending, so that a test
//! can look at who waits for whom. It knows nothing of comparing; see [`crate::oracle`].

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::frontend;

/// How long a statement may take before the test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Where a database is and who we are there.
#[derive(Debug, Clone)]
pub struct Address {
    /// A host name or address, or the directory of a Unix socket when it starts with `/`.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The role to log in as.
    pub user: String,
    /// Its password, empty when none is asked for.
    pub password: String,
    /// The database.
    pub database: String,
}

impl Address {
    /// Reads a `postgres://` URL.
    pub fn parse(url: &str) -> Address {
        let config: tokio_postgres::Config = url.parse().expect("a postgres:// URL");
        let host = match config.get_hosts().first().expect("a host in the URL") {
            tokio_postgres::config::Host::Tcp(name) => name.clone(),
            tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
        };
        Address {
            host,
            port: config.get_ports().first().copied().unwrap_or(5432),
            user: config.get_user().unwrap_or_default().to_owned(),
            password: String::from_utf8_lossy(config.get_password().unwrap_or_default())
                .into_owned(),
            database: config.get_dbname().unwrap_or_default().to_owned(),
        }
    }

    /// The same place as a URL, as one writes it on a command line.
    pub fn url(&self) -> String {
        let host = self.host.replace('/', "%2F");
        format!(
            "postgres://{}:{}@{host}:{}/{}",
            self.user, self.password, self.port, self.database
        )
    }

    /// The same server and role, another database.
    pub fn database(&self, name: &str) -> Address {
        Address {
            database: name.to_owned(),
            ..self.clone()
        }
    }

    /// The same place, another role.
    pub fn role(&self, user: &str, password: &str) -> Address {
        Address {
            user: user.to_owned(),
            password: password.to_owned(),
            ..self.clone()
        }
    }
}

/// One message of the backend, tag and body, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The message's type byte.
    pub tag: u8,
    /// Everything after the length.
    pub body: Vec<u8>,
}

/// One column of a RowDescription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The column's name.
    pub name: String,
    /// OID of the table it comes from, 0 for none.
    pub table: u32,
    /// Attribute number there, 0 for none.
    pub attribute: i16,
    /// OID of its type.
    pub type_oid: u32,
    /// `pg_type.typlen`.
    pub type_len: i16,
    /// Type modifier.
    pub type_mod: i32,
}

/// The fields of an ErrorResponse or NoticeResponse, by their type byte.
pub type Fields = BTreeMap<char, String>;

/// One thing that a server said, in the order in which it said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// ParameterDescription: the OIDs of the parameters' types.
    Parameters(Vec<u32>),
    /// RowDescription.
    Columns(Vec<Column>),
    /// NoData.
    NoData,
    /// DataRow.
    Row(Vec<Option<Vec<u8>>>),
    /// CommandComplete.
    Complete(String),
    /// EmptyQueryResponse.
    Empty,
    /// PortalSuspended.
    Suspended,
    /// CopyInResponse or CopyOutResponse: direction, overall format and the columns' formats.
    Copy(char, Vec<u8>),
    /// CopyData from the server.
    CopyData(Vec<u8>),
    /// ErrorResponse.
    Error(Fields),
    /// NoticeResponse.
    Notice(Fields),
    /// ParameterStatus that a statement caused.
    Setting(String, String),
    /// NotificationResponse: channel and payload.
    Notification(String, String),
    /// The connection ended.
    Closed,
}

/// Everything said in answer to one statement (or one string of statements).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// What was said, in order.
    pub events: Vec<Event>,
    /// The transaction status at the end: `I`, `T` or `E`; `?` when the connection ended.
    pub status: char,
}

impl Answer {
    /// The first error, if there's one.
    pub fn error(&self) -> Option<&Fields> {
        self.events.iter().find_map(|event| match event {
            Event::Error(fields) => Some(fields),
            _ => None,
        })
    }

    /// SQLSTATE of the first error.
    pub fn sqlstate(&self) -> Option<&str> {
        self.error().and_then(|f| f.get(&'C')).map(String::as_str)
    }

    /// The rows, text of each value, `∅` for NULL.
    pub fn rows(&self) -> Vec<Vec<String>> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Row(values) => Some(
                    values
                        .iter()
                        .map(|v| match v {
                            Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                            None => "∅".to_owned(),
                        })
                        .collect(),
                ),
                _ => None,
            })
            .collect()
    }

    /// The command tags.
    pub fn tags(&self) -> Vec<&str> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Complete(tag) => Some(tag.as_str()),
                _ => None,
            })
            .collect()
    }

    /// Did the connection end?
    pub fn closed(&self) -> bool {
        self.events.contains(&Event::Closed)
    }
}

/// Which of the two ways a statement is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// One Query message.
    Simple,
    /// Parse and Describe, then Bind and Execute, results binary where the bytes mean the same everywhere.
    Extended,
}

/// A statement on its way to a server.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The statement; for the simple protocol it may be several.
    pub sql: String,
    /// Parameters in text format, for the extended protocol.
    pub params: Vec<Option<String>>,
    /// What to send when the server asks for COPY data.
    pub copy: Option<Vec<u8>>,
    /// Row limit of Execute, 0 for none; the portal is executed until it's complete.
    pub limit: i32,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn connect(address: &Address) -> io::Result<Stream> {
        if address.host.starts_with('/') {
            let path = PathBuf::from(&address.host).join(format!(".s.PGSQL.{}", address.port));
            return UnixStream::connect(path).map(Stream::Unix);
        }
        let stream = TcpStream::connect((address.host.as_str(), address.port))?;
        stream.set_nodelay(true)?;
        Ok(Stream::Tcp(stream))
    }

    fn reader(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Stream::Tcp(s) => Box::new(s.try_clone()?),
            Stream::Unix(s) => Box::new(s.try_clone()?),
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(s) => s.write_all(bytes),
            Stream::Unix(s) => s.write_all(bytes),
        }
    }

    fn shutdown(&self) {
        let _ = match self {
            Stream::Tcp(s) => s.shutdown(std::net::Shutdown::Both),
            Stream::Unix(s) => s.shutdown(std::net::Shutdown::Both),
        };
    }
}

enum Stage {
    /// Events up to ReadyForQuery are the answer.
    Last,
    /// Describe was asked for; Bind and Execute follow when it went well.
    Describing(Request, String),
}

struct Pending {
    stage: Stage,
    copy: Option<Vec<u8>>,
    portal_limit: i32,
    /// A Sync is owed once this command has said how it ended.
    unsynced: bool,
    answer: Answer,
}

/// One connection.
pub struct Session {
    stream: Stream,
    frames: Receiver<Frame>,
    pending: Option<Pending>,
    statements: u32,
    /// The backend's process id, as told at login.
    pub pid: i32,
    /// The key for a cancel request.
    pub secret: i32,
    /// The settings told at login and since.
    pub settings: BTreeMap<String, String>,
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut buf = BytesMut::new();
        frontend::terminate(&mut buf);
        let _ = self.stream.write_all(&buf);
        self.stream.shutdown();
    }
}

impl Session {
    /// Logs in. The answer of a server that refuses is the error's fields.
    pub fn connect(address: &Address) -> Result<Session, Fields> {
        Session::connect_with(address, &[])
    }

    /// Logs in with more startup parameters.
    pub fn connect_with(address: &Address, extra: &[(&str, &str)]) -> Result<Session, Fields> {
        let lost = |e: io::Error| Fields::from([('C', "io".to_owned()), ('M', e.to_string())]);
        let mut stream = Stream::connect(address).map_err(lost)?;
        let mut reader = stream.reader().map_err(lost)?;
        let (sender, frames) = channel();
        std::thread::spawn(move || {
            while let Ok(frame) = read_frame(&mut reader) {
                if sender.send(frame).is_err() {
                    break;
                }
            }
        });
        let mut buf = BytesMut::new();
        let mut parameters = vec![
            ("user", address.user.as_str()),
            ("database", address.database.as_str()),
            ("client_encoding", "UTF8"),
        ];
        parameters.extend_from_slice(extra);
        frontend::startup_message(parameters, &mut buf).map_err(lost)?;
        stream.write_all(&buf).map_err(lost)?;
        let mut session = Session {
            stream,
            frames,
            pending: None,
            statements: 0,
            pid: 0,
            secret: 0,
            settings: BTreeMap::new(),
        };
        session.log_in(address)?;
        Ok(session)
    }

    fn log_in(&mut self, address: &Address) -> Result<(), Fields> {
        let broken = |what: &str| Fields::from([('C', "io".to_owned()), ('M', what.to_owned())]);
        let mut scram = None;
        loop {
            let frame = self
                .frames
                .recv_timeout(PATIENCE)
                .map_err(|_| broken("the connection ended during login, or there was no answer"))?;
            let mut body = Body::new(&frame.body);
            let mut out = BytesMut::new();
            match frame.tag {
                b'R' => match body.i32() {
                    0 => {}
                    3 => frontend::password_message(address.password.as_bytes(), &mut out).unwrap(),
                    5 => {
                        let salt = body.take(4).try_into().expect("four bytes of salt");
                        let hash =
                            md5_hash(address.user.as_bytes(), address.password.as_bytes(), salt);
                        frontend::password_message(hash.as_bytes(), &mut out).unwrap();
                    }
                    10 => {
                        let client = sasl::ScramSha256::new(
                            address.password.as_bytes(),
                            sasl::ChannelBinding::unsupported(),
                        );
                        frontend::sasl_initial_response(
                            sasl::SCRAM_SHA_256,
                            client.message(),
                            &mut out,
                        )
                        .unwrap();
                        scram = Some(client);
                    }
                    11 => {
                        let client = scram.as_mut().expect("SASL has begun");
                        client
                            .update(body.rest())
                            .map_err(|e| broken(&e.to_string()))?;
                        frontend::sasl_response(client.message(), &mut out).unwrap();
                    }
                    12 => {
                        let client = scram.as_mut().expect("SASL has begun");
                        client
                            .finish(body.rest())
                            .map_err(|e| broken(&e.to_string()))?;
                    }
                    other => {
                        return Err(broken(&format!("unknown authentication request {other}")));
                    }
                },
                b'K' => {
                    self.pid = body.i32();
                    self.secret = body.i32();
                }
                b'S' => {
                    let name = body.string();
                    self.settings.insert(name, body.string());
                }
                b'E' => return Err(fields(&mut body)),
                b'Z' => return Ok(()),
                _ => {}
            }
            if !out.is_empty() {
                self.stream
                    .write_all(&out)
                    .map_err(|e| broken(&e.to_string()))?;
            }
        }
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next frame, whatever it is; `None` when nothing came in `wait` or the connection ended.
    pub fn next_frame(&mut self, wait: Duration) -> Option<Frame> {
        self.frames.recv_timeout(wait).ok()
    }

    /// Cuts the connection without a word.
    pub fn cut(&mut self) {
        self.stream.shutdown();
    }

    /// Sends a statement and doesn't wait for the answer.
    pub fn start(&mut self, protocol: Protocol, request: Request) {
        assert!(self.pending.is_none(), "one statement at a time");
        let mut buf = BytesMut::new();
        let mut pending = Pending {
            stage: Stage::Last,
            copy: request.copy.clone(),
            portal_limit: 0,
            unsynced: false,
            answer: Answer::default(),
        };
        match protocol {
            Protocol::Simple => frontend::query(&request.sql, &mut buf).unwrap(),
            Protocol::Extended => {
                self.statements += 1;
                let name = if self.statements.is_multiple_of(2) {
                    format!("s{}", self.statements)
                } else {
                    String::new()
                };
                frontend::parse(&name, &request.sql, [], &mut buf).unwrap();
                frontend::describe(b'S', &name, &mut buf).unwrap();
                frontend::sync(&mut buf);
                pending.stage = Stage::Describing(request, name);
            }
        }
        if self.stream.write_all(&buf).is_err() {
            pending.answer.status = '?';
        }
        self.pending = Some(pending);
    }

    /// Sends several statements as one pipeline with one Sync at its end, results as text.
    pub fn start_pipeline(&mut self, statements: &[Request]) {
        assert!(self.pending.is_none(), "one statement at a time");
        let mut buf = BytesMut::new();
        for request in statements {
            frontend::parse("", &request.sql, [], &mut buf).unwrap();
            bind(&mut buf, "", "", request, &[]);
            frontend::describe(b'P', "", &mut buf).unwrap();
            frontend::execute("", 0, &mut buf).unwrap();
        }
        frontend::sync(&mut buf);
        let _ = self.stream.write_all(&buf);
        self.pending = Some(Pending {
            stage: Stage::Last,
            copy: None,
            portal_limit: 0,
            unsynced: false,
            answer: Answer::default(),
        });
    }

    /// Is a statement under way?
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// The answer to the pending statement, or `None` when it didn't come within `wait`.
    pub fn poll(&mut self, wait: Duration) -> Option<Answer> {
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.frames.recv_timeout(left) {
                Ok(frame) => {
                    if let Some(answer) = self.take(&frame) {
                        return Some(answer);
                    }
                }
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => {
                    let mut answer = self.pending.take()?.answer;
                    answer.events.push(Event::Closed);
                    answer.status = '?';
                    return Some(answer);
                }
            }
        }
    }

    /// Runs a statement to its end. An answer that doesn't come is a failed test.
    pub fn run(&mut self, protocol: Protocol, request: Request) -> Answer {
        let sql = request.sql.clone();
        self.start(protocol, request);
        self.poll(PATIENCE)
            .unwrap_or_else(|| panic!("no answer in {PATIENCE:?} to: {sql}"))
    }

    /// Runs SQL by the simple protocol.
    pub fn query(&mut self, sql: &str) -> Answer {
        self.run(
            Protocol::Simple,
            Request {
                sql: sql.to_owned(),
                ..Request::default()
            },
        )
    }

    /// Runs SQL that must go well.
    pub fn must(&mut self, sql: &str) -> Answer {
        let answer = self.query(sql);
        if let Some(error) = answer.error() {
            let start: String = sql.chars().take(400).collect();
            panic!("unexpected error {error:?} from: {start}");
        }
        assert!(!answer.closed(), "the connection ended in: {sql}");
        answer
    }

    /// The one value of the one row of a query that must go well.
    pub fn value(&mut self, sql: &str) -> String {
        let rows = self.must(sql).rows();
        rows.first()
            .and_then(|r| r.first())
            .unwrap_or_else(|| panic!("no row from: {sql}"))
            .clone()
    }

    fn take(&mut self, frame: &Frame) -> Option<Answer> {
        let mut body = Body::new(&frame.body);
        let event = match frame.tag {
            b't' => {
                let count = body.i16();
                Event::Parameters((0..count).map(|_| body.i32().cast_unsigned()).collect())
            }
            b'T' => {
                let count = body.i16();
                Event::Columns((0..count).map(|_| column(&mut body)).collect())
            }
            b'n' => Event::NoData,
            b'D' => {
                let count = body.i16();
                Event::Row((0..count).map(|_| value(&mut body)).collect())
            }
            b'C' => Event::Complete(body.string()),
            b'I' => Event::Empty,
            b's' => Event::Suspended,
            b'G' => Event::Copy('G', body.rest().to_vec()),
            b'H' => Event::Copy('H', body.rest().to_vec()),
            b'd' => Event::CopyData(body.rest().to_vec()),
            b'E' => Event::Error(fields(&mut body)),
            b'N' => Event::Notice(fields(&mut body)),
            b'S' => {
                let name = body.string();
                let setting = body.string();
                self.settings.insert(name.clone(), setting.clone());
                Event::Setting(name, setting)
            }
            b'A' => {
                body.i32();
                let channel = body.string();
                Event::Notification(channel, body.string())
            }
            b'Z' => return self.ready(body.take(1).first().copied().unwrap_or(b'?')),
            _ => return None,
        };
        let pending = self.pending.as_mut()?;
        let copy_in = matches!(event, Event::Copy('G', _));
        let suspended = event == Event::Suspended;
        pending.answer.events.push(event);
        let mut buf = BytesMut::new();
        if copy_in {
            match pending.copy.take() {
                Some(data) => {
                    for chunk in data.chunks(1000) {
                        frontend::CopyData::new(chunk).unwrap().write(&mut buf);
                    }
                    frontend::copy_done(&mut buf);
                }
                None => frontend::copy_fail("the script has no data", &mut buf).unwrap(),
            }
        }
        if suspended && pending.unsynced {
            frontend::execute("p", pending.portal_limit, &mut buf).unwrap();
            frontend::flush(&mut buf);
        }
        if pending.unsynced && (copy_in || matches!(frame.tag, b'C' | b'I' | b'E')) {
            pending.unsynced = false;
            frontend::sync(&mut buf);
        }
        if !buf.is_empty() {
            let _ = self.stream.write_all(&buf);
        }
        None
    }

    fn ready(&mut self, status: u8) -> Option<Answer> {
        let mut pending = self.pending.take()?;
        pending.answer.status = char::from(status);
        let Stage::Describing(request, name) = std::mem::replace(&mut pending.stage, Stage::Last)
        else {
            return Some(pending.answer);
        };
        if pending.answer.error().is_some() {
            return Some(pending.answer);
        }
        let formats: Vec<i16> = pending
            .answer
            .events
            .iter()
            .find_map(|event| match event {
                Event::Columns(columns) => Some(columns.iter().map(format_of).collect()),
                _ => None,
            })
            .unwrap_or_default();
        let mut buf = BytesMut::new();
        let portal = if request.limit > 0 { "p" } else { "" };
        bind(&mut buf, portal, &name, &request, &formats);
        frontend::execute(portal, request.limit, &mut buf).unwrap();
        if request.limit > 0 || request.copy.is_some() {
            frontend::flush(&mut buf);
            pending.portal_limit = request.limit;
            pending.unsynced = true;
        } else {
            if !name.is_empty() {
                frontend::close(b'S', &name, &mut buf).unwrap();
            }
            frontend::sync(&mut buf);
        }
        let _ = self.stream.write_all(&buf);
        self.pending = Some(pending);
        None
    }
}

/// Asks the server at `address` to cancel what the backend `pid` does.
pub fn cancel(address: &Address, pid: i32, secret: i32) {
    let mut stream = Stream::connect(address).expect("connect for a cancel request");
    let mut buf = BytesMut::new();
    frontend::cancel_request(pid, secret, &mut buf);
    stream.write_all(&buf).expect("send a cancel request");
    let mut rest = Vec::new();
    let _ = stream.reader().map(|mut r| r.read_to_end(&mut rest));
}

fn bind(buf: &mut BytesMut, portal: &str, statement: &str, request: &Request, formats: &[i16]) {
    frontend::bind(
        portal,
        statement,
        [],
        request.params.iter(),
        bind_text,
        formats.iter().copied(),
        buf,
    )
    .unwrap_or_else(|_| panic!("a Bind message that can't be written"));
}

fn bind_text(
    value: &Option<String>,
    buf: &mut BytesMut,
) -> Result<postgres_protocol::IsNull, Box<dyn std::error::Error + Sync + Send>> {
    Ok(match value {
        Some(text) => {
            buf.extend_from_slice(text.as_bytes());
            postgres_protocol::IsNull::No
        }
        None => postgres_protocol::IsNull::Yes,
    })
}

/// Binary for types whose binary form carries no OID of the database, text for all others.
fn format_of(column: &Column) -> i16 {
    const BINARY: [u32; 20] = [
        16, 17, 20, 21, 23, 25, 114, 700, 701, 1042, 1043, 1082, 1083, 1114, 1184, 1186, 1700,
        2950, 3802, 1007,
    ];
    i16::from(BINARY.contains(&column.type_oid))
}

fn read_frame(reader: &mut dyn Read) -> io::Result<Frame> {
    let mut head = [0u8; 5];
    reader.read_exact(&mut head)?;
    let length = i32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    let length = usize::try_from(length).unwrap_or(0);
    if !(4..=1 << 30).contains(&length) {
        return Err(io::Error::other("impossible length of a frame"));
    }
    let mut body = vec![0; length - 4];
    reader.read_exact(&mut body)?;
    Ok(Frame { tag: head[0], body })
}

fn column(body: &mut Body<'_>) -> Column {
    let column = Column {
        name: body.string(),
        table: body.i32().cast_unsigned(),
        attribute: body.i16(),
        type_oid: body.i32().cast_unsigned(),
        type_len: body.i16(),
        type_mod: body.i32(),
    };
    body.i16();
    column
}

fn value(body: &mut Body<'_>) -> Option<Vec<u8>> {
    let length = body.i32();
    usize::try_from(length).ok().map(|n| body.take(n).to_vec())
}

fn fields(body: &mut Body<'_>) -> Fields {
    let mut fields = Fields::new();
    loop {
        match body.take(1) {
            [0] | [] => return fields,
            [tag, ..] => {
                let tag = char::from(*tag);
                fields.insert(tag, body.string());
            }
        }
    }
}

struct Body<'a> {
    bytes: &'a [u8],
}

impl<'a> Body<'a> {
    fn new(bytes: &'a [u8]) -> Body<'a> {
        Body { bytes }
    }

    fn take(&mut self, n: usize) -> &'a [u8] {
        let (head, tail) = self.bytes.split_at(n.min(self.bytes.len()));
        self.bytes = tail;
        head
    }

    fn rest(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take(2).try_into().expect("two bytes"))
    }

    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().expect("four bytes"))
    }

    fn string(&mut self) -> String {
        let end = self
            .bytes
            .iter()
            .position(|b| *b == 0)
            .unwrap_or(self.bytes.len());
        let text = String::from_utf8_lossy(self.take(end)).into_owned();
        self.take(1);
        text
    }
}
