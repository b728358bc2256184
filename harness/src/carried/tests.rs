use super::*;

/// A checkout's data, in miniature.
fn checkout() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("kernels/lock.toml", "version = 1\n"),
        ("kernels/keys/a.asc", "key"),
        ("kernels/.kernels.toml.swp", "an editor's"),
        ("images/lock.toml", "version = 1\n"),
        ("scenarios/smoke.toml", "name = 'smoke'\n"),
        ("LICENSE-MIT", "MIT"),
        ("LICENSE-APACHE", "Apache"),
        ("target/diorama-agent", "agent"),
        ("target/libdiorama_tcg_plugin.so", "plugin"),
    ] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn packed(checkout: &Path) -> Vec<u8> {
    let target = checkout.join("target");
    let plugin = target.join("libdiorama_tcg_plugin.so");
    pack(checkout, &target.join("diorama-agent"), &plugin).unwrap()
}

/// This test's own program, carrying that.
fn program(dir: &Path, tar: &[u8]) -> std::path::PathBuf {
    let own = fs::read("/proc/self/exe").unwrap();
    let path = dir.join("diorama");
    fs::write(&path, attach(&own, tar).unwrap()).unwrap();
    path
}

#[test]
fn equal_files_give_equal_bytes_wherever_they_are() {
    let (one, other) = (checkout(), checkout());
    assert!(packed(one.path()) == packed(other.path()));
}

#[test]
fn what_was_carried_is_there_again_and_checked() {
    let dir = checkout();
    let program = program(dir.path(), &packed(dir.path()));
    let carried = Carried::of(&program).unwrap().unwrap();
    let store = Store::open(dir.path().join("cache")).unwrap();
    let root = carried.directory(&store).unwrap();
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    assert_eq!(read("kernels/keys/a.asc"), "key");
    assert_eq!(read("scenarios/smoke.toml"), "name = 'smoke'\n");
    assert_eq!(read(AGENT), "agent");
    assert_eq!(read("agent/libdiorama_tcg_plugin.so"), "plugin");
    assert!(!root.join("kernels/.kernels.toml.swp").exists());
    let mode = root.join(AGENT).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o555);

    // Whatever the disk does to it, or anybody else: it is made anew.
    let scenario = root.join("scenarios/smoke.toml");
    drop(root);
    fs::set_permissions(&scenario, Permissions::from_mode(0o644)).unwrap();
    fs::write(&scenario, "name = 'other'\n").unwrap();
    let root = carried.directory(&store).unwrap();
    let text = fs::read_to_string(root.join("scenarios/smoke.toml")).unwrap();
    assert_eq!(text, "name = 'smoke'\n");
}

#[test]
fn a_damaged_program_is_not_believed() {
    let dir = checkout();
    let program = program(dir.path(), &packed(dir.path()));
    let mut bytes = fs::read(&program).unwrap();
    let carried = Carried::of(&program).unwrap().unwrap();
    bytes[usize::try_from(carried.at).unwrap() + 600] ^= 1;
    fs::write(&program, bytes).unwrap();
    let store = Store::open(dir.path().join("cache")).unwrap();
    let carried = Carried::of(&program).unwrap().unwrap();
    insta::assert_snapshot!(carried.directory(&store).unwrap_err().render(), @"
    error: this program's file is damaged: what it carries has another sha256
      help: copy or download the program again, and compare its own sha256
    ");
}

#[test]
fn a_program_that_cargo_built_carries_nothing() {
    assert!(Carried::here().unwrap().is_none());
}

#[test]
fn names_that_leave_the_directory_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..7].copy_from_slice(b"../evil");
    header.set_size(1);
    header.set_cksum();
    tar.append(&header, &b"x"[..]).unwrap();
    let error = unpack(&tar.into_inner().unwrap(), &dir.path().join("in")).unwrap_err();
    assert!(error.render().contains("../evil"), "{}", error.render());
    assert!(!dir.path().join("evil").exists());
}
