//! Who we are to a registry: what `docker login` (or podman's, skopeo's) has left for this user.

use crate::{
    error::{Error, Result},
    text,
};
use docker_credential::{
    CredentialRetrievalError, DockerCredential, get_credential, get_podman_credential,
};
use oci_client::secrets::RegistryAuth;

/// Docker's name for its own registry in that file.
const DOCKER_HUB: [&str; 2] = ["docker.io", "index.docker.io"];

/// The credentials for a host; anonymous where nobody has logged in.
///
/// # Errors
/// When there are some and they cannot be had: a helper failed, or the file is malformed.
pub fn of(host: &str) -> Result<RegistryAuth> {
    let server = match DOCKER_HUB.contains(&host) {
        true => "https://index.docker.io/v1/",
        false => host,
    };
    for look in [get_credential, get_podman_credential] {
        match look(server) {
            Ok(DockerCredential::UsernamePassword(user, password)) => {
                return Ok(RegistryAuth::Basic(user, password));
            }
            Ok(DockerCredential::IdentityToken(_)) => {
                return Err(Error::input(format!(
                    "the credentials for {host} are an identity token, which is not supported"
                ))
                .hint(format!(
                    "log in with a name and a password: docker login {host}"
                )));
            }
            // No file, or none that this user can read; nobody logged in there.
            Err(
                CredentialRetrievalError::NoCredentialConfigured
                | CredentialRetrievalError::ConfigNotFound
                | CredentialRetrievalError::ConfigReadError,
            ) => {}
            Err(error) => {
                let why = text::line(&text::cut(&error.to_string()));
                return Err(Error::input(format!("reading the credentials for {host}"))
                    .because(why)
                    .hint(format!("log in again: docker login {host}")));
            }
        }
    }
    Ok(RegistryAuth::Anonymous)
}
