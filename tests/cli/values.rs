//! Where the value of a put comes from, and that it comes back as it was.

use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt;

use crate::common::kv_cluster::soon;
use crate::{command, server, traitwire};

/// Runs a command with this standard input.
async fn with_input(url: &str, arguments: &[&str], input: &[u8]) -> (i32, Vec<u8>, String) {
    let command =
        command(url, arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut command = command.unwrap();
    let mut stdin = command.stdin.take().unwrap();
    let write = async {
        // A command that refuses the value may not read it to its end.
        let _closed = stdin.write_all(input).await;
        drop(stdin);
    };
    let (output, ()) = soon(async { tokio::join!(command.wait_with_output(), write) }).await;
    let Output { status, stdout, stderr } = output.unwrap();
    (status.code().unwrap(), stdout, String::from_utf8(stderr).unwrap())
}

#[tokio::test]
async fn a_value_comes_back_exactly() {
    let (server, folder) = server().await;
    let values: [&[u8]; 8] = [
        b"",
        b"\n",
        b"no line break",
        b"a\nb\n\n",
        b"\0nul\r\n",
        "\u{feff}ünïcode \u{1f600}".as_bytes(),
        b"-",
        b"--json",
    ];
    for (place, value) in values.into_iter().enumerate() {
        let file = folder.path().join("value");
        std::fs::write(&file, value).unwrap();
        let (piped, filed) = (format!("piped-{place}"), format!("filed-{place}"));
        assert_eq!(with_input(server.url(), &["kv", "put", &piped, "-"], value).await.0, 0);
        let put = ["kv", "put", &filed, "--file", file.to_str().unwrap()];
        assert_eq!(with_input(server.url(), &put, b"").await.0, 0);
        for key in [&piped, &filed] {
            let (code, out, error) = with_input(server.url(), &["kv", "get", key], b"").await;
            assert_eq!((code, out.as_slice(), error.as_str()), (0, value, "version 1\n"), "{key}");
        }
    }
}

#[tokio::test]
async fn arguments_after_two_hyphens_are_literal() {
    let (server, _folder) = server().await;
    for (arguments, key, value) in [
        (&["kv", "put", "a", "--", "-"][..], "a", "-"),
        (&["kv", "put", "b", "--", "--version"], "b", "--version"),
        (&["kv", "put", "--", "--c", "-"], "--c", "-"),
        (&["kv", "put", "d", "@file"], "d", "@file"),
    ] {
        let (code, _, error) = with_input(server.url(), arguments, b"from standard input").await;
        assert_eq!(code, 0, "{arguments:?}: {error}");
        let (_, out, _) = traitwire(server.url(), &["kv", "get", "--", key]).await;
        assert_eq!(out, value);
    }
    for arguments in [
        &["kv", "put", "a"][..],
        &["kv", "put"],
        &["kv", "put", "a", "b", "--", "c"],
        &["kv", "put", "a", "b", "--file", "c"],
        &["kv", "put", "a", "-", "--file", "c"],
        &["kv", "put", "--", ""],
        &["kv", "put", "--", "", "v"],
    ] {
        assert_eq!(traitwire(server.url(), arguments).await.0, 2, "{arguments:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_a_value_is_refused_with_the_reason() {
    let (server, folder) = server().await;
    let long = vec![b'x'; (4 << 20) + 1];
    let escaped = vec![b'\x01'; 1 << 20];
    for (input, says) in [
        (&b"\xff"[..], "not UTF-8 at byte 0"),
        (b"text, then \xc3\x28", "not UTF-8 at byte 11"),
        (b"cut \xf0\x9f\x98", "not UTF-8 at byte 4"),
        (&long, "more than 4194304 bytes"),
        (&escaped, "as JSON"),
    ] {
        let (code, _, error) = with_input(server.url(), &["kv", "put", "k", "-"], input).await;
        assert_eq!((code, error.contains(says)), (2, true), "{error}");
    }
    let too_long = vec![b'x'; 7 << 19];
    let (code, _, error) = with_input(server.url(), &["kv", "put", "k", "-"], &too_long).await;
    assert_eq!((code, error.contains("a command may have 3145728 bytes")), (2, true), "{error}");
    let longest = vec![b'x'; (3 << 20) - 2_048];
    let (code, _, error) = with_input(server.url(), &["kv", "put", "longest", "-"], &longest).await;
    assert_eq!(code, 0, "{error}");
    for file in [folder.path().to_str().unwrap(), "no-such-file"] {
        let (code, _, error) = traitwire(server.url(), &["kv", "put", "k", "--file", file]).await;
        assert_eq!((code, error.contains(file)), (1, true), "{error}");
    }
    assert_eq!(traitwire(server.url(), &["kv", "get", "k"]).await.0, 3);
}
