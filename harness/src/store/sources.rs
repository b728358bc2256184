//! Where files come from: mirrors by archive, the snapshot archive, retries, proxy. Read from the
//! environment in one place, [`Sources::from_env`].

use crate::error::{Error, Result};
use std::{collections::BTreeMap, time::Duration};

/// Archives a lock may name, the variable that adds mirrors, and the default mirrors, in order.
const ARCHIVES: [(&str, &str, &[&str]); 2] = [
    (
        "debian",
        "DIORAMA_MIRROR_DEBIAN",
        &[
            "http://deb.debian.org/debian",
            "http://ftp.debian.org/debian",
        ],
    ),
    (
        "debian-security",
        "DIORAMA_MIRROR_DEBIAN_SECURITY",
        &[
            "http://deb.debian.org/debian-security",
            "http://security.debian.org/debian-security",
        ],
    ),
];

const SNAPSHOT_VARIABLE: &str = "DIORAMA_SNAPSHOT";
const SNAPSHOT_DEFAULT: &str = "https://snapshot.debian.org";

/// Where files come from. Plain HTTP is enough: every byte is verified against a digest that
/// comes from the lock or from a signed index.
#[derive(Clone, Debug)]
pub struct Sources {
    mirrors: BTreeMap<String, Vec<String>>,
    snapshot: Vec<String>,
    /// How often a mirror that fails for the moment is asked again.
    pub retries: u32,
    /// Pause before the first of those, doubled each time.
    pub backoff: Duration,
    agent: ureq::Agent,
    /// Sent with every request.
    headers: Vec<(&'static str, String)>,
}

impl Sources {
    /// The default mirrors, after those of `DIORAMA_MIRROR_DEBIAN`,
    /// `DIORAMA_MIRROR_DEBIAN_SECURITY` and `DIORAMA_SNAPSHOT` (base URLs, comma separated). The
    /// proxy is that of the usual variables (`http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`).
    ///
    /// # Errors
    /// When a variable holds something that is not an HTTP URL.
    pub fn from_env(env: impl Fn(&str) -> Option<String>) -> Result<Sources> {
        let mut mirrors = BTreeMap::new();
        for (archive, variable, defaults) in ARCHIVES {
            let mut bases = bases(variable, &env)?;
            bases.extend(defaults.iter().map(|&d| d.to_owned()));
            mirrors.insert(archive.to_owned(), bases);
        }
        let mut snapshot = bases(SNAPSHOT_VARIABLE, &env)?;
        snapshot.push(SNAPSHOT_DEFAULT.to_owned());
        Ok(Sources::new(mirrors, snapshot, ureq::Proxy::try_from_env()))
    }

    /// These mirrors by archive, these snapshot archives, and nothing else.
    #[must_use]
    pub fn only(mirrors: BTreeMap<String, Vec<String>>, snapshot: Vec<String>) -> Sources {
        Sources::new(mirrors, snapshot, None)
    }

    fn new(
        mirrors: BTreeMap<String, Vec<String>>,
        snapshot: Vec<String>,
        proxy: Option<ureq::Proxy>,
    ) -> Sources {
        let tls = ureq::tls::TlsConfig::builder()
            .root_certs(ureq::tls::RootCerts::PlatformVerifier)
            .build();
        let agent = ureq::Agent::config_builder()
            .proxy(proxy)
            .tls_config(tls)
            .http_status_as_error(false)
            // A compressed transfer has another length, and could not be resumed.
            .accept_encoding("identity")
            .user_agent(concat!("diorama/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(Duration::from_secs(10)))
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(Duration::from_secs(30)))
            .timeout_per_read(Some(Duration::from_secs(30)))
            .build()
            .new_agent();
        Sources {
            mirrors,
            snapshot,
            retries: 3,
            backoff: Duration::from_millis(500),
            agent,
            headers: Vec::new(),
        }
    }

    /// Base URLs of an archive's mirrors, in the order to try them, without a trailing slash.
    ///
    /// # Errors
    /// When the lock names an archive that is not known, or there is no mirror at all.
    pub fn mirrors(&self, archive: &str) -> Result<&[String]> {
        if self.mirrors.is_empty() {
            return Err(Error::fetch("nothing may be downloaded (--offline)")
                .hint("run `diorama fetch` for this scenario while online, or omit --offline"));
        }
        self.mirrors.get(archive).map(Vec::as_slice).ok_or_else(|| {
            let known: Vec<_> = self.mirrors.keys().map(String::as_str).collect();
            Error::input(format!(
                "unknown archive `{archive}` (known: {})",
                known.join(", ")
            ))
            .hint("this lock may be from a newer diorama: update diorama, or refresh the lock with `diorama lock`")
        })
    }

    /// Base URLs of the snapshot archives, in the order to try them.
    #[must_use]
    pub fn snapshots(&self) -> &[String] {
        &self.snapshot
    }

    /// One place alone under the name of an archive, with headers for every request to it; by the same
    /// proxy, but for this host itself, which nobody else reaches by its loopback name. Headers do not
    /// follow a redirection to another place if they say who we are (Authorization).
    ///
    /// # Errors
    /// When nothing may be downloaded.
    pub fn one(
        &self,
        archive: &str,
        base: &str,
        headers: Vec<(&'static str, String)>,
    ) -> Result<Sources> {
        // Says so when there is none.
        if self.mirrors.is_empty() {
            self.mirrors(archive)?;
        }
        let mirrors = BTreeMap::from([(archive.to_owned(), vec![base.to_owned()])]);
        let own = Sources::new(mirrors, Vec::new(), None);
        let agent = match base.starts_with("http://") {
            true => own.agent,
            false => self.agent.clone(),
        };
        Ok(Sources {
            retries: self.retries,
            backoff: self.backoff,
            agent,
            headers,
            ..own
        })
    }

    pub(super) fn headers(&self) -> &[(&'static str, String)] {
        &self.headers
    }

    pub(super) fn agent(&self) -> &ureq::Agent {
        &self.agent
    }
}

fn bases(variable: &str, env: &impl Fn(&str) -> Option<String>) -> Result<Vec<String>> {
    let text = env(variable).unwrap_or_default();
    text.split(',')
        .map(str::trim)
        .filter(|base| !base.is_empty())
        .map(|base| {
            if base.starts_with("http://") || base.starts_with("https://") {
                Ok(base.trim_end_matches('/').to_owned())
            } else {
                Err(
                    Error::input(format!("{variable}: `{base}` is not an HTTP URL"))
                        .hint(format!("use {variable}=http://mirror.example/debian")),
                )
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        http,
        testing::{self, Reply, Server},
    };

    #[test]
    fn mirrors_of_the_environment_come_before_the_defaults() {
        let sources = Sources::from_env(|name| {
            (name == "DIORAMA_MIRROR_DEBIAN")
                .then(|| "http://one/debian/, https://two/debian".to_owned())
        })
        .unwrap();
        assert_eq!(
            sources.mirrors("debian").unwrap(),
            [
                "http://one/debian",
                "https://two/debian",
                "http://deb.debian.org/debian",
                "http://ftp.debian.org/debian"
            ]
        );
        assert_eq!(sources.snapshots(), ["https://snapshot.debian.org"]);
    }

    #[test]
    fn a_mirror_that_is_no_url_is_refused_by_name() {
        let error = Sources::from_env(|name| {
            (name == "DIORAMA_SNAPSHOT").then(|| "snapshot.debian.org".to_owned())
        })
        .unwrap_err();
        insta::assert_snapshot!(error.render(), @r"
        error: DIORAMA_SNAPSHOT: `snapshot.debian.org` is not an HTTP URL
          help: use DIORAMA_SNAPSHOT=http://mirror.example/debian
        ");
    }

    #[test]
    fn offline_says_so_and_does_not_blame_the_lock() {
        let sources = Sources::only(BTreeMap::new(), Vec::new());
        let error = sources.mirrors("debian").unwrap_err();
        insta::assert_snapshot!(error.render(), @r"
        error: nothing may be downloaded (--offline)
          help: run `diorama fetch` for this scenario while online, or omit --offline
        ");
        assert_eq!(error.exit(), crate::error::Exit::Fetch);
    }

    #[test]
    fn an_unknown_archive_lists_those_known() {
        let sources = Sources::from_env(|_| None).unwrap();
        insta::assert_snapshot!(sources.mirrors("ubuntu").unwrap_err().render(), @r"
        error: unknown archive `ubuntu` (known: debian, debian-security)
          help: this lock may be from a newer diorama: update diorama, or refresh the lock with `diorama lock`
        ");
    }

    #[test]
    fn who_we_are_is_not_said_where_a_server_sends_us() {
        let there = Server::new([("/x".to_owned(), Reply::File(b"x".to_vec()))]);
        let first = Server::new([
            ("/x".to_owned(), Reply::Moved(format!("{}/x", there.url))),
            ("/loop".to_owned(), Reply::Moved("/loop".to_owned())),
        ]);
        let who = vec![("Authorization", "Bearer secret".to_owned())];
        let sources = testing::sources(&[&there], &[]);
        let one = sources.one("registry", &first.url, who).unwrap();
        let bytes = http::get_all(&one, &format!("{}/x", first.url), 10).unwrap();
        assert_eq!(bytes, b"x");
        assert_eq!(first.seen(), ["GET /x as bearer secret"]);
        assert_eq!(there.seen(), ["GET /x"]);
        let error = http::get_all(&one, &format!("{}/loop", first.url), 10).unwrap_err();
        assert!(matches!(error, http::HttpFailure::Refused(_)), "{error}");
    }

    #[test]
    fn one_place_is_asked_and_nothing_when_offline() {
        let sources = Sources::from_env(|_| None).unwrap();
        let one = sources.one("registry", "https://r.example/v2/a", Vec::new());
        let one = one.unwrap();
        assert_eq!(one.mirrors("registry").unwrap(), ["https://r.example/v2/a"]);
        assert!(one.mirrors("debian").is_err() && one.snapshots().is_empty());
        let offline = Sources::only(BTreeMap::new(), Vec::new());
        let error = offline.one("registry", "https://r.example", Vec::new());
        assert!(error.unwrap_err().render().contains("--offline"));
    }
}
