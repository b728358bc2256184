use super::*;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::{
    fs::File,
    io::{BufRead as _, Read as _, Seek as _, Write as _},
    thread,
};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);
const GREETING: &str = r#"{"QMP": {"version": {}, "capabilities": ["oob"]}}"#;

/// A QEMU that greets, accepts the negotiation, and then answers each command by `script`, which
/// gets the command and writes whatever lines it likes.
fn fake(
    mut script: impl FnMut(&Value, &mut dyn FnMut(Value)) -> bool + Send + 'static,
) -> StdUnixStream {
    let (client, mut server) = StdUnixStream::pair().unwrap();
    thread::spawn(move || {
        writeln!(server, "{GREETING}").unwrap();
        let mut lines = io::BufReader::new(server.try_clone().unwrap()).lines();
        let negotiation: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(negotiation["execute"], "qmp_capabilities");
        writeln!(server, "{}", json!({"return": {}, "id": negotiation["id"]})).unwrap();
        while let Some(Ok(line)) = lines.next() {
            let command: Value = serde_json::from_str(&line).unwrap();
            let mut reply = |v: Value| writeln!(server, "{v}").unwrap();
            if !script(&command, &mut reply) {
                break;
            }
        }
    });
    client
}

#[tokio::test]
async fn answers_find_their_command_in_any_order_and_events_keep_theirs() {
    let mut held = None;
    let stream = fake(move |command, reply| {
        reply(json!({"event": "SEEN", "data": command["execute"], "timestamp": {}}));
        let answer = json!({"return": command["arguments"], "id": command["id"]});
        match held.take() {
            None => held = Some(answer),
            Some(first) => {
                reply(answer);
                reply(first);
            }
        }
        true
    });
    let (qmp, mut events) = Qmp::connect(stream, LONG).await.unwrap();
    let (a, b) = tokio::join!(
        qmp.execute("one", json!({"n": 1})),
        qmp.execute("two", json!({"n": 2}))
    );
    assert_eq!(a.unwrap(), json!({"n": 1}));
    assert_eq!(b.unwrap(), json!({"n": 2}));
    assert_eq!(events.next().await.unwrap().data, "one");
    assert_eq!(events.wait_for("SEEN", LONG).await.unwrap().data, "two");
    assert!(events.wait_for("SEEN", SHORT).await.is_err());
}

#[tokio::test]
async fn every_failure_names_the_command_and_its_cause() {
    let refuse = |c: &Value, reply: &mut dyn FnMut(Value)| {
        let error = json!({"class": "GenericError", "desc": "Bus 'rp0' not found"});
        reply(json!({"error": error, "id": c["id"]}));
        true
    };
    let (qmp, _events) = Qmp::connect(fake(refuse), LONG).await.unwrap();
    let refused = qmp.execute("device_add", json!({})).await.unwrap_err();

    let (qmp, _events) = Qmp::connect(fake(|_, _| true), LONG).await.unwrap();
    let late = qmp
        .execute_within("cont", Value::Null, SHORT)
        .await
        .unwrap_err();

    let (qmp, mut events) = Qmp::connect(fake(|_, _| false), LONG).await.unwrap();
    let died = qmp.execute("cont", Value::Null).await.unwrap_err();
    assert!(events.next().await.is_none());
    let dead = qmp.execute("stop", Value::Null).await.unwrap_err();

    let (client, mut server) = StdUnixStream::pair().unwrap();
    server.write_all(b"{\"hello\": 1}\n").unwrap();
    let alien = Qmp::connect(client, LONG).await.unwrap_err();
    let silent = StdUnixStream::pair().unwrap();
    let mute = Qmp::connect(silent.0, SHORT).await.unwrap_err();

    let all = [refused, late, died, dead, alien, mute].map(|e| e.render());
    insta::assert_snapshot!(all.join("\n"), @r#"
    error: QEMU refused `device_add`
      caused by: Bus 'rp0' not found (GenericError)
    error: QEMU's answer to `cont` did not come within 0.1 s
    error: waiting for QEMU to complete `cont`
      caused by: QEMU closed its control connection
      help: run the same command again; `diorama doctor` shows what this host lacks
    error: sending `stop` to QEMU
      caused by: QEMU closed its control connection
      help: run the same command again; `diorama doctor` shows what this host lacks
    error: the greeting on QEMU's control connection is not QMP: {"hello":1}
    error: QEMU's greeting did not come within 0.1 s
    "#);
}

#[tokio::test]
async fn a_descriptor_travels_with_its_command() {
    let (client, server) = StdUnixStream::pair().unwrap();
    let receiver = thread::spawn(move || {
        let mut server = server;
        writeln!(server, "{GREETING}").unwrap();
        let mut got = None;
        for _ in 0..2 {
            let mut bytes = [0; 4096];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let mut parts = [io::IoSliceMut::new(&mut bytes)];
            let n = recvmsg(&server, &mut parts, &mut ancillary, RecvFlags::empty())
                .unwrap()
                .bytes;
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(mut fds) = message {
                    got = fds.next();
                }
            }
            let command: Value = serde_json::from_slice(&bytes[..n]).unwrap();
            writeln!(server, "{}", json!({"return": {}, "id": command["id"]})).unwrap();
        }
        let mut text = String::new();
        let mut file = File::from(got.expect("a descriptor with getfd"));
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    });
    let (qmp, _events) = Qmp::connect(client, LONG).await.unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"passed").unwrap();
    qmp.send_fd("c", &file).await.unwrap();
    assert_eq!(receiver.join().unwrap(), "passed");
}

/// A QEMU that says all this after the negotiation, and nothing else; and what becomes of a command.
async fn said(words: impl FnOnce(&mut StdUnixStream) + Send + 'static) -> Error {
    let (client, mut server) = StdUnixStream::pair().unwrap();
    thread::spawn(move || {
        writeln!(server, "{GREETING}").unwrap();
        writeln!(server, "{}", json!({"return": {}, "id": 1})).unwrap();
        words(&mut server);
        // Until the client has had enough of it.
        let _ = io::copy(&mut server, &mut io::sink());
    });
    let (qmp, _events) = Qmp::connect(client, LONG).await.unwrap();
    qmp.execute("query-status", Value::Null).await.unwrap_err()
}

#[tokio::test]
async fn what_a_hostile_qemu_says_is_bounded_and_ends_the_connection() {
    let endless = |server: &mut StdUnixStream| {
        // Fails once the client has let go.
        let _ = io::copy(&mut io::repeat(b'x'), server);
    };
    let events = |server: &mut StdUnixStream| {
        while writeln!(server, "{}", json!({"event": "SPAM"})).is_ok() {}
    };
    let long_event = |server: &mut StdUnixStream| {
        let _ = writeln!(
            server,
            "{}",
            json!({"event": "LONG", "data": "x".repeat(MAX_EVENT)})
        );
    };
    let deep = |server: &mut StdUnixStream| {
        let _ = writeln!(server, "{{\"return\": {}", "[".repeat(100_000));
    };
    let lie = |server: &mut StdUnixStream| {
        let _ = writeln!(server, r#"{{"return": {{}}, "id": -2}}"#);
    };
    let all = [
        said(endless).await,
        said(events).await,
        said(long_event).await,
        said(deep).await,
        said(lie).await,
    ];
    let causes = all.map(|e| std::error::Error::source(&e).unwrap().to_string());
    insta::assert_snapshot!(causes.join("\n"), @r"
    QEMU said more in one line than it ever has to say
    QEMU sent more events than anybody reads
    QEMU sent an event that is too long
    QEMU said something on its control connection that is not QMP
    QEMU said something on its control connection that is not QMP
    ");
}

#[tokio::test]
async fn answers_to_nobody_do_not_hold_a_command_beyond_its_deadline() {
    let stream = fake(|_, reply| {
        for id in 0..1000 {
            reply(json!({"return": "nobody asked", "id": 1_000_000 + id}));
        }
        true
    });
    let (qmp, _events) = Qmp::connect(stream, LONG).await.unwrap();
    let late = qmp.execute_within("cont", Value::Null, SHORT).await;
    let late = late.unwrap_err().to_string();
    assert_eq!(late, "QEMU's answer to `cont` did not come within 0.1 s");
}
