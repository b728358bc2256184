//! The bzImage container: setup header and payload (Documentation/arch/x86/boot.rst). Pure.

use crate::error::{Error, Result};

/// What a bzImage's setup header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BzImage<'a> {
    /// The compressed kernel, with the size that the build appends to it.
    pub payload: &'a [u8],
    /// The version string: `6.1.0-56-cloud-amd64 (builder@host) #1 SMP ...`.
    pub version: Option<String>,
}

impl BzImage<'_> {
    /// uname -r: the first word of the version string.
    #[must_use]
    pub fn release(&self) -> Option<String> {
        let word = self.version.as_deref()?.split_whitespace().next()?;
        Some(word.to_owned())
    }
}

/// Offset of the `HdrS` magic.
const MAGIC_AT: usize = 0x202;
/// `XLF_KERNEL_64` of `xloadflags`: the kernel has the 64-bit entry point.
const KERNEL_64: u16 = 1;

fn u16_at(image: &[u8], at: usize) -> Option<u16> {
    let bytes = image.get(at..at + 2)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

fn u32_at(image: &[u8], at: usize) -> Option<u32> {
    let bytes = image.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// Whether the bytes carry the setup header's magic.
#[must_use]
pub fn is_bzimage(image: &[u8]) -> bool {
    image.get(MAGIC_AT..MAGIC_AT + 4) == Some(b"HdrS")
}

/// Reads the setup header.
///
/// # Errors
/// When the header is too old (before boot protocol 2.12, Linux 3.8), names a 32-bit kernel or
/// points outside of the file.
pub fn parse(image: &[u8]) -> Result<BzImage<'_>> {
    let short = || {
        Error::input("the bzImage ends before the kernel that its header describes")
            .hint("copy the file again: it is truncated")
    };
    let protocol = u16_at(image, 0x206).ok_or_else(short)?;
    if protocol < 0x020c {
        return Err(Error::input(format!(
            "the bzImage uses boot protocol {}.{:02}, which is older than Linux 3.8",
            protocol >> 8,
            protocol & 0xff
        ))
        .hint("give a kernel from 5.4 on"));
    }
    if u16_at(image, 0x236).ok_or_else(short)? & KERNEL_64 == 0 {
        return Err(Error::input("the bzImage holds a 32-bit x86 kernel")
            .hint("build it for x86-64 (CONFIG_64BIT=y)"));
    }
    // 0 means 4 sectors, for historical reasons; the boot sector itself comes on top.
    let sectors = match image.get(0x1f1).ok_or_else(short)? {
        0 => 4,
        n => usize::from(*n),
    };
    let setup = (sectors + 1) * 512;
    let offset = u32_at(image, 0x248).ok_or_else(short)? as usize;
    let length = u32_at(image, 0x24c).ok_or_else(short)? as usize;
    let payload = image
        .get(setup..)
        .and_then(|rest| rest.get(offset..))
        .and_then(|rest| rest.get(..length))
        .ok_or_else(short)?;
    Ok(BzImage {
        payload,
        version: version(image),
    })
}

/// `kernel_version`: a pointer, less 0x200, to a NUL-terminated string; 0 when there is none.
fn version(image: &[u8]) -> Option<String> {
    let at = usize::from(u16_at(image, 0x20e)?);
    if at == 0 {
        return None;
    }
    let text = image.get(at + 0x200..)?;
    let end = text.iter().take(512).position(|b| *b == 0)?;
    String::from_utf8(text[..end].to_vec()).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A bzImage around a payload, as small as the header allows.
    pub(in crate::kernel) fn wrap(payload: &[u8], version: &str) -> Vec<u8> {
        let mut image = vec![0; 1024];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
        image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        image[0x236..0x238].copy_from_slice(&KERNEL_64.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image[0x300..0x300 + version.len()].copy_from_slice(version.as_bytes());
        image.extend_from_slice(payload);
        image
    }

    #[test]
    fn header_fields_are_found() {
        let image = wrap(b"payload", "6.1.5-x (me@here) #1 SMP");
        let bz = parse(&image).unwrap();
        assert_eq!(bz.payload, b"payload");
        assert_eq!(bz.release().as_deref(), Some("6.1.5-x"));
    }

    #[test]
    fn a_truncated_image_is_refused() {
        let image = wrap(b"payload", "6.1.5");
        insta::assert_snapshot!(parse(&image[..image.len() - 1]).unwrap_err().render(), @r"
        error: the bzImage ends before the kernel that its header describes
          help: copy the file again: it is truncated
        ");
    }

    #[test]
    fn a_32_bit_kernel_is_refused() {
        let mut image = wrap(b"payload", "6.1.5");
        image[0x236] = 0;
        insta::assert_snapshot!(parse(&image).unwrap_err().render(), @r"
        error: the bzImage holds a 32-bit x86 kernel
          help: build it for x86-64 (CONFIG_64BIT=y)
        ");
    }
}
