//! Images to and from a real registry: Debian's docker-registry, on loopback, with a password.

use crate::common::{Lab, Tree, text};
use diorama::{digest::Sha256, store::hermetic::Hermetic};
use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// `htpasswd -nbB -C 4 user secret`: the least cost, for it is paid with every request.
const HTPASSWD: &str = "user:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n";
/// `user:secret`, as docker's configuration has it.
const LOGIN: &str = "dXNlcjpzZWNyZXQ=";

/// A registry that ends with this value.
struct Registry {
    child: Child,
    host: String,
    place: PathBuf,
}

impl Registry {
    fn start(lab: &Lab) -> Registry {
        let place = lab.results().join("registry");
        fs::create_dir_all(&place).expect("a directory");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let host = free.local_addr().expect("its address").to_string();
        drop(free);
        let users = place.join("htpasswd");
        fs::write(&users, HTPASSWD).expect("a file");
        let config = place.join("config.yml");
        let (data, users) = (place.join("data"), users.display());
        let words = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{host}\", secret: x}}\n\
             auth: {{htpasswd: {{realm: test, path: {users}}}}}\n",
            data.display()
        );
        fs::write(&config, words).expect("a file");
        let tree = lab.tree(Tree::Tools("registry"));
        let program =
            Hermetic::in_tree(&tree, "usr/bin/docker-registry").expect("the registry's program");
        let child = program.command().arg("serve").arg(&config).spawn();
        let registry = Registry {
            child: child.expect("the registry starts"),
            host,
            place,
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(&registry.host).is_err() {
            assert!(Instant::now() < deadline, "the registry does not listen");
            std::thread::sleep(Duration::from_millis(100));
        }
        registry
    }

    /// A directory with docker's configuration, by which somebody is logged in.
    fn login(&self) -> PathBuf {
        let dir = self.place.join("docker");
        fs::create_dir_all(&dir).expect("a directory");
        let host = &self.host;
        let config = format!(r#"{{"auths":{{"{host}":{{"auth":"{LOGIN}"}}}}}}"#);
        fs::write(dir.join("config.json"), config).expect("a file");
        dir
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, logged in or not, with a cache of its own.
fn run(home: &Path, docker: Option<&Path>, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_diorama"));
    command.env_clear().env("HOME", home);
    command.env("DIORAMA_CACHE", home.join("cache"));
    if let Some(docker) = docker {
        command.env("DOCKER_CONFIG", docker);
    }
    let output = command
        .args(words)
        .stdin(Stdio::null())
        .output()
        .expect("diorama");
    println!("$ diorama {}\n{}", words.join(" "), text(&output));
    output
}

fn sha256(path: &Path) -> Sha256 {
    Sha256::of(&fs::read(path).expect("a file"))
}

#[test]
#[ignore = "nightly: `cargo xtask nightly` runs it, for its time"]
fn an_image_goes_to_a_registry_and_comes_back_as_the_same_bytes() {
    let Some(lab) = Lab::open("an_image_goes_to_a_registry_and_comes_back_as_the_same_bytes")
    else {
        return;
    };
    let cell = ["smoke", "--only-kernel", "7.2", "--workload", "write-4k"];
    lab.measure(&[&cell[..], &["--repetitions", "1"]].concat(), 0);
    let at = |name: &str| lab.results().join(name);
    let image = at("x.diorama");
    let packed = lab.run(&[
        "pack",
        "latest",
        "--plain",
        "-o",
        &image.display().to_string(),
    ]);
    assert!(packed.status.success());

    let registry = Registry::start(&lab);
    let docker = registry.login();
    let home = at("home");
    fs::create_dir(&home).expect("a directory");
    let tag = format!("oci://{}/team/images:v1", registry.host);
    let [file, back] = [&image, &at("back.diorama")].map(|path| path.display().to_string());

    // Nobody who is not logged in.
    let refused = run(&home, None, &["push", &file, &tag]);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused));
    assert!(
        text(&refused).contains("docker login"),
        "{}",
        text(&refused)
    );

    let pushed = run(&home, Some(&docker), &["push", &file, &tag]);
    assert!(pushed.status.success());
    let name = String::from_utf8(pushed.stdout).expect("UTF-8");
    let name = name.trim();
    assert!(name.contains("/team/images@sha256:"), "{name}");
    // All of it is there: nothing is sent again.
    let again = run(&home, Some(&docker), &["push", &file, &tag]);
    assert!(again.status.success() && !text(&again).contains("sending"));

    for from in [&tag, name] {
        let pulled = run(&home, Some(&docker), &["pull", from, "-o", &back]);
        assert!(pulled.status.success());
        assert!(text(&pulled).contains(name));
        assert_eq!(sha256(Path::new(&back)), sha256(&image));
        fs::remove_file(&back).expect("the file");
    }
    let refused = run(&home, None, &["pull", &tag, "-o", &back]);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused));
    assert!(
        text(&refused).contains("docker login"),
        "{}",
        text(&refused)
    );
    let missing = tag.replace(":v1", ":v2");
    let missing = run(&home, Some(&docker), &["pull", &missing, "-o", &back]);
    assert_eq!(missing.status.code(), Some(3), "{}", text(&missing));
    assert!(!Path::new(&back).exists());

    // Where images are looked at, a reference is as good as a file.
    let looked = run(&home, Some(&docker), &["inspect", name]);
    assert!(looked.status.success());
}
