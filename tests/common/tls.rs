//! Certificates for TLS upstreams, made by the `openssl` command.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::lab::Lab;
use super::process::program;

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// PEM file of the certificate.
    pub certificate: PathBuf,
    /// PEM file of the key.
    pub key: PathBuf,
}

impl Certificate {
    /// Makes one for that host name.
    ///
    /// # Panics
    /// When openssl is not installed or fails.
    pub fn self_signed(lab: &Lab, host: &str) -> Self {
        let folder = lab.subfolder("tls");
        let made = Self { certificate: folder.join(format!("{host}.pem")), key: folder.join(format!("{host}.key")) };
        let mut openssl = Command::new(program("openssl", "openssl"));
        openssl
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(["-subj", &format!("/CN={host}"), "-addext", &format!("subjectAltName=DNS:{host}")])
            .arg("-keyout")
            .arg(&made.key)
            .arg("-out")
            .arg(&made.certificate);
        run(&mut openssl);
        made
    }

    /// Issues one with every detail chosen.
    ///
    /// # Panics
    /// When openssl is not installed or fails.
    pub fn issue(lab: &Lab, name: &str, how: &Issue<'_>) -> Self {
        let folder = lab.subfolder("tls");
        let made = Self { certificate: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) };
        let request = folder.join(format!("{name}.csr"));
        let (certificate, key) = how
            .signer
            .map_or_else(|| (None, made.key.clone()), |signer| (Some(signer.certificate.clone()), signer.key.clone()));
        let config = lab.write(
            &format!("tls/{name}.cnf"),
            format!(
                "[ca]\ndefault_ca=own\n[own]\ndatabase={index}\nnew_certs_dir={folder}\nrand_serial=yes\n\
                 unique_subject=no\ndefault_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n\
                 [extensions]\n{extensions}\n",
                index = lab.write(&format!("tls/{name}.index"), "").display(),
                folder = folder.display(),
                extensions = how.extensions.join("\n"),
            ),
        );
        let mut ask = Command::new(program("openssl", "openssl"));
        ask.args(["req", "-new", "-nodes"]).args(how.new_key);
        ask.args(["-subj", &format!("/CN={}", how.subject)]).arg("-keyout").arg(&made.key).arg("-out").arg(&request);
        run(&mut ask);
        let mut sign = Command::new(program("openssl", "openssl"));
        sign.args(["ca", "-batch", "-notext"]).args(["-startdate", how.from, "-enddate", how.until]);
        sign.arg("-config").arg(config).arg("-in").arg(&request).arg("-out").arg(&made.certificate);
        sign.arg("-keyfile").arg(key);
        match certificate {
            Some(certificate) => sign.arg("-cert").arg(certificate),
            None => sign.arg("-selfsign"),
        };
        if !how.extensions.is_empty() {
            sign.args(["-extensions", "extensions"]);
        }
        run(&mut sign);
        made
    }

    /// The same key with the certificates of others after its own, as a server sends them.
    pub fn followed_by(&self, lab: &Lab, name: &str, others: &[&Self]) -> Self {
        let all: Vec<u8> = std::iter::once(&self)
            .chain(others)
            .flat_map(|one| std::fs::read(&one.certificate).expect("made by openssl"))
            .collect();
        Self { certificate: lab.write(&format!("tls/{name}.pem"), all), key: self.key.clone() }
    }

    /// The `server {}` directives that present it.
    pub fn directives(&self) -> String {
        format!("ssl_certificate {}; ssl_certificate_key {};", self.certificate.display(), self.key.display())
    }
}

/// The details of a certificate.
#[derive(Debug, Clone, Copy)]
pub struct Issue<'a> {
    /// The common name.
    pub subject: &'a str,
    /// Who signs; nobody else where `None`.
    pub signer: Option<&'a Certificate>,
    /// Options of openssl(1) that choose the key.
    pub new_key: &'a [&'a str],
    /// Lines of openssl's configuration; a certificate without any is one of the first version.
    pub extensions: &'a [&'a str],
    /// Valid from: `YYYYMMDDHHMMSSZ`.
    pub from: &'a str,
    /// Valid until.
    pub until: &'a str,
}

impl Default for Issue<'_> {
    fn default() -> Self {
        Self {
            subject: "test",
            signer: None,
            new_key: &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
            extensions: &[],
            from: "20200101000000Z",
            until: "20490101000000Z",
        }
    }
}

fn run(openssl: &mut Command) {
    let output = openssl.stdin(Stdio::null()).output().expect("openssl runs");
    assert!(output.status.success(), "{openssl:?}: {}", String::from_utf8_lossy(&output.stderr));
}
