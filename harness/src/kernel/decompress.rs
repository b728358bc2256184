//! Every compression that the kernel's build knows: of a bzImage's payload, and of modules. Pure.

use crate::error::{Error, Result};
use std::io::{self, Read};

/// A compression, by its magic bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// CONFIG_KERNEL_GZIP, .ko.gz
    Gzip,
    /// CONFIG_KERNEL_BZIP2
    Bzip2,
    /// CONFIG_KERNEL_LZMA (the "alone" format)
    Lzma,
    /// CONFIG_KERNEL_XZ, .ko.xz
    Xz,
    /// CONFIG_KERNEL_LZO (the lzop container)
    Lzo,
    /// CONFIG_KERNEL_LZ4 (the legacy frame)
    Lz4,
    /// CONFIG_KERNEL_ZSTD, .ko.zst
    Zstd,
    /// Not compressed: an ELF file.
    Elf,
}

const LZOP_MAGIC: &[u8] = b"\x89LZO\0\r\n\x1a\n";
const LZ4_LEGACY_MAGIC: &[u8] = b"\x02\x21\x4c\x18";
/// lzop's largest block (its source's MAX_BLOCK_SIZE), in bytes.
const LZOP_BLOCK: usize = 64 << 20;
/// A block of the legacy lz4 frame holds this much, the last one less.
const LZ4_LEGACY_BLOCK: usize = 8 << 20;
/// No kernel image is larger uncompressed; a damaged size must not exhaust the host's memory.
const MAX_IMAGE: u64 = 1 << 30;

/// Recognises a compression.
#[must_use]
pub fn sniff(bytes: &[u8]) -> Option<Compression> {
    let known: [(&[u8], Compression); 9] = [
        (b"\x7fELF", Compression::Elf),
        (b"\x1f\x8b", Compression::Gzip),
        (b"\x1f\x9e", Compression::Gzip),
        (b"BZh", Compression::Bzip2),
        (b"\x5d\0\0", Compression::Lzma),
        (b"\xfd7zXZ\0", Compression::Xz),
        (LZOP_MAGIC, Compression::Lzo),
        (LZ4_LEGACY_MAGIC, Compression::Lz4),
        (b"\x28\xb5\x2f\xfd", Compression::Zstd),
    ];
    known
        .iter()
        .find(|(magic, _)| bytes.starts_with(magic))
        .map(|(_, format)| *format)
}

/// Decompresses a stream; bytes behind its end are ignored.
///
/// # Errors
/// When the stream is damaged, or larger than any kernel.
pub fn decompress(format: Compression, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    // One byte more than allowed shows that there would have been more.
    let limit = MAX_IMAGE + 1;
    match format {
        Compression::Elf => out.extend_from_slice(bytes),
        Compression::Gzip => {
            flate2::bufread::GzDecoder::new(bytes)
                .take(limit)
                .read_to_end(&mut out)?;
        }
        Compression::Bzip2 => {
            bzip2::bufread::BzDecoder::new(bytes)
                .take(limit)
                .read_to_end(&mut out)?;
        }
        Compression::Lzma => {
            let stream = liblzma::stream::Stream::new_lzma_decoder(u64::MAX)?;
            liblzma::bufread::XzDecoder::new_stream(bytes, stream)
                .take(limit)
                .read_to_end(&mut out)?;
        }
        Compression::Xz => {
            liblzma::bufread::XzDecoder::new(bytes)
                .take(limit)
                .read_to_end(&mut out)?;
        }
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(bytes)?.single_frame();
            // The kernel is compressed with --ultra -22, whose window exceeds the usual limit.
            decoder.window_log_max(31)?;
            decoder.take(limit).read_to_end(&mut out)?;
        }
        Compression::Lz4 => out = lz4_legacy(bytes)?,
        Compression::Lzo => out = lzop(bytes)?,
    }
    if out.len() as u64 > MAX_IMAGE {
        return Err(damaged("it expands to more than 1 GiB"));
    }
    Ok(out)
}

/// Decompresses a bzImage's payload.
///
/// # Errors
/// When the compression is unknown, the stream damaged, or the length not the one that the build
/// recorded.
pub fn payload(bytes: &[u8]) -> Result<Vec<u8>> {
    let head = &bytes[..bytes.len().min(6)];
    let format = sniff(bytes).ok_or_else(|| {
        Error::input(format!(
            "the kernel inside the bzImage begins with {head:02x?}, \
             which is none of gzip, bzip2, lzma, xz, lzo, lz4 and zstd"
        ))
        .hint("check that the file is whole, or build with CONFIG_KERNEL_GZIP=y")
    })?;
    if format == Compression::Elf {
        return Ok(bytes.to_vec());
    }
    let failed = |e: io::Error| {
        Error::input(format!(
            "decompressing the {format:?} kernel of the bzImage"
        ))
        .because(e)
        .hint("copy or build the kernel again: the file is damaged")
    };
    // The build appends the uncompressed size (gzip ends in it by itself): scripts/Makefile.lib,
    // size_append.
    let (stream, size) = bytes
        .split_last_chunk::<4>()
        .ok_or_else(|| failed(damaged("it is empty")))?;
    let size = u32::from_le_bytes(*size) as usize;
    let stream = if format == Compression::Gzip {
        bytes
    } else {
        stream
    };
    let out = decompress(format, stream).map_err(failed)?;
    if out.len() != size {
        return Err(failed(damaged(format!(
            "it expands to {} bytes, not to the {size} recorded",
            out.len()
        ))));
    }
    Ok(out)
}

fn damaged(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

/// The legacy lz4 frame: blocks of 8 MiB, each behind its compressed length
/// (lib/decompress_unlz4.c).
fn lz4_legacy(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut rest = &bytes[LZ4_LEGACY_MAGIC.len()..];
    let mut out = Vec::new();
    let mut block = vec![0; LZ4_LEGACY_BLOCK];
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        if head == LZ4_LEGACY_MAGIC {
            rest = tail; // concatenated frames
            continue;
        }
        let length = u32::from_le_bytes(*head) as usize;
        if length == 0 {
            break;
        }
        let compressed = tail
            .get(..length)
            .ok_or_else(|| damaged("an lz4 block is cut off"))?;
        let n =
            lz4_flex::block::decompress_into(compressed, &mut block).map_err(io::Error::other)?;
        out.extend_from_slice(&block[..n]);
        rest = &tail[length..];
        if out.len() as u64 > MAX_IMAGE {
            break;
        }
    }
    Ok(out)
}

/// The lzop container (lib/decompress_unlzo.c, parse_header and unlzo).
fn lzop(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let cut = || damaged("the lzop stream is cut off");
    let mut rest = &bytes[LZOP_MAGIC.len()..];
    let mut take = |n: usize| -> io::Result<&[u8]> {
        let (head, tail) = rest.split_at_checked(n).ok_or_else(cut)?;
        rest = tail;
        Ok(head)
    };
    let be32 = |b: &[u8]| b.iter().fold(0_usize, |n, b| n << 8 | usize::from(*b));
    let version = be32(take(2)?);
    take(5)?; // library version, version needed, method
    let modern = version >= 0x0940;
    if modern {
        take(1)?; // level
    }
    let has_filter = be32(take(4)?) & 0x800 != 0;
    // filter, mode, low half of mtime, high half of mtime
    take(if has_filter { 4 } else { 0 } + 8 + if modern { 4 } else { 0 })?;
    let name = usize::from(take(1)?[0]);
    take(name + 4)?; // name, header checksum
    let mut out = Vec::new();
    loop {
        let plain = be32(take(4)?);
        if plain == 0 {
            return Ok(out);
        }
        if plain > LZOP_BLOCK {
            return Err(damaged("an lzo block is too large"));
        }
        let packed = be32(take(4)?);
        take(4)?; // checksum
        let block = take(packed)?;
        if packed == plain {
            out.extend_from_slice(block);
        } else {
            let block = lzokay_native::decompress_all(block, Some(plain))
                .map_err(|e| damaged(format!("an lzo block: {e:?}")))?;
            out.extend_from_slice(&block);
        }
        if out.len() as u64 > MAX_IMAGE {
            return Ok(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn plain() -> Vec<u8> {
        (0..400_000_u32)
            .flat_map(|i| (i / 7).to_le_bytes())
            .collect()
    }

    fn with_size(mut stream: Vec<u8>, plain: &[u8]) -> Vec<u8> {
        stream.extend_from_slice(&(plain.len() as u32).to_le_bytes());
        stream
    }

    fn lzop_stream(plain: &[u8]) -> Vec<u8> {
        let mut out = LZOP_MAGIC.to_vec();
        out.extend([0x10, 0x30, 0x20, 0xa0, 0x09, 0x40, 3, 9]);
        out.extend(0x0300_0001_u32.to_be_bytes());
        out.extend([0; 12]); // mode, mtime
        out.push(2);
        out.extend(b"vm");
        out.extend([0; 4]);
        for block in plain.chunks(256 << 10) {
            let packed = lzokay_native::compress(block).unwrap();
            let packed = if packed.len() < block.len() {
                packed
            } else {
                block.to_vec()
            };
            out.extend((block.len() as u32).to_be_bytes());
            out.extend((packed.len() as u32).to_be_bytes());
            out.extend([0; 4]);
            out.extend(packed);
        }
        out.extend([0; 4]);
        out
    }

    #[test]
    fn every_format_of_the_kernel_round_trips() {
        let plain = plain();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&plain).unwrap();
        assert_eq!(payload(&gz.finish().unwrap()).unwrap(), plain);

        let mut bz = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bz.write_all(&plain).unwrap();
        assert_eq!(
            payload(&with_size(bz.finish().unwrap(), &plain)).unwrap(),
            plain
        );

        let options = liblzma::stream::LzmaOptions::new_preset(1).unwrap();
        let stream = liblzma::stream::Stream::new_lzma_encoder(&options).unwrap();
        let mut lzma = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        lzma.write_all(&plain).unwrap();
        assert_eq!(
            payload(&with_size(lzma.finish().unwrap(), &plain)).unwrap(),
            plain
        );

        // As scripts/xz_wrap.sh does: x86 BCJ filter, CRC32.
        let mut filters = liblzma::stream::Filters::new();
        filters.x86().lzma2(&options);
        let stream =
            liblzma::stream::Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc32)
                .unwrap();
        let mut xz = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        xz.write_all(&plain).unwrap();
        assert_eq!(
            payload(&with_size(xz.finish().unwrap(), &plain)).unwrap(),
            plain
        );

        let mut zst = zstd::Encoder::new(Vec::new(), 1).unwrap();
        zst.window_log(28).unwrap();
        zst.write_all(&plain).unwrap();
        assert_eq!(
            payload(&with_size(zst.finish().unwrap(), &plain)).unwrap(),
            plain
        );

        let mut lz4 = LZ4_LEGACY_MAGIC.to_vec();
        for block in plain.chunks(LZ4_LEGACY_BLOCK) {
            let packed = lz4_flex::block::compress(block);
            lz4.extend((packed.len() as u32).to_le_bytes());
            lz4.extend(packed);
        }
        assert_eq!(payload(&with_size(lz4, &plain)).unwrap(), plain);

        assert_eq!(
            payload(&with_size(lzop_stream(&plain), &plain)).unwrap(),
            plain
        );
    }

    #[test]
    fn a_wrong_length_and_an_unknown_compression_are_refused() {
        let mut zst = with_size(zstd::encode_all(&b"abc"[..], 1).unwrap(), b"abc");
        *zst.last_mut().unwrap() = 1;
        insta::assert_snapshot!(payload(&zst).unwrap_err().render(), @r"
        error: decompressing the Zstd kernel of the bzImage
          caused by: it expands to 3 bytes, not to the 16777219 recorded
          help: copy or build the kernel again: the file is damaged
        ");
        insta::assert_snapshot!(payload(b"nonsense").unwrap_err().render(), @r"
        error: the kernel inside the bzImage begins with [6e, 6f, 6e, 73, 65, 6e], which is none of gzip, bzip2, lzma, xz, lzo, lz4 and zstd
          help: check that the file is whole, or build with CONFIG_KERNEL_GZIP=y
        ");
    }
}
