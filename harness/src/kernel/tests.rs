//! Whole kernels, made by hand as small as their formats allow.

use super::{local::own_modules, *};

const NO_CONFIG: &[NearConfig] = &[];

/// An ELF executable with a banner and, if wanted, the PVH note.
fn vmlinux(release: &str, pvh: bool, tail: &[u8]) -> Vec<u8> {
    let banner = format!("Linux version {release} (me@here) \0");
    let mut note = Vec::new();
    for word in [4_u32, 8, if pvh { 18 } else { 1 }] {
        note.extend(word.to_le_bytes());
    }
    note.extend(b"Xen\0");
    note.extend(0x10_0000_u64.to_le_bytes());
    let mut out = vec![0; 64 + 56];
    out[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x10, &2_u16.to_le_bytes()); // ET_EXEC
    put(0x12, &62_u16.to_le_bytes()); // EM_X86_64
    put(0x14, &1_u32.to_le_bytes());
    put(0x20, &64_u64.to_le_bytes()); // e_phoff
    put(0x34, &64_u16.to_le_bytes());
    put(0x36, &56_u16.to_le_bytes());
    put(0x38, &1_u16.to_le_bytes()); // e_phnum
    put(64, &4_u32.to_le_bytes()); // PT_NOTE
    put(64 + 8, &120_u64.to_le_bytes()); // p_offset
    put(64 + 32, &(note.len() as u64).to_le_bytes()); // p_filesz
    put(64 + 48, &4_u64.to_le_bytes());
    out.extend(note);
    out.extend(banner.as_bytes());
    out.extend(tail);
    out
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(plain).unwrap();
    gz.finish().unwrap()
}

fn bz(release: &str, pvh: bool) -> Vec<u8> {
    bzimage::tests::wrap(
        &gzip(&vmlinux(release, pvh, b"")),
        &format!("{release} (me@here) #1"),
    )
}

fn local(bytes: &[u8]) -> Result<Kernel> {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    fs::write(&image, bytes).unwrap();
    prepare_local(&image, None, &dir.path().join("out"))
}

/// The rendered error, without the directory it happened in.
fn refusal(bytes: &[u8]) -> String {
    let text = local(bytes).unwrap_err().render();
    let (head, tail) = text.split_once('\n').unwrap();
    assert!(head.starts_with("error: using ") && head.ends_with("/image as a kernel"));
    tail.to_owned()
}

#[test]
fn a_bzimage_with_pvh_is_unpacked_and_one_without_is_kept() {
    let pvh = local(&bz("6.1.5-x", true)).unwrap();
    assert_eq!(
        (pvh.boot, pvh.release.as_deref()),
        (BootBy::Pvh, Some("6.1.5-x"))
    );
    let plain = bz("6.1.5-x", false);
    let kept = local(&plain).unwrap();
    assert_eq!(kept.boot, BootBy::BzImage);
    assert_eq!(kept.image_sha256, Sha256::of(&plain));
}

#[test]
fn debugging_information_does_not_change_the_kernel() {
    let a = look(&vmlinux("6.1.5", true, b""))
        .unwrap()
        .image
        .into_owned();
    let b = look(&vmlinux("6.1.5", true, &[7; 5000]))
        .unwrap()
        .image
        .into_owned();
    assert_eq!(a, b);
}

#[test]
fn a_vmlinux_without_pvh_asks_for_the_bzimage() {
    insta::assert_snapshot!(refusal(&vmlinux("6.1.5", false, b"")), @r"
    caused by: this vmlinux has no PVH entry point (CONFIG_PVH), so it cannot be booted directly
    help: give arch/x86/boot/bzImage from the same build
    ");
}

#[test]
fn too_old_a_kernel_is_refused() {
    insta::assert_snapshot!(refusal(&bz("4.19.300", true)), @r"
    caused by: Linux 4.19.300 is older than 5.4, the oldest kernel that can be measured
    help: choose a newer kernel
    ");
}

#[test]
fn what_is_no_kernel_is_refused_by_name() {
    insta::assert_snapshot!(refusal(b"#!/bin/sh\necho hello\n"), @r"
    caused by: this is a text file, not a kernel
    help: give arch/x86/boot/bzImage or vmlinux of an x86-64 build
    ");
}

#[test]
fn a_prepared_kernel_is_read_back_and_finds_its_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let boot = dir.path().join("arch/x86/boot");
    fs::create_dir_all(&boot).unwrap();
    fs::write(boot.join("bzImage"), bz("6.1.5-mine", true)).unwrap();
    let config = "# Linux/x86 6.1.5 Kernel Configuration\nCONFIG_XFS_FS=y\n";
    fs::write(dir.path().join(".config"), config).unwrap();
    let out = dir.path().join("out");
    let kernel = prepare_local(&boot.join("bzImage"), None, &out).unwrap();
    assert_eq!(kernel.config, Some(Config::parse(config)));
    assert_eq!(kernel, load(&out).unwrap());
    // A configuration of another version is somebody else's.
    fs::write(dir.path().join(".config"), config.replace("6.1.5", "6.2.0")).unwrap();
    let kernel = prepare_local(&boot.join("bzImage"), None, &out).unwrap();
    assert_eq!(kernel.config, None);
}

#[test]
fn modules_of_another_build_are_refused() {
    let mut set = ModuleSet::default();
    let module = modules::KernelModule {
        name: "xfs".into(),
        sha256: Sha256::of(b""),
        depends: vec![],
        soft: vec![],
        parameters: vec![],
        release: Some("6.1.4".into()),
    };
    set.modules.insert("xfs".into(), module);
    let error = check_release(&set, Some("6.1.5"), "/m".as_ref()).unwrap_err();
    insta::assert_snapshot!(error.render(), @r"
    error: the kernel is 6.1.5, but xfs.ko below /m was built for 6.1.4
      help: give the modules from the same build (`make modules_install INSTALL_MOD_PATH=dir`)
    ");
    assert!(check_release(&set, Some("6.1.4"), "/m".as_ref()).is_ok());
}

#[test]
fn of_several_kernels_modules_only_its_own_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("lib/modules/6.1.5-x");
    for release in ["6.1.5-x", "5.10.0"] {
        fs::create_dir_all(dir.path().join("lib/modules").join(release)).unwrap();
    }
    assert_eq!(own_modules(dir.path(), Some("6.1.5-x")), own);
    assert_eq!(
        own_modules(&dir.path().join("lib/modules"), Some("6.1.5-x")),
        own
    );
    assert_eq!(own_modules(&own, Some("6.1.5-x")), own);
    assert_eq!(own_modules(dir.path(), None), dir.path());
}

#[test]
fn release_numbers_are_compared_as_numbers() {
    let (version, oldest) = (KernelVersion::of, Some(KernelVersion::OLDEST));
    assert_eq!(
        version("6.12.117+deb13-cloud-amd64"),
        Some(KernelVersion(6, 12))
    );
    assert_eq!(version("5.4.0-rc1"), Some(KernelVersion(5, 4)));
    assert!(version("5.10.0") > oldest && version("5.3.18") < oldest);
    assert_eq!(version("x"), None);
    assert!(neighbouring_config(NO_CONFIG, None).is_none());
}

#[test]
fn a_merged_usr_does_not_show_a_kernel_twice() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("usr/lib/modules/7.2.1-x")).unwrap();
    std::os::unix::fs::symlink("usr/lib", dir.path().join("lib")).unwrap();
    fs::write(
        dir.path().join("usr/lib/modules/7.2.1-x/vmlinuz"),
        b"no kernel",
    )
    .unwrap();
    let error = prepare_package(dir.path(), &dir.path().join("out")).unwrap_err();
    assert!(
        !error.render().contains("2 kernel images"),
        "{}",
        error.render()
    );
}

/// A module as small as its format allows: an ELF object with a .modinfo section.
fn module(modinfo: &str) -> Vec<u8> {
    use object::write::{Object, SectionKind};
    let mut object = Object::new(
        object::BinaryFormat::Elf,
        object::Architecture::X86_64,
        object::Endianness::Little,
    );
    let section = object.add_section(Vec::new(), b".modinfo".to_vec(), SectionKind::ReadOnlyData);
    object.set_section_data(section, modinfo.as_bytes().to_vec(), 1);
    object.write().unwrap()
}

#[test]
fn a_local_build_is_identified_by_the_contents_of_all_it_is_made_from() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("bzImage");
    let modules = dir.path().join("modules");
    fs::create_dir(&modules).unwrap();
    fs::write(&image, bz("6.1.5-x", true)).unwrap();
    let put = |name: &str, text: &str| fs::write(modules.join(name), module(text)).unwrap();
    put("xfs.ko", "depends=libcrc32c\0license=GPL\0");
    put("libcrc32c.ko", "depends=\0license=GPL\0");
    put("sound.ko", "depends=\0license=GPL\0");
    let key = || {
        let build = LocalBuild::read(&image, Some(&modules)).unwrap();
        build.key()
    };
    let first = key();
    assert_eq!(key(), first);

    // Of equal size, and as old as before: a module, and one that it depends on.
    for (name, text, altered) in [
        (
            "xfs.ko",
            "depends=libcrc32c\0license=GPL\0",
            "depends=libcrc32c\0license=MIT\0",
        ),
        (
            "libcrc32c.ko",
            "depends=\0license=GPL\0",
            "depends=\0license=MIT\0",
        ),
    ] {
        let path = modules.join(name);
        let before = path.metadata().unwrap();
        put(name, altered);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(before.modified().unwrap()).unwrap();
        let after = path.metadata().unwrap();
        assert_eq!(
            (after.len(), after.modified().unwrap()),
            (before.len(), before.modified().unwrap())
        );
        assert_ne!(key(), first, "{name}");
        put(name, text);
        assert_eq!(key(), first, "its time does not matter");
    }
    // A module that no scenario asks for.
    put("sound.ko", "depends=\0license=MIT\0");
    assert_eq!(key(), first);
    // A configuration beside the image.
    let config = dir.path().join(".config");
    fs::write(
        &config,
        "# Linux/x86 6.1.5 Kernel Configuration\nCONFIG_XFS_FS=m\n",
    )
    .unwrap();
    let configured = key();
    assert_ne!(configured, first);
    fs::write(
        &config,
        "# Linux/x86 6.1.5 Kernel Configuration\nCONFIG_XFS_FS=y\n",
    )
    .unwrap();
    assert_ne!(key(), configured);
    fs::remove_file(&config).unwrap();
    // The image itself.
    fs::write(&image, bz("6.1.5-y", true)).unwrap();
    assert_ne!(key(), first);
}

#[test]
fn a_soft_dependency_on_the_crypto_api_is_found_by_its_alias() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| fs::write(dir.path().join(name), module(text)).unwrap();
    // 6.18: nothing that btrfs depends on brings it, and no guest has modprobe.
    put(
        "btrfs.ko",
        "softdep=pre: xxhash64\0softdep=pre: crypto-crc32c\0depends=\0license=GPL\0",
    );
    put(
        "crc32c-cryptoapi.ko",
        "alias=crypto-crc32c\0alias=crc32c\0depends=\0license=GPL\0",
    );
    put("crc32c-other.ko", "alias=other\0depends=\0license=GPL\0");
    let found = modules::collect(dir.path(), &["btrfs"]).unwrap();
    assert_eq!(found.set.modules["btrfs"].soft, ["crc32c_cryptoapi"]);
    let names: Vec<_> = found.files.keys().map(String::as_str).collect();
    assert_eq!(names, ["btrfs", "crc32c_cryptoapi"]);
}
