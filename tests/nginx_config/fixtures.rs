//! Configurations with traps in them, beside what is to be understood of each: `fixtures/NAME.txt` and `NAME.expected`.
//!
//! The first lines say what it is about, and whether nginx accepts it: then nothing may be wrong with it for us either.
//! After a change that is meant, `UPDATE_FIXTURES=1 cargo test --test nginx_config` writes what is understood now; read
//! the difference.

use std::path::{Path, PathBuf};

use crate::common::Lab;
use crate::common::tls::Certificate;
use crate::render::render;
use crate::{discover_in, files_of_dump, nginx};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nginx_config/fixtures")
}

/// A configuration.
struct Fixture {
    name: String,
    /// What nginx says to it: `accepts`, `refuses`, `unknown`.
    verdict: String,
    /// Paths and contents.
    files: Vec<(String, String)>,
}

fn fixtures() -> Vec<Fixture> {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder()).expect("the folder").flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("a fixture");
        let mut parts = text.split("--- /");
        let verdict = parts.next().and_then(|head| head.split("nginx: ").nth(1)).expect("nginx: …").trim().to_owned();
        let files = parts
            .map(|part| part.split_once('\n').expect("a name"))
            .map(|(name, text)| (name.trim().into(), text.into()));
        Fixture {
            name: path.file_stem().expect("a name").to_string_lossy().into_owned(),
            verdict,
            files: files.collect(),
        }
    };
    paths.iter().map(read).collect()
}

fn write(lab: &Lab, name: &str, files: &[(String, String)]) -> PathBuf {
    let root = lab.subfolder(name);
    for (path, text) in files {
        let text = text.replace("@ROOT@", &root.to_string_lossy());
        let content = match text.trim() {
            "@BINARY@" => b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\xd5".to_vec(),
            "@CERTIFICATE@" => {
                std::fs::read(Certificate::self_signed(lab, "ca.test").certificate).expect("a certificate")
            }
            _ => text.into_bytes(),
        };
        lab.write(&format!("{name}/{path}"), content);
    }
    root
}

/// The same with every server on a unix socket: `nginx -t` listens, and ports may be taken or forbidden.
fn on_unix_sockets(files: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut count = 0;
    let mut rewrite = |text: String| {
        let mut parts = text.split("listen ");
        let mut rewritten = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let after = part.split_once(';').map_or("", |(_, after)| after);
            count += 1;
            rewritten += &format!("listen unix:@ROOT@/{count}.sock;{after}");
        }
        rewritten
    };
    files.into_iter().map(|(name, text)| (name, rewrite(text))).collect()
}

#[test]
fn every_fixture_is_understood() {
    let lab = Lab::new();
    let mut wrong = Vec::new();
    let fixtures = fixtures();
    assert!(fixtures.len() >= 30);
    for Fixture { name, files, .. } in fixtures {
        let root = write(&lab, &name, &files);
        let understood = render(&discover_in(&root), &root.to_string_lossy());
        let path = folder().join(format!("{name}.expected"));
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            std::fs::write(&path, &understood).expect("writable");
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if understood != expected {
            wrong.push(format!("{name}: expected\n{expected}\nunderstood\n{understood}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_nginx_accepts_is_accepted_and_what_it_refuses_is_not() {
    let lab = Lab::new();
    for Fixture { name, verdict, files } in fixtures() {
        let root = write(&lab, &name, &on_unix_sockets(files));
        let discovery = discover_in(&root);
        let (accepted, said) = nginx(&root, "-T");
        match verdict.as_str() {
            "accepts" => {
                assert!(accepted, "{name}: {said}");
                assert_eq!(discovery.problems, [], "{name}");
                assert_eq!(discovery.files, files_of_dump(&said), "{name}");
            }
            "refuses" => {
                assert!(!accepted, "{name}: {said}");
                assert_ne!(discovery.problems, [], "{name}: {said}");
            }
            // It has modules that are not installed here, or takes nginx to its limits.
            other => assert_eq!(other, "unknown", "{name}"),
        }
    }
}
