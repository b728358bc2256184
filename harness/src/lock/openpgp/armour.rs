//! OpenPGP's text forms: ASCII armour and the cleartext signature framework (RFC 9580, 6 and 7).

use base64::{Engine as _, engine::general_purpose::STANDARD};

const SIGNED: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";

/// A clear-signed message's text as it was signed (but with plain line ends), and its armoured
/// signatures.
pub fn clear_signed(message: &str) -> Result<(String, String), String> {
    let mut lines = message.lines();
    if lines.next().map(str::trim_end) != Some(SIGNED) {
        return Err(format!("it does not begin with {SIGNED}"));
    }
    for line in lines.by_ref() {
        if line.trim_end().is_empty() {
            break;
        }
        // The only header there may be: others would read like a part of the text.
        if !line.starts_with("Hash: ") {
            return Err(format!("a header `{}`", line.trim_end()));
        }
    }
    let mut text = Vec::new();
    loop {
        let line = lines.next().ok_or_else(|| format!("no {SIGNATURE}"))?;
        if line.trim_end() == SIGNATURE {
            break;
        }
        let line = match line.strip_prefix('-') {
            Some(escaped) => escaped
                .strip_prefix(' ')
                .ok_or_else(|| format!("a line `{line}` inside of the text"))?,
            None => line,
        };
        text.push(line.trim_end_matches([' ', '\t', '\r']));
    }
    let mut armoured = SIGNATURE.to_owned();
    for line in lines {
        armoured.push('\n');
        armoured.push_str(line);
    }
    Ok((text.join("\n"), armoured))
}

/// The bytes of one armoured block of a kind (`PGP PUBLIC KEY BLOCK`). Its checksum (CRC-24) is not
/// looked at, as RFC 9580 advises: it protects from nothing.
pub fn decode(text: &str, kind: &str) -> Result<Vec<u8>, String> {
    let (begin, end) = (
        format!("-----BEGIN {kind}-----"),
        format!("-----END {kind}-----"),
    );
    let mut lines = text.lines().map(str::trim);
    if !lines.by_ref().any(|line| line == begin) {
        return Err(format!("no {begin}"));
    }
    let mut body = String::new();
    let mut headers = true;
    loop {
        let line = lines.next().ok_or_else(|| format!("no {end}"))?;
        if line == end {
            break;
        }
        if headers && (line.is_empty() || line.contains(": ")) {
            headers = !line.is_empty();
            continue;
        }
        headers = false;
        if !line.starts_with('=') {
            body.push_str(line);
        }
    }
    STANDARD
        .decode(body)
        .map_err(|e| format!("the block is not base64: {e}"))
}
