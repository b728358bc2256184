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
        if let Some(auth) = found(host, look(server))? {
            return Ok(auth);
        }
    }
    Ok(RegistryAuth::Anonymous)
}

/// What one place says of a host, if it says anything.
fn found(
    host: &str,
    said: std::result::Result<DockerCredential, CredentialRetrievalError>,
) -> Result<Option<RegistryAuth>> {
    match said {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(Some(RegistryAuth::Basic(user, password)))
        }
        Ok(DockerCredential::IdentityToken(_)) => Err(Error::input(format!(
            "the credentials for {host} are an identity token, which is not supported"
        ))
        .hint(format!(
            "log in with a name and a password: docker login {host}"
        ))),
        // No file, or none that this user can read; nobody logged in there.
        Err(
            CredentialRetrievalError::NoCredentialConfigured
            | CredentialRetrievalError::ConfigNotFound
            | CredentialRetrievalError::ConfigReadError,
        ) => Ok(None),
        Err(error) => {
            let why = text::line(&text::cut(&error.to_string()));
            Err(Error::input(format!("reading the credentials for {host}"))
                .because(why)
                .hint(format!("log in again: docker login {host}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use docker_credential::get_credential_from_reader;

    fn of_config(config: &str) -> Result<Option<RegistryAuth>> {
        let host = "r.example:5000";
        found(host, get_credential_from_reader(config.as_bytes(), host))
    }

    #[test]
    fn a_login_is_read_and_its_absence_is_none() {
        let login = r#"{"auths":{"r.example:5000":{"auth":"dXNlcjpzZWNyZXQ="}}}"#;
        let basic = RegistryAuth::Basic("user".into(), "secret".into());
        assert_eq!(of_config(login).unwrap(), Some(basic));
        let elsewhere = login.replace("r.example:5000", "r.example:5001");
        assert_eq!(of_config(&elsewhere).unwrap(), None);
        let unreadable = CredentialRetrievalError::ConfigReadError;
        assert_eq!(found("r.example", Err(unreadable)).unwrap(), None);
    }

    #[test]
    fn a_login_that_cannot_be_used_is_said_without_its_secret() {
        let broken = r#"{"auths":{"r.example:5000":{"auth":"dXNlcjpzZWNyZXQ"#;
        // A file that is no JSON is one that cannot be read.
        assert_eq!(of_config(broken).unwrap(), None);
        let coded = r#"{"auths":{"r.example:5000":{"auth":"%%secret%%"}}}"#;
        let error = of_config(coded).unwrap_err().render();
        assert!(error.contains("docker login r.example:5000"), "{error}");
        assert!(!error.contains("secret"), "{error}");
        let token = DockerCredential::IdentityToken("secret".into());
        let error = found("r.example", Ok(token)).unwrap_err().render();
        assert!(!error.contains("secret"), "{error}");
    }
}
