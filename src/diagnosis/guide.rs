//! What to tell an operator about one log entry: what it means, what the client got, which cause to check first, what
//! mends it in the directives of the protocol in use, and how to confirm it by hand.
//!
//! A guide is about a single entry, so it says what is likely; the verdict over all evidence is the diagnosis. Statuses
//! are those of `ngx_http_upstream_next` and `ngx_http_upstream_finalize_request`. Texts hold values of the entry
//! unescaped: show them through [`crate::text::Safe`]. Commands hold only values that a shell takes literally.

mod address;
mod client;
mod confirm;
mod connect;
mod directives;
mod errno;
mod exchange;
mod local;
mod php;
mod response;
mod subject;
mod tls;

pub use client::ClientSaw;
pub use errno::errno_name;

use super::Cause;
use crate::observation::{Entry, UpstreamClass, Verdict};
use subject::Subject;

/// What to tell about one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guide {
    /// What happened, with the values of this entry.
    pub meaning: String,
    /// What became of the client's request.
    pub client: ClientSaw,
    /// When it becomes something else.
    pub caveat: Option<String>,
    /// The cause to check first; none where nothing failed.
    pub first: Option<Cause>,
    /// What mends it, in the order to try.
    pub fix: Vec<String>,
    /// Commands that show whether it is so. They change nothing.
    pub confirm: Vec<String>,
}

impl Guide {
    /// For entries that report no failure of nginx, an upstream or PHP: there is nothing to mend.
    fn harmless(meaning: impl Into<String>, client: ClientSaw) -> Self {
        Self { meaning: meaning.into(), client, caveat: None, first: None, fix: Vec::new(), confirm: Vec::new() }
    }
}

/// The guide to `entry`. `peer` is the address contacted in the form of our labels (`127.0.0.1:9000`,
/// `unix:/run/app.sock`), or a group's name, where the entry names one.
#[must_use]
pub fn guide(entry: &Entry<'_>, peer: Option<&str>) -> Guide {
    let subject = Subject::new(entry, peer);
    match entry.verdict {
        Verdict::Upstream(class) => upstream(class, &subject),
        Verdict::PeerDisabled => connect::peer_disabled(&subject),
        Verdict::Local(class) => local::guide(class, &subject),
        Verdict::Php(kind) => php::guide(kind, &subject),
        Verdict::Client => client::gone_or_refused(&subject),
        Verdict::Other => client::no_failure(&subject),
    }
}

fn upstream(class: UpstreamClass, subject: &Subject<'_>) -> Guide {
    let about = match class {
        UpstreamClass::ConnectRefused => connect::refused,
        UpstreamClass::ConnectSocketMissing => connect::socket_missing,
        UpstreamClass::ConnectPermissionDenied => connect::permission_denied,
        UpstreamClass::ConnectBacklogFull => connect::backlog_full,
        UpstreamClass::ConnectTimeout => connect::timeout,
        UpstreamClass::ConnectUnreachable => connect::unreachable,
        UpstreamClass::ConnectNoLocalPort => connect::no_local_port,
        UpstreamClass::ConnectReset => connect::reset,
        UpstreamClass::ConnectFailed => connect::failed,
        UpstreamClass::NoLiveUpstreams => connect::no_live_upstreams,
        UpstreamClass::DnsNotResolved => address::dns_not_resolved,
        UpstreamClass::DnsNoResolver => address::dns_no_resolver,
        UpstreamClass::UpstreamAddressInvalid => address::address_invalid,
        UpstreamClass::TlsHandshakeFailed => tls::handshake_failed,
        UpstreamClass::TlsHandshakeTimeout => tls::handshake_timeout,
        UpstreamClass::TlsVerifyFailed => tls::verify_failed,
        UpstreamClass::TlsNameMismatch => tls::name_mismatch,
        UpstreamClass::SendTimeout => exchange::send_timeout,
        UpstreamClass::SendFailed => exchange::send_failed,
        UpstreamClass::ReadHeaderTimeout => exchange::read_header_timeout,
        UpstreamClass::ReadBodyTimeout => exchange::read_body_timeout,
        UpstreamClass::ClosedBeforeHeader => exchange::closed_before_header,
        UpstreamClass::ClosedInBody => exchange::closed_in_body,
        UpstreamClass::ResetBeforeHeader => exchange::reset_before_header,
        UpstreamClass::ResetInBody => exchange::reset_in_body,
        UpstreamClass::HeaderTooBig => response::header_too_big,
        UpstreamClass::HeaderInvalid => response::header_invalid,
        UpstreamClass::ResponseInvalid => response::response_invalid,
        UpstreamClass::StreamRefused => response::stream_refused,
        UpstreamClass::AuthUnexpected => response::auth_unexpected,
        UpstreamClass::Other => response::other,
    };
    about(subject)
}

#[cfg(test)]
mod tests;
