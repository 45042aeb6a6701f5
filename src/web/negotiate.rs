//! Which format and which encoding a client gets (RFC 9110, 12.5).

use std::io::Write;

use axum::http::header::{ACCEPT, ACCEPT_ENCODING};
use axum::http::{HeaderMap, HeaderName};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::metrics::Format;

/// Below this many bytes packing does not pay.
const MIN_GZIP_BYTES: usize = 1024;

/// OpenMetrics for who names it and does not like `text/plain` better; text 0.0.4, which every scraper reads, for all
/// others: no header, `*/*`, nonsense. Of OpenMetrics we have version 1.0.0 only.
pub(super) fn format(headers: &HeaderMap) -> Format {
    let mut openmetrics = 0;
    let mut text = 0;
    for item in values(headers, ACCEPT).flat_map(items) {
        if item.is("application/openmetrics-text") && matches!(item.parameter("version"), None | Some("1.0.0")) {
            openmetrics = openmetrics.max(item.quality);
        } else if item.is("text/plain") {
            text = text.max(item.quality);
        }
    }
    if openmetrics > 0 && openmetrics >= text { Format::OpenMetrics } else { Format::Text }
}

/// Whether the client takes gzip, and not rather the plain body.
pub(super) fn gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for item in values(headers, ACCEPT_ENCODING).flat_map(items) {
        if item.is("gzip") || item.is("x-gzip") {
            gzip = gzip.max(Some(item.quality));
        } else if item.is("identity") {
            identity = identity.max(Some(item.quality));
        } else if item.is("*") {
            any = any.max(Some(item.quality));
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

/// The body packed, unless it is too small for that.
pub(super) fn gzipped(body: &[u8]) -> Option<Vec<u8>> {
    if body.len() < MIN_GZIP_BYTES {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

/// All lines of a list header that are text.
fn values(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

/// One element of a list header.
struct Item<'a> {
    name: &'a str,
    parameters: &'a str,
    /// In thousandths; 0 means "not acceptable".
    quality: u16,
}

impl<'a> Item<'a> {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        parameter(self.parameters, name)
    }
}

fn items(list: &str) -> impl Iterator<Item = Item<'_>> {
    list.split(',').map(|element| {
        let (name, parameters) = element.split_once(';').unwrap_or((element, ""));
        Item { name: name.trim(), parameters, quality: parameter(parameters, "q").map_or(1000, quality) }
    })
}

fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters
        .split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .find_map(|(key, value)| key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"')))
}

/// A quality in thousandths; what is none is not acceptable.
fn quality(text: &str) -> u16 {
    match text.parse::<f32>() {
        Ok(q) if (0.0..=1.0).contains(&q) => (q * 1000.0).round() as u16,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn with(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn openmetrics_goes_to_who_names_it_and_likes_it_no_less_than_text() {
        let prometheus_2_42 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
                               q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;\
                            escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in [
            prometheus_2_42,
            prometheus_3,
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=\"1.0.0\"; Q=0.001",
            "text/plain;q=0.5, application/openmetrics-text;q=0.5",
        ] {
            assert_eq!(format(&with(ACCEPT, accept)), Format::OpenMetrics, "{accept}");
        }
    }

    #[test]
    fn everyone_else_gets_text() {
        assert_eq!(format(&HeaderMap::new()), Format::Text);
        for accept in [
            "",
            "*/*",
            "text/plain;version=0.0.4",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.4,text/plain;q=0.5",
            "application/openmetrics-text;q=nan",
            "application/openmetrics-text;q=7",
            ";,;=,;;q=",
        ] {
            assert_eq!(format(&with(ACCEPT, accept)), Format::Text, "{accept}");
        }
    }

    #[test]
    fn several_header_lines_are_one_list() {
        let mut headers = with(ACCEPT, "text/plain;q=0.5");
        headers.append(ACCEPT, HeaderValue::from_static("application/openmetrics-text"));
        assert_eq!(format(&headers), Format::OpenMetrics);
    }

    #[test]
    fn gzip_is_used_where_it_is_welcome() {
        for accept in
            ["gzip", "GZIP;q=1.0", "x-gzip", "deflate, gzip;q=0.5", "*", "br, *;q=0.1", "identity;q=0.5, gzip"]
        {
            assert!(gzip(&with(ACCEPT_ENCODING, accept)), "{accept}");
        }
        assert!(!gzip(&HeaderMap::new()));
        for accept in ["", "identity", "gzip;q=0", "gzip;q=0.000, *", "identity, gzip;q=0.5", "br", "*;q=0", "gzipped"]
        {
            assert!(!gzip(&with(ACCEPT_ENCODING, accept)), "{accept}");
        }
    }

    proptest! {
        #[test]
        fn no_header_is_too_strange(value in proptest::collection::vec(any::<u8>(), 0..80), listlike in "[a-z*/;,=q0-9. \"]{0,80}") {
            for value in [HeaderValue::from_bytes(&value), HeaderValue::from_str(&listlike)].into_iter().flatten() {
                let headers = HeaderMap::from_iter([(ACCEPT, value.clone()), (ACCEPT_ENCODING, value)]);
                format(&headers);
                gzip(&headers);
            }
        }
    }
}
