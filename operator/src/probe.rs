//! Asking a health address until it says yes: what `helm test` runs. Knows HTTP as far as that takes.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

/// The most that is read of an answer, in bytes.
const ANSWER_MAX: u64 = 4096;
/// The limit for one attempt.
const ATTEMPT: Duration = Duration::from_secs(5);
/// The time between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// Why the address didn't say yes.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Not an address.
    #[error("\"{0}\" can't be asked; write http://host:port/path")]
    Address(String),
    /// It can't be reached.
    #[error("{address} doesn't answer")]
    Io {
        /// The host and port.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It says no.
    #[error("{address} answers \"{status}\": {body}")]
    No {
        /// The host and port.
        address: String,
        /// The status line.
        status: String,
        /// What it says.
        body: String,
    },
}

/// Asks until the answer is 200, or the time is over: then it's the last attempt's error.
///
/// # Errors
/// When the address isn't one, or there was no such answer in time.
pub fn wait(url: &str, within: Duration) -> Result<(), ProbeError> {
    let (address, path) = parse(url)?;
    let end = Instant::now() + within;
    loop {
        match ask(address, path) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() + PAUSE >= end => return Err(error),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

fn parse(url: &str) -> Result<(&str, &str), ProbeError> {
    let wrong = || ProbeError::Address(url.to_owned());
    let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
    let (address, path) = rest
        .find('/')
        .and_then(|slash| rest.split_at_checked(slash))
        .unwrap_or((rest, "/"));
    let port = address
        .rsplit_once(':')
        .map(|(_, port)| port.parse::<u16>());
    let plain = url.chars().all(|each| each.is_ascii_graphic());
    if plain && matches!(port, Some(Ok(1..))) {
        Ok((address, path))
    } else {
        Err(wrong())
    }
}

fn ask(address: &str, path: &str) -> Result<(), ProbeError> {
    let answer = exchange(address, path).map_err(|source| ProbeError::Io {
        address: address.to_owned(),
        source,
    })?;
    let (status, rest) = answer.split_once("\r\n").unwrap_or((&answer, ""));
    let mut words = status.split(' ');
    if words
        .next()
        .is_some_and(|protocol| protocol.starts_with("HTTP/1."))
        && words.next() == Some("200")
    {
        return Ok(());
    }
    let body = rest.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Err(ProbeError::No {
        address: address.to_owned(),
        status: status.to_owned(),
        body: body.trim().to_owned(),
    })
}

fn exchange(address: &str, path: &str) -> std::io::Result<String> {
    let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
    for place in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&place, ATTEMPT) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(ATTEMPT))?;
                stream.set_write_timeout(Some(ATTEMPT))?;
                let request =
                    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
                stream.write_all(request.as_bytes())?;
                let mut answer = Vec::new();
                stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
                return Ok(String::from_utf8_lossy(&answer).into_owned());
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers each connection in turn.
    fn server(answers: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    request.extend(byte);
                }
                assert!(request.starts_with(b"GET /readyz HTTP/1.1\r\n"));
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        format!("http://{address}/readyz")
    }

    #[test]
    fn yes_is_taken_for_an_answer() {
        let url = server(&["HTTP/1.1 200 OK\r\n\r\nok"]);
        wait(&url, Duration::ZERO).unwrap();
    }

    #[test]
    fn no_is_asked_again() {
        let url = server(&[
            "HTTP/1.1 503 Service Unavailable\r\n\r\nstarting",
            "HTTP/1.1 200 OK\r\n\r\nok",
        ]);
        wait(&url, Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn no_is_told_at_the_end() {
        let url = server(&["HTTP/1.1 503 Service Unavailable\r\nX: y\r\n\r\nnot the leader\n"]);
        let told = wait(&url, Duration::ZERO).unwrap_err().to_string();
        assert!(
            told.contains("503 Service Unavailable\": not the leader"),
            "{told}"
        );
        for url in [
            "https://a:1/",
            "http://a/",
            "http://a:0/",
            "http://a:1/ b",
            "a:1",
        ] {
            assert!(
                matches!(wait(url, Duration::ZERO), Err(ProbeError::Address(_))),
                "{url}"
            );
        }
    }
}
