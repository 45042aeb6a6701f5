//! How nginx is told to speak to an upstream.

use nginx_502_exporter::observation::Protocol;

use crate::common::faults::Wire;
use crate::common::http::Address;

/// How nginx is told to speak to the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// `proxy_pass http://`.
    Http,
    /// `proxy_pass https://`.
    Https,
    /// `fastcgi_pass`.
    FastCgi,
    /// `uwsgi_pass`.
    Uwsgi,
    /// `uwsgi_pass suwsgi://`.
    Suwsgi,
    /// `scgi_pass`.
    Scgi,
    /// `grpc_pass grpc://`.
    Grpc,
    /// `grpc_pass grpcs://`.
    Grpcs,
    /// `memcached_pass`.
    Memcached,
    /// `proxy_pass` in `stream {}`.
    Stream,
}

impl Pass {
    /// The directives that pass requests to that address.
    pub fn directive(self, address: &Address) -> String {
        let colon = if matches!(address, Address::Unix(_)) { ":" } else { "" };
        match self {
            Self::Http => format!("proxy_pass http://{address}{colon};"),
            Self::Https => format!("proxy_pass https://{address}{colon};"),
            Self::FastCgi => format!("fastcgi_pass {address}; fastcgi_param REQUEST_METHOD $request_method;"),
            Self::Uwsgi => format!("uwsgi_pass {address}; uwsgi_param REQUEST_METHOD $request_method;"),
            Self::Suwsgi => format!("uwsgi_pass suwsgi://{address}; uwsgi_param REQUEST_METHOD $request_method;"),
            Self::Scgi => format!("scgi_pass {address}; scgi_param REQUEST_METHOD $request_method;"),
            Self::Grpc => format!("grpc_pass grpc://{address};"),
            Self::Grpcs => format!("grpc_pass grpcs://{address};"),
            Self::Memcached => format!("set $memcached_key $uri; memcached_pass {address};"),
            Self::Stream => format!("proxy_pass {address};"),
        }
    }

    /// What the upstream has to understand.
    pub fn wire(self) -> Wire {
        match self {
            Self::Http => Wire::Http,
            Self::Https | Self::Suwsgi | Self::Grpcs | Self::Memcached | Self::Stream => Wire::Raw,
            Self::FastCgi => Wire::FastCgi,
            Self::Uwsgi => Wire::Uwsgi,
            Self::Scgi => Wire::Scgi,
            Self::Grpc => Wire::Http2,
        }
    }

    /// What the entries must say of it.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Http => Protocol::Http,
            Self::Https => Protocol::Https,
            Self::FastCgi => Protocol::FastCgi,
            Self::Uwsgi => Protocol::Uwsgi,
            Self::Suwsgi => Protocol::Suwsgi,
            Self::Scgi => Protocol::Scgi,
            Self::Grpc => Protocol::Grpc,
            Self::Grpcs => Protocol::Grpcs,
            Self::Memcached => Protocol::Memcached,
            Self::Stream => Protocol::Stream,
        }
    }
}
