//! Reading connection strings.

use std::path::PathBuf;
use std::time::Duration;

use super::{Address, ChannelBinding, Host, RootCertificates, SslMode, Target, TargetError};
use crate::net::secret::Secret;

const PORT: u16 = 5432;

/// Parameters of libpq that have no meaning here and do no harm.
const IGNORED: &[&str] = &[
    "client_encoding",
    "fallback_application_name",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "gssdelegation",
    "gsslib",
    "sslcompression",
    "sslsni",
    "tcp_user_timeout",
];

pub(super) fn target(text: &str) -> Result<Target, TargetError> {
    let url = ["postgres://", "postgresql://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    Draft::new(match url {
        Some(rest) => url_pairs(rest)?,
        None => string_pairs(text)?,
    })
    .finish()
}

/// The parameters as given; of several values for one name the last counts.
struct Draft(Vec<(String, String)>);

impl Draft {
    fn new(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// Takes a parameter out; an empty value is none.
    fn take(&mut self, name: &str) -> Option<String> {
        let mut value = None;
        self.0.retain(|(key, given)| {
            let found = key == name;
            if found {
                value = Some(given.clone());
            }
            !found
        });
        value.filter(|value| !value.is_empty())
    }

    fn finish(mut self) -> Result<Target, TargetError> {
        let user = self.take("user").ok_or(TargetError::NoUser)?;
        let (hosts, ports) = (self.take("host"), self.take("port"));
        let sslrootcert = self.take("sslrootcert").map(|path| match path.as_str() {
            "system" => RootCertificates::System,
            _ => RootCertificates::File(path.into()),
        });
        let sslmode = match self.take("sslmode").as_deref() {
            // As libpq: who trusts all the world's certificates must check names.
            None if sslrootcert == Some(RootCertificates::System) => SslMode::VerifyFull,
            None | Some("prefer" | "allow") => SslMode::Prefer,
            Some("disable") => SslMode::Disable,
            Some("require") => SslMode::Require,
            Some("verify-ca") => SslMode::VerifyCa,
            Some("verify-full") => SslMode::VerifyFull,
            Some(_) => {
                return Err(TargetError::Value {
                    key: "sslmode",
                    expected: "disable, prefer, require, verify-ca or verify-full",
                });
            }
        };
        let channel_binding = match self.take("channel_binding").as_deref() {
            None | Some("prefer") => ChannelBinding::Prefer,
            Some("disable") => ChannelBinding::Disable,
            Some("require") => ChannelBinding::Require,
            Some(_) => {
                return Err(TargetError::Value {
                    key: "channel_binding",
                    expected: "disable, prefer or require",
                });
            }
        };
        let connect_timeout = match self.take("connect_timeout").map(|text| text.parse::<u64>()) {
            None | Some(Ok(0)) => None,
            Some(Ok(seconds)) => Some(Duration::from_secs(seconds)),
            Some(Err(_)) => {
                return Err(TargetError::Value {
                    key: "connect_timeout",
                    expected: "a number of seconds",
                });
            }
        };
        self.only("gssencmode", &["disable", "prefer"], "disable or prefer")?;
        self.only("sslnegotiation", &["postgres"], "postgres")?;
        self.only("target_session_attrs", &["any"], "any")?;
        self.only("load_balance_hosts", &["disable"], "disable")?;
        let database = self.take("dbname").unwrap_or_else(|| user.clone());
        let target = Target {
            hosts: host_list(hosts.as_deref(), ports.as_deref())?,
            password: self.take("password").map(Secret::new),
            database,
            sslmode,
            sslrootcert,
            sslcert: self.take("sslcert").map(PathBuf::from),
            sslkey: self.take("sslkey").map(PathBuf::from),
            channel_binding,
            options: self.take("options"),
            application_name: self.take("application_name"),
            connect_timeout,
            user,
        };
        match self
            .0
            .into_iter()
            .find(|(key, value)| !value.is_empty() && !IGNORED.contains(&key.as_str()))
        {
            Some((key, _)) => Err(TargetError::Key(key)),
            None => Ok(target),
        }
    }

    fn only(
        &mut self,
        key: &'static str,
        values: &[&str],
        expected: &'static str,
    ) -> Result<(), TargetError> {
        match self.take(key) {
            Some(value) if !values.contains(&value.as_str()) => {
                Err(TargetError::Value { key, expected })
            }
            _ => Ok(()),
        }
    }
}

/// libpq's lists: as many ports as hosts, or one for all.
fn host_list(hosts: Option<&str>, ports: Option<&str>) -> Result<Vec<Host>, TargetError> {
    let hosts: Vec<&str> = hosts.unwrap_or_default().split(',').collect();
    let ports: Vec<&str> = ports.unwrap_or_default().split(',').collect();
    if ports.len() != 1 && ports.len() != hosts.len() {
        return Err(TargetError::Value {
            key: "port",
            expected: "one port, or one for each host",
        });
    }
    hosts
        .iter()
        .enumerate()
        .map(|(n, host)| {
            let port = match ports.get(n).or(ports.first()).copied().unwrap_or_default() {
                "" => PORT,
                text => text
                    .parse()
                    .ok()
                    .filter(|port| *port != 0)
                    .ok_or(TargetError::Value {
                        key: "port",
                        expected: "a number from 1 to 65535",
                    })?,
            };
            let address = match *host {
                "" => Address::Tcp("localhost".to_owned()),
                folder if folder.starts_with('/') => Address::Unix(folder.into()),
                abstract_name if abstract_name.starts_with('@') => {
                    return Err(TargetError::Value {
                        key: "host",
                        expected: "a host name, an IP address or an absolute folder",
                    });
                }
                name => Address::Tcp(name.to_owned()),
            };
            Ok(Host { address, port })
        })
        .collect()
}

/// What follows the scheme: `[user[:password]@][host[:port],..][/dbname][?name=value&..]`.
fn url_pairs(rest: &str) -> Result<Vec<(String, String)>, TargetError> {
    let mut pairs = Vec::new();
    let mut put = |name: &str, value: &str| -> Result<(), TargetError> {
        pairs.push((name.to_owned(), decode(value)?));
        Ok(())
    };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, Some(path)),
        None => (rest, None),
    };
    let (userinfo, places) = match authority.rsplit_once('@') {
        Some((userinfo, places)) => (Some(userinfo), places),
        None => (None, authority),
    };
    if let Some(userinfo) = userinfo {
        match userinfo.split_once(':') {
            Some((user, password)) => {
                put("user", user)?;
                put("password", password)?;
            }
            None => put("user", userinfo)?,
        }
    }
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for place in places.split(',') {
        let (host, port) = host_and_port(place)?;
        hosts.push(host);
        ports.push(port);
    }
    put("host", &hosts.join(","))?;
    let given = ports.iter().any(|port| !port.is_empty());
    put(
        "port",
        &if given {
            ports.join(",")
        } else {
            String::new()
        },
    )?;
    if let Some(path) = path {
        put("dbname", path)?;
    }
    for parameter in query.into_iter().flat_map(|query| query.split('&')) {
        if parameter.is_empty() {
            continue;
        }
        let (name, value) = parameter
            .split_once('=')
            .ok_or(TargetError::Syntax("a parameter after \"?\" without \"=\""))?;
        match decode(name)?.as_str() {
            // An alias that JDBC's users write.
            "ssl" if value == "true" => put("sslmode", "require")?,
            name => put(name, value)?,
        }
    }
    Ok(pairs)
}

fn host_and_port(place: &str) -> Result<(&str, &str), TargetError> {
    if let Some(rest) = place.strip_prefix('[') {
        let (address, rest) = rest
            .split_once(']')
            .ok_or(TargetError::Syntax("\"[\" without \"]\" in a host"))?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((address, port)),
            None if rest.is_empty() => Ok((address, "")),
            None => Err(TargetError::Syntax(
                "something other than a port after \"]\"",
            )),
        };
    }
    Ok(place.split_once(':').unwrap_or((place, "")))
}

/// Percent-encoding. A NUL can't be said in the protocol.
fn decode(text: &str) -> Result<String, TargetError> {
    let wrong = TargetError::Syntax("\"%\" without two hexadecimal digits, or not UTF-8");
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        match (digit(), digit()) {
            (Some(high), Some(low)) if high + low > 0 => {
                out.push(u8::try_from(high * 16 + low).map_err(|_| wrong.clone())?);
            }
            _ => return Err(wrong),
        }
    }
    String::from_utf8(out).map_err(|_| wrong)
}

/// `name = value` pairs; values may be quoted by `'`, and `\` takes the next character as it is.
fn string_pairs(text: &str) -> Result<Vec<(String, String)>, TargetError> {
    let mut pairs = Vec::new();
    let mut characters = text.chars().peekable();
    loop {
        while characters.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        if characters.peek().is_none() {
            return Ok(pairs);
        }
        let mut name = String::new();
        while let Some(c) = characters.next_if(|c| *c != '=' && !c.is_ascii_whitespace()) {
            name.push(c);
        }
        while characters.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        if name.is_empty() || characters.next() != Some('=') {
            return Err(TargetError::Syntax(
                "\"=\" is missing after a parameter's name",
            ));
        }
        while characters.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        let quoted = characters.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        loop {
            match characters.next() {
                Some('\'') if quoted => break,
                Some('\\') => value.extend(characters.next()),
                Some(c) if !quoted && c.is_ascii_whitespace() => break,
                Some('\0') => return Err(TargetError::Syntax("a NUL character")),
                Some(c) => value.push(c),
                None if quoted => return Err(TargetError::Syntax("a quote that is not closed")),
                None => break,
            }
        }
        pairs.push((name, value));
    }
}
