//! A registry, as oci-client sees it: who we are there, and its errors in words.

use super::{credentials, reference::InRegistry, reference::Which};
use crate::{
    error::{Error, Result},
    text,
};
use base64::Engine as _;
use oci_client::{
    Client, Reference, RegistryOperation,
    client::{ClientConfig, ClientProtocol},
    errors::OciDistributionError,
    secrets::RegistryAuth,
};
use std::time::Duration;

/// How long a registry may take to accept a connection, and be silent while it answers.
const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(60);
/// How long all of a login may take: oci-client reads an answer to its end, however long.
const LOGIN: Duration = Duration::from_secs(20);

/// A connection to one registry, for one repository.
pub struct Registry {
    /// Asks it.
    pub client: Client,
    /// Who we are there.
    pub auth: RegistryAuth,
    /// The image there.
    pub image: Reference,
}

impl Registry {
    /// For an image, with this user's credentials.
    ///
    /// # Errors
    /// When the credentials cannot be had.
    pub fn of(reference: &InRegistry) -> Result<Registry> {
        // An error says that somebody has installed one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let protocol = match reference.scheme() {
            "http" => ClientProtocol::HttpsExcept(vec![reference.host.clone()]),
            _ => ClientProtocol::Https,
        };
        let client = Client::new(ClientConfig {
            protocol,
            platform_resolver: None,
            connect_timeout: Some(CONNECT),
            read_timeout: Some(SILENCE),
            user_agent: concat!("diorama/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        });
        let (host, repository) = (reference.host.clone(), reference.repository.clone());
        let image = match &reference.which {
            Which::Tag(tag) => Reference::with_tag(host, repository, tag.clone()),
            Which::Digest(digest) => {
                Reference::with_digest(host, repository, format!("sha256:{digest}"))
            }
        };
        Ok(Registry {
            client,
            auth: credentials::of(&reference.host)?,
            image,
        })
    }

    /// Asks for a token, where the registry gives some; the client keeps it.
    ///
    /// # Errors
    /// When the registry cannot be reached, or does not know us.
    pub async fn log_in(&self, to: RegistryOperation) -> Result<Option<String>> {
        let asking = self.client.auth(&self.image, &self.auth, to);
        match tokio::time::timeout(LOGIN, asking).await {
            Ok(token) => token.map_err(|e| self.failed("logging in to", &e)),
            Err(_) => Err(
                Error::fetch(format!("logging in to {}", self.image.registry()))
                    .because(format!("no answer within {} s", LOGIN.as_secs()))
                    .hint("try again, or ask whoever runs the registry"),
            ),
        }
    }

    /// The value of an Authorization header for reading from the repository, if it takes one.
    ///
    /// # Errors
    /// When the registry cannot be reached, or does not know us.
    pub async fn authorisation(&self) -> Result<Option<String>> {
        let token = self.log_in(RegistryOperation::Pull).await?;
        Ok(match (token, &self.auth) {
            (Some(token), _) => Some(format!("Bearer {token}")),
            (None, RegistryAuth::Basic(user, password)) => {
                let plain = format!("{user}:{password}");
                let coded = base64::engine::general_purpose::STANDARD.encode(plain);
                Some(format!("Basic {coded}"))
            }
            (None, _) => None,
        })
    }

    /// An error in words: the registry's are a stranger's.
    pub fn failed(&self, doing: &str, error: &OciDistributionError) -> Error {
        let host = self.image.registry();
        let mut why = error.to_string();
        let mut cause = std::error::Error::source(error);
        // What a connection failed of is at the end of a chain.
        while let Some(inner) = cause {
            if !why.contains(&inner.to_string()) {
                why.push_str(&format!(": {inner}"));
            }
            cause = inner.source();
        }
        let what = Error::fetch(format!("{doing} {host}")).because(text::line(&text::cut(&why)));
        let refused = match error {
            OciDistributionError::AuthenticationFailure(_)
            | OciDistributionError::UnauthorizedError { .. } => true,
            OciDistributionError::RequestError(error) => {
                (error.status()).is_some_and(|status| matches!(status.as_u16(), 401 | 403))
            }
            _ => false,
        };
        what.hint(match refused {
            true => format!("log in first: docker login {host} (or podman, skopeo, oras)"),
            false => "check the reference, the network and the proxy variables".to_owned(),
        })
    }
}
