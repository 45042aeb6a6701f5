//! Certificates for TLS upstreams, made by the `openssl` command.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::lab::Lab;
use super::process::program;

/// A self-signed certificate with its key.
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
        let output = Command::new(program("openssl", "openssl"))
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(["-subj", &format!("/CN={host}"), "-addext", &format!("subjectAltName=DNS:{host}")])
            .arg("-keyout")
            .arg(&made.key)
            .arg("-out")
            .arg(&made.certificate)
            .stdin(Stdio::null())
            .output()
            .expect("openssl runs");
        assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
        made
    }

    /// The `server {}` directives that present it.
    pub fn directives(&self) -> String {
        format!("ssl_certificate {}; ssl_certificate_key {};", self.certificate.display(), self.key.display())
    }
}
